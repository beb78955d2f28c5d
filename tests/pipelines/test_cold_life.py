"""The benchmark of a cold item's life, on a small catalogue."""

import json

from pipelines.benchmarks.cold_life import Config, run


def test_every_step_is_timed(tmp_path, capsys):
    lines = run(Config(items=(150,), factories=("HNSW16",), repeats=1, out=tmp_path))
    assert json.loads((tmp_path / "cold_life.json").read_text()) == lines
    (line,) = lines
    assert (line["items"], line["index"]) == (150, "HNSW16")
    assert all(value > 0 for name, value in line.items() if name not in ("items", "index"))
    assert "put in 100" in capsys.readouterr().out
