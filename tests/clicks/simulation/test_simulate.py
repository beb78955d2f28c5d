import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy import stats
from sklearn.metrics import roc_auc_score

from pipelines import prepare
from pipelines import simulate as pipeline
from pipelines.cli import main
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.prepare.config import LogConfig, SplitConfig
from recsys_bert.clicks.simulation import process
from recsys_bert.clicks.simulation.impressions import TASKS, step_probabilities
from recsys_bert.clicks.simulation.oracle import next_item_probabilities
from recsys_bert.clicks.simulation.process import SESSION_GAP_S, draw_popular, draw_unseen
from recsys_bert.clicks.simulation.samples import write_samples
from recsys_bert.clicks.simulation.simulate import (
    SimulateConfig,
    best_auc,
    best_recall,
    simulate,
    simulated_vectors,
    write_simulation,
)
from recsys_bert.clicks.simulation.world import make_world
from recsys_bert.errors import InputError

SAMPLES = Path(__file__).parents[3] / "data" / "samples"

SMALL = SimulateConfig(
    users=700, items=60, mean_events=14, max_events=30, categories=3, leaves=2, styles=3, seed=4, impressions=8
)

LONGER = [3, 9, 41, 12, 20, 22, 5, 50]


@pytest.fixture(scope="module")
def log():
    return simulate(SMALL)


def fits(counts, probabilities, p_value=1e-3):
    """Chi-square test, cells with few expected draws put together."""
    expected = probabilities * counts.sum()
    few = expected < 5
    if few.any():
        counts = np.append(counts[~few], counts[few].sum())
        expected = np.append(expected[~few], expected[few].sum())
    keep = expected > 0
    assert counts[~keep].sum() == 0, "something impossible was drawn"
    return stats.chisquare(counts[keep], expected[keep]).pvalue > p_value


# the process against the oracle


@pytest.mark.parametrize(
    ("past", "begins"), [([], True), ([7], True), ([7], False), (LONGER, True), (LONGER, False)]
)  # the first click always begins a session
@pytest.mark.parametrize("leaves", [1, 2])
def test_draws_follow_the_probabilities_that_the_oracle_states(past, begins, leaves):
    world = make_world(dataclasses.replace(SMALL, leaves=leaves))
    n = 100_000
    shape = (1, len(past))
    known = np.array(past, np.int32).reshape(shape)
    rng = np.random.default_rng(1)
    items = draw_unseen(
        world,
        rng,
        np.repeat(known, n, axis=0),
        np.arange(n),
        np.full(n, len(past)),
        np.full(n, 2, np.int32),
        np.full(n, begins),
    )
    stated = next_item_probabilities(world, known, np.array([len(past)]), np.array([2]), np.array([begins]))[0]
    assert fits(np.bincount(items, minlength=60), stated)
    other = next_item_probabilities(world, known, np.array([len(past)]), np.array([3]), np.array([begins]))[0]
    assert begins == (not fits(np.bincount(items, minlength=60), other))  # only a new session asks the age group


def test_padding_does_not_change_probabilities():
    world = make_world(SMALL)
    short, padded = np.array([[4, 8, 1]], np.int32), np.array([[4, 8, 1, -1, -1]], np.int32)
    length, group = np.array([3]), np.array([1])
    np.testing.assert_allclose(
        next_item_probabilities(world, short, length, group), next_item_probabilities(world, padded, length, group)
    )


def test_users_of_different_lengths_are_answered_as_if_alone(log):
    together = log.next_item_probabilities([5, 17, 300])
    alone = np.concatenate([log.next_item_probabilities([user]) for user in (5, 17, 300)])
    np.testing.assert_allclose(together, alone)
    at_once = next_item_probabilities(
        log.world, np.array([[-1, -1], [3, -1]], np.int32), np.array([0, 1]), np.array([0, 0])
    )
    first = next_item_probabilities(log.world, np.empty((1, 0), np.int32), np.array([0]), np.array([0]))
    np.testing.assert_allclose(at_once[0], first[0])


