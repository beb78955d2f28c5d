"""Items without clicks: their vectors by text against plain loops, and their life in every kind of model."""

import dataclasses

import numpy as np
import polars as pl
import pytest

import recsys_bert as rb
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.cold_config import ColdItemsConfig
from recsys_bert.retrieval.cold_items import text_neighbours
from recsys_bert.retrieval.index import ItemIndex
from recsys_bert.retrieval.live_catalogue import LiveCatalogue
from recsys_bert.retrieval.recommender import Recommender

TOPICS = ["nail polish glitter", "wool scarf winter", "garden hose green", "travel mug steel", "dog leash leather"]
TINY = {"encoder": {"dim": 8, "n_layers": 1, "n_heads": 1, "max_len": 8}, "train": {"epochs": 2}}
NEW = pl.DataFrame(
    {
        "item_id": ["new-0", "new-1", "i3", "new-2", "new-3", "new-0"],
        "title": ["red nail polish", "green garden hose", "anything", "", "zzyzx", "twice"],
    }
)


@pytest.fixture(scope="module")
def log():
    """90 users who like one of 5 topics each; 60 items with words of their topic, a tenth of them held out."""
    random = np.random.default_rng(0)
    titles = [f"{TOPICS[item % 5]} {random.choice(['red', 'blue', 'black'])} {item % 7}" for item in range(60)]
    titles[11] = ""  # without text
    items = pl.DataFrame({"item_id": [f"i{item}" for item in range(60)], "title": titles})
    rows = [
        (user, f"i{random.integers(0, 12) * 5 + (user % 5 if random.random() < 0.9 else random.integers(0, 5))}", time)
        for user in range(90)
        for time in range(random.integers(4, 12))
    ]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return rb.prepare(events, items=items, item_features={"text": ["title"]}, split={"hold_out_items": 0.1})


@pytest.fixture(scope="module")
def texts(log):
    return rb.item_vectors(log, dim=64)


