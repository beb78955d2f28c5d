import json

import pytest

from pipelines.demo import Config, run
from recsys_bert.errors import InputError


def test_the_demo_goes_the_whole_way_and_says_where_the_report_lies(tmp_path, capsys):
    config = Config(out=tmp_path / "demo", users=120, epochs=1, json=True)
    results = run(config)
    assert json.loads(capsys.readouterr().out) == results
    recall, auc = results["recall@10"], results["auc"]
    assert list(recall) == ["popular", "markov", "encoder", "two_towers", "best possible"]
    assert recall["best possible"] == max(recall.values())
    assert auc["best possible"] == max(auc.values())
    assert "two_towers" in (tmp_path / "demo" / "report" / "report.html").read_text(encoding="utf-8")


def test_the_demo_replaces_an_earlier_one_and_nothing_else(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("text")
    with pytest.raises(InputError, match="holds no demo"):
        run(Config(out=tmp_path / "thesis"))
    assert (tmp_path / "thesis" / "chapter1.tex").read_text() == "text"