def test_probabilities_sum_to_one_and_leave_out_what_was_clicked(log):
    users = list(range(1, 101))
    probabilities = log.next_item_probabilities(users)
    np.testing.assert_allclose(probabilities.sum(1), 1.0)
    assert (probabilities >= 0).all()
    clicks = log.clicks.sort("user_id", "timestamp")
    for user in users:
        items = clicks.filter(pl.col("user_id") == user)["item_id"].to_numpy() - 1
        assert (probabilities[user - 1, items[:-1]] == 0).all()
        assert probabilities[user - 1, items[-1]] > 0


def test_asking_about_a_stranger_or_too_early_is_refused(log):
    with pytest.raises(InputError, match="the log has 1 to 700"):
        log.next_item_probabilities([701])
    with pytest.raises(InputError, match="fewer than the 31 held out"):
        log.next_item_probabilities([1], held_out=31)


def test_the_whole_logs_last_clicks_are_as_frequent_as_the_oracle_says(log):
    stated = log.next_item_probabilities(list(range(1, 701)))
    target = log.past[np.arange(700), log.lengths - 1]
    # each user's probability of its own target, sorted: is the target's place in the distribution uniform?
    order = np.argsort(stated, axis=1)
    ranked = np.take_along_axis(stated, order, 1).cumsum(1)
    place = (order == target[:, None]).argmax(1)
    rng = np.random.default_rng(0)
    below = ranked[np.arange(700), place] - rng.random(700) * stated[np.arange(700), target]
    assert stats.kstest(below, "uniform").pvalue > 1e-3


# the best possible


def recall(top, target):
    return (top == target[:, None]).any(1).mean()


def best_unseen(scores, past, k):
    scores = scores.copy()
    for row, items in enumerate(past):
        scores[row, items[items >= 0]] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.mark.slow
def test_the_demo_log_separates_popular_markov_and_best():
    log = simulate(SimulateConfig(impressions=0))
    n, users = 800, np.arange(3_000)
    history = np.where(np.arange(log.past.shape[1]) < (log.lengths - 1)[:, None], log.past, -1)
    train = np.where(np.arange(log.past.shape[1]) < (log.lengths - 2)[:, None], log.past, -1)
    target, last = log.past[users, log.lengths - 1], log.past[users, log.lengths - 2]
    popularity = np.bincount(train[train >= 0], minlength=n)
    pairs = (train[:, :-1] >= 0) & (train[:, 1:] >= 0)
    markov = np.zeros((n, n))
    np.add.at(markov, (train[:, :-1][pairs], train[:, 1:][pairs]), 1)
    popular = recall(best_unseen(np.tile(popularity, (3_000, 1)).astype(float), history, 10), target)
    first_order = recall(best_unseen(markov[last] + 1e-6 * popularity, history, 10), target)
    best = best_recall(log.truth)["recall@10"]
    assert 0.03 < popular < 0.1
    assert popular + 0.15 < first_order
    assert first_order + 0.15 < best["expected"]
    assert abs(best["expected"] - best["drawn"]) < 4 * (0.25 / 3_000) ** 0.5


def test_truth_is_what_sorting_the_probabilities_gives(log):
    for split, held_out in (("test", 1), ("validation", 2)):
        part = log.truth.filter(pl.col("split") == split).sort("user_id")
        stated = log.next_item_probabilities(list(range(1, 701)), held_out=held_out)
        best = np.array(part["best_items"].to_list()) - 1
        np.testing.assert_allclose(np.array(part["probabilities"].to_list()), -np.sort(-stated, axis=1)[:, :50])
        np.testing.assert_allclose(np.take_along_axis(stated, best, 1), -np.sort(-stated, axis=1)[:, :50])
        assert part["item_id"].to_list() == (log.past[np.arange(700), log.lengths - held_out] + 1).tolist()
        top = best_recall(log.truth, split)["recall@5"]
        assert top["expected"] == pytest.approx(-np.sort(-stated, axis=1)[:, :5].sum(1).mean())
        assert top["drawn"] == pytest.approx(recall(best[:, :5], part["item_id"].to_numpy() - 1))


