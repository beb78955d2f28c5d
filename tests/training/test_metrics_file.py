import json

import pytest

from recsys_bert.checksums import NAME
from recsys_bert.errors import InputError
from recsys_bert.training.loop import fit
from recsys_bert.training.metrics_file import MetricsFile, read_metrics


@pytest.fixture
def log(tmp_path):
    log = MetricsFile(tmp_path / "metrics.jsonl", 0, is_main=True)
    for step in range(3):
        log.write({"step": step, "loss": 0.5})
    return log


def test_lines_of_a_training_under_way_and_of_one_that_is_done(log):
    lines = [{"step": step, "loss": 0.5} for step in range(3)]
    assert read_metrics(log.path) == lines
    log.seal()
    assert read_metrics(log.path) == lines
    longer = MetricsFile(log.path, 2, is_main=True)  # the training goes on
    longer.write({"step": 9})
    assert read_metrics(log.path) == [*lines[:2], {"step": 9}]


@pytest.mark.parametrize("change", [b"5", b"", b"\xff", b'{"step": 0}\n'])
def test_a_change_after_the_training_is_noticed(log, change):
    log.seal()
    content = log.path.read_bytes()
    log.path.write_bytes(content[:-30] + change)
    with pytest.raises(InputError, match=r"metrics\.jsonl is damaged: .*Restore it from a copy, or train"):
        read_metrics(log.path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"step": 1}\n{"ste', "line 2 of .* is not JSON; the file is damaged. Train the run again"),
        (b"[1]\n", "line 1 of .* is no JSON object"),
        (b"\xff", "it is not UTF-8"),
    ],
)
def test_lines_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_metrics(tmp_path / "metrics.jsonl")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_metrics(tmp_path / "none.jsonl")


def test_only_a_training_that_is_done_has_checksums(toy, batches, settings, tmp_path):
    class Killed(Exception):
        pass

    def kill(step):
        if step == 15:
            raise Killed

    with pytest.raises(Killed):
        fit(toy(), batches(), settings(), tmp_path, before_step=kill)
    assert not (tmp_path / NAME).exists()
    fit(toy(), batches(), settings(), tmp_path)
    assert (tmp_path / NAME).exists()
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
