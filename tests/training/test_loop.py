"""The training loop: exact resume, accumulation, early stopping, and what it refuses."""

import itertools
import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from recsys_bert.errors import InputError
from recsys_bert.training.checkpoints import latest_first
from recsys_bert.training.loop import fit
from recsys_bert.training.run_folder import run_folder


class Killed(Exception):
    """Stands for a process that ends in the middle."""


def stop_at(step):
    def before_step(number):
        if number == step:
            raise Killed

    return before_step


def same_weights(model, other):
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())


def table_sum(model):
    return {"figure": float(model.table.weight.sum())}


@pytest.mark.slow
@pytest.mark.parametrize(("accumulate", "steps"), [(1, 21), (2, 12), (3, 9)])
def test_a_run_killed_at_some_step_goes_on_to_the_same_numbers(
    toy, batches, settings, curve, tmp_path, accumulate, steps
):
    config = settings(
        accumulate=accumulate, schedule={"name": "cosine", "warmup_steps": 2}, optimiser={"weight_decay": 0.1}
    )
    whole = toy()
    summary = fit(whole, batches(), config, tmp_path / "whole", validate=table_sum)
    assert summary.steps == steps
    for step in range(0, steps, 3):
        run, model = tmp_path / f"killed-{step}", toy()
        with pytest.raises(Killed):
            fit(model, batches(), config, run, validate=table_sum, before_step=stop_at(step))
        resumed = toy()
        if latest_first(run):
            torch.manual_seed(99)  # a new process knows nothing of the old one's chance
        again = fit(resumed, batches(), config, run, validate=table_sum)
        assert same_weights(resumed, whole)
        assert curve(run) == curve(tmp_path / "whole")
        assert (again.best, again.best_epoch) == (summary.best, summary.best_epoch)


def test_a_run_killed_between_two_batches_of_one_step_goes_on(toy, batches, settings, curve, tmp_path):
    config = settings(accumulate=2, checkpoint_steps=1)
    whole = toy()
    fit(whole, batches(), config, tmp_path / "whole")

    class Breaking(batches):
        def __call__(self, epoch, first_step=0, rank=0, world=1):
            for step, batch in enumerate(super().__call__(epoch, first_step), start=first_step):
                if (epoch, step) == (1, 3):
                    raise Killed
                yield batch

    with pytest.raises(Killed):
        fit(toy(), Breaking(), config, tmp_path / "run")
    resumed = toy()
    fit(resumed, batches(), config, tmp_path / "run")
    assert same_weights(resumed, whole)
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")


@pytest.mark.parametrize("log_steps", [1, 3, 100])
def test_a_run_killed_while_it_validates_writes_no_line_twice(toy, batches, settings, curve, tmp_path, log_steps):
    config = settings(checkpoint_steps=7, log_steps=log_steps)  # the epoch's last step has a checkpoint of its own
    whole = toy()
    fit(whole, batches(), config, tmp_path / "whole", validate=table_sum)
    calls = []

    def dying(model):
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return table_sum(model)

    with pytest.raises(Killed):
        fit(toy(), batches(), config, tmp_path / "run", validate=dying)
    resumed = toy()
    fit(resumed, batches(), config, tmp_path / "run", validate=table_sum)
    assert same_weights(resumed, whole)
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")


def test_half_a_line_in_the_log_is_dropped_on_resume(toy, batches, settings, curve, tmp_path):
    fit(toy(), batches(), settings(), tmp_path / "whole")
    with pytest.raises(Killed):
        fit(toy(), batches(), settings(), tmp_path / "run", before_step=stop_at(10))
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"step": 9, "epo')
    fit(toy(), batches(), settings(), tmp_path / "run")
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")