def test_best_auc_is_what_labels_drawn_again_give_on_average():
    rng = np.random.default_rng(0)
    chance = np.round(rng.beta(1, 3, 1_500), 2)  # rounded: ties count half
    values = [roc_auc_score(rng.random(chance.size) < chance, chance) for _ in range(40)]
    assert best_auc(chance) == pytest.approx(np.mean(values), abs=4 * np.std(values) / 40**0.5)
    assert best_auc(np.array([])) == 0.5


# impressions


@pytest.mark.parametrize("task", TASKS)
def test_labels_come_with_their_probability(log, task):
    impressions = log.impressions
    chance, label = impressions[f"{task}_probability"].to_numpy(), impressions[task].to_numpy()
    assert impressions.height == pytest.approx(8 * 700, rel=0.1)
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1)):
        part = (chance >= low) & (chance < high)
        spread = (chance[part] * (1 - chance[part])).sum() ** 0.5
        assert abs(label[part].sum() - chance[part].sum()) < 4 * spread + 1e-9
    assert roc_auc_score(label, chance) == pytest.approx(best_auc(chance), abs=0.03)


def test_only_the_clicked_is_liked_and_only_the_liked_is_bought(log):
    labels, probabilities = (log.impressions.select(f"{task}{end}" for task in TASKS) for end in ("", "_probability"))
    for table in (labels.to_numpy(), probabilities.to_numpy()):
        assert (table[:, 1:] <= table[:, :-1]).all()
    assert 0.02 < labels["buy"].mean() < labels["like"].mean() < labels["click"].mean() < 0.5


def test_probabilities_follow_from_the_tables_and_the_clicks_before(log):
    world = log.world
    clicks = log.clicks.sort("user_id", "timestamp")
    devices = {"phone": (0.3, -0.5), "tablet": (0.0, 0.0), "desktop": (-0.4, 0.7)}
    prices = dict(zip(("under 18", "18-24", "25-34", "35-49", "50 and over"), (-0.9, -0.5, 0, 0.2, 0.6), strict=True))
    ages = dict(log.users.select("user_id", "age_group").iter_rows())
    for row in log.impressions.head(30).iter_rows(named=True):
        own = clicks.filter((pl.col("user_id") == row["user_id"]) & (pl.col("timestamp") < row["timestamp"]))
        item, past = row["item_id"] - 1, own["item_id"].to_numpy()[::-1] - 1  # last first
        share = {}
        for name, label, memory in (("leaf", world.leaf, 0.9), ("style", world.style, 0.97)):
            decay = memory ** np.arange(past.size)
            share[name] = (decay * (label[past] == label[item])).sum() / decay.sum()
        popular, price = np.log(60 * world.popularity[item]), prices[ages[row["user_id"]]] * world.price[item]
        (on_click, on_buy), position = devices[row["device"]], row["position"] - 1
        click = -2.3 + 3.5 * share["leaf"] + 2.5 * share["style"] + 0.35 * popular + on_click - 0.15 * position + price
        like = -1.4 + 4.0 * share["style"] - 0.4 * popular
        buy = -1.2 + 1.5 * share["leaf"] + 1.5 * price + on_buy
        steps = 1 / (1 + np.exp(-np.array([click, like, buy])))
        assert [row[f"{task}_probability"] for task in TASKS] == pytest.approx(np.cumprod(steps).tolist())


def test_later_clicks_do_not_touch_a_click_probability():
    world = make_world(SMALL)
    past, same_start = np.array([[1, 2, 3, 4]], np.int32), np.array([[1, 2, 30, 40]], np.int32)
    rest = (np.array([2]), np.array([0]), np.array([7]), np.array([1]), np.array([1]))
    assert step_probabilities(world, past, *rest) == step_probabilities(world, same_start, *rest)


# the log's shape


def test_nobody_clicks_twice_and_times_ascend(log):
    assert log.clicks.select("user_id", "item_id").is_duplicated().sum() == 0
    assert log.clicks.select("user_id", "timestamp").is_duplicated().sum() == 0
    assert log.clicks["timestamp"].is_sorted()
    counts = log.clicks.group_by("user_id").len()["len"]
    assert counts.len() == 700
    assert (counts.min(), counts.max()) == (5, 30)
    ordered = log.clicks.sort("user_id", "timestamp")
    rebuilt = [items.to_list() for items in ordered.group_by("user_id", maintain_order=True).agg("item_id")["item_id"]]
    stored = [(row[:length] + 1).tolist() for row, length in zip(log.past, log.lengths, strict=True)]
    assert rebuilt == stored


