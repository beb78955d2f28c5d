"""Kinds of target under a time cut against plain loops; users without a history; small catalogues; seen targets."""

import numpy as np
import polars as pl
import pytest

from recsys_bert.errors import InputError
from recsys_bert.stages.evaluate import evaluate
from recsys_bert.stages.prepare import prepare
from recsys_bert.stages.train_retrieval import train_retrieval

N_ITEMS, QUICK = 30, {"ks": (3, 10), "indexes": (), "samples": 20}


def log_frame(n_users=40):
    """Users 0 to 29 begin before day 5 and go on after it, users 30 to 39 begin after it."""
    random, rows = np.random.default_rng(0), []
    for user in range(n_users):
        begin, n = (0.0, 14) if user < 30 else (5.5, 4)
        times = np.sort(random.uniform(begin, 8, n)) * 86_400
        rows += [
            (user, int(item), 1_700_000_000 + int(time), random.choice(["view", "purchase"]))
            for item, time in zip(random.permutation(N_ITEMS)[:n], times, strict=True)
        ]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row")


@pytest.fixture(scope="module")
def cut_log():
    ages = pl.DataFrame({"user_id": range(40), "age": ["old", "young"] * 20})
    split = {"kind": "time", "test_from": "2023-11-19T22:13:20", "validation_from": "2023-11-18"}
    return prepare(log_frame(), users=ages, user_features={"categorical": ["age"]}, split=split, log={"event": "event"})


class Fixed:
    """Scores that depend on the number of events of the input, and on nothing else."""

    name = "fixed"

    def user_vectors(self, queries):
        return np.random.default_rng(1).normal(size=(200, 6)).astype(np.float32)[queries.stop - queries.start]

    def item_vectors(self):
        return np.random.default_rng(2).normal(size=(N_ITEMS, 6)).astype(np.float32)


def by_hand(log, kind, types=None, k=3):
    """Recall and NDCG at k of ``Fixed``, user by user: plain loops."""
    items = Fixed().item_vectors()
    table, data, first = np.random.default_rng(1).normal(size=(200, 6)).astype(np.float32), log.histories, 3
    names, results = [None, None, *log.event_types], []
    for user in range(data.n_users):
        begin, cut, end = data.offsets[user], data.validation_end[user], data.offsets[user + 1]
        events = [at for at in range(cut, end) if types is None or names[data.event_types[at]] in types]
        questions = {
            "all": [(cut, events)] if events else [],
            "next": [(at, [at]) for at in events[:1]],
            "last": [(at, [at]) for at in events[-1:]],
            "successive": [(at, [at]) for at in events],
        }[kind]
        values = []
        for stop, targets in questions:
            if stop == begin:
                continue
            seen, rows = set(data.items[begin:stop]), {int(data.items[at]) for at in targets}
            order = np.argsort(-(items @ table[stop - begin]), kind="stable") + first
            ranked = [int(row) for row in order if row not in seen][:k]
            gains = [1 / np.log2(rank + 2) for rank, row in enumerate(ranked) if row in rows]
            ideal = sum(1 / np.log2(rank + 2) for rank in range(min(k, len(rows))))
            values.append((len(gains) / len(rows), sum(gains) / ideal))
        if values:
            results.append(np.mean(values, axis=0))
    return np.mean(results, axis=0), len(results)


@pytest.mark.parametrize("types", [None, ["purchase"]])
def test_each_kind_of_target_is_what_plain_loops_say(cut_log, types):
    kinds = ("all", "next", "last", "successive")
    evaluation = evaluate(Fixed(), cut_log, baselines=[], targets=kinds, target_types=types or [], **QUICK)
    rows = {row["targets"]: row for row in evaluation.by_target.iter_rows(named=True) if row["targets"] in kinds}
    for kind in kinds:
        (recall, ndcg), n_users = by_hand(cut_log, kind, types)
        assert rows[kind]["recall@3"] == pytest.approx(recall), kind
        assert rows[kind]["ndcg@3"] == pytest.approx(ndcg), kind
        assert rows[kind]["users"] == n_users
    assert rows["successive"]["predictions"] > rows["successive"]["users"] == rows["last"]["predictions"]
    assert len({round(rows[kind]["recall@3"], 9) for kind in kinds}) == 4
    printed = str(evaluation)
    assert all(f"Targets: {kind}" in printed for kind in kinds[1:])
    assert evaluation.results["models"][0]["metrics"]["recall@3"]["value"] == rows["all"]["recall@3"]


def test_a_model_is_opened_once_for_all_kinds(cut_log):
    class Counted(Fixed):
        n_opened = 0

        def item_vectors(self):
            self.n_opened += 1
            return super().item_vectors()

    model = Counted()
    evaluate(model, cut_log, baselines=[], targets=("all", "next", "last", "successive"), **QUICK)
    assert model.n_opened == 1


