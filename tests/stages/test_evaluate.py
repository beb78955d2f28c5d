"""evaluate from Python: trained runs, models of other origin, what it returns and refuses."""

import numpy as np
import polars as pl
import pytest

import recsys_bert as rb
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.retrieval.baselines.popular import Popular
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.stages.evaluate import evaluate
from recsys_bert.stages.evaluation.config import EvaluateConfig
from recsys_bert.stages.evaluation.external import external_ranker

QUICK = {"ks": (5, 10), "indexes": (), "samples": 50}


@pytest.fixture(scope="module")
def vectors(side_log):
    """User vectors in the order of ``dataset.users``, item vectors in that of ``dataset.items``."""
    random = np.random.default_rng(3)
    return random.normal(size=(len(side_log.user_ids), 8)), random.normal(size=(len(side_log.items), 8))


def lists_by_hand(vectors, dataset, k):
    """Full ranking by plain loops: user id → the best k item ids, seen ones left out."""
    users, items = vectors
    queries, ids = Queries.of(dataset), dataset.items["item_id"].to_list()
    lists = {}
    for query, user in enumerate(queries.users):
        seen = set(queries.histories.items[queries.start[query] : queries.stop[query]])
        order = np.argsort(-(items.astype(np.float32) @ users[user].astype(np.float32)), kind="stable")
        unseen = [ids[at] for at in order if at + dataset.vocabulary.first_item not in seen]
        lists[dataset.user_ids[int(user)]] = unseen[:k]
    return lists


class Own:
    """A model of other origin that gives vectors."""

    name = "own"

    def __init__(self, vectors):
        self.users, self.items = vectors

    def user_vectors(self, queries):
        return self.users[queries.users]

    def item_vectors(self):
        return self.items


def frame_of(lists):
    rows = [(user, item, rank) for user, items in lists.items() for rank, item in enumerate(items, 1)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "rank"], orient="row")


def test_vectors_and_lists_of_one_model_have_the_same_metrics(side_log, vectors):
    frame = frame_of(lists_by_hand(vectors, side_log, 10))
    models = {
        "object": Own(vectors),
        "arrays": vectors,
        "frame": frame.sample(fraction=1.0, shuffle=True, seed=1),
        "pandas": frame.to_pandas(),
        "function": lambda user_ids, k: frame.filter(pl.col("user_id").is_in(user_ids.to_list())).drop("rank"),
    }
    evaluation = evaluate(models, side_log, baselines=(), **QUICK)
    rows = evaluation.table.filter(pl.col("kind") == "run")
    assert rows["model"].to_list() == list(models)
    for name in ("recall@5", "recall@10", "ndcg@10", "mrr@10"):
        assert rows[name].n_unique() == 1
    assert evaluation.comparisons["difference"].abs().max() == 0
    assert evaluation.results["notes"] == []


def test_a_single_model_and_fitted_baselines(side_log, vectors):
    evaluation = evaluate(Own(vectors), side_log, baselines=("popular", "markov", Popular2()), **QUICK)
    assert evaluation.table["model"].to_list() == ["own", "popular", "markov", "popular 2"]
    assert evaluation.table["kind"].to_list() == ["run", *["baseline"] * 3]
    table = evaluation.table
    assert ((table["ndcg@10_low"] <= table["ndcg@10"]) & (table["ndcg@10"] <= table["ndcg@10_high"])).all()
    assert table["ndcg@10"][1] == table["ndcg@10"][3]


class Popular2(Popular):
    name = "popular 2"


def test_significance_stands_in_the_table(side_log):
    queries = Queries.of(side_log)
    query, rows = queries.targets()
    best = {
        side_log.user_ids[int(queries.users[q])]: [side_log.ids([row])[0]] for q, row in zip(query, rows, strict=True)
    }
    evaluation = evaluate({"oracle": frame_of(best)}, side_log, baselines=("popular", "markov"), **QUICK)
    table = {row["model"]: row for row in evaluation.table.iter_rows(named=True)}
    (worse,) = table["oracle"]["better_than"]
    assert table[worse]["worse_than"] == ["oracle"]
    assert "the difference is significant" in str(evaluation)


def test_seen_repeated_and_unknown_items_and_missing_users_are_noted(side_log, vectors):
    lists = lists_by_hand(vectors, side_log, 10)
    queries = Queries.of(side_log)
    first, second, *_ = lists
    seen = side_log.ids([queries.histories.items[queries.start[0]]])[0]
    lists[first] = [seen, lists[first][0], lists[first][0], -77, *lists[first][1:]]
    del lists[second]
    evaluation = evaluate({"frame": frame_of(lists)}, side_log, baselines=(), **QUICK)
    assert evaluation.results["notes"] == [
        "frame: 2 listed items are removed, seen or repeated.",
        f"frame has no list for 1 of {len(queries)} users; all their targets are missed.",
    ]


def test_results_are_saved_and_shown(side_log, vectors, tmp_path):
    evaluation = evaluate([vectors, Own(vectors)], side_log, baselines=("popular",), out=tmp_path / "report", **QUICK)
    assert (tmp_path / "report" / "report.html").stat().st_size > 5_000
    assert evaluation.save(tmp_path / "again") == tmp_path / "again"
    assert (tmp_path / "again" / "report.json").read_bytes() == (tmp_path / "report" / "report.json").read_bytes()
    assert "Accuracy at k = 10" in str(evaluation)
    assert "<table>" in evaluation._repr_html_()
    assert [one["name"] for one in evaluation.results["models"]] == ["model 1", "own", "popular"]


def test_what_a_training_returns_is_evaluated(side_log, vectors):
    ranker = external_ranker("own", Own(vectors), side_log)
    evaluation = evaluate([Recommender(ranker, side_log), Own(vectors)], side_log, baselines=(), **QUICK)
    assert evaluation.table["model"].to_list() == ["own 1", "own 2"]
    assert evaluation.table["ndcg@10"].n_unique() == 1