def test_sessions_begin_as_often_as_said(log):
    gaps = log.clicks.sort("user_id", "timestamp").select(pl.col("timestamp").diff().over("user_id")).to_series()
    gaps = gaps.drop_nulls().to_numpy()
    assert abs((gaps >= SESSION_GAP_S).mean() - 0.2) < 4 * (0.2 * 0.8 / gaps.size) ** 0.5
    assert gaps.min() >= 5


def test_popularity_is_zipfs():
    world = make_world(dataclasses.replace(SMALL, items=500, zipf=1.1))
    items = draw_popular(world, np.random.default_rng(0), 200_000)
    ranked = -np.sort(-np.bincount(items, minlength=500))
    slope = stats.linregress(np.log(np.arange(1, 101)), np.log(ranked[:100])).slope
    assert slope == pytest.approx(-1.1, abs=0.05)
    assert fits(np.bincount(items, minlength=500), world.popularity)


def test_every_leaf_has_one_circle_of_successors():
    world = make_world(SMALL)
    for leaf in range(world.n_leaves):
        items = set(np.flatnonzero(world.leaf == leaf).tolist())
        seen, item = set(), min(items)
        while item not in seen:
            seen.add(item)
            item = int(world.successor[item])
        assert seen == items


def test_side_tables_tell_what_the_world_knows(log):
    assert log.items["item_id"].to_list() == list(range(1, 61))
    assert log.items["category_path"].to_list() == [f"category-{leaf // 2}/leaf-{leaf}" for leaf in log.world.leaf]
    tags = log.items["tags"].to_list()
    assert [tag[0] for tag in tags] == [f"style-{style}" for style in log.world.style]
    assert {len(tag) for tag in tags} == {1, 2, 3}
    assert log.users["user_id"].to_list() == list(range(1, 701))
    activity = log.clicks.group_by("user_id").len().sort("user_id")["len"].to_numpy()
    assert abs(np.corrcoef(activity, np.arange(700))[0, 1]) < 0.15  # ids tell nothing


# same seed, same log; files or memory, same log


def test_the_seed_decides(log):
    again, other = simulate(SMALL), simulate(dataclasses.replace(SMALL, seed=5))
    for name in ("clicks", "items", "users", "impressions", "truth"):
        assert_frame_equal(getattr(again, name), getattr(log, name))
    assert not other.clicks.equals(log.clicks)


@pytest.mark.slow
def test_a_log_in_parts_is_the_log_in_memory(log, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "BLOCK_USERS", 250)
    whole = simulate(SMALL)
    one = write_simulation(SMALL, tmp_path / "one", users_per_file=700)
    parts = write_simulation(SMALL, tmp_path / "parts", users_per_file=300)
    assert one == parts
    assert len(list((tmp_path / "parts" / "clicks").iterdir())) == 2  # 500 and 200
    for name in ("clicks", "users", "impressions"):
        key = ["user_id"] if name == "users" else ["timestamp", "user_id"]
        from_parts = pl.read_parquet(tmp_path / "parts" / name / "*.parquet").sort(key, maintain_order=True)
        assert_frame_equal(pl.read_parquet(tmp_path / "one" / f"{name}.parquet"), getattr(whole, name))
        assert_frame_equal(from_parts, getattr(whole, name))
    for name in ("items", "truth"):
        assert_frame_equal(pl.read_parquet(tmp_path / "parts" / f"{name}.parquet"), getattr(whole, name))
    assert one["best"]["test"] == best_recall(whole.truth)
    for task in TASKS:
        assert one["best_auc"][task] == pytest.approx(best_auc(whole.impressions[f"{task}_probability"].to_numpy()))
    assert whole.clicks.height == one["clicks"]


