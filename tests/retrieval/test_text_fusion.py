"""Text as a source of score fusion: brute force, search, files, and fusion without any run."""

import json

import numpy as np
import polars as pl
import pytest
from item_texts.conftest import item_table, topic_log

import recsys_bert as rb
from pipelines.cli import main
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.baselines.text_knn import TextKNN
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.load import open_run, ranker_fingerprint
from recsys_bert.retrieval.ranker import search
from recsys_bert.retrieval.recency import Recency
from recsys_bert.retrieval.score_fusion import ScoreFusion
from recsys_bert.retrieval.text_histories import TextGains
from recsys_bert.retrieval.untrained import PopularityRanker, TextRanker
from recsys_bert.stages.comparison.rankings import ranking_metrics

FEW = {
    "weights": [1.0],
    "smoothings": [0.01],
    "recent_weights": [],
    "half_lives": [],
    "text_weights": [0.5, 4.0],
    "text_lasts": [3],
    "text_decays": [0.5, 1.0],
}
UNTRAINED = {**FEW, "popularity_weights": [0.1]}
TINY = {"encoder": {"dim": 8, "n_heads": 1, "n_layers": 1, "max_len": 12}, "train": {"epochs": 1, "precision": "fp32"}}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Users who stay with one topic, in random order; 4 items are cold, one has no text."""
    folder, table = tmp_path_factory.mktemp("fused"), item_table()
    table = table.with_columns(title=pl.when(pl.col("item_id") == 5).then(None).otherwise("title"))
    return rb.prepare(topic_log(), items=table, item_features={"text": ["title"]}, out=folder / "data")


@pytest.fixture(scope="module")
def vectors(log):
    return rb.item_vectors(log, dim=128)


@pytest.fixture(scope="module")
def towers(log, tmp_path_factory):
    return rb.train_retrieval(log, out=tmp_path_factory.mktemp("towers") / "towers", **TINY)


def texts_of_users(vectors, queries, last, decay):
    """User texts, one item after the other."""
    users = np.zeros((len(queries), vectors.dim))
    for number, (start, stop) in enumerate(zip(queries.start, queries.stop, strict=True)):
        for age, row in enumerate(queries.histories.items[start:stop][::-1][:last]):
            users[number] += decay**age * vectors.rows[row]
    return users / np.maximum(np.linalg.norm(users, axis=1, keepdims=True), 1e-12)


def test_scores_are_those_of_the_model_plus_weighted_cosines(log, vectors, towers):
    gains, recency = TextGains(last=3, decay=0.6, weight=2.5), Recency(kernel="window", days=9, weight=1, smoothing=0.1)
    queries, model = Queries.of(log, "test"), towers.ranker
    recent = recency.gains(log, model.shape[0])
    fused = ScoreFusion(model, None, recent=recent, texts=(vectors, gains))
    expected = model.user_vectors(queries) @ model.item_vectors().T + recent
    cosines = texts_of_users(vectors, queries, 3, 0.6) @ vectors.rows.T
    expected += 2.5 * cosines[:, : model.shape[0]]
    scores = fused.user_vectors(queries) @ fused.item_vectors().T
    np.testing.assert_allclose(scores, expected, atol=2e-4)
    assert fused.shape == fused.item_vectors().shape
    assert fused.item_length is None
    assert not vectors.has[log.rows([5])[0]]  # id alone


@pytest.mark.parametrize("factory", ["Flat", "HNSW16"])
def test_an_index_finds_what_text_lifts(log, vectors, towers, factory):
    queries = Queries.of(log, "test")
    fused = ScoreFusion(towers.ranker, None, texts=(vectors, TextGains(last=5, decay=0.8, weight=4.0)))
    first = fused.first_item
    index = ItemIndex.build(
        fused.item_vectors()[first:], np.arange(first, fused.shape[0]), factory=factory, metric="ip"
    )
    exact, indexed = (search(fused, queries, 5, queries.seen(), one) for one in (None, index))
    np.testing.assert_array_equal(exact[0], indexed[0])
    np.testing.assert_allclose(exact[1], indexed[1], atol=1e-4)


def test_fuse_chooses_on_validation_and_comes_back(log, towers, tmp_path):
    fused = rb.fuse([towers], log, out=tmp_path / "fused", text="tfidf", **FEW)
    alone, *tried = fused.summary["tried"]
    best = max(tried, key=lambda line: line["ndcg@10"])
    assert best["ndcg@10"] > alone["ndcg@10"]
    assert fused.summary["text_weight"] == best["text_weight"]
    assert {line.get("text_decay") for line in tried} == {None, 0.5, 1.0}
    loaded = rb.Recommender.load(tmp_path / "fused", log)
    queries = Queries.of(log, "test")
    np.testing.assert_allclose(loaded.ranker.user_vectors(queries), fused.ranker.user_vectors(queries), atol=1e-5)
    np.testing.assert_array_equal(loaded.ranker.item_vectors(), fused.ranker.item_vectors())
    assert loaded.similar([3], k=2).height == 2
    lists = loaded.recommend(users=[1, 2], k=4)
    assert lists.height == 8
    loaded.save(tmp_path / "copy")
    copied = rb.Recommender.load(tmp_path / "copy", log)
    assert copied.recommend(users=[1, 2], k=4).equals(lists)
    row = rb.evaluate(loaded, log, split="validation", baselines=[]).table
    assert row["ndcg@10"][0] == pytest.approx(best["ndcg@10"])


def test_fuse_without_a_run_finds_cold_items_by_text(log, tmp_path):
    fused = rb.fuse([], log, out=tmp_path / "untrained", text="tfidf", **UNTRAINED)
    assert fused.ranker.shape[0] == log.n_rows
    assert fused.summary["popularity_weight"] == 0.1
    assert (tmp_path / "untrained" / "score_fusion" / "text" / "vectors.npy").is_file()
    loaded = rb.Recommender.load(tmp_path / "untrained", log)
    items = loaded.recommend(users=[0, 1, 2, 3], k=8)["item_id"].to_list()
    assert set(items) & {20, 21, 22, 23}
    assert isinstance(fused.ranker.ranker, PopularityRanker)
    similar = loaded.similar([2], k=3)
    assert all(item % 4 == 2 for item in similar["item_id"])  # by text, which is all there is
    assert loaded.similar_users([1], k=2).height == 2
    counts = rb.fuse([], log, weights=[1.0], smoothings=[0.01], recent_weights=[], popularity_weights=[0.1])
    assert counts.ranker.shape == (log.n_rows, 1)
    table = rb.evaluate({"untrained": loaded, "run": tmp_path / "untrained"}, log, baselines=["text_knn"]).table
    assert table["ndcg@10"][0] == table["ndcg@10"][1]
    assert "text_knn" in table["model"].to_list()


def test_popularity_is_the_logarithm_of_counts(log):
    ranker, queries = PopularityRanker(log, 0.5), Queries.of(log, "test")[:3]
    scores = ranker.user_vectors(queries) @ ranker.item_vectors().T
    expected = np.zeros(log.n_rows)
    for row in log.histories.items[
        [at for s, e in zip(log.histories.offsets, log.histories.train_end, strict=False) for at in range(s, e)]
    ]:
        expected[row] += 1
    np.testing.assert_allclose(scores, np.tile(0.5 * np.log1p(expected), (3, 1)), rtol=1e-6)


def test_text_knn_ranks_by_cosine_and_fills_with_popular_items(log):
    queries, baseline = Queries.of(log, "test"), TextKNN(last=2, decay=0.5, dim=256).fit(log)
    vectors = rb.item_vectors(log, dim=256)
    scores = texts_of_users(vectors, queries, 2, 0.5) @ vectors.rows.T
    scores[:, : log.vocabulary.first_item] = -np.inf
    query, row = queries.seen()
    scores[query, row] = -np.inf
    expected = np.argsort(-scores.astype(np.float32), axis=1, kind="stable")[:, :4]
    ranked = baseline.rank(queries, 4)
    gained = np.take_along_axis(scores, expected, 1), np.take_along_axis(scores, ranked.astype(int), 1)
    np.testing.assert_allclose(*gained, atol=1e-5)
    no_text = Queries.from_lists([log.rows([5])])
    assert baseline.rank(no_text, 2)[0].tolist() == baseline._order[baseline._order != log.rows([5])[0]][:2].tolist()
    with pytest.raises(InputError, match="without words"):
        TextKNN().fit(rb.prepare(topic_log()))
    note = rb.evaluate(TextRanker(vectors, log.vocabulary.first_item), log, baselines=["text_knn"])
    assert note.table.height == 2


def test_another_text_is_another_fingerprint(log, vectors, towers, tmp_path):
    fingerprints = set()
    for name, settings in (("a", {}), ("b", {"text_decays": [1.0]}), ("c", {"text_weights": [4.0]})):
        single = {"text_weights": [1.0], "text_decays": [0.5]} | settings
        rb.fuse([towers], log, texts=vectors, out=tmp_path / name, **{**FEW, **single, "weights": []})
        fingerprints.add(ranker_fingerprint(tmp_path / name))
    rb.fuse([towers], log, text="words", out=tmp_path / "d", **{**FEW, "text_weights": [1.0], "text_decays": [0.5]})
    assert len(fingerprints | {ranker_fingerprint(tmp_path / "d")}) == 4


def test_damaged_text_vectors_are_refused(log, vectors, tmp_path):
    rb.fuse([], log, texts=vectors, out=tmp_path / "run", **UNTRAINED)
    path = tmp_path / "run" / "score_fusion" / "text" / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-4] + b"oops")
    with pytest.raises(InputError, match="damaged"):
        open_run(tmp_path / "run", log)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text": "bert"}, "no folder; give tfidf, words"),
        ({"text_weights": [2.0]}, "no effect without text"),
        ({"text": "tfidf", "text_weights": []}, "text_weights are"),
        ({"text": "tfidf", "text_decays": [1.5]}, r"\(0, 1\]"),
        ({"text": "tfidf", "text_lasts": [0]}, "text_lasts are"),
        ({"text": None, "weights": [], "recent_weights": []}, "nothing but popularity"),
        ({"popularity_weights": [0.0]}, "popularity_weights are"),
    ],
)
def test_settings_that_do_not_fit(log, settings, message):
    with pytest.raises(InputError, match=message):
        rb.fuse([], log, **settings)


def test_settings_of_popularity_beside_runs_and_texts_given_twice(log, vectors, towers):
    with pytest.raises(InputError, match="without runs"):
        rb.fuse([towers], log, popularity_weights=[1.0])
    with pytest.raises(InputError, match="give one of them"):
        rb.fuse([towers], log, texts=vectors, text="tfidf")


def test_without_validation_one_setting_of_each_is_taken(towers, vectors):
    log = rb.prepare(topic_log(), items=item_table(), item_features={"text": ["title"]}, split={"validation": False})
    with pytest.raises(InputError, match="settings of text"):
        rb.fuse([], log, text="tfidf", **UNTRAINED)
    one = {**UNTRAINED, "text_weights": [2.0], "text_decays": [0.5]}
    fused = rb.fuse([], log, text="tfidf", **one)
    assert (fused.summary["text_weight"], fused.summary["text_decay"]) == (2.0, 0.5)
    with pytest.raises(InputError, match="popularity_weights"):
        rb.fuse([], log, text="tfidf", **{**one, "popularity_weights": [0.1, 1.0]})


def test_commands_from_words_to_lists(log, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = str(log.folder)
    assert main(["item-vectors", "--data", data, "--dim", "64", "--out", "texts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items_with_vector"] == 23
    grid = ["--text-weights", "1", "--text-lasts", "3", "--text-decays", "0.8", "--popularity-weights", "0.1"]
    fuse = ["fuse", "--data", data, "--smoothings", "0.01", "--recent-weights", *grid]
    assert main([*fuse, "--text", "texts", "--out", "both"]) == 0
    out = capsys.readouterr().out
    assert "text" in out.splitlines()[0]
    assert main(["recommend", "--data", data, "--run", "both", "--users", "1", "--json"]) == 0
    capsys.readouterr()
    assert main(["fuse", "--data", data, "--out", "no", *grid]) == 2
    assert "no effect without text" in capsys.readouterr().err
    recipe = tmp_path / "fuse.toml"
    recipe.write_text(f'data = "{data}"\nout = "third"\ntext = "tfidf"\ntext_weights = [1.0]\nsmoothings = [0.01]\n')
    assert main(["fuse", str(recipe), "--recent-weights"]) == 0


def test_sources_of_text_are_compared(log, towers, tmp_path, capsys):
    """By the command and from Python; a score fusion trains nothing, so it has no epochs and no curve."""
    few = {name: [value] for name, value in FEW.items()}  # one list a setting
    comparison = rb.compare(
        rb.fuse, [towers], log, grid={"text": ["tfidf", "words"], **few}, seeds=1, out=tmp_path / "compared"
    )
    table = comparison.table
    assert [name.split("=")[-1] for name in table["configuration"]] == ["tfidf", "words"]
    assert table["ndcg@10"].is_between(0, 1).all()
    assert (table["seconds"] > 0).all()
    assert comparison.results["monitor"] == "ndcg@10"
    run = rb.Recommender.load(tmp_path / "compared" / "runs" / "text=words" / "seed-0", log)
    assert run.ranker.texts[0].config.by == "words"
    expected = rb.evaluate(run, log, baselines=[]).table["ndcg@10"][0]
    assert table["ndcg@10"][1] == pytest.approx(expected)
    recipe = tmp_path / "fuse.toml"
    lines = [f"{name} = {value}" for name, value in {**FEW, "text_lasts": [3]}.items()]
    recipe.write_text("\n".join([f'data = "{log.folder}"', f'runs = ["{towers.run}"]', 'out = "x"', *lines]))
    flags = ["compare", "fuse", str(recipe), "--seeds", "1", "--out", str(tmp_path / "by-command"), "--grid"]
    assert main([*flags, "text=tfidf,nowhere"]) == 2
    assert "text=nowhere: text is 'nowhere', which is no folder" in capsys.readouterr().err
    assert main([*flags, "text=tfidf,words", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [one["metrics"]["ndcg@10"]["mean"] for one in results["configurations"]] == table["ndcg@10"].to_list()


def test_a_comparison_evaluates_the_fusion_and_not_the_ranker_inside(log, vectors):
    popularity = PopularityRanker(log, 0.1)
    fused = ScoreFusion(popularity, None, texts=(vectors, TextGains(last=5, decay=0.8, weight=4.0)))
    models = (fused, rb.Recommender(fused, log), popularity)
    ndcg = [np.nanmean(ranking_metrics(model, log).examples["ndcg@10"]) for model in models]
    assert ndcg[0] == ndcg[1] > ndcg[2]


def test_an_evaluation_evaluates_the_fusion_and_not_the_ranker_inside(log, vectors):
    popularity = PopularityRanker(log, 0.1)
    fused = ScoreFusion(popularity, None, texts=(vectors, TextGains(last=5, decay=0.8, weight=4.0)))
    models = {"bare": fused, "held": rb.Recommender(fused, log), "inside": popularity}
    ndcg = rb.evaluate(models, log, baselines=[], indexes=[], samples=0).table["ndcg@10"].to_list()
    assert ndcg[0] == ndcg[1] > ndcg[2]