def test_ctrl_c_finishes_the_step_writes_a_checkpoint_and_can_go_on(toy, batches, settings, curve, tmp_path):
    config = settings(checkpoint_steps=1000)
    whole, run = toy(), tmp_path / "run"
    fit(whole, batches(), config, tmp_path / "whole")
    before = signal.getsignal(signal.SIGINT)

    def interrupt(step):
        if step == 9:
            os.kill(os.getpid(), signal.SIGINT)

    (run / "checkpoints" / ".step-4.0123abcd.tmp").mkdir(parents=True)  # a killed process's
    with pytest.raises(KeyboardInterrupt):
        fit(toy(), batches(), config, run, before_step=interrupt)
    assert [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")] == []
    assert signal.getsignal(signal.SIGINT) is before
    assert [folder.name for folder in latest_first(run)] == ["step-10"]
    resumed = toy()
    fit(resumed, batches(), config, run)
    assert same_weights(resumed, whole)
    assert curve(run) == curve(tmp_path / "whole")


def test_ctrl_c_in_the_last_validation_is_not_lost(toy, batches, settings, tmp_path):
    def interrupted(model):
        os.kill(os.getpid(), signal.SIGINT)
        return table_sum(model)

    with pytest.raises(KeyboardInterrupt):
        fit(toy(), batches(), settings(epochs=1), tmp_path, validate=interrupted)
    assert fit(toy(), batches(), settings(epochs=1), tmp_path, validate=table_sum).epochs == 1


def test_early_stopping_puts_the_best_weights_back(toy, batches, settings, tmp_path):
    metrics, weights = iter([0.1, 0.3, 0.2, 0.3, 0.9]), []

    def validate(model):
        weights.append({name: value.clone() for name, value in model.state_dict().items()})
        return {"figure": next(metrics)}

    model = toy()
    summary = fit(model, batches(), settings(epochs=9, patience=2), tmp_path, validate=validate)
    assert (summary.epochs, summary.best_epoch, summary.best) == (4, 2, 0.3)  # an equal figure is no improvement
    assert all(torch.equal(value, weights[1][name]) for name, value in model.state_dict().items())
    assert not model.training
    again = toy()
    assert fit(again, batches(), settings(epochs=9, patience=2), tmp_path, validate=validate).steps == summary.steps
    assert same_weights(again, model)  # a finished run trains no further


def test_without_validation_the_last_weights_stay(toy, batches, settings, tmp_path):
    model = toy()
    summary = fit(model, batches(), settings(), tmp_path)
    assert (summary.best, summary.best_epoch, summary.epochs) == (None, 3, 3)
    saved = load_file(latest_first(tmp_path)[0] / "model.safetensors")
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_accumulated_batches_weigh_by_their_targets(toy, settings, tmp_path):
    """Batches of 2, 5 and 1 targets in one step give the gradient of one batch of 8."""
    torch.manual_seed(1)
    x, y = torch.randint(12, (8,)), torch.randint(5, (8,))

    class Parts:
        def __init__(self, *borders):
            self.parts = list(itertools.pairwise(borders))
            self.steps = len(self.parts)

        def __call__(self, epoch, first_step=0, rank=0, world=1):
            for start, stop in self.parts[first_step:]:
                yield {"x": x[start:stop], "y": y[start:stop], "n_targets": stop - start}

    def gradients(parts, folder):
        model, seen = toy(dropout=0.0), {}
        for name, parameter in model.named_parameters():
            parameter.register_post_accumulate_grad_hook(lambda p, name=name: seen.update({name: p.grad.clone()}))
        fit(model, parts, settings(epochs=1, accumulate=3, optimiser={"clip_norm": 0.0}), folder)
        return seen

    parts, whole = gradients(Parts(0, 2, 7, 8), tmp_path / "parts"), gradients(Parts(0, 8), tmp_path / "whole")
    assert set(parts) == set(whole) == {"table.weight", "linear.weight", "linear.bias"}
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient)


def test_logged_losses_are_means_over_targets(toy, batches, settings, curve, tmp_path):
    model, losses = toy(dropout=0.0), []
    forward = model.forward

    def noting(batch):
        loss = forward(batch)
        losses.append((loss.item(), len(batch["y"])))
        return loss

    model.forward = noting
    fit(model, batches(), settings(epochs=1, log_steps=4), tmp_path)
    parts = losses[:4], losses[4:]
    expected = [sum(loss * n for loss, n in part) / sum(n for _, n in part) for part in parts]
    assert [line["loss"] for line in curve(tmp_path)] == pytest.approx(expected)
    assert [line["steps"] for line in curve(tmp_path)] == [4, 3]


@pytest.mark.parametrize(("log_steps", "steps"), [(5, [5, 5, 5, 5, 1]), (100, [7, 7, 7])])
def test_logged_losses_average_equally_many_steps(toy, batches, settings, curve, tmp_path, log_steps, steps):
    """Across the ends of epochs, which have 7 steps; a shorter mean at an epoch's end would jump."""
    fit(toy(), batches(), settings(log_steps=log_steps), tmp_path)
    assert [line["steps"] for line in curve(tmp_path)] == steps


@pytest.mark.parametrize("changes", [{}, {"averaging": {"method": "ema"}}, {"log_steps": 5, "accumulate": 2}])
def test_a_finished_run_takes_more_epochs(toy, batches, settings, curve, tmp_path, changes):
    whole, more = toy(), toy()
    summary = fit(whole, batches(), settings(epochs=4, **changes), tmp_path / "whole", validate=table_sum)
    fit(toy(), batches(), settings(epochs=2, **changes), tmp_path / "run", validate=table_sum)
    torch.manual_seed(99)
    again = fit(more, batches(), settings(epochs=4, **changes), tmp_path / "run", validate=table_sum)
    assert same_weights(more, whole)
    assert (again.steps, again.epochs, again.best) == (summary.steps, 4, summary.best)
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")


def test_more_epochs_stretch_a_falling_schedule(toy, batches, settings, curve, tmp_path):
    for epochs in (1, 2):
        fit(toy(), batches((1, 1)), settings(epochs=epochs, schedule={"name": "linear"}, lr=0.1, log_steps=1), tmp_path)
    assert [line["lr"] for line in curve(tmp_path)] == pytest.approx([0.1, 0.05, 0.05, 0.025])


