"""The benchmark of generation, on a model of a moment."""

from pipelines.benchmarks import generation_speed


def test_all_ways_give_the_same_tokens_and_stand_in_the_table(tmp_path):
    sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "vocab_size": 40, "prompts": 2, "prompt_length": 3}
    config = generation_speed.Config(out=tmp_path / "speed", length=6, rounds=1, **sizes)
    rows = generation_speed.run(config)["rows"]
    assert [(row["way"], row["same_tokens"]) for row in rows] == [
        ("cache", 1.0),
        ("no cache", 1.0),
        ("transformers", 1.0),
    ]
    assert all(row["tokens_per_s"] > 0 for row in rows)
    assert "| transformers |" in (tmp_path / "speed.md").read_text()
