"""A stage whose validations are known beforehand: what is learned of a search from it is the search's own doing."""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from recsys_bert.errors import InputError
from recsys_bert.stages.tune import tune
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.run_folder import begin
from recsys_bert.training.watching import current_watch


@dataclass(frozen=True, kw_only=True)
class SearchedConfig:
    """Settings of ``stage``."""

    x: float = 0.5
    """Best at 0.3."""

    kind: str = "a"
    """b is worse by 1."""

    options: dict[str, int] = field(default_factory=dict)
    """No effect."""

    train: TrainConfig = field(default_factory=lambda: TrainConfig(epochs=3))
    """Epochs and the monitor count."""

    def __post_init__(self) -> None:
        if self.x > 0.9:
            raise InputError(f"x is {self.x}; it must be 0.9 at most.")


def value_of(config, epoch):
    sign = 1 if config.train.is_better(1.0, 0.0) else -1
    return sign * (-((config.x - 0.3) ** 2) - (config.kind == "b") + epoch / 100)


def stage(before_epoch=None, *, out: Path, config: SearchedConfig | None = None):
    """Validate ``train.epochs`` times, on from where it stopped."""
    with begin(out, config):
        log, watch = out / "metrics.jsonl", current_watch()
        first = len(log.read_text().splitlines()) if log.exists() else 0
        watch.begin(out, validates=True)
        (out / "checkpoints").mkdir(exist_ok=True)
        for epoch in range(first + 1, config.train.epochs + 1):
            if before_epoch is not None:
                before_epoch(out, epoch)
            value = value_of(config, epoch)
            with open(log, "a") as file:
                file.write(json.dumps({"epoch": epoch, config.train.monitor: value}) + "\n")
            watch.validated(epoch, value)
        (out / "model").write_text("weights")
        watch.best = value_of(config, config.train.epochs)


SPACE = {"x": "float:0:0.8", "kind": ["a", "b"]}


def killed_in_trial_1(out: Path, epoch: int) -> None:
    if out.name == "0001" and epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def beside_another(out: Path, epoch: int) -> None:
    """Go on once another process trains as well, however late it starts."""
    place = Path(sys.argv[2]).parent
    (place / f"{os.getpid()}.trains").touch()
    while len(list(place.glob("*.trains"))) < 2:
        time.sleep(0.01)


if __name__ == "__main__":  # python searched_stage.py killed|beside_another FOLDER TRIALS
    how = {"killed": killed_in_trial_1, "beside_another": beside_another}[sys.argv[1]]
    tune(stage, how, space=SPACE, out=sys.argv[2], trials=int(sys.argv[3]), pruner="none", startup_trials=3)