@pytest.fixture(scope="module")
def runs(log, texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    towers = rb.train_retrieval(log, out=folder / "towers", **TINY)
    encoder = rb.pretrain(log, out=folder / "encoder", **TINY)
    other = rb.train_retrieval(log, out=folder / "other", **{**TINY, "train": {"epochs": 1, "seed": 1}})
    rb.fuse([towers, other], log, out=folder / "ensemble", weights=[], recent_weights=[])
    rb.fuse([towers], log, out=folder / "fusion", weights=[1.0], smoothings=[0.01], recent_weights=[])
    rb.fuse([towers], log, texts=texts, out=folder / "text", weights=[1.0], smoothings=[0.01], recent_weights=[])
    assert encoder.run == folder / "encoder"
    return folder


KINDS = ["towers", "encoder", "ensemble", "fusion", "text"]


def by_hand(learned, warm, catalogue, text, n=10):
    """Mean of the learned vectors of the nearest warm items, weighed by their cosine, at the usual length."""
    near = sorted(np.flatnonzero(warm), key=lambda row: -float(catalogue[row] @ text))[:n]
    near = [row for row in near if catalogue[row] @ text > 1e-6]
    mean = np.average([learned[row] for row in near], axis=0, weights=[catalogue[row] @ text for row in near])
    return mean / np.linalg.norm(mean) * np.median([np.linalg.norm(learned[row]) for row in np.flatnonzero(warm)])


def warm_of(log, n_rows):
    warm = np.zeros(n_rows, bool)
    warm[log.vocabulary.first_item : log.vocabulary.size] = True
    return warm


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_item_stands_where_its_neighbours_by_text_were_learned_to_be(runs, log, texts, kind):
    model = Recommender.load(runs / kind, log, item_vectors=texts)
    before = model.ranker.item_vectors()
    rows, counts = model.put_items(NEW)
    assert counts == {
        "put in": 2,
        "removed before and back": 0,
        "trained on already": 1,
        "without text": 1,
        "without a word that trained items have": 1,
        "rows of too few or too many cells": 0,
        "rows without a usable id": 0,
        "rows whose id came before": 1,
    }
    assert rows.tolist() == [log.n_rows, log.n_rows + 1]
    assert model.dataset.ids(rows).to_list() == ["new-0", "new-1"]
    after = model.ranker.item_vectors()
    np.testing.assert_array_equal(after[: len(before)], before)
    if kind == "text":
        np.testing.assert_array_equal(after[rows, 8:], texts.encode(["red nail polish", "green garden hose"]))
    widths = [8, 8] if kind == "ensemble" else [8]
    for row, title in zip(rows, ["red nail polish", "green garden hose"], strict=True):
        text, start = texts.encode([title])[0], 0
        for width in widths:
            learned = before[:, start : start + width]
            expected = by_hand(learned, warm_of(log, len(before)), texts.rows, text)
            np.testing.assert_allclose(after[row, start : start + width], expected, rtol=1e-4, atol=1e-5)
            start += width


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factory", [None, "HNSW16", "SQ8"])
def test_the_life_of_an_item(runs, log, texts, kind, factory, tmp_path):
    """Put in: recommended. Found by words. Removed: never again, also after saving. Put in again: back."""
    if factory and kind in ("fusion", "text"):
        pytest.skip("counts are added to the lists of any index alike")
    model = Recommender.load(runs / kind, log, item_vectors=texts)
    if factory is not None:
        vectors, first = model.ranker.item_vectors(), model.ranker.first_item
        model.index = ItemIndex.build(vectors[first:], np.arange(first, len(vectors)), factory)
    model.put_items(NEW)
    users = log.user_ids.to_list()
    lists = model.recommend(users, k=30)
    assert {"new-0", "new-1"} <= set(lists["item_id"])
    ranker, row = model.ranker, int(model.dataset.rows(["new-0"])[0])
    scores = lists.filter(item_id="new-0").sort("user_id")
    assert scores["score"].is_finite().all()
    if kind not in ("fusion", "text"):
        users_of = model.user_vectors(scores["user_id"])["vector"].to_numpy()
        np.testing.assert_allclose(scores["score"], users_of @ ranker.item_vectors()[row], rtol=2e-2, atol=2e-2)
    assert model.similar(text="red nail polish", k=1)["item_id"].to_list() == ["new-0"]
    near = model.similar(["new-0"], k=5)["item_id"].to_list()
    assert sum(int(item.removeprefix("i")) % 5 == 0 for item in near if item != "new-1") >= 3  # polish, too

    assert model.remove_items(["new-0", "i1"]) == 2
    for one in (model, _saved_again(model, log, texts, tmp_path, factory)):
        left = one.recommend(users, k=30, exclude_seen=False)
        assert not {"new-0", "i1"} & set(left["item_id"])
        assert "new-1" in set(left["item_id"])
        assert "new-0" not in one.similar(text="red nail polish", k=20)["item_id"]
        assert "new-0" not in one.recommend(users, k=30, query="red nail polish")["item_id"]
        assert "i1" not in one.similar(["i6"], k=30)["item_id"]
        rows, counts = one.put_items(pl.DataFrame({"item_id": ["new-0", "i1"], "title": ["red nail polish", "-"]}))
        assert (counts["put in"], counts["removed before and back"]) == (1, 1)
        assert rows.tolist() == [row, log.rows(["i1"])[0]]
        assert {"new-0", "i1"} <= set(one.recommend(users, k=50, exclude_seen=False)["item_id"])


def _saved_again(model, log, texts, tmp_path, factory):
    if factory is None:
        model.save(tmp_path / "copy")
        return Recommender.load(tmp_path / "copy", log, item_vectors=texts)
    model.save_index(tmp_path / "index")
    return Recommender.load(model.run, log, tmp_path / "index", item_vectors=texts)


def test_a_worn_index_is_built_again_where_its_type_can_be(runs, log, texts, monkeypatch, capsys):
    monkeypatch.setattr("recsys_bert.retrieval.index._MANY_CHANGES", 3)
    for factory, n_lists, message in (("IVF4,Flat", 4, "was built again"), ("IVF52,Flat", 52, "stays as it is: index")):
        model = Recommender.load(runs / "towers", log, item_vectors=texts)
        vectors, first = model.ranker.item_vectors(), model.ranker.first_item
        model.index = ItemIndex.build(vectors[first:], np.arange(first, len(vectors)), factory, nprobe=n_lists)
        model.remove_items([f"i{n}" for n in range(22, 36)] if n_lists == 52 else ["i0", "i1"])
        model.put_items(NEW)
        model.remove_items(["i20", "i21"])
        assert message in capsys.readouterr().err
        exact = Recommender.load(runs / "towers", log, item_vectors=texts)
        exact.put_items(NEW)
        exact.remove_items(
            sorted(set(log.items["item_id"]) - set(log.ids(model.index.rows[model.index.rows < log.n_rows])))
        )
        users = log.user_ids[:5].to_list()
        assert model.recommend(users, k=8)["item_id"].to_list() == exact.recommend(users, k=8)["item_id"].to_list()


def test_a_fusion_with_text_brings_its_own_vectors(runs, log, texts):
    model = Recommender.load(runs / "text", log)
    assert model.put_items(NEW)[1]["put in"] == 2
    assert model.recommend(query="blue dog leash", k=1).height == 1
    row = log.n_rows
    users = log.user_ids[:4].to_list()
    scores = model.recommend(users, k=50).filter(item_id="new-0").sort("user_id")
    vectors = model.user_vectors(scores["user_id"])["vector"].to_numpy()
    np.testing.assert_allclose(scores["score"], vectors @ model.ranker.item_vectors()[row], rtol=2e-2, atol=2e-2)
    with pytest.raises(InputError, match="a fusion with text vectors of its own"):
        model.with_item_vectors(rb.item_vectors(log, dim=64, seed=1))
    cold = rb.evaluate(runs / "text", log, cold_items="nearest-text", baselines=[], indexes=(), samples=0)
    assert cold.by_training_events.filter(group="0")["recall@10"][0] > 0


def test_a_second_text_moves_an_item(runs, log, texts):
    model = Recommender.load(runs / "towers", log, item_vectors=texts)
    for title in ("red nail polish", "steel travel mug"):
        rows, counts = model.put_items(pl.DataFrame({"item_id": ["new"], "title": [title]}))
        assert (rows.tolist(), counts["put in"]) == ([log.n_rows], 1)
        learned = model.ranker.item_vectors()
        expected = by_hand(learned, warm_of(log, len(learned)), texts.rows, texts.encode([title])[0])
        np.testing.assert_allclose(learned[log.n_rows], expected, rtol=1e-4, atol=1e-5)
        assert model.similar(text=title, k=1)["item_id"].to_list() == ["new"]


def test_neighbours_weights_and_least_events_against_loops(log, texts):
    random = np.random.default_rng(1)
    learned = random.normal(size=(log.vocabulary.size, 4)).astype(np.float32)
    warm = np.zeros(log.vocabulary.size, bool)
    warm[log.vocabulary.first_item :] = log.vocabulary.counts[log.vocabulary.first_item :] >= 9
    assert 10 < warm.sum() < log.vocabulary.n_items
    queries = texts.encode(["blue wool scarf", "zzyzx"])
    for weighting in ("equal", "similarity"):
        config = ColdItemsConfig(neighbours=4, weighting=weighting, length=0.5, least_events=9)
        neighbours = text_neighbours(queries, texts.rows[: len(warm)], warm, config)
        similarity = texts.rows[: len(warm)] @ queries[0]
        near = sorted(np.flatnonzero(warm), key=lambda row: -similarity[row])[:4]
        weights = similarity[near] if weighting == "similarity" else np.ones(4)
        mean = np.average(learned[near], axis=0, weights=weights)
        length = 0.5 * np.median(np.linalg.norm(learned[warm], axis=1))
        vectors = neighbours.vectors(learned, warm)
        np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean) * length, rtol=1e-4)
        np.testing.assert_allclose(vectors[1], learned[warm].mean(axis=0), rtol=1e-4)
        assert neighbours.has.tolist() == [True, False]


