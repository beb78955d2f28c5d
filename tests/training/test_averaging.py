"""Averages of weights: against plain sums, across a kill, and with batch norm."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from recsys_bert.errors import InputError
from recsys_bert.training.averaging import WeightAverage, recompute_batch_norm
from recsys_bert.training.checkpoints import latest_first
from recsys_bert.training.loop import fit


class Killed(Exception):
    """Stands for a process that ends in the middle."""


def copied(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def trained(toy, batches, config, run, **options):
    """Train; return the model and the raw weights after every step."""
    model, passed = toy(), []
    optimiser_step = torch.optim.AdamW.step

    def noting(self, *args, **kwargs):
        result = optimiser_step(self, *args, **kwargs)
        passed.append(copied(model))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", noting)
        fit(model, batches(), config, run, **options)
    return model, passed


def test_swa_is_the_mean_of_the_epochs_ends(toy, batches, settings, tmp_path):
    model, passed = trained(toy, batches, settings(averaging={"method": "swa", "first_epoch": 2}, epochs=4), tmp_path)
    ends = [passed[7 * epoch - 1] for epoch in (2, 3, 4)]  # 7 steps an epoch
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, torch.stack([weights[name] for weights in ends]).mean(0))


def test_swa_takes_every_nth_step_if_set(toy, batches, settings, tmp_path):
    model, passed = trained(
        toy, batches, settings(averaging={"method": "swa", "every_steps": 3, "first_epoch": 2}), tmp_path
    )
    averaged = [passed[step - 1] for step in (9, 12, 15, 18, 21)]
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, torch.stack([weights[name] for weights in averaged]).mean(0))


@pytest.mark.parametrize(("decay", "first"), [(0.9, 1), (0.3, 2)])
def test_ema_follows_its_formula(toy, batches, settings, tmp_path, decay, first):
    config = settings(averaging={"method": "ema", "decay": decay, "first_epoch": first}, accumulate=2)
    model, passed = trained(toy, batches, config, tmp_path)
    passed = passed[4 * (first - 1) :]  # 7 batches are 4 steps
    for name, value in model.state_dict().items():
        expected = passed[0][name].double()
        for t, weights in enumerate(passed[1:], start=1):
            share = min(decay, (1 + t) / (10 + t))
            expected = share * expected + (1 - share) * weights[name].double()
        torch.testing.assert_close(value, expected.float())


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_averaging_leaves_the_training_as_it_is(toy, batches, settings, curve, tmp_path, average):
    plain = trained(toy, batches, settings(), tmp_path / "plain")[1]
    raw = trained(
        toy, batches, settings(averaging={"method": average}), tmp_path / "run", validate=lambda _: {"figure": 1.0}
    )[1]
    assert all(torch.equal(raw[i][name], value) for i, weights in enumerate(plain) for name, value in weights.items())
    losses = [[line for line in curve(tmp_path / run) if "loss" in line] for run in ("plain", "run")]
    assert losses[0] == losses[1]


def test_validation_the_best_and_the_last_weights_are_the_average(toy, batches, settings, tmp_path):
    seen, metrics = [], iter([1.0, 3.0, 2.0])

    def validate(model):
        seen.append(copied(model))
        return {"figure": next(metrics)}

    config = settings(averaging={"method": "swa", "first_epoch": 2})
    model, passed = trained(toy, batches, config, tmp_path, validate=validate)
    best = load_file(tmp_path / "checkpoints" / "best.safetensors")
    raw = load_file(latest_first(tmp_path)[0] / "model.safetensors")
    for name, value in model.state_dict().items():
        assert torch.equal(seen[0][name], passed[6][name])  # nothing to average yet
        assert torch.equal(seen[1][name], passed[13][name])
        torch.testing.assert_close(seen[2][name], (passed[13][name] + passed[20][name]) / 2)
        assert torch.equal(value, seen[1][name])
        assert torch.equal(best[name], seen[1][name])
        assert torch.equal(raw[name], passed[20][name])


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"averaging": {"method": "ema"}},
        {"averaging": {"method": "swa", "first_epoch": 2}},
        {"averaging": {"method": "swa", "every_steps": 2}},
    ],
    ids=["ema", "swa", "swa-steps"],
)
@pytest.mark.parametrize("validated", [True, False])
def test_a_killed_run_goes_on_to_the_same_average(toy, batches, settings, curve, tmp_path, changes, validated):
    config = settings(**changes)
    validate = (lambda model: {"figure": float(model.table.weight.sum())}) if validated else None
    whole = toy()
    fit(whole, batches(), config, tmp_path / "whole", validate=validate)
    for step in (4, 9, 14, 17):
        run = tmp_path / f"killed-{step}"

        def stop(number, step=step):
            if number == step:
                raise Killed

        with pytest.raises(Killed):
            fit(toy(), batches(), config, run, validate=validate, before_step=stop)
        torch.manual_seed(99)
        resumed = toy()
        fit(resumed, batches(), config, run, validate=validate)
        assert all(torch.equal(value, copied(whole)[name]) for name, value in resumed.state_dict().items())
        assert curve(run) == curve(tmp_path / "whole")
        again = toy()
        fit(again, batches(), config, run, validate=validate)  # nothing is left to train
        assert all(torch.equal(value, copied(whole)[name]) for name, value in again.state_dict().items())


def test_a_failing_validation_gives_the_weights_back(toy, settings):
    model = toy()
    average = WeightAverage(model, settings(averaging={"method": "ema"}))
    average.after_step(1, 1)
    with torch.no_grad():
        model.linear.weight.add_(1.0)
    before = copied(model)
    with pytest.raises(Killed), average.in_place([]):
        assert not torch.equal(model.linear.weight, before["linear.weight"])
        raise Killed
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Normed(nn.Module):
    """Batch norm and dropout behind a map."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.dropout, self.norm = nn.Linear(3, 4), nn.Dropout(0.5), nn.BatchNorm1d(4, momentum=0.1)

    def forward(self, batch):
        return self.norm(self.dropout(self.linear(batch["x"])))