def test_the_oracle_can_be_asked_about_fewer_users(tmp_path):
    summary = write_simulation(SMALL, tmp_path / "log", truth_users=50)
    truth = pl.read_parquet(tmp_path / "log" / "truth.parquet")
    assert sorted(truth["user_id"].unique()) == list(range(1, 51))
    assert summary["oracle_users"] == 50


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="holds no simulated log"):
        write_simulation(SMALL, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(InputError, match="holds no simulated log"):
        write_simulation(SMALL, tmp_path / "mine.txt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": 10}, "10 items are too few: categories x leaves x styles needs 18, and max-events 30 needs 60"),
        ({"mean_events": 31}, "mean-events is 31"),
        ({"stay": 1.5}, r"stay is 1.5; it must lie in \[0, 1\]"),
        ({"explore": 0.0}, "explore must be above 0"),
        ({"stay": 0.9, "successor": 0.2}, "at most 1"),
        ({"leaf_memory": 1.0}, "strictly between 0 and 1"),
        ({"users": 0}, "must be at least 1"),
        ({"days": 0}, "days must be above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SMALL, **change)


# command line, samples, vectors


def test_the_command_writes_a_log_that_prepare_reads(tmp_path, capsys):
    flags = ["--users=40", "--items=80", "--max-events=30", "--mean-events=14", "--categories=3", "--styles=3"]
    assert main(["simulate", "--out", str(tmp_path / "log"), "--json", *flags]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "log" / "truth.json").read_text())
    prepare.run(prepare.Config(events=str(tmp_path / "log" / "clicks.parquet"), out=tmp_path / "data"))
    assert open_dataset(tmp_path / "data").histories.items.size == summary["clicks"]
    assert main(["simulate", "--out", str(tmp_path / "log"), "--users", "0"]) == 2
    assert pipeline.run(pipeline.Config(out=tmp_path / "log", log=SMALL))["oracle_users"] == 700


def test_the_checked_in_samples_are_what_the_simulator_makes(tmp_path):
    write_samples(tmp_path)
    assert {file.name for file in SAMPLES.iterdir()} == {file.name for file in tmp_path.iterdir()}
    for file in sorted(tmp_path.iterdir()):
        if file.suffix == ".parquet":
            assert_frame_equal(pl.read_parquet(SAMPLES / file.name), pl.read_parquet(file))
        elif file.suffix == ".arrow":
            assert_frame_equal(pl.read_ipc(SAMPLES / file.name), pl.read_ipc(file))
        elif file.suffix == ".gz":
            assert gzip.decompress((SAMPLES / file.name).read_bytes()) == gzip.decompress(file.read_bytes())
        else:
            assert (SAMPLES / file.name).read_text(encoding="utf-8") == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "clicks.parquet",
        "clicks.arrow",
        "clicks.csv",
        "clicks.tsv.gz",
        "clicks.jsonl",
        "ratings.dat",
        "clicks.inter",
        "sequences.txt",
    ],
)
def test_every_sample_prepares_to_the_same_histories(name, tmp_path):
    time = None if name == "sequences.txt" else "timestamp"
    log, split = LogConfig(time=time), SplitConfig(kind="none")
    prepare.run(prepare.Config(events=str(SAMPLES / name), log=log, split=split, out=tmp_path / "data"))
    dataset = open_dataset(tmp_path / "data")
    item_ids = dataset.vocabulary.ids(dataset.histories.items).to_list()
    csv = pl.read_csv(SAMPLES / "clicks.csv").sort("user_id", "timestamp")
    assert item_ids == csv["item_id"].to_list()


def test_simulated_vectors_are_unit_length_and_clustered():
    vectors = simulated_vectors(20_000, 16, seed=1)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
    assert np.array_equal(vectors, simulated_vectors(20_000, 16, seed=1))
    near = np.sort(vectors[:100] @ vectors.T, axis=1)[:, -5]
    spread = np.random.default_rng(0).standard_normal((20_000, 16)).astype(np.float32)
    spread /= np.linalg.norm(spread, axis=1, keepdims=True)
    assert near.mean() > np.sort(spread[:100] @ spread.T, axis=1)[:, -5].mean() + 0.05
