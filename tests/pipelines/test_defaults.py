"""The benchmark of defaults, on a log of a moment."""

from pipelines.benchmarks import defaults
from pipelines.benchmarks.defaults import Config, run


def test_defaults_are_compared_with_alternatives(simulated, tmp_path, capsys, monkeypatch):
    small = {"encoder": {"dim": 8, "n_layers": 1, "max_len": 10}}
    alternatives = {
        stage: {name: {**small, **settings} for name, settings in list(named.items())[:2]}
        for stage, named in defaults.ALTERNATIVES.items()
    }
    monkeypatch.setattr(defaults, "ALTERNATIVES", alternatives)
    config = Config(out=tmp_path / "runs", data=(simulated.folder,), seeds=2, epochs=1)
    rows = run(config)
    assert [(row["stage"], row["name"]) for row in rows] == [
        (stage, name) for stage, named in alternatives.items() for name in named
    ]
    assert all(len(row["ndcg@10"]) == 2 for row in rows)
    assert run(config) == rows  # finished runs are read, not trained again
    printed = capsys.readouterr().out
    assert printed.count("| kept |") + printed.count("| behind |") == 4  # one alternative a stage, printed twice