def test_one_kind_alone_is_the_headline(cut_log):
    both = evaluate(Fixed(), cut_log, baselines=["popular"], targets=["all", "successive"], **QUICK)
    alone = evaluate(Fixed(), cut_log, baselines=["popular"], targets=["successive"], **QUICK)
    metrics = alone.results["models"][0]["metrics"]
    assert metrics == both.results["by_target"][1]["models"][0]["metrics"]
    assert metrics["recall@3"]["n"] == alone.results["protocol"]["users"]
    assert alone.results["models"][0]["curve"][2] == pytest.approx(metrics["recall@3"]["value"])
    assert not alone.results["by_target"]
    for targets in ([], ["next", "next"]):
        with pytest.raises(InputError, match="targets"):
            evaluate([], cut_log, targets=targets, **QUICK)


def test_users_whose_first_event_is_in_the_test_are_ranked_and_counted_apart(cut_log, tmp_path):
    train = {"epochs": 1, "device": "cpu", "precision": "fp32"}
    towers = train_retrieval(cut_log, encoder={"dim": 8, "n_layers": 1}, train=train)
    evaluation = evaluate(towers, cut_log, baselines=["popular", "item_knn"], out=tmp_path, **QUICK)
    new = evaluation.results["new_users"]
    assert new["protocol"]["users"] == 10
    assert evaluation.results["skipped"] == {"no event before test": 10}
    assert "two-towers: users without a history are ranked 10 by features." in evaluation.results["notes"]
    rows = evaluation.by_target.filter(targets="new users")
    assert rows["model"].to_list() == ["two-towers", "popular", "item_knn"]
    assert rows["recall@10"].null_count() == 0
    assert "Users without a history" in str(evaluation)
    assert "Users without a history" in (tmp_path / "report.html").read_text()
    data, vocabulary = cut_log.histories, cut_log.vocabulary
    popular = set((np.argsort(-vocabulary.counts[3:], kind="stable") + 3)[:10].tolist())
    recalls = [
        len(popular & set(data.items[data.offsets[user] : data.offsets[user + 1]].tolist()))
        / len(set(data.items[data.offsets[user] : data.offsets[user + 1]].tolist()))
        for user in range(30, 40)
    ]
    assert rows["recall@10"][1] == rows["recall@10"][2] == pytest.approx(np.mean(recalls))


def test_new_users_are_ranked_by_what_was_known_before_the_split(cut_log):
    """Held-out events of others change no list: vectors of like users are of histories before the test."""
    queries = []

    class Watched(Fixed):
        def user_vectors(self, part):
            queries.append(part)
            return super().user_vectors(part)

    from recsys_bert.retrieval.new_users import rank_new_users
    from recsys_bert.stages.evaluation.external import VectorRanker

    ranker = VectorRanker("watched", Watched().user_vectors, Watched().item_vectors, cut_log)
    lists, sources = rank_new_users(ranker, cut_log, np.arange(30, 40), 5, "test")
    assert sources == {"features": 10, "popularity": 0}
    assert (lists >= 3).all()
    (part,) = queries
    assert (part.stop == cut_log.histories.validation_end[part.users]).all()
    assert set(part.users.tolist()) == set(range(30))


@pytest.mark.parametrize("n_items", [4, 12, 49])
def test_a_small_catalogue_is_evaluated_by_default(n_items):
    random = np.random.default_rng(0)
    rows = [
        (user, int(item), 60 * at)
        for user in range(30)
        for at, item in enumerate(random.permutation(n_items)[: random.integers(3, min(n_items, 20) + 1)])
    ]
    log = prepare(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))
    train = {"epochs": 1, "device": "cpu", "precision": "fp32"}
    towers = train_retrieval(log, encoder={"dim": 8, "n_layers": 1}, train=train)
    evaluation = evaluate(towers, log)
    n = log.vocabulary.n_items
    assert evaluation.results["ks"] == sorted({min(k, n) for k in (5, 10, 20, 50)})
    assert any(f"cut to the catalogue's {n} items" in note for note in evaluation.results["notes"])


def test_targets_that_were_all_seen_before_are_told_on_the_terminal(capsys):
    rows = [(user, [0, 1, 2, 3, 0, 1, 2][at], 60 * at) for user in range(20) for at in range(7)]
    log = prepare(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))
    capsys.readouterr()
    assert evaluate([], log, baselines=["popular"]).results["models"][0]["metrics"]["recall@4"]["value"] == 0.0
    assert "warning: all 20 targets are items that the user had before" in capsys.readouterr().err
    assert evaluate([], log, baselines=["popular"], seen=True).results["models"][0]["metrics"]["recall@4"]["value"] == 1
    assert "warning" not in capsys.readouterr().err
    train = {"epochs": 1, "device": "cpu", "precision": "fp32"}
    train_retrieval(log, encoder={"dim": 8, "n_layers": 1}, train=train)
    assert "warning: all 20 validation targets are items that the user had before" in capsys.readouterr().err