def test_batch_norm_gets_the_statistics_of_the_average_and_then_its_own_back(settings):
    model = Normed().train()
    data = [{"x": torch.randn(8, 3) + 2} for _ in range(5)]
    average = WeightAverage(model, settings(averaging={"method": "swa"}))
    average.after_epoch(1)
    first = copied(model)
    for batch in data:
        model(batch)
    with torch.no_grad():
        model.linear.weight.mul_(3.0)
    before = copied(model)
    average.after_epoch(2)
    with average.in_place(iter(data)):
        mapped = [torch.addmm(first["linear.bias"], batch["x"], 2 * first["linear.weight"].T) for batch in data]
        torch.testing.assert_close(model.norm.running_mean, sum(part.mean(0) for part in mapped) / 5)
        torch.testing.assert_close(model.norm.running_var, sum(part.var(0) for part in mapped) / 5)
        assert model.training
        assert model.norm.momentum == 0.1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_without_batch_norm_no_batch_is_read(toy):
    def never():
        raise Killed
        yield

    recompute_batch_norm(toy(), never())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"averaging": {"method": "swa", "first_epoch": 3}}, r"one set of weights to average: that of epoch 3"),
        ({"averaging": {"method": "swa", "first_epoch": 4}}, r"first_epoch is 4; it must be one of epochs 1 to 3"),
        ({"averaging": {"method": "ema", "decay": 1.0}}, r"decay is 1\.0; it must lie in \[0, 1\)"),
        ({"averaging": {"every_steps": -1}}, "every_steps is -1; it cannot be negative"),
        ({"averaging": {"decay": 0.9}}, r"decay is 0\.9, which train\.averaging\.method 'none' does not use"),
        ({"averaging": {"method": "swa", "decay": 0.9}}, r"decay is 0\.9, which .* 'swa' does not use"),
        ({"averaging": {"method": "ema", "every_steps": 2}}, r"every_steps is 2, which .* 'ema' does not use"),
    ],
)
def test_settings_that_cannot_be(settings, changes, message):
    with pytest.raises(InputError, match=message):
        settings(**changes)