def test_cold_items_of_the_log_are_ranked_by_their_text(runs, log, texts):
    for kind in KINDS:
        model = Recommender.load(runs / kind, log, item_vectors=texts)
        assert model.ranker.shape[0] == log.vocabulary.size
        n = model.put_cold_items(neighbours=3)
        assert n == log.n_rows - log.vocabulary.size
        vectors = model.ranker.item_vectors()
        learned = vectors[: log.vocabulary.size, :8]
        for row in range(log.vocabulary.size, log.n_rows):
            if texts.rows[row].any():
                expected = by_hand(learned, warm_of(log, len(learned)), texts.rows, texts.rows[row], 3)
                np.testing.assert_allclose(vectors[row, :8], expected, rtol=1e-4, atol=1e-5)


def test_only_items_that_the_model_was_not_trained_on_are_encoded(runs, log, texts, monkeypatch):
    encoded, encode = [], type(texts).encode
    monkeypatch.setattr(type(texts), "encode", lambda self, some: encoded.extend(some) or encode(self, some))
    table = pl.concat([log.items.select("item_id", "title"), pl.DataFrame({"item_id": ["new"], "title": ["a mug"]})])
    _, counts = Recommender.load(runs / "towers", log, item_vectors=texts).put_items(table)
    cold = log.ids(np.arange(log.vocabulary.size, log.n_rows)).to_list()
    assert counts["trained on already"] == table.height - len(cold) - 1
    assert encoded == table.filter(pl.col("item_id").is_in([*cold, "new"]))["title"].to_list()


