"""Text as a feature of towers, pretrained encoders and CTR models: trained, saved, loaded, grown."""

import shutil

import numpy as np
import polars as pl
import pytest
from sklearn.decomposition import PCA

import recsys_bert as rb
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.errors import InputError
from recsys_bert.item_texts.text_feature import FOLDER, fit_text_feature, load_text_feature
from recsys_bert.retrieval.load import load_ranker
from recsys_bert.training.step import OptimiserStep

WORDS = ["nail polish red", "hair shampoo dry", "lip balm soft", "face cream night"]
N_ITEMS, N_COLD = 32, 6
TINY = {
    "encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 10},
    "train": {"epochs": 2, "batch_size": 16, "device": "cpu", "precision": "fp32"},
    "text_dim": 8,
}


def title(item):
    return f"{WORDS[item % 4]} number{item % 7} {'deluxe' if item % 3 else 'mini'}"


def events_of(users, first=0):
    random = np.random.default_rng(0)
    rows = []
    for user in range(first, first + users):
        items = random.permutation(np.arange(user % 4, N_ITEMS, 4))[:6]
        rows += [(user, int(item), 1_000_000 + 3_600 * position) for position, item in enumerate(items)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def items(n=N_ITEMS + N_COLD, **changes):
    titles = [changes.get(str(item), None if item == 3 else title(item)) for item in range(n)]
    return pl.DataFrame({"item_id": range(n), "title": titles})


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """80 users and 38 items in four groups of words, 6 of them cold; item 3 has no text."""
    out = tmp_path_factory.mktemp("log") / "data"
    return rb.prepare(events_of(80), items=items(), item_features={"text": ["title"]}, out=out)


@pytest.fixture(scope="module")
def towers(log, tmp_path_factory):
    return rb.train_retrieval(
        log,
        out=tmp_path_factory.mktemp("runs") / "towers",
        text="tfidf",
        id_dropout=0.2,
        towers={"id_dropout": 0.2},
        **TINY,
    )


def vectors(run, dataset):
    return load_ranker(run, dataset).item_vectors()


def test_the_feature_is_pca_of_the_text_vectors_of_trained_items(log):
    feature = fit_text_feature(log, "tfidf", 5)
    rows, first, size = feature.vectors.rows, log.vocabulary.first_item, log.vocabulary.size
    trained = rows[first:size][rows[first:size].any(axis=1)]
    oracle = PCA(5, svd_solver="full").fit(trained.astype(np.float64))
    expected = oracle.transform(rows[first:].astype(np.float64))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    has = feature.table.has[first:]
    assert not has[log.rows([3])[0] - first]
    ours = feature.table.values[first:][has] / np.sqrt(5)
    signs = np.sign((ours * expected[has]).sum(axis=0))
    np.testing.assert_allclose(ours * signs, expected[has], atol=1e-4)
    assert np.square(feature.table.values[first:][has]).mean() == pytest.approx(1, rel=1e-5)


def test_towers_read_text_on_both_sides_and_rank_cold_items(log, towers):
    model = load_ranker(towers.run, log).model
    assert [feature.name for feature in model.encoder.config.features] == ["text"]
    assert model.config.item_features == ("text",)
    assert model.encoder.config.features[0].width == 8
    ranked = vectors(towers.run, log)
    assert ranked.shape[0] == log.n_rows
    cold = log.rows([N_ITEMS, N_ITEMS + 1])
    assert not np.allclose(ranked[cold[0]], ranked[cold[1]])


def test_a_run_keeps_its_text(log, towers, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(towers.run, moved)
    assert (moved / "two_tower" / FOLDER / "vectors" / "vectors.npy").is_file()
    np.testing.assert_array_equal(vectors(moved, log), vectors(towers.run, log))
    feature = fit_text_feature(log, "tfidf", 8)
    feature.save(tmp_path)
    loaded = load_text_feature(tmp_path, log)
    np.testing.assert_array_equal(loaded.table.values, feature.table.values)


def test_a_damaged_text_is_noticed(log, towers, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(towers.run, run)
    path = run / "two_tower" / FOLDER / "reduction.npz"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"reduction\.npz is damaged"):
        load_ranker(run, log)


@pytest.mark.parametrize("length", [0, 100])
def test_a_cut_map_of_a_feature_is_named(log, tmp_path, length):
    fit_text_feature(log, "tfidf", 8).save(tmp_path)
    path = tmp_path / "reduction.npz"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match=r"reduction\.npz cannot be read"):
        load_text_feature(tmp_path, log)


def test_new_items_of_a_grown_log_have_vectors_by_their_text(log, towers, tmp_path):
    today = pl.DataFrame([(0, 90, 9_000_000), (1, 90, 9_000_000)], schema=events_of(1).schema, orient="row")
    arrived = pl.DataFrame({"item_id": [90, 91], "title": [title(1), title(2)]})
    grown = rb.append(log, today, items=arrived, out=tmp_path / "grown")
    ranked = vectors(towers.run, grown)
    rows = grown.rows([90, 91])
    assert (np.linalg.norm(ranked[rows], axis=1) > 0.9).all()
    old, new = grown.rows(list(range(N_ITEMS))), log.rows(list(range(N_ITEMS)))
    np.testing.assert_allclose(ranked[old], vectors(towers.run, log)[new], atol=1e-6)
    again = rb.train_retrieval(grown, init=towers, train=TINY["train"])
    assert np.isfinite(vectors(again.run, grown)).all()
    assert again.run is not None
    with pytest.raises(InputError, match=r"text is 'tfidf', but .* brings its own"):
        rb.train_retrieval(grown, init=towers, train=TINY["train"], text="tfidf")


def test_a_changed_text_is_encoded_again_and_reported(log, towers, tmp_path, capsys):
    changed = rb.prepare(
        events_of(80), items=items(**{"0": title(1)}), item_features={"text": ["title"]}, out=tmp_path / "data"
    )
    before, after = vectors(towers.run, log), vectors(towers.run, changed)
    assert "the texts of 1 items changed" in capsys.readouterr().err
    row = int(log.rows([0])[0])
    different = ~np.isclose(before, after, atol=1e-6).all(axis=1)
    assert np.flatnonzero(different).tolist() == [row]


def test_a_run_is_not_resumed_with_another_text(tmp_path):
    settings = {**TINY, "text": "tfidf", "out": tmp_path / "run"}
    before, after = (
        {"items": items(**changes), "item_features": {"text": ["title"]}, "out": tmp_path / "data"}
        for changes in ({}, {"0": title(1)})
    )
    rb.train_retrieval(rb.prepare(events_of(80), **before), **settings)
    with pytest.raises(InputError, match="item_features"):
        rb.train_retrieval(rb.prepare(events_of(80), **after), **settings)


def test_a_stopped_run_goes_on_to_the_same_numbers(log, tmp_path, monkeypatch):
    settings = {**TINY, "text": "tfidf", "id_dropout": 0.2, "towers": {"id_dropout": 0.2}}
    whole = rb.train_retrieval(log, out=tmp_path / "whole", **settings)
    take_step = OptimiserStep.__call__

    def stopped(self, window, step):
        if step == 7:
            raise KeyboardInterrupt
        return take_step(self, window, step)

    monkeypatch.setattr(OptimiserStep, "__call__", stopped)
    with pytest.raises(KeyboardInterrupt):
        rb.train_retrieval(log, out=tmp_path / "run", **settings)
    monkeypatch.setattr(OptimiserStep, "__call__", take_step)
    again = rb.train_retrieval(log, out=tmp_path / "run", **settings)
    np.testing.assert_array_equal(vectors(again.run, log), vectors(whole.run, log))


@pytest.mark.parametrize("objective", ["next_item", "masked"])
def test_pretrained_encoders_predict_text_and_hand_it_on(log, objective):
    encoder = rb.pretrain(log, objective=objective, text="tfidf", id_dropout=0.2, **TINY)
    assert vectors(encoder.run, log).shape[0] == log.n_rows
    towers = rb.train_retrieval(log, init=encoder, train=TINY["train"], towers={"item_features": ["text"]})
    assert load_ranker(towers.run, log).model.items.adapters[0].out.weight.shape == (16, 8)
    ctr = train_ctr(log, model={"encoder": str(encoder.run), "head": "mlp", "dim": 4, "history_len": 8})
    assert ctr.fields[:3] == ["target item", "history", "match"]


def impressions(n=300):
    random = np.random.default_rng(1)
    users, rows = random.integers(0, 80, n), random.integers(0, N_ITEMS + N_COLD, n)
    label = (users % 4 == rows % 4).astype(int)
    return pl.DataFrame({"user": users, "item": rows, "label": label, "time": 9_000_000 + np.arange(n)})


def train_ctr(log, **settings):
    columns = {"user": "user", "item": "item", "label": "label", "time": "time"}
    train = {"epochs": 1, "batch_size": 64, "device": "cpu"}
    return rb.train_ctr(impressions(), dataset=log, **{"columns": columns, "train": train, **settings})


def test_ctr_models_have_a_field_of_text(log, tmp_path):
    settings = {"model": {"head": "fm", "dim": 4}, "text": "tfidf", "text_dim": 6}
    model = train_ctr(log, out=tmp_path / "run", **settings)
    assert model.fields[-1] == "item.text"
    assert model.module.adapters[0].hidden.in_features == 6
    loaded = rb.CTRModel.load(tmp_path / "run", open_dataset(log.folder))
    rows = impressions().head(20)
    np.testing.assert_array_equal(model.probabilities(rows), loaded.probabilities(rows))
    again = train_ctr(log, init=loaded)
    assert again.fields == model.fields


def test_a_ctr_model_and_its_encoder_may_read_different_texts(log, tmp_path):
    encoder = rb.pretrain(log, text="words", **TINY)
    settings = {
        "model": {"encoder": str(encoder.run), "head": "mlp", "dim": 4, "history_len": 8},
        "text": "tfidf",
        "text_dim": 5,
    }
    model = train_ctr(log, out=tmp_path / "run", **settings)
    loaded = rb.CTRModel.load(tmp_path / "run", log)
    rows = impressions().head(20)
    np.testing.assert_allclose(model.probabilities(rows), loaded.probabilities(rows), atol=1e-7)


def test_folders_of_item_vectors_are_a_source(log, tmp_path):
    rb.item_vectors(log, out=tmp_path / "vectors")
    named, folder = (fit_text_feature(log, text, 8).table.values for text in ("tfidf", str(tmp_path / "vectors")))
    np.testing.assert_array_equal(named, folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text": "bert"}, "text is 'bert', which is no folder; give tfidf, words"),
        ({"text": "tfidf", "text_dim": 0}, "text_dim is 0"),
        ({"text_dim": 8}, "text_dim is 8, but text is not given"),
        ({"text": "tfidf", "towers": {"hidden": 7}}, "towers.hidden is 7, but text are numbers"),
        ({"towers": {"id_dropout": 0.2}}, "towers.id_dropout masks"),
    ],
)
def test_settings_without_effect_are_refused(log, settings, message):
    others = {name: value for name, value in TINY.items() if name != "text_dim"}
    with pytest.raises(InputError, match=message):
        rb.train_retrieval(log, **{**others, **settings})


def test_a_log_without_words_is_refused(tmp_path):
    plain = rb.prepare(events_of(40), out=tmp_path / "data")
    with pytest.raises(InputError, match="was prepared without words of items"):
        rb.train_retrieval(plain, text="tfidf", **TINY)
    with pytest.raises(InputError, match="no prepared log with texts"):
        train_ctr(None, text="tfidf")


def test_a_feature_called_text_is_not_hidden(tmp_path):
    table = items().with_columns(text=pl.lit(1.0))
    features = {"text": ["title"], "numeric": ["text"]}
    own = rb.prepare(events_of(40), items=table, item_features=features, out=tmp_path / "data")
    with pytest.raises(InputError, match="has an item feature 'text' of its own"):
        rb.train_retrieval(own, text="tfidf", **TINY)