def test_every_validation_is_shown(toy, batches, settings, tmp_path, capsys):
    metrics = iter([0.1, 0.3, 0.2])
    fit(toy(), batches(), settings(), tmp_path, validate=lambda _: {"figure": next(metrics)})
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" · ")[1] for line in lines] == [
        "validation figure 0.1000 (best)",
        "validation figure 0.3000 (best)",
        "validation figure 0.2000",
    ]
    assert all(line.startswith(f"epoch {epoch}: loss ") for epoch, line in enumerate(lines, 1))


def test_groups_have_learning_rates_of_their_own(toy, batches, settings, tmp_path):
    model, start = toy(), toy()
    groups = [{"params": list(model.table.parameters()), "lr": 1e-4}]
    config = settings(epochs=1, lr=0.1, optimiser={"weight_decay": 0.0, "clip_norm": 0.0})
    fit(model, batches((8,)), config, tmp_path, groups=groups)  # one step of Adam moves by its rate
    moved = {name: (value - start.state_dict()[name]).abs().max().item() for name, value in model.state_dict().items()}
    assert moved == pytest.approx({"table.weight": 1e-4, "linear.weight": 0.1, "linear.bias": 0.1}, rel=1e-3)


def test_decay_spares_tables_and_biases(toy, batches, settings, tmp_path):
    model, start = toy(), toy().state_dict()
    model.forward = lambda batch: 0.0 * sum(parameter.sum() for parameter in model.parameters())
    fit(model, batches((8, 8)), settings(epochs=1, lr=0.1, optimiser={"weight_decay": 0.5}), tmp_path)
    torch.testing.assert_close(model.linear.weight, start["linear.weight"] * 0.95**2)
    assert torch.equal(model.table.weight, start["table.weight"])
    assert torch.equal(model.linear.bias, start["linear.bias"])


def test_the_rate_follows_the_schedule(toy, batches, settings, curve, tmp_path):
    config = settings(epochs=2, lr=0.1, schedule={"name": "linear", "warmup_steps": 2}, accumulate=2, log_steps=1)
    fit(toy(), batches((1, 1, 1, 1, 1)), config, tmp_path)  # 3 steps an epoch
    assert [line["lr"] for line in curve(tmp_path)] == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.05, 0.025])


def test_bf16_trains(toy, batches, settings, curve, tmp_path):
    fit(toy(), batches(), settings(precision="bf16"), tmp_path)
    exact = tmp_path / "exact"
    fit(toy(), batches(), settings(), exact)
    losses = [[line["loss"] for line in curve(run)] for run in (tmp_path, exact)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


@pytest.mark.parametrize("log_steps", [1, 1000])
def test_a_loss_that_is_no_number_stops_before_it_spoils_a_checkpoint(toy, batches, settings, tmp_path, log_steps):
    model = toy()
    forward, steps = model.forward, []

    def breaking(batch):
        steps.append(1)
        return forward(batch) * (float("nan") if len(steps) > 4 else 1.0)

    model.forward = breaking
    with pytest.raises(InputError, match="the loss is nan at step") as error:
        fit(model, batches(), settings(log_steps=log_steps, checkpoint_steps=1), tmp_path)
    (folder,) = latest_first(tmp_path)
    assert f"The last finite weights are in {folder}." in str(error.value)
    assert "fp32" not in str(error.value)  # as it is trained already
    saved = load_file(folder / "model.safetensors")
    assert all(value.isfinite().all() for value in saved.values())


@pytest.mark.parametrize("temporary", [False, True])
def test_no_checkpoint_is_named_that_does_not_exist(toy, batches, settings, tmp_path, temporary):
    model = toy()
    forward = model.forward
    model.forward = lambda batch: forward(batch) * float("inf")
    with run_folder(None if temporary else tmp_path) as folder:
        with pytest.raises(InputError) as error:
            fit(model, batches(), settings(precision="bf16"), folder)
        assert str(folder) not in str(error.value)
    message = "Nothing is kept of the run." if temporary else "No checkpoint was written before that."
    assert str(error.value).endswith(f"Lower train.lr or train with train.precision = 'fp32'. {message}")


@pytest.mark.parametrize("name", ["training.pt", "model.safetensors"])
def test_a_damaged_checkpoint_is_refused(toy, batches, settings, tmp_path, name):
    fit(toy(), batches(), settings(), tmp_path)
    path = latest_first(tmp_path)[0] / name
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=f"{name}.*damaged"):
        fit(toy(), batches(), settings(epochs=5), tmp_path)


@pytest.mark.parametrize(("monitor", "best"), [("auc", 2), ("log_loss", 3), ("buy.calibration_error", 3)])
def test_the_best_epoch_is_that_of_the_highest_value_or_the_lowest_loss(
    toy, batches, settings, tmp_path, monitor, best
):
    values = iter([0.5, 0.9, 0.1, 0.6])
    config = settings(epochs=4, monitor=monitor)
    assert fit(toy(), batches(), config, tmp_path, validate=lambda _: {monitor: next(values)}).best_epoch == best


def test_a_metric_that_is_missing_cannot_be_monitored(toy, batches, settings, tmp_path):
    with pytest.raises(InputError, match=r"train\.monitor is 'auc'; this training validates figure"):
        fit(toy(), batches(), settings(monitor="auc"), tmp_path, validate=table_sum)