@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
def test_removed_items_stay_away_when_cold_items_get_vectors(runs, log, texts, tmp_path, shrinkage):
    cold = log.ids(np.array([log.vocabulary.size])).to_list()
    model = Recommender.load(runs / "towers", log, item_vectors=texts)
    vectors, first = model.ranker.item_vectors(), model.ranker.first_item
    model.index = ItemIndex.build(vectors[first:], np.arange(first, len(vectors)))
    model.remove_items([*cold, "i1"])
    one = _saved_again(model, log, texts, tmp_path, "Flat")
    assert one.put_cold_items(shrinkage=shrinkage)
    assert not {*cold, "i1"} & set(one.recommend(k=50, exclude_seen=False)["item_id"])
    removed = log.rows([*cold, "i1"])
    assert not np.isin(removed, one.index.rows).any()
    one.put_items(log.items.select("item_id", "title").filter(pl.col("item_id").is_in([*cold, "i1"])))
    assert {*cold, "i1"} <= set(one.recommend(k=60, exclude_seen=False)["item_id"])


def test_evaluate_ranks_cold_items_and_reports_them_apart(runs, log, texts):
    quick = {"baselines": [], "indexes": ("SQ8",), "samples": 10}
    groups = {}
    for cold in ("none", "nearest-text"):
        vectors = None if cold == "none" else texts
        one = rb.evaluate([runs / "towers", runs / "fusion"], log, item_vectors=vectors, cold_items=cold, **quick)
        groups[cold] = one.by_training_events.filter(group="0", model="towers").row(0, named=True)
    assert groups["none"]["n_targets"] == groups["nearest-text"]["n_targets"] > 5
    assert groups["none"]["recall@10"] == 0 < groups["nearest-text"]["recall@10"]
    catalogue = LiveCatalogue(Recommender.load(runs / "towers", log).ranker, log, None).with_texts(texts)
    catalogue.put_cold(ColdItemsConfig())
    queries = Queries.of(log, "test")
    ranked, (query, row) = catalogue.ranker.rank(queries, 10), queries.targets()
    cold = row >= log.vocabulary.size
    assert groups["nearest-text"]["recall@10"] == pytest.approx(
        np.mean([r in ranked[q] for q, r in zip(query[cold], row[cold], strict=True)])
    )
    assert any("items have vectors by 10 neighbours by text" in note for note in one.results["notes"])


