"""`serve --runtime onnxruntime` and `export`: the lists of torch, and refusals."""

import json

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.serve import Config
from recsys_bert.errors import InputError
from recsys_bert.retrieval.user_side_onnx import OnnxRanker

pytest.importorskip("onnxruntime", reason="extra 'onnx' is not installed")


def test_lists_are_those_of_torch(click_runs, opened, monkeypatch):
    monkeypatch.setattr("recsys_bert.user_encoder.encode.uses_bf16", lambda *_: False)
    runs = tuple(str(click_runs / name) for name in ("towers", "fused"))
    slow = opened(Config(runs=runs, data=click_runs / "data"))
    fast = opened(Config(runs=runs, data=click_runs / "data", runtime="onnxruntime"))
    assert isinstance(fast.service.runs.by_name["towers"].model.ranker, OnnxRanker)
    for body in ({"users": [7, 8, 9]}, {"history": [3, 5, 3]}, {"user_id": 7, "run": "fused"}):
        expected, answer = slow.ok("/recommend", **body), fast.ok("/recommend", **body)
        assert len(expected["lists"]) == len(answer["lists"])
        for one, other in zip(expected["lists"], answer["lists"], strict=True):
            assert [item["item_id"] for item in one["items"]] == [item["item_id"] for item in other["items"]]
            scores = ([item["score"] for item in items["items"]] for items in (one, other))
            np.testing.assert_allclose(*scores, atol=1e-4)


def test_text_runs_alone_are_refused(text_runs, opened):
    with pytest.raises(InputError, match="onnxruntime is of recommenders, and none of these runs is one"):
        opened(Config(runs=(str(text_runs / "topics"),), runtime="onnxruntime"))


def test_export_by_command(click_runs, tmp_path, capsys):
    flags = ("--run", str(click_runs / "towers"), "--data", str(click_runs / "data"), "--json")
    assert main(["export", *flags, "--out", str(tmp_path / "out")]) == 0
    sizes = json.loads(capsys.readouterr().out)
    assert {*sizes} == {"about.json", "item_rows.parquet", "item_vectors.npy", "model.onnx"}
    assert main(["export", *flags[:1], str(click_runs / "fused"), *flags[2:], "--out", str(tmp_path / "fused")]) == 2
    assert "Export the run itself" in capsys.readouterr().err