def test_vectors_are_compared_with_indexes(side_log, vectors):
    evaluation = evaluate(Own(vectors), side_log, baselines=(), ks=(5,), indexes=("Flat",), samples=0)
    exact, flat = evaluation.results["indexes"]
    assert (exact["factory"], flat["factory"]) == ("exact", "Flat")
    assert flat["ann_recall"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (3, "m is a int; a model under test is a run folder"),
        (
            pl.DataFrame({"user": [1], "item_id": [2]}),
            "the lists of m have no column 'user_id'; they have user, item_id",
        ),
        ((np.zeros((3, 2)), np.zeros((34, 2))), "m has 3 user vectors; the log has 40 users"),
        ((np.zeros((40, 2)), np.zeros((3, 2))), r"m gives item vectors of shape \(3, 2\)"),
        ((np.full((40, 2), np.nan), np.zeros((34, 2))), "user vectors of m are NaN or infinite"),
        ("nowhere", "nowhere"),
    ],
)
def test_models_that_cannot_be_evaluated_are_refused(side_log, model, message):
    with pytest.raises(InputError, match=message):
        evaluate({"m": model}, side_log, baselines=(), **QUICK)


def test_settings_come_once_and_something_is_evaluated(side_log):
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate([], side_log, baselines=())
    with pytest.raises(InputError, match="settings came twice"):
        evaluate([], side_log, config=EvaluateConfig(), ks=(5,))
    with pytest.raises(InputError, match="no setting is called 'kk'"):
        evaluate([], side_log, kk=(5,))


def test_values_of_users_and_items_give_the_means(side_log, vectors, tmp_path):
    evaluation = evaluate(Own(vectors), side_log, baselines=("popular",), out=tmp_path, config=None, **QUICK)
    users, items = pl.read_parquet(tmp_path / "users.parquet"), pl.read_parquet(tmp_path / "items.parquet")
    assert users.equals(evaluation.users)
    assert items.equals(evaluation.items)
    queries = Queries.of(side_log)
    for line in evaluation.table.iter_rows(named=True):
        mine = users.filter(model=line["model"])
        assert mine["user_id"].to_list() == side_log.user_ids.gather(queries.users).to_list()
        assert mine["events_before"].to_list() == (queries.stop - queries.start).tolist()
        for metric in ("recall@10", "ndcg@5", "precision@10", "map@10"):
            assert mine[metric].mean() == pytest.approx(line[metric])
        listed = items.filter(model=line["model"])
        assert listed["targets"].sum() == mine["targets"].sum()
        missing = _missing(side_log, queries) if line["model"] == "popular" else 0  # which ranks no cold items
        assert listed["recommended@10"].sum() == 10 * mine.height - missing
        hits = (mine["recall@10"] * mine["targets"]).sum()
        assert listed["hits@10"].sum() == pytest.approx(hits)


def _missing(dataset, queries):
    """Places that stay empty because fewer than ten unseen items are left."""
    left = dataset.vocabulary.n_items - np.bincount(queries.seen()[0], minlength=len(queries))
    return int(np.maximum(10 - left, 0).sum())


def test_training_events_of_targets_stand_in_a_frame(side_log, vectors):
    evaluation = evaluate(Own(vectors), side_log, baselines=["popular"], targets=("all", "next"), **QUICK)
    frame = evaluation.by_training_events
    assert frame.select("targets", "model").unique(maintain_order=True).rows() == [
        (kind, name) for kind in ("all", "next") for name in ("own", "popular")
    ]
    items = evaluation.items.filter(pl.col("model") == "own")  # counted by item, not by target
    for line in frame.filter(targets="all", model="own").iter_rows(named=True):
        low, _, high = line["group"].removesuffix("+").partition("-")
        inside = items.filter(
            pl.col("training_events").is_between(
                int(low), int(high or 10**9) if "+" in line["group"] or high else int(low)
            )
        )
        assert inside["targets"].sum() == line["n_targets"]
        if line["n_targets"]:
            assert inside["hits@10"].sum() / line["n_targets"] == pytest.approx(line["recall@10"])


def test_weights_of_events_grade_ndcg_and_corrections_order_p_values(tmp_path):
    random = np.random.default_rng(0)
    events = pl.DataFrame(
        [(user, int(item), step) for user in range(40) for step, item in enumerate(random.permutation(30)[:25])],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    ).with_columns(rating=pl.Series(random.integers(1, 6, 1000)))
    log = rb.prepare(events, log={"weight": "rating"}, split={"kind": "time"})
    runs = [evaluate((), log, baselines=("popular", "markov"), **QUICK, correction=name) for name in ("holm", "none")]
    assert {"graded_ndcg@10", "map@5"} <= set(runs[0].table.columns)
    assert (runs[0].users["graded_ndcg@10"] != runs[0].users["ndcg@10"]).any()
    models = {"a": [np.ones((40, 2)), np.ones((30, 2))], "b": [np.ones((40, 2)), -np.ones((30, 2))]}
    models = {name: tuple(np.asarray(part, np.float32) for part in pair) for name, pair in models.items()}
    p = {
        name: evaluate(models, log, baselines=("popular",), **QUICK, correction=name).comparisons["p_corrected"]
        for name in ("none", "holm", "bonferroni")
    }
    n = len(p["none"])
    assert p["bonferroni"].to_list() == pytest.approx(np.minimum(p["none"].to_numpy() * n, 1))
    assert (p["none"] <= p["holm"]).all()
    assert (p["holm"] <= p["bonferroni"] + 1e-12).all()
    assert (p["none"] < p["bonferroni"]).any()