def test_items_that_are_not_the_logs_take_no_part_in_an_evaluation(runs, log, texts):
    model = Recommender.load(runs / "towers", log, item_vectors=texts)
    quick = {"baselines": [], "indexes": (), "samples": 0}
    before = rb.evaluate(model, log, **quick).table["ndcg@10"][0]
    model.put_items(NEW)
    assert rb.evaluate(model, log, **quick).table["ndcg@10"][0] == before
    model.put_cold_items()
    assert rb.evaluate(model, log, **quick).table["ndcg@10"][0] != before


@pytest.mark.parametrize("kind", ["towers", "ensemble", "fusion", "text"])
def test_words_of_a_query_are_mixed_with_the_user_by_the_documented_weight(runs, log, texts, kind):
    model = Recommender.load(runs / kind, log, item_vectors=texts)
    model.put_items(NEW)
    user, first = log.user_ids[3], log.vocabulary.first_item
    every = model.dataset.n_rows - first
    plain = model.recommend([user], k=every, exclude_seen=False)
    items = plain["item_id"].to_list()
    product = (model.user_vectors([user])["vector"].to_numpy()[0] @ model.ranker.item_vectors().T)[first:]
    every_text = np.concatenate([texts.rows[first:], texts.encode(["red nail polish", "green garden hose"])])
    every_id = model.dataset.ids(np.arange(first, model.dataset.n_rows)).to_list()
    cosines = dict(zip(every_id, every_text @ texts.encode(["blue dog leash"])[0], strict=True))
    spread = np.std(list(cosines.values()))
    for weight in (0.2, 0.5, 0.9):
        mixed = model.recommend([user], k=every, exclude_seen=False, query="blue dog leash", query_weight=weight)
        scores = dict(zip(items, plain["score"], strict=True))
        by_weight = {
            item: (1 - weight) * scores[item] / product.std() + weight * cosines[item] / spread for item in items
        }
        order = [by_weight[item] for item in mixed["item_id"]]
        assert np.diff(order).max() <= 0.02  # products of bf16 machines included
        top = mixed["item_id"][0]
    assert cosines[top] == pytest.approx(max(cosines.values()))  # at .9 the words decide


def test_words_alone_and_users_without_events(runs, log, texts):
    model = Recommender.load(runs / "towers", log, item_vectors=texts)
    alone = model.recommend(query="blue dog leash", k=5)
    similarity = texts.rows @ texts.encode(["blue dog leash"])[0]
    expected = log.ids(np.argsort(-similarity, kind="stable")[:5]).to_list()
    assert alone.columns[:4] == ["query", "rank", "item_id", "score"]
    assert alone["item_id"].to_list() == expected == model.similar(text="blue dog leash", k=5)["item_id"].to_list()
    mixed = model.recommend([log.user_ids[0], 99999], k=5, query="blue dog leash")
    assert mixed["source"].unique(maintain_order=True).to_list() == ["history", "query"]
    assert mixed.filter(user_id=99999)["item_id"].to_list() == expected
    only = model.recommend(query="blue dog leash", k=5, only=["i4", "i9"])
    assert set(only["item_id"]) == {"i4", "i9"}


