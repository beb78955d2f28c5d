"""Run folders: begun once, resumed with the same settings, prolonged with more epochs."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from recsys_bert.errors import InputError
from recsys_bert.settings import read_config
from recsys_bert.training.config import ScheduleConfig, TrainConfig
from recsys_bert.training.run_folder import begin, check_out, only_checking


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of some stage."""

    rounds: int = 3
    """Some number."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Training."""


def with_training(**settings: object) -> Config:
    return Config(train=replace(TrainConfig(), **settings))


def test_a_run_is_begun_once_and_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "run"
    with only_checking(), begin(out, Config()):
        pytest.fail("it begins")
    assert not out.exists()
    with begin(out, Config()):
        pass
    assert (read_config(Config, out / "config.toml"), check_out(out, Config())) == (Config(), True)
    assert capsys.readouterr().err == ""
    with begin(out, Config()):
        pass
    assert capsys.readouterr().err == f"{out} holds this run already: going on where it stopped.\n"
    with (
        pytest.raises(InputError, match=r"holds a run with other settings \(rounds was 3, now 4\)"),
        begin(out, Config(rounds=4)),
    ):
        pass


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"epochs": 3}, {"epochs": 5}, "going on where it stopped with train.epochs 5 instead of 3."),
        (
            {"epochs": 3, "schedule": ScheduleConfig(name="cosine")},
            {"epochs": 4, "schedule": ScheduleConfig(name="cosine")},
            "; the cosine schedule now ends with the new epochs, so the learning rate rises again first.",
        ),
        ({"patience": 3}, {"patience": 0}, "with train.patience 0 instead of 3."),
    ],
)
def test_a_run_can_be_prolonged(tmp_path: Path, capsys: pytest.CaptureFixture[str], before, after, message):
    with begin(tmp_path / "run", with_training(**before)):
        pass
    with pytest.raises(InputError, match="holds a run with other settings"):
        check_out(tmp_path / "run", with_training(**after))
    with begin(tmp_path / "run", with_training(**after)):
        pass
    assert capsys.readouterr().err.endswith(f"{message}\n")
    assert check_out(tmp_path / "run", with_training(**after))
    with (
        pytest.raises(InputError, match="holds a run with other settings"),
        begin(tmp_path / "run", with_training(**before)),
    ):  # but never be shortened
        pass


def test_what_a_killed_process_left_beside_a_file_written_once_is_cleared(tmp_path: Path):
    with begin(tmp_path / "run", Config()):
        (tmp_path / "run" / ".data.json.0123abcd.tmp" / "work").mkdir(parents=True)
    with begin(tmp_path / "run", Config()):
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.toml"]
