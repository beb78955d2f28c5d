from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.comparison.grid import Cell
from pipelines.comparison.trials import Trial, finished_run
from recsys_bert.errors import InputError
from recsys_bert.files import write_json


def test_damaged_results_say_what_to_delete(tmp_path):
    told = {"metrics": {}, "seconds": 1.0, "parameters": 2, "epochs": 3, "best_epoch": 3}
    write_json(tmp_path / "test.json", told)
    (tmp_path / "metrics.jsonl").write_text("")
    path, trial = tmp_path / "test.npz", Trial(Cell({}, "plain"), 0, SimpleNamespace(out=tmp_path))
    np.savez_compressed(path, accuracy=np.arange(60) % 2)
    assert finished_run(trial, "accuracy")[0].examples.sum() == 30
    whole = path.read_bytes()
    zeros = whole[:60] + bytes(20) + whole[80:]  # within what is compressed
    for damaged in (b"", whole[:20], whole[:-20], zeros):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"test\.npz is damaged .*; delete"):
            finished_run(trial, "accuracy")
