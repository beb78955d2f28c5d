"""The benchmarks of catalogue size, of several processes and of ranking: what they rest on, and their tables."""

import json
import sys

import numpy as np
import polars as pl
import pytest

from pipelines import prepare
from pipelines.benchmarks import catalogue_growth, evaluation_round, evaluation_speed, large_log, two_processes
from pipelines.benchmarks.processes import ProcessResult, run_alone
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig


def test_every_item_of_a_large_log_is_trained_on(tmp_path):
    large_log.run(large_log.Config(out=tmp_path / "log.parquet", items=4000, users=100, series=13))
    log = pl.read_parquet(tmp_path / "log.parquet")
    assert log["item_id"].n_unique() == 4000
    follow = log["item_id"].diff().fill_null(0).eq(1).mean()
    assert follow > 0.7  # three of four items continue a series
    prepare.run(prepare.Config(events=str(tmp_path / "log.parquet"), out=tmp_path / "data"))
    assert open_dataset(tmp_path / "data").vocabulary.n_items == 4000
    with pytest.raises(InputError, match="do not get through"):
        large_log.Config(out=tmp_path / "log.parquet", items=4000, users=10)


def test_a_program_is_measured_by_itself():
    code = "import sys; held = b'x' * (300 << 20); print('done'); print('warned', file=sys.stderr)"
    ended = run_alone([sys.executable, "-c", code])
    assert (ended.stdout, ended.stderr) == ("done\n", "warned")
    assert ended.peak_bytes > 300 << 20
    with pytest.raises(InputError, match="status 3"):
        run_alone([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(InputError, match="cannot start"):
        run_alone(["/nowhere/at/all"])


def fake_programs(monkeypatch, module, speed):
    """Replace programs by ones that end at once and print ``speed(command)``."""
    commands = []

    def run_at_once(command, environment=None):
        commands.append(command)
        return ProcessResult(json.dumps(speed(command)) + "\n", "", 2.0, 3 << 30)

    monkeypatch.setattr(module, "run_alone", run_at_once)
    return commands


@pytest.mark.slow
def test_growth_has_a_line_for_each_catalogue_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    index = {"factory": "Flat", "build_seconds": None, "ann_recall": 1.0, "headline_recall": 0.5}
    index |= {"queries_per_second": 100.0, "bytes": 1 << 20}
    steps = {"seconds": 4.0, "peak_bytes": 1 << 30, "precision": "fp32", "device": "cpu", "threads": 1, "torch": "2"}

    def speed(command):
        return {"indexes": [index]} if "evaluate" in command else steps

    commands = fake_programs(monkeypatch, catalogue_growth, speed)
    monkeypatch.setattr(catalogue_growth, "_data", lambda config, n: tmp_path / str(n))
    config = catalogue_growth.Config(out=tmp_path / "growth", items=(8, 80), full_until=8, steps=2)
    result = catalogue_growth.run(config)
    assert [(line["items"], line["kind"], line["ms"]) for line in result["steps"]] == [
        (8, "full", 2000.0),
        (8, "sampled", 2000.0),
        (8, "sampled, rows", 2000.0),
        (80, "sampled", 2000.0),
        (80, "sampled, rows", 2000.0),
    ]
    table = (config.out / "growth.md").read_text(encoding="utf-8")
    assert "| 80 | sampled, sparse Adam | 2,000 | 1.00 |" in table
    assert "| training and validation | 2 | 3.00 |" in table
    assert "<svg" in (config.out / "growth.svg").read_text(encoding="utf-8")
    n = len(commands)
    assert catalogue_growth.run(config) == result
    assert len(commands) == n


def test_shards_of_a_log_share_every_history_once(simulated, tmp_path):
    config = two_processes.Config(data=simulated.folder, out=tmp_path, batch_size=37, loss=LossConfig())
    shards = two_processes._shards(config)
    assert shards["histories"] == 200
    assert (shards["in no shard"], shards["in several"], shards["spare shards"]) == (0, 0, 0)


def test_ranking_speed_and_what_it_exports(simulated, tmp_path, capsys):
    config = evaluation_round.Config(data=simulated.folder, export=tmp_path / "log.npz", dim=8, n_layers=1, max_len=20)
    result = evaluation_round.run(config)
    assert json.loads(capsys.readouterr().out) == result
    queries, log = Queries.of(simulated, "test"), np.load(tmp_path / "log.npz")
    assert result["users"] == len(queries)
    for i in (0, len(queries) - 1):
        mine = log["items"][log["users"] == queries.users[i]]
        np.testing.assert_array_equal(mine, simulated.histories.items[queries.start[i] : queries.stop[i]])


def test_ranking_takes_turns_with_a_peer(tmp_path, monkeypatch):
    def speed(command):
        return {"users_per_s": 50.0 if command[0] == "peer" else 200.0, "users": 9, "items": 8, "threads": 1}

    commands = fake_programs(monkeypatch, evaluation_speed, speed)
    config = evaluation_speed.Config(data=tmp_path, out=tmp_path / "speed", dims=(8,), rounds=2, peer="peer")
    ours, peer = evaluation_speed.run(config)["rows"]
    assert [command[0] == "peer" for command in commands] == [False, True, False, True]
    assert (ours["times_peer"], peer["times_peer"], peer["rounds"]) == (4.0, None, [50.0, 50.0])
    assert "| ours | 8 | 200 | 200 to 200 | 4.00 | 3,072 |" in (tmp_path / "speed.md").read_text(encoding="utf-8")
