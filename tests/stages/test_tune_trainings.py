"""tune with real trainings: it never reads test data, and resumes the loop; pipelines/test_tune.py has the commands."""

import pytest
import torch
from stages.test_train_ctr import SETTINGS, frame  # noqa: F401
from torch import nn

from recsys_bert.clicks.queries import Queries
from recsys_bert.ctr import inference
from recsys_bert.errors import InputError
from recsys_bert.stages.train_ctr import train_ctr
from recsys_bert.stages.train_retrieval import train_retrieval
from recsys_bert.stages.tune import tune
from recsys_bert.training.config import TrainConfig
from recsys_bert.training.hidden_test import visible, without_test
from recsys_bert.training.loop import fit
from recsys_bert.training.watching import Watch, watching

TINY = {"dim": 8, "n_layers": 1, "n_heads": 1, "max_len": 8}
FAST = {"epochs": 2, "batch_size": 64, "device": "cpu", "precision": "fp32"}


def test_towers_are_searched_by_validation_alone(side_log, monkeypatch, tmp_path):
    parts, of = set(), Queries.of

    def noted(dataset, part, *args, **options):
        parts.add(part)
        return of(dataset, part, *args, **options)

    monkeypatch.setattr(Queries, "of", noted)
    space = {"train.lr": "log:1e-3:1e-1", "encoder": [TINY], "train.epochs": 2, "train.device": ["cpu"]}
    tuning = tune(train_retrieval, side_log, space=space, trials=2, pruner="none", out=tmp_path / "out")
    assert parts == {"validation"}
    again = train_retrieval(side_log, **tuning.best_settings)
    assert again.summary["best"] == tuning.best_value == max(tuning.table["value"])


def test_ctr_models_are_searched_without_the_test_impressions(frame, monkeypatch):  # noqa: F811
    sizes, evaluate = set(), inference.evaluate

    def noted(module, data, *args):
        sizes.add(len(data))
        return evaluate(module, data, *args)

    monkeypatch.setattr(inference, "evaluate", noted)
    space = {"model.dim": "int:2:4", **{name: [value] for name, value in SETTINGS.items() if name != "model"}}
    frame = frame[:350]
    assert len(frame) * 0.1 == 35
    tuning = tune(train_ctr, frame, space=space | {"model.head": "choice:lr,fm"}, trials=2, pruner="none")
    validation = {35}
    assert sizes == validation
    assert tuning.best_value > 0.5
    sizes.clear()
    metrics = train_ctr(frame, **tuning.best_settings).metrics
    assert metrics["impressions"] == {"train": 280, "validation": 35, "test": 35}
    assert metrics["validation"]["auc"] == tuning.best_value


def test_parts_are_visible_outside_of_a_search():
    parts = {"train": 1, "validation": 2, "test": 3}
    assert visible(parts) == parts
    with without_test():
        assert visible(parts) == {"train": 1, "validation": 2}
    assert visible(parts) == parts


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(1))

    def forward(self, batch):
        return ((self.slope - 1) ** 2).mean()


class Steps:
    steps = 2

    def __call__(self, epoch, first_step=0, rank=0, world=1):
        return iter([{"x": torch.ones(4)}] * (self.steps - first_step))


CONFIG = TrainConfig(epochs=3, lr=0.1, device="cpu", precision="fp32", monitor="slope")


def slope(model):
    return {"slope": model.slope.item()}


def test_a_watch_sees_every_validation_and_what_it_raises_ends_a_training_that_resumes(tmp_path):
    seen = []
    with watching(whole := Watch(tmp_path / "whole", lambda *point: seen.append(point))):
        fit(Line(), Steps(), CONFIG, tmp_path / "whole", validate=slope)
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert whole.best == seen[-1][1] == max(value for _, value in seen)

    def stop(epoch, value):
        raise RuntimeError(f"stopped at {epoch}")

    with pytest.raises(RuntimeError, match="stopped at 1"), watching(Watch(tmp_path / "parts", stop)):
        fit(Line(), Steps(), CONFIG, tmp_path / "parts", validate=slope)
    rest = []
    with watching(parts := Watch(tmp_path / "parts", lambda *point: rest.append(point))):
        fit(Line(), Steps(), CONFIG, tmp_path / "parts", validate=slope)
    assert rest == seen[1:]
    assert parts.best == whole.best
    with watching(done := Watch(tmp_path / "parts", stop)):  # nothing is left to train
        fit(Line(), Steps(), CONFIG, tmp_path / "parts", validate=slope)
    assert done.best == whole.best


def test_epochs_of_several_trainings_of_one_run_are_counted_together(tmp_path):
    seen = []
    with watching(Watch(tmp_path, lambda epoch, value: seen.append(epoch))):
        for name in ("1", "2"):
            fit(Line(), Steps(), CONFIG, tmp_path / "rounds" / name, validate=slope)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_a_training_that_validates_nothing_is_refused_before_it_trains(tmp_path):
    line = Line()
    with (
        pytest.raises(InputError, match="validates nothing"),
        watching(Watch(tmp_path, lambda *_: None)),
    ):
        fit(line, Steps(), CONFIG, tmp_path)
    assert line.slope.item() == 0.0
