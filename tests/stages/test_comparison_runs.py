import numpy as np
import pytest

from recsys_bert.checksums import file_digest
from recsys_bert.errors import InputError
from recsys_bert.files import write_json
from recsys_bert.stages.comparison.grid import Configuration
from recsys_bert.stages.comparison.runs import TrainingRun, finished_run


def test_damaged_results_say_what_to_delete(tmp_path):
    values = {"metrics": {}, "seconds": 1.0, "parameters": 2, "epochs": 3, "best_epoch": 3}
    (tmp_path / "metrics.jsonl").write_text("")
    path, run = tmp_path / "test.npz", TrainingRun(Configuration({}, "plain"), 0, None, tmp_path)
    np.savez_compressed(path, accuracy=np.arange(60) % 2)
    write_json(tmp_path / "test.json", values | {"examples": file_digest(path)}, sealed=True)
    assert finished_run(run, "accuracy")[0].examples.sum() == 30
    whole = path.read_bytes()
    zeros = whole[:60] + bytes(20) + whole[80:]  # within what is compressed
    for damaged in (b"", whole[:20], whole[:-20], zeros):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"test\.npz is damaged .*; delete"):
            finished_run(run, "accuracy")