def test_rows_without_a_vector_are_neither_scored_nor_exported(runs, log, texts):
    model = Recommender.load(runs / "towers", log, item_vectors=texts)
    cold = log.ids([log.vocabulary.size])[0]
    pairs = {"user_id": [log.user_ids[0]] * 3, "item_id": ["new-0", cold, "i1"]}
    assert model.score(pairs)["source"].to_list() == ["unknown item", "no vector", "history"]
    model.put_items(NEW)
    model.remove_items(["i1"])
    scores = model.score(pairs)
    assert scores["source"].to_list() == ["history", "no vector", "history"]
    vectors = model.item_vectors()
    assert "new-0" in vectors["item_id"]
    assert not {cold, "i1"} & set(vectors["item_id"])
    user = model.user_vectors([log.user_ids[0]])["vector"].to_numpy()[0]
    own = vectors.filter(item_id="new-0")["vector"].to_numpy()[0]
    assert scores["score"][0] == pytest.approx(float(user @ own), abs=2e-2)
    with pytest.raises(InputError, match="have no vector in towers"):
        model.similar([cold])
    model.put_cold_items()
    assert model.similar([cold], k=2).height == 2
    assert cold in model.item_vectors()["item_id"]


@pytest.mark.parametrize("kind", ["towers", "encoder", "ensemble"])
def test_vectors_of_few_events_move_towards_their_neighbours(runs, log, texts, kind):
    model = Recommender.load(runs / kind, log, item_vectors=texts)
    learned, first, size = model.ranker.item_vectors()[:, :8], log.vocabulary.first_item, log.vocabulary.size
    assert model.put_cold_items(neighbours=3, shrinkage=4.0) == log.n_rows - first
    moved = model.ranker.item_vectors()[:, :8]
    for row in range(first, size):
        if not texts.rows[row].any():
            np.testing.assert_array_equal(moved[row], learned[row])
            continue
        others = warm_of(log, size)
        length = np.median(np.linalg.norm(learned[others], axis=1))  # with itself, as for all items
        others[row] = False
        near = by_hand(learned, others, texts.rows, texts.rows[row], 3)
        near *= length / np.linalg.norm(near)
        n = log.vocabulary.counts[row]
        expected = n / (n + 4) * learned[row] + 4 / (n + 4) * near
        expected *= np.linalg.norm(learned[row]) / np.linalg.norm(expected)
        np.testing.assert_allclose(moved[row], expected, rtol=1e-3, atol=1e-5)


def test_every_setting_of_cold_items_changes_their_recall(runs, log, texts):
    settings = (
        {},
        {"neighbours": 1},
        {"weighting": "equal"},
        {"length": 0.8},
        {"least_events": 9},
        {"shrinkage": 3.0},
    )
    ranks = []
    for cold in settings:
        model = Recommender.load(runs / "towers", log, item_vectors=texts)
        model.put_cold_items(**cold)
        ranks.append(model.ranker.item_vectors()[log.vocabulary.size - 20 :].tobytes())
    assert len(set(ranks)) == len(settings)


def test_histories_with_new_items_are_read(runs, log, texts):
    for kind in ("towers", "encoder"):
        model = Recommender.load(runs / kind, log, item_vectors=texts)
        model.put_items(NEW)
        listed = model.recommend(histories=[["i5", "new-0"]], k=60)
        assert "new-0" not in listed["item_id"]  # seen
        assert "new-1" in listed["item_id"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m: m.put_items(NEW.rename({"title": "name"})),
            "new items has no text column: .* 'title', and it has 'name'",
        ),
        (lambda m: m.put_items(NEW.select("item_id")), "ids alone"),
        (lambda m: m.recommend(query="  "), "the query is empty"),
        (lambda m: m.recommend(query="zzyzx"), "no word of 'zzyzx' is in the texts of the items"),
        (lambda m: m.recommend([3], query="polish", query_weight=1.0), r"it must lie in \(0, 1\)"),
        (lambda m: m.recommend(query="polish", diversity=0.3), "have no effect on lists by words alone"),
        (lambda m: m.recommend(query="polish", query_weight=0.9), "have no effect on lists by words alone"),
        (lambda m: m.recommend([3], query_weight=0.9), "query_weight is 0.9, but there is no query"),
        (lambda m: m.similar(text="polish", similarity="ip"), "texts are compared by their cosine"),
        (lambda m: m.similar(text=[]), "no text is given"),
        (lambda m: m.remove_items("i1"), "item ids are 'i1', which is no list"),
        (lambda m: m.recommend("3"), "user ids are '3', which is no list"),
        (lambda m: m.similar(), "give either items or text"),
        (lambda m: m.remove_items(["i1", "nobody"]), "1 of 2 items to remove are not in the catalogue: 'nobody'"),
        (lambda m: m.put_items(NEW, neighbours=0), "both are at least 1"),
        (lambda m: m.put_cold_items(shrinkage=-1.0), "it is a number of events, 0 at least"),
        (lambda m: m.put_items(NEW, length=0.0), "length is 0.0; it must be above 0"),
        (lambda m: m.put_items(NEW, weighting="best"), "known are equal and similarity|weighting"),
        (lambda m: m.save_index("there"), "was opened without an index"),
    ],
)
def test_bad_input_is_refused(runs, log, texts, call, message):
    model = Recommender.load(runs / "towers", log, item_vectors=texts)
    with pytest.raises(InputError, match=message):
        call(model)


