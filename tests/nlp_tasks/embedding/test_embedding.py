"""Sentence vectors: each loss learns what a few words say; data and settings that do not fit are refused."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

from nlp_tasks import Matcher, StaticEncoder, TextEncoder
from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig
from nlp_tasks.embedding.config import EmbeddingConfig, EmbeddingTrainConfig
from nlp_tasks.embedding.data import embedding_table, graded, match_rows, pair_table
from nlp_tasks.embedding.model import EmbeddingLoss, false_negatives, twice
from nlp_tasks.model import TextModel
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.evaluation.text import similarity_metrics

QUICK = {
    "encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 24},
    "tokenizer": {"min_count": 1, "vocab_size": 300},
    "train": {"device": "cpu", "precision": "fp32", "batch_size": 16, "lr": 1e-2, "epochs": 4},
}


@pytest.fixture
def pairs(topics):
    """First and second texts, and a grade: 5 of one topic, else 1."""
    (first, ones), (second, others) = topics(160, seed=1), topics(160, seed=2)
    return first, second, np.where(np.array(ones) == np.array(others), 5.0, 1.0).tolist()


def test_each_loss_learns_topics_and_survives_a_file(pairs, tmp_path):
    first, second, grades = pairs
    same = [int(grade == 5) for grade in grades]
    ways = {
        "cosent": ((first, second, grades), {}),
        "cosine": ((first, second, grades), {"task": {"loss": "cosine", "grade_range": (0.0, 5.0)}}),
        "in_batch": ((first, second, same), {"task": {"loss": "in_batch"}}),
    }
    for loss, (lists, settings) in ways.items():
        encoder = TextEncoder.train(*lists, out=tmp_path / loss, **QUICK, **settings)
        assert encoder.results["loss"] == loss
        assert encoder.evaluate(first, second, same)["auc"] > 0.9, loss
    loaded = TextEncoder.load(tmp_path / "in_batch")
    np.testing.assert_array_equal(loaded.encode(first[:9]), encoder.encode(first[:9]))
    again = TextEncoder.train(*lists, out=tmp_path / "in_batch", **QUICK, **settings)  # a finished run gives its own
    np.testing.assert_array_equal(again.encode(first[:9]), encoder.encode(first[:9]))
    assert Matcher.train(first, second, same, init=tmp_path / "cosent", train=QUICK["train"]).results["best"] > 0.5


def test_simcse_needs_no_labels(pairs, tmp_path):
    first, second, grades = pairs
    settings = {**QUICK, "train": {**QUICK["train"], "epochs": 3}}
    encoder = TextEncoder.train(first + first[:3], validation=(first, second, grades), **settings)
    assert encoder.results["counted"]["train"] == {"repeated texts read once": 3}
    assert encoder.results["loss"] == "simcse"
    assert encoder.results["validation"]["spearman"] == encoder.results["best"]
    without = TextEncoder.train(first, **QUICK)
    assert "validation" not in without.results
    assert without.results["best_epoch"] == 4


def test_simcse_reads_a_text_under_two_dropouts(encoder, tokenizer):
    model = TextModel(encoder, EmbeddingTrainConfig().head, 0)
    own = TextEncoder(encoder, tokenizer)
    inputs = own.inputs(["a ball on goal", "the soup"])
    rows = {name: torch.tensor(value) for name, value in inputs.gather(np.array([0, 1])).items()}
    batch = {**rows, "owner": torch.tensor([0, 1])}
    vectors = model(twice(batch))
    torch.testing.assert_close(vectors[:2], vectors[2:])  # no dropout here
    unit = F.normalize(vectors[:2], dim=-1)
    expected = F.cross_entropy(unit @ unit.T / 0.05, torch.arange(2))
    torch.testing.assert_close(EmbeddingLoss(model, "simcse", 0.05, 1, 0.0)(batch), expected)


def test_hard_negatives_are_pairs_of_the_lowest_grade_of_the_same_first_text():
    first, second = ["q", "q", "q", "r", "s"], ["a", "b", "c", "d", "e"]
    table = graded(pair_table(first, second, ["entailment", "contradiction", "neutral", "entailment", "-"], "training"))
    assert table.left_out == {"without a label (-)": 1}
    rows = match_rows(table, EmbeddingConfig(loss="in_batch"), seed=0)
    assert (rows.texts[:3], rows.width, rows.texts[3:5]) == (["q", "a", "b"], 3, ["r", "d"])
    assert rows.texts[5] in second
    assert rows.counts == {"pairs without a match left out": 1, "positives with a negative at random": 1}
    plain = match_rows(table, EmbeddingConfig(loss="in_batch", hard_negatives=False), seed=0)
    assert (plain.texts, plain.width) == (["q", "a", "r", "d"], 2)
    named = embedding_table(["q"], ["a"], None, ["n"], "training")
    assert match_rows(named, EmbeddingConfig(loss="in_batch"), seed=0).texts == ["q", "a", "n"]
    grades = pair_table(first, second, [0, 2, 3, 4, 5], "training")
    assert match_rows(grades, EmbeddingConfig(loss="in_batch", positive_from=4), seed=0).texts == ["r", "d", "s", "e"]


def test_false_negatives_are_masked():
    numbers = torch.tensor([[0, 1, 2], [0, 3, 1], [4, 0, 5]])
    expected = [[1, 1, 1, 0, 1, 0], [1, 1, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0]]
    assert false_negatives(numbers).int().tolist() == expected


def test_correlations_are_those_of_scipy():
    random = np.random.default_rng(0)
    grades, scores = random.integers(0, 6, 200).astype(float), random.normal(size=200).round(1)
    metrics = similarity_metrics(grades, scores)
    assert metrics["spearman"] == pytest.approx(stats.spearmanr(grades, scores).statistic)
    assert metrics["pearson"] == pytest.approx(stats.pearsonr(grades, scores).statistic)
    assert similarity_metrics(grades, np.ones(200))["spearman"] == 0.0


TWO = (["a b", "b c"] * 9, ["c d", "d e"] * 9)


@pytest.mark.parametrize(
    ("lists", "settings", "message"),
    [
        (([*TWO[0]],), {"task": {"loss": "cosent"}}, "'cosent' learns from pairs; give second texts"),
        (TWO, {"task": {"loss": "cosine"}}, "'cosine' learns from grades"),
        ((*TWO, [1.0] * 18), {}, "all 16 training pairs have the grade 1; there is no contrast"),
        ((*TWO, [0.0, 5.5] * 9), {"task": {"loss": "cosine", "grade_range": (0, 5)}}, "lie in 0 to 5.5"),
        ((*TWO, ["much", 2.0] * 9), {}, "label 'much' is neither a number nor contradiction.* such examples in all"),
        ((*TWO, [0, 1, 2] * 6), {"task": {"loss": "in_batch"}}, "3 grades from 0 to 2; set task.positive_from"),
        ((*TWO, [0] * 18), {"task": {"loss": "in_batch"}}, "no training pair is positive.*all have the grade 0"),
        ((["a"] * 9,), {}, "all the same; simcse needs at least two"),
        (([*TWO[0]],), {"encoder": {"dropout": 0.0}}, "encoder.dropout is 0, but SimCSE"),
        (([*TWO[0]],), {"validation": 0.1}, "simcse is validated on a tuple of pairs and scores"),
        ((TWO[0], None, [1] * 18), {}, "scores and negatives belong to pairs"),
        (TWO, {"train": {"monitor": "pearson"}}, "monitor is 'pearson'; this task validates mrr"),
        (TWO, {"train": {"batch_size": 1}}, "batch of one text"),
        (TWO, {"task": {"loss": "cosine", "temperature": 0.1}}, "temperature has no effect on task.loss 'cosine'"),
        (TWO, {"task": {"loss": "in_batch", "positive_from": 2}}, "positive_from is set, but the pairs have no grades"),
    ],
)
def test_what_does_not_fit_is_refused(lists, settings, message):
    settings = {name: value if name == "validation" else dict(value) for name, value in settings.items()}
    for name, values in QUICK.items():
        settings[name] = {**values, **settings.get(name, {})}
    with pytest.raises(InputError, match=message):
        TextEncoder.train(*lists, **settings)


def test_a_folder_of_sentence_transformers_keeps_its_pooling(tmp_path, pairs):
    pytest.importorskip("sentence_transformers")
    first, second, grades = pairs
    bert = {**QUICK, "encoder": {**QUICK["encoder"], "layer": "bert", "embedding_norm": True}}
    source = Matcher.train(first, second, task={"form": "bi", "loss": "in_batch"}, head={"name": "first"}, **bert)
    source.export(tmp_path / "st", "sentence-transformers")
    trained = TextEncoder.train(first, second, grades, init=tmp_path / "st", train=QUICK["train"], out=tmp_path / "run")
    assert trained.results["pooling"] == "first"
    assert TextEncoder.load(tmp_path / "run").pooling.normalise
    other = TextEncoder.train(
        first, second, grades, init=tmp_path / "st", train=QUICK["train"], head={"name": "max", "dropout": 0.0}
    )
    assert other.results["pooling"] == "max"
    trained.export(tmp_path / "out", "sentence-transformers")
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(first[:5])
    np.testing.assert_allclose(trained.encode(first[:5]), theirs, atol=1e-5)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["pooling"] == "first"


@pytest.fixture(scope="module")
def bert():
    """Text encoder that other libraries open, and texts."""
    from tests.nlp_tasks.conftest import topic_texts

    texts = topic_texts(120, seed=7)[0]
    tokenizer = Tokenizer.train(texts, TokenizerConfig(vocab_size=300, min_count=1))
    sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 24, "layer": "bert", "embedding_norm": True}
    torch.manual_seed(0)
    settings = TEXT_ENCODER.to_dict() | sizes | {"vocab_size": tokenizer.size, "init_std": 0.3}
    return TextEncoder(Encoder(EncoderConfig.from_dict(settings)).eval(), tokenizer), texts


@pytest.mark.parametrize(("name", "options"), [("whitening", {"width": 5}), ("centring", {"top": 1})])
def test_post_processing_is_kept_and_goes_to_sentence_transformers(bert, tmp_path, name, options):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder, texts = bert
    processed = encoder.with_post_processing(name, texts, options)
    vectors = processed.encode(texts)
    assert vectors.shape == (120, processed.dim)
    assert np.abs(vectors.mean(axis=0)).max() < 1e-4
    assert processed.digest != encoder.digest
    np.testing.assert_allclose(
        processed.vectors(processed.inputs(texts[:3]), np.arange(3)).detach(), vectors[:3], atol=1e-4
    )
    processed.save(tmp_path / "saved")
    np.testing.assert_array_equal(TextEncoder.load(tmp_path / "saved").encode(texts), vectors)
    processed.export(tmp_path / "st", "sentence-transformers")
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "st"), device="cpu").encode(texts)
    np.testing.assert_allclose(theirs, vectors, atol=1e-4)
    np.testing.assert_allclose(TextEncoder.load(tmp_path / "st").encode(texts), vectors, atol=1e-4)


def test_a_flow_is_kept_but_not_exported(bert, tmp_path):
    encoder, texts = bert
    processed = encoder.with_post_processing("flow", texts, {"epochs": 1})
    processed.save(tmp_path / "saved")
    np.testing.assert_array_equal(TextEncoder.load(tmp_path / "saved").encode(texts), processed.encode(texts))
    with pytest.raises(InputError, match="its post-processing is 'flow', which is not linear"):
        processed.export(tmp_path / "st", "sentence-transformers")


def test_static_vectors_are_means_of_weighted_tokens(bert, tmp_path):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    encoder, texts = bert
    static = StaticEncoder.distil(encoder, texts, dim=8, smoothing=0.01)
    ids = encoder.tokenizer([texts[0]]).ids
    np.testing.assert_allclose(static.encode(texts)[0], static.table[ids].mean(axis=0), atol=1e-5)
    token = int(ids[0])
    alone = encoder.encode([encoder.tokenizer.tokens([token])[0]])
    every = np.concatenate(
        [encoder.encode(encoder.tokenizer.tokens([row])) for row in range(5, encoder.tokenizer.size)]
    )
    assert np.abs(every - alone).sum(axis=1).argmin() == token - 5
    share = (encoder.tokenizer(texts).ids == token).sum() / len(encoder.tokenizer(texts).ids)
    plain = StaticEncoder.distil(encoder, texts, dim=8, smoothing=1e12).table
    np.testing.assert_allclose(static.table[token], plain[token] * 0.01 / (0.01 + share), rtol=1e-4)
    static.save(tmp_path / "saved")
    np.testing.assert_array_equal(StaticEncoder.load(tmp_path / "saved").encode(texts), static.encode(texts))
    static.export(tmp_path / "st")
    theirs = sentence_transformers.SentenceTransformer(str(tmp_path / "st"), device="cpu").encode(texts)
    np.testing.assert_allclose(theirs, static.encode(texts), atol=1e-5)
    assert StaticEncoder.distil(encoder, dim=None).dim == 16
    with pytest.raises(InputError, match="holds no static vectors"):
        StaticEncoder.load(tmp_path)
