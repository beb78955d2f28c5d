"""Counting baselines against plain loops, on a log small enough to read."""

import itertools
from collections import Counter

import numpy as np
import polars as pl
import pytest

from pipelines.prepare import Config, run
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.prepare.config import LogConfig, SplitConfig
from recsys_bert.clicks.prepare.features_config import ItemFeaturesConfig
from recsys_bert.clicks.queries import Queries
from recsys_bert.encoder.parts import find
from recsys_bert.errors import InputError
from recsys_bert.evaluation.ranking import per_user
from recsys_bert.retrieval.baselines import BASELINES, counts
from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
from recsys_bert.retrieval.baselines.co_occurrence_decayed import CoOccurrenceDecayed
from recsys_bert.retrieval.baselines.glove import Glove
from recsys_bert.retrieval.baselines.item2vec import Item2Vec, Item2VecCBOW
from recsys_bert.retrieval.baselines.item_knn import ItemKNN
from recsys_bert.retrieval.baselines.markov import Markov
from recsys_bert.retrieval.baselines.popular import Popular, PopularRecent
from recsys_bert.retrieval.baselines.popular_decayed import PopularDecayed
from recsys_bert.static_embeddings.config import GloveConfig, Word2VecConfig

DAY = 86_400
MONDAY = 19_723 * DAY  # 2024-01-01


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """60 users of 6 to 40 events over 25 items, some of them repeated; leave-one-out."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("baselines")
    weights = 1 / np.arange(1, 26)
    users = [
        (user, int(item), MONDAY + DAY * position)
        for user in range(60)
        for position, item in enumerate(rng.choice(25, rng.integers(6, 40), p=weights / weights.sum()))
    ]
    pl.DataFrame(users, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(folder / "log.parquet")
    titles = [f"kind{item % 5} size{item % 3} colour{item % 7}" for item in range(24)] + [""]
    pl.DataFrame({"item_id": range(25), "title": titles}).write_parquet(folder / "items.parquet")
    words = ItemFeaturesConfig(text=("title",))
    events, items = str(folder / "log.parquet"), folder / "items.parquet"
    run(Config(events=events, items=items, item_features=words, out=folder / "out"))
    return open_dataset(folder / "out")


@pytest.fixture(scope="module")
def histories(dataset):
    """Training rows of each user, as lists."""
    data = dataset.histories
    ends = zip(data.offsets[:-1], data.train_end, strict=True)
    return [data.items[start:stop].tolist() for start, stop in ends]


@pytest.fixture(scope="module")
def queries(dataset):
    return Queries.of(dataset, "test")


def plain_lists(dataset, queries, k, score):
    """Rank every item by ``score(history) -> {row: score}``, then popularity, then row; by sorting."""
    lists = []
    for start, stop in zip(queries.start, queries.stop, strict=True):
        history = queries.histories.items[start:stop].tolist()
        scores = score(history)
        rows = [row for row in range(dataset.vocabulary.first_item, dataset.vocabulary.size) if row not in history]
        rows.sort(key=lambda row: (-round(scores.get(row, 0), 9), -dataset.vocabulary.counts[row], row))
        lists.append([*rows[:k], *[-1] * (k - len(rows))])
    return np.array(lists)


@pytest.mark.parametrize("name", list(BASELINES))
def test_lists_hold_k_distinct_unseen_items(dataset, queries, name):
    lists = find("baseline", name, BASELINES)().fit(dataset).rank(queries, 12)
    assert lists.shape == (len(queries), 12)
    assert lists.dtype == np.int32
    unseen = 25 - np.bincount(queries.seen()[0])
    assert (unseen < 12).any()  # else the next line checks half of what it says
    np.testing.assert_array_equal((lists >= 0).sum(1), np.minimum(12, unseen))
    query, row = queries.seen()
    for number, ranked in enumerate(lists):
        mask = ranked[ranked >= 0]
        assert len(set(mask)) == len(mask)
        assert mask.min() >= dataset.vocabulary.first_item
        assert not set(mask) & set(row[query == number])


@pytest.mark.parametrize("name", list(BASELINES))
def test_seen_items_come_when_allowed(dataset, queries, name):
    lists = find("baseline", name, BASELINES)().fit(dataset).rank(queries, 25, exclude_seen=False)
    everything = np.arange(dataset.vocabulary.first_item, dataset.vocabulary.size)
    np.testing.assert_array_equal(np.sort(lists, axis=1), np.tile(everything, (len(queries), 1)))


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_list_longer_than_the_catalogue_is_refused(dataset, queries, name):
    with pytest.raises(InputError, match="k is 26; the catalogue has 25 items"):
        find("baseline", name, BASELINES)().fit(dataset).rank(queries, 26)


@pytest.mark.parametrize("name", list(BASELINES))
def test_histories_given_on_the_fly(dataset, name):
    """Unknown and cold rows are no reason to fail; nobody at all is asked for nothing."""
    first, size = dataset.vocabulary.first_item, dataset.vocabulary.size
    typed = Queries.from_lists([[first, 2], [2], [size + 5], [first + 1]], times=[MONDAY + 9 * DAY] * 4)
    fitted = find("baseline", name, BASELINES)().fit(dataset)
    lists = fitted.rank(typed, 5)
    assert (lists >= first).all()
    assert first not in lists[0]
    assert fitted.rank(typed[slice(0, 0)], 5).shape == (0, 5)


def test_popular_is_the_vocabulary_in_order(dataset, queries):
    ranked = Popular().fit(dataset).rank(queries, 10)
    np.testing.assert_array_equal(ranked, plain_lists(dataset, queries, 10, lambda history: {}))


@pytest.mark.parametrize("dense", [1, 10**9])  # dense and sparse counts give the same lists
def test_markov_counts_what_followed(dataset, queries, histories, dense, monkeypatch):
    monkeypatch.setattr("recsys_bert.retrieval.baselines.lists._DENSE", dense)
    after = {row: Counter() for row in range(30)}
    for history in histories:
        for before, following in itertools.pairwise(history):
            after[before][following] += 1
    plain = plain_lists(dataset, queries, 10, lambda history: after[history[-1]])
    np.testing.assert_array_equal(Markov().fit(dataset).rank(queries, 10), plain)


def test_markov_ties_by_first_met_follow_a_counter(dataset, queries, histories):
    after = {row: Counter() for row in range(30)}
    for history in histories:
        for before, following in itertools.pairwise(history):
            after[before][following] += 1
    lists = Markov(ties="first_met").fit(dataset).rank(queries, 5)
    differ = 0
    for ranked, stop, start in zip(lists, queries.stop, queries.start, strict=True):
        history = queries.histories.items[start:stop].tolist()
        met = [row for row, _ in after[history[-1]].most_common() if row not in history][:5]
        assert ranked[: len(met)].tolist() == met
        differ += met != sorted(met, key=lambda row: (-after[history[-1]][row], row))
    assert differ  # the two tie rules are not the same here


def test_item_knn_where_some_items_are_like_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys_bert.retrieval.baselines.item_knn._ITEMS", 2)
    events = [(user, user, position) for user in range(6) for position in range(9)]
    events += [(user, item, position) for user in (6, 7) for position, item in enumerate([8, 9])]
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(
        tmp_path / "log.parquet"
    )
    run(Config(events=str(tmp_path / "log.parquet"), out=tmp_path / "out", split=SplitConfig(kind="none")))
    dataset = open_dataset(tmp_path / "out")
    alone, first, second = dataset.rows([3, 8, 9]).tolist()
    ranked = ItemKNN().fit(dataset).rank(Queries.from_lists([[alone], [first]]), 2)
    assert ranked[1, 0] == second
    assert (ranked[0] >= 0).all()  # popular ones instead


@pytest.mark.parametrize("dense", [1, 10**9])
def test_item_knn_adds_up_cosines_of_the_nearest(dataset, queries, histories, dense, monkeypatch):
    monkeypatch.setattr("recsys_bert.retrieval.baselines.lists._DENSE", dense)
    matrix = np.zeros((len(histories), 28))
    for user, history in enumerate(histories):
        np.add.at(matrix[user], history, 1)
    common, norms = matrix.T @ matrix, np.linalg.norm(matrix, axis=0)
    cosine = common / (np.outer(norms, norms) + 3.0)
    np.fill_diagonal(cosine, 0)
    for row in range(28):  # 4 neighbours each
        cosine[row, np.argsort(-cosine[row], kind="stable")[4:]] = 0

    def score(history):
        return dict(enumerate(cosine[sorted(set(history))].sum(0)))

    ranked = ItemKNN(neighbours=4, shrink=3.0).fit(dataset).rank(queries, 10)
    np.testing.assert_array_equal(ranked, plain_lists(dataset, queries, 10, score))


def test_co_occurrence_weighs_gap_and_age(dataset, queries, histories):  # in halves, whose sums are exact
    after = np.zeros((28, 28))
    for history in histories:
        for at, before in enumerate(history):
            for gap, following in enumerate(history[at + 1 : at + 3], start=1):
                after[before, following] += 1 / gap

    def score(history):
        last_items = history[::-1][:2]
        return dict(enumerate(sum(0.5**age * after[row] for age, row in enumerate(last_items))))

    ranked = CoOccurrence(last=2, window=2, decay=0.5).fit(dataset).rank(queries, 10)
    np.testing.assert_array_equal(ranked, plain_lists(dataset, queries, 10, score))


@pytest.mark.parametrize("pairs", [1, 50, 10**6])
def test_few_followers_are_the_most_counted_ones(dataset, pairs, monkeypatch):
    monkeypatch.setattr(counts, "_PAIRS", pairs)
    everything = CoOccurrence(window=3).fit(dataset).after.toarray()
    ranked = CoOccurrence(window=3, most=4).fit(dataset).after.toarray()
    position = np.argsort(np.argsort(-everything, axis=1, kind="stable"), axis=1)
    np.testing.assert_array_equal(ranked, np.where(position < 4, everything, 0))
    assert (np.count_nonzero(everything, axis=1) > 4).any()


def test_co_occurrence_of_one_step_is_markov(dataset, queries):
    short = CoOccurrence(last=1, window=1).fit(dataset).rank(queries, 10)
    np.testing.assert_array_equal(short, Markov().fit(dataset).rank(queries, 10))


RINGS = {  # trained well enough on rings of six items
    "item2vec": lambda: Item2Vec(vectors=_on_rings(lr=0.1), last=1),
    "item2vec_cbow": lambda: Item2VecCBOW(vectors=_on_rings(lr=0.5, epochs=20), last=1),
    "glove": lambda: Glove(vectors=GloveConfig(dim=16, window=1, x_max=10, epochs=60, lr=0.1), last=1),
}


def _on_rings(**settings):
    return Word2VecConfig(**{"dim": 16, "window": 1, "sample": 0, "epochs": 5, "batch_size": 64, **settings})


@pytest.mark.parametrize("name", RINGS)
def test_static_embeddings_find_what_stands_beside(tmp_path, name):
    """Everybody goes round one of five rings of six items: the two beside the last item come first."""
    random = np.random.default_rng(0)
    events = [
        (user, 6 * (user % 5) + (start + step) % 6, step)
        for user, start in enumerate(random.integers(6, size=200).tolist())
        for step in range(12)
    ]
    log = tmp_path / "log.parquet"
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(log)
    run(Config(events=str(log), out=tmp_path / "out"))
    dataset = open_dataset(tmp_path / "out")
    fitted = RINGS[name]().fit(dataset)
    items = np.arange(30)
    typed = Queries.from_lists([[row] for row in dataset.rows(items.tolist())])
    ranked = np.array([dataset.ids(rows).to_list() for rows in fitted.rank(typed, 2)])
    beside = items[:, None] // 6 * 6 + (items[:, None] + [1, 5]) % 6
    assert np.mean(np.sort(ranked) == np.sort(beside)) > 0.9
    nobody = Queries.from_lists([[2], []])
    np.testing.assert_array_equal(fitted.rank(nobody, 5), Popular().fit(dataset).rank(nobody, 5))


def test_held_out_events_change_nothing(dataset, queries):
    """Held-out events must not reach the counts."""
    data = dataset.histories
    items = data.items.copy()
    held_out = np.concatenate([np.arange(*ends) for ends in zip(data.train_end, data.offsets[1:], strict=True)])
    items[held_out] = dataset.vocabulary.first_item + 24
    spoiled = type(dataset)(dataset.folder, dataset.manifest, dataset.vocabulary, type(data)(
        items, data.times, data.weights, data.offsets, data.train_end, data.validation_end
    ))  # fmt: skip
    for kind in [find("baseline", name, BASELINES) for name in BASELINES]:
        before, after = (kind().fit(log).rank(queries, 10) for log in (dataset, spoiled))
        np.testing.assert_array_equal(before, after)


@pytest.fixture
def recent(tmp_path):
    """Item 1 was popular in the old days, 2 lately; a time cut on day 20."""
    events = [(user, 1, MONDAY + DAY * user) for user in range(8)]
    events += [(user, 2, MONDAY + DAY * 15 + user) for user in range(3)]
    events += [(7, 3, MONDAY + DAY * 16)]
    events += [(user, 4, MONDAY + DAY * 20 + user) for user in range(8)] + [(5, 5, MONDAY + DAY * 2)]
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row").write_parquet(
        tmp_path / "log.parquet"
    )
    split = SplitConfig(kind="time", validation=False, test_from="2024-01-21")
    run(Config(events=str(tmp_path / "log.parquet"), out=tmp_path / "out", split=split))
    return open_dataset(tmp_path / "out")


def test_popular_recent_looks_at_the_last_days_only(recent):
    def ids(days, day, seen=()):
        typed = Queries.from_lists([list(recent.rows(list(seen)))], times=[MONDAY + DAY * day])
        return recent.ids(PopularRecent(days=days).fit(recent).rank(typed, 3)[0]).to_list()

    assert ids(7, 20) == [2, 3, 1]  # 3 and 1 events in the window; 1 has none and follows by its popularity ever
    assert ids(30, 20) == [1, 2, 3]
    assert ids(7, 20, seen=[2]) == [3, 1, 5]
    assert ids(7, 3.5)[:2] == [1, 5]  # asked on day 3: what came later does not count yet, nor does its own day
    assert ids(1, 15.9)[:2] == [1, 2]  # day 15 itself does not count, so nothing is in the window


def test_popular_decayed_halves_every_half_life(dataset):
    """Against a loop over all events, as of the day of each query."""
    data, size = dataset.histories, dataset.vocabulary.size
    trained = [
        (int(data.items[at]), int(data.times[at]))
        for user in range(data.n_users)
        for at in range(data.offsets[user], data.train_end[user])
    ]
    end = max(time for _, time in trained) + 1
    days = [4.2, 9.9, 15.0, 10_000]
    typed = Queries.from_lists([[2]] * len(days), times=[int(MONDAY + DAY * day) for day in days])
    ranked = PopularDecayed(half_life=3).fit(dataset).rank(typed, 12)
    for day, rows in zip(days, ranked, strict=True):
        at = min(MONDAY + DAY * int(day), end)
        weights = np.zeros(size)
        for item, time in trained:
            if time < at:
                weights[item] += 0.5 ** ((at - time) / DAY / 3)
        expected = np.argsort(-weights[dataset.vocabulary.first_item :], kind="stable") + dataset.vocabulary.first_item
        np.testing.assert_allclose(weights[rows], weights[expected[:12]])


def test_co_occurrence_decayed_weighs_pairs_by_age(dataset, queries, histories):
    data = dataset.histories
    times = [data.times[start:stop] for start, stop in zip(data.offsets[:-1], data.train_end, strict=True)]
    end, after = max(part.max() for part in times), np.zeros((28, 28))
    for history, when in zip(histories, times, strict=True):
        for at, before in enumerate(history):
            for gap, following in enumerate(history[at + 1 : at + 3], start=1):
                after[before, following] += 0.5 ** ((end - when[at + gap]) / DAY / 5) / gap
    fitted = CoOccurrenceDecayed(half_life=5, last=2, window=2, decay=0.5).fit(dataset)
    np.testing.assert_allclose(fitted.counts.after.toarray(), after, atol=1e-12)
    plain = CoOccurrence(last=2, window=2, decay=0.5).fit(dataset)
    assert (fitted.rank(queries, 5) != plain.rank(queries, 5)).any()


def test_popular_recent_needs_times(tmp_path):
    (tmp_path / "log.tsv").write_text("user_id\titem_id\n" + "".join(f"{u}\t{i}\n" for u in range(3) for i in range(4)))
    run(Config(events=str(tmp_path / "log.tsv"), log=LogConfig(time=None), out=tmp_path / "out"))
    with pytest.raises(InputError, match="popular_recent needs times"):
        PopularRecent().fit(open_dataset(tmp_path / "out"))
    with pytest.raises(InputError, match="popular_decayed needs times"):
        PopularDecayed().fit(open_dataset(tmp_path / "out"))
    with pytest.raises(InputError, match="a half-life needs times"):
        CoOccurrenceDecayed().fit(open_dataset(tmp_path / "out"))


def test_event_weights_count(tmp_path):
    events = [(user, item, user * 9 + item, "view") for user in range(5) for item in (1, 2, 3)]
    events += [(user, 9, 1000, "buy") for user in range(2)] + [
        (user, 7, 2000 + i, "view") for user in range(5) for i in range(2)
    ]
    log = tmp_path / "log.parquet"
    pl.DataFrame(events, schema=["user_id", "item_id", "timestamp", "event"], orient="row").write_parquet(log)
    weighted = LogConfig(event="event", events={"view": 1.0, "buy": 10.0})
    run(Config(events=str(log), log=weighted, out=tmp_path / "out"))
    fitted = Popular().fit(open_dataset(tmp_path / "out"))
    best = fitted.rank(Queries.from_lists([[2]]), 1)
    assert open_dataset(tmp_path / "out").ids(best[0]).to_list() == [9]  # 2 events of weight 10 beat 5 of weight 1


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: PopularRecent(days=0), "days is 0"),
        (lambda: ItemKNN(neighbours=0), "neighbours is 0"),
        (lambda: CoOccurrence(decay=0), "decay 0"),
        (lambda: CoOccurrenceDecayed(half_life=0), "half_life is 0"),
        (lambda: PopularDecayed(half_life=0), "half_life is 0"),
        (lambda: CoOccurrence(most=-1), "most -1"),
        (lambda: Markov(ties="row"), "ties is 'row'"),
        (lambda: Item2Vec(decay=2), "decay 2"),
        (lambda: Item2Vec(architecture="bag"), "architecture is 'bag'"),
        (lambda: Glove(last=0), "glove: last is 0"),
    ],
)
def test_bad_options_are_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("baseline", "validation", "recall", "ndcg"),
    [
        (Markov(ties="first_met"), True, 0.0628, 0.0422),  # the reference figures of the data set's README
        (Markov(ties="first_met"), False, 0.0709, 0.0482),
        (Popular(), False, 0.0135, 0.0061),
    ],
)
def test_beauty_gives_the_reference_figures(shared_data, tmp_path, baseline, validation, recall, ndcg):
    events, log = str(shared_data / "amazon-beauty" / "Beauty.txt"), LogConfig(format="lines")
    run(Config(events=events, log=log, out=tmp_path / "out", split=SplitConfig(validation=validation)))
    dataset = open_dataset(tmp_path / "out")
    queries = Queries.of(dataset, "test")
    lists = baseline.fit(dataset).rank(queries, 10)
    values = per_user(lists, queries.targets(), len(queries), (10,), dataset.vocabulary.first_item)
    assert len(queries) == 22_363
    assert np.mean(values["recall@10"]) == pytest.approx(recall, abs=6e-5)
    assert np.mean(values["ndcg@10"]) == pytest.approx(ndcg, abs=6e-5)