def test_without_text_vectors_the_command_that_makes_them_is_named(runs, log):
    model = Recommender.load(runs / "towers", log)
    for call in (lambda: model.put_items(NEW), lambda: model.recommend(query="polish"), lambda: model.put_cold_items()):
        with pytest.raises(InputError, match=f"`recsys-bert item-vectors --data {log.folder} --out vectors`"):
            call()
    assert model.remove_items(["i1"]) == 1  # needs none
    assert "i1" not in model.recommend(k=40, exclude_seen=False)["item_id"]
    with pytest.raises(InputError, match="was opened without text vectors"):
        rb.evaluate(runs / "towers", log, cold_items="nearest-text")


def test_text_vectors_of_another_log_or_kind_are_refused(runs, log, texts):
    model = Recommender.load(runs / "towers", log, item_vectors=texts)
    model.put_items(NEW)
    with pytest.raises(InputError, match="have 32 numbers, and those of the items that were put in 64"):
        model.with_item_vectors(rb.item_vectors(log, dim=32))
    with pytest.raises(InputError, match="of another catalogue than that of"):
        model.with_item_vectors(dataclasses.replace(texts, data="other"))
    assert Recommender.load(runs / "towers", log).with_item_vectors(texts).put_items(NEW)[1]["put in"] == 2


def test_vectors_of_new_texts_that_are_not_finite_are_refused(runs, log, texts, monkeypatch):
    model = Recommender.load(runs / "towers", log, item_vectors=texts)
    monkeypatch.setattr(type(texts), "encode", lambda self, new: np.full((len(new), self.dim), np.nan, np.float32))
    with pytest.raises(InputError, match="hold NaN or infinite numbers"):
        model.put_items(NEW)


def test_saved_items_of_another_log_or_damaged_are_refused(runs, log, texts, tmp_path):
    model = Recommender.load(runs / "towers", log, item_vectors=texts)
    model.put_items(NEW)
    model.save(tmp_path / "copy")
    live = tmp_path / "copy" / "live_items"
    vectors = np.load(live / "vectors-0.npy")
    for change, message in (
        (lambda: np.save(live / "vectors-0.npy", vectors[:, 1:]), "are not those of"),
        (lambda: np.save(live / "vectors-0.npy", np.full_like(vectors, np.nan)), "not finite"),
        (lambda: (live / "texts.npy").write_bytes(b"\x93NUMPY"), "is damaged"),
        (
            lambda: (live / "live.json").write_text('{"version": 1, "prepared": "x", "log_rows": 1}'),
            "another state of the log",
        ),
        (lambda: (live / "live.json").write_text('{"version": 9}'), "not of version 1"),
    ):
        change()
        with pytest.raises(InputError, match=message):
            Recommender.load(tmp_path / "copy", log)
