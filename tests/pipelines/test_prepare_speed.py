"""The benchmark of prepare, on a tiny log."""

import json

import polars as pl

from pipelines.benchmarks import prepare_log, prepare_speed
from recsys_bert.clicks.simulation.simulate import SimulateConfig, simulate


def test_a_log_by_days_is_measured(tmp_path, capsys):
    n_events = prepare_log.run(prepare_log.Config(out=tmp_path / "log", users=60, items=2_000, mean_events=20.0))
    files = sorted((tmp_path / "log").iterdir())
    days = [pl.read_parquet(file) for file in files]
    assert all(day["timestamp"].is_sorted() and (day["timestamp"] // 86_400).n_unique() == 1 for day in days)
    assert len({day["timestamp"][0] // 86_400 for day in days}) == len(days)
    settings = SimulateConfig(users=60, items=2_000, mean_events=20.0, max_events=1_000, impressions=0.0)
    dealt, simulated = pl.concat(days).sort(pl.all()), simulate(settings).clicks.sort(pl.all())
    assert dealt.equals(simulated)
    assert n_events == len(simulated)

    config = prepare_speed.Config(
        log=tmp_path / "log", out=tmp_path / "speed", splits=("time",), min_user_events=1, min_item_events=1
    )
    capsys.readouterr()
    run = prepare_speed.run(config)["runs"][0]
    assert run["rows"] == n_events == run["counts"]["events"]
    assert run["counts"]["training_events"] == int(0.8 * n_events)  # the simulator's seconds have few ties
    assert json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))["runs"] == [run]
    assert f"| recsys-bert prepare | {n_events:,} | time |" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"log", "speed.json", "speed.md"}
