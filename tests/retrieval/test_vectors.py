"""A pretrained encoder as vectors: the same as encoding one history at a time."""

import json

import numpy as np
import pytest
import torch

from recsys_bert.checksums import write_checksums
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import MASK
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.load import load_ranker
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, feature_configs, save_encoder
from recsys_bert.user_encoder.encode import encode_queries


@pytest.fixture
def ranker(side_log, encoder):
    """``ranker(objective, features, **settings of LossConfig)``."""

    def build(objective, features=(), **loss):
        prediction = TokenPrediction(
            encoder(
                attention="causal" if objective == "next_item" else "bidirectional",
                features=feature_configs(side_log, features),
            ),
            LossConfig(**loss),
            first_row=side_log.vocabulary.first_item,
            features={name: side_log.item_features[name] for name in features},
        )
        return EncoderRanker(PretrainedEncoder(prediction.eval(), objective))

    return build


@pytest.mark.parametrize("loss", [{}, {"similarity": "cosine"}], ids=["dot", "cosine"])
@pytest.mark.parametrize("features", [(), ("kind", "tags")], ids=["plain", "features"])
@pytest.mark.parametrize("objective", ["masked", "next_item"])
@pytest.mark.usefixtures("in_float32")
def test_scores_are_those_of_histories_one_by_one(side_log, ranker, objective, features, loss):
    model = ranker(objective, features, **loss)
    queries = Queries.of(side_log, "test")
    scores = model.user_vectors(queries) @ model.item_vectors().T
    encoder, data = model.pretrained.prediction.encoder, side_log.histories
    table = encoder.embeddings.token.weight.detach()
    for i in range(len(queries)):
        rows = data.items[queries.start[i] : queries.stop[i]].tolist()
        rows = [*rows[-11:], MASK] if objective == "masked" else rows[-12:]  # max_len is 12
        values = {name: torch.from_numpy(side_log.item_features[name][rows]).squeeze(-1)[None] for name in features}
        with torch.no_grad():
            state = encoder(torch.tensor([rows]), features=values or None).tokens[0, -1]
        expected = table @ state
        if loss:
            expected = (
                expected
                / table.norm(dim=1).clamp(min=1e-12)
                / state.norm()
                / model.pretrained.prediction.loss.temperature
            )
        np.testing.assert_allclose(scores[i], expected, atol=2e-4)


@pytest.mark.parametrize("objective", ["masked", "next_item"])
def test_lists_hold_no_seen_and_no_special_rows(side_log, ranker, objective):
    model, queries = ranker(objective), Queries.of(side_log, "test")
    first, n_items = side_log.vocabulary.first_item, side_log.vocabulary.n_items
    lists = model.rank(queries, n_items)
    for i, row in enumerate(lists):
        seen = set(side_log.histories.items[queries.start[i] : queries.stop[i]].tolist())
        expected = set(range(first, first + n_items)) - seen
        assert set(row[row >= 0].tolist()) == expected
        assert (row[len(expected) :] == -1).all()
    everything = model.rank(queries, n_items, exclude_seen=False)
    assert (np.sort(everything, axis=1) == np.arange(first, first + n_items)).all()


@pytest.fixture(params=[1, 2, 5])
def cores(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("in_float32")
def test_batches_and_cores_do_not_matter(side_log, ranker, cores):
    model, queries = ranker("masked"), Queries.of(side_log, "test")
    expected_vectors = model.user_vectors(queries)
    for size in (1, 7, 16):
        vectors = encode_queries(queries, model.user_side.module, 11, batch_size=size)
        np.testing.assert_allclose(vectors, expected_vectors, atol=1e-5)
    assert torch.get_num_threads() == cores


def test_an_error_in_one_batch_ends_encoding_and_frees_the_cores(side_log, cores):
    def encode(*batch):
        raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        encode_queries(Queries.of(side_log, "test"), encode, 11, batch_size=7)
    assert torch.get_num_threads() == cores


def test_bf16_is_near_float32(side_log, ranker):
    model, queries = ranker("next_item"), Queries.of(side_log, "test")
    both = [EncoderRanker(model.pretrained, precision=name).user_vectors(queries) for name in ("bf16", "fp32")]
    np.testing.assert_allclose(*both, atol=0.05)
    assert both[0].dtype == np.float32
    assert (both[0] != both[1]).any()


def test_nobody_to_encode_is_told(ranker):
    with pytest.raises(InputError, match="no history to encode"):
        ranker("next_item").user_vectors(Queries.from_lists([]))


def test_a_saved_encoder_ranks_the_same(side_log, ranker, tmp_path):
    model = ranker("masked", ("kind",), similarity="cosine", temperature=0.2)
    save_encoder(tmp_path / "run" / "encoder", model.pretrained, side_log)
    loaded, queries = load_ranker(tmp_path / "run", side_log), Queries.of(side_log, "test")
    np.testing.assert_array_equal(loaded.user_vectors(queries), model.user_vectors(queries))
    np.testing.assert_array_equal(loaded.item_vectors(), model.item_vectors())
    assert loaded.name == "run"


def test_an_encoder_of_another_vocabulary_is_refused(side_log, ranker, tmp_path):
    save_encoder(tmp_path / "encoder", ranker("next_item").pretrained, side_log)
    about = tmp_path / "encoder" / "objective.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"prepared": "another"}))
    write_checksums(about.parent)
    with pytest.raises(InputError, match="trained on the vocabulary another"):
        load_ranker(tmp_path, side_log)


def test_a_folder_without_a_run_is_refused(side_log, tmp_path):
    with pytest.raises(InputError, match="holds no trained ranker"):
        load_ranker(tmp_path, side_log)


def test_a_feature_that_is_not_there_is_refused(side_log):
    with pytest.raises(InputError, match="no item feature 'mood'; it has kind, tags"):
        feature_configs(side_log, ("kind", "mood"))
