"""User sides in ONNX: the vectors of the model for every part, or a refusal that names the reason."""

import builtins
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from recsys_bert.clicks.queries import Queries
from recsys_bert.encoder.fusions import FUSIONS
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.necks import NECKS
from recsys_bert.encoder.positions import RELATIVE_POSITIONS
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.onnx_files import open_session
from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
from recsys_bert.retrieval.config import TOWERS_LOSS, TowersConfig
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.ensemble import Ensemble
from recsys_bert.retrieval.onnx_export import INPUTS, export_onnx
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.retrieval.score_fusion import ScoreFusion
from recsys_bert.retrieval.two_tower import build_two_tower
from recsys_bert.retrieval.two_tower_ranker import TwoTowerRanker
from recsys_bert.retrieval.untrained import PopularityRanker
from recsys_bert.retrieval.user_side_onnx import OnnxRuntime, user_side_file
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, feature_configs, row_features

pytest.importorskip("onnxruntime", reason="extra 'onnx' is not installed")
pytestmark = pytest.mark.usefixtures("in_float32")

LACKING = {"wearec", "rtransformer"}
"""Parts without a counterpart in ONNX."""

PARTS = [
    dict(zip(("layer", "fusion", "neck"), names, strict=True))
    for names in zip(LAYERS, [*FUSIONS, *FUSIONS], [*NECKS, "none", *NECKS], strict=False)
]
OTHERS = [
    *({"layer": layer} for layer in [*LAYERS][len(PARTS) :]),
    {"layer": "hstu", "times": True},
    {"time_gaps": True},
    {"embedding_dim": 8, "embedding_norm": True, "share_layers": True, "n_layers": 2},
    *({"position": name} for name in [*RELATIVE_POSITIONS, "start"]),
]


def encoder_ranker(encoder, side_log, features=(), **settings):
    config = {"features": feature_configs(side_log, features), **settings}
    model = encoder(attention="bidirectional", **config)
    tables = row_features(side_log, model.config)
    first = side_log.vocabulary.first_item
    prediction = TokenPrediction(model, LossConfig(), first_row=first, features=tables, unknown=2).eval()
    return EncoderRanker(PretrainedEncoder(prediction, "masked"), "encoder")


@pytest.fixture
def towers(encoder, side_log):
    """Towers with features of items in histories, of items, and of users."""
    model = encoder(features=feature_configs(side_log, ("kind", "tags")), fusion="scalar_mix", n_layers=2)
    config = TowersConfig(item_features=("tags",), user_features=("age",))
    return TwoTowerRanker(build_two_tower(model, config, TOWERS_LOSS, side_log, training=False).eval(), "towers")


@pytest.mark.parametrize("settings", [*PARTS, *OTHERS], ids=lambda settings: "-".join(map(str, settings.values())))
def test_every_part_gives_the_same_vectors_or_is_refused(encoder, side_log, settings):
    ranker = encoder_ranker(encoder, side_log, n_heads=2, **settings)
    if LACKING & {*settings.values()}:
        with pytest.raises(InputError, match="encoder cannot be exported to ONNX: one of its parts has no counterpart"):
            user_side_file(ranker.user_side, ranker.name)
        return
    queries = Queries.of(side_log)
    vectors = OnnxRuntime()(ranker).user_vectors(queries)
    np.testing.assert_allclose(vectors, ranker.user_vectors(queries), atol=1e-5)


def test_ngrams_are_refused_without_a_word_on_stdout(encoder, side_log, capfd):
    with pytest.raises(InputError, match=r"no counterpart in ONNX: .*XOR"):
        OnnxRuntime()(encoder_ranker(encoder, side_log, ngrams=2))
    assert capfd.readouterr() == ("", "")


def test_fusions_and_ensembles_are_run_by_onnxruntime_inside(encoder, side_log, towers):
    counts = CoOccurrence(last=2, window=1).fit(side_log)
    other = encoder_ranker(encoder, side_log)
    n_rows = min(towers.shape[0], other.shape[0])
    towers.model.n_rows = n_rows
    runtime = OnnxRuntime()
    queries = Queries.of(side_log)
    for ranker in (ScoreFusion(towers, counts), ScoreFusion(Ensemble([towers, other]), counts)):
        fast = runtime(ranker)
        np.testing.assert_allclose(fast.user_vectors(queries), ranker.user_vectors(queries), atol=1e-5)
        np.testing.assert_array_equal(fast.rank(queries, 5), ranker.rank(queries, 5))
        assert fast.shape == ranker.shape
    with pytest.raises(InputError, match="nothing to run"):
        runtime(ScoreFusion(PopularityRanker(side_log), counts))


def test_an_export_is_enough_to_rank_by(towers, side_log, tmp_path):
    folder = export_onnx(towers, side_log, tmp_path / "out")
    about = json.loads((folder / "about.json").read_text())
    assert about["largest_difference"] <= 1e-5
    assert [*about["inputs"]] == ["items", "lengths", "users"] == [*INPUTS][:3]
    item_rows = dict(pl.read_parquet(folder / "item_rows.parquet").rows())
    user_rows = {user: row for row, user in pl.read_parquet(folder / "user_rows.parquet").rows()}
    session, items = open_session(str(folder / "model.onnx"), 1), np.load(folder / "item_vectors.npy")
    history = [3, 999, 8, 21]  # 999 is in no log
    rows = [[item_rows.get(item, about["unknown_row"]) for item in history][-about["max_len"] :]]
    inputs = {"items": rows, "lengths": [len(history)], "users": [user_rows[7]]}
    (vectors,) = session.run(None, {name: np.array(value, np.int64) for name, value in inputs.items()})
    scores = (vectors @ items.T)[0, about["first_item"] :]
    queries = replace(Queries.from_lists(rows), users=np.array([7]))
    expected = towers.rank(queries, len(scores), exclude_seen=False)[0] - about["first_item"]
    np.testing.assert_array_equal(np.argsort(-scores, kind="stable"), expected)


def test_what_cannot_be_exported_says_why(towers, side_log, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"score fusion .*Export the run itself"):
        export_onnx(ScoreFusion(towers, None, recent=np.zeros(towers.shape[0], np.float32)), side_log, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(InputError, match="not empty"):
        export_onnx(towers, side_log, tmp_path / "full")
    with pytest.raises(InputError, match="export format"):
        Recommender(towers, side_log).export(tmp_path / "out", "tflite")
    monkeypatch.setattr("recsys_bert.retrieval.user_side_onnx.largest_difference", lambda *_: 0.5)
    with pytest.raises(InputError, match=r"differ from the model's by 5.0e-01"):
        export_onnx(towers, side_log, tmp_path / "out")
    monkeypatch.setattr("onnxruntime.__version__", "1.9.0")
    with pytest.raises(InputError, match=r"needs onnxruntime 1.24 or later, and 1.9.0 is installed"):
        OnnxRuntime()
    real = builtins.__import__

    def without(name, *others, **settings):
        if name == "onnxruntime":
            raise ImportError(name=name)
        return real(name, *others, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"onnxruntime is not there: pip install 'recsys-bert\[onnx\]'"):
        export_onnx(towers, side_log, tmp_path / "out")
    assert not (tmp_path / "out").exists()
