"""FGM and PGD against plain loops over their formulas."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from recsys_bert.errors import InputError
from recsys_bert.training.adversarial import Attack, find_table
from recsys_bert.training.loop import fit

TABLE = {"table": "table"}


class Killed(Exception):
    """Stands for a process that ends in the middle."""


def data(n=8):
    torch.manual_seed(1)
    return torch.randint(12, (n,)), torch.randint(5, (n,))


def gradients(model, x, y, table=None):
    """Gradients of the loss by every parameter, with another table where one is given."""
    values = {name: value.detach().clone() for name, value in model.named_parameters()}
    if table is not None:
        values["table.weight"] = table
    for value in values.values():
        value.requires_grad_(True)
    hidden = F.embedding(x, values["table.weight"])
    loss = F.cross_entropy(hidden @ values["linear.weight"].T + values["linear.bias"], y)
    return dict(zip(values, torch.autograd.grad(loss, list(values.values())), strict=True))


def fgm(model, x, y, radius):
    clean = gradients(model, x, y)
    g = clean["table.weight"]
    moved = gradients(model, x, y, model.table.weight.detach() + radius * g / g.norm())
    return {name: clean[name] + moved[name] for name in clean}


def pgd(model, x, y, radius, length, moves):
    clean, r = gradients(model, x, y), torch.zeros_like(model.table.weight)
    perturbed = clean
    for _ in range(moves):
        g = perturbed["table.weight"]
        r = r + length * g / g.norm()
        r = radius * r / r.norm() if r.norm() > radius else r
        perturbed = gradients(model, x, y, model.table.weight.detach() + r)
    return {name: clean[name] + perturbed[name] for name in clean}


def attacked(model, config, x, y):
    """Gradients after an attack outside the loop."""

    def backward():
        model({"x": x, "y": y}).backward()

    attack = Attack(model, config)
    backward()
    attack(backward)
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("radius", [0.1, 2.0])
def test_fgm_is_its_formula(toy, settings, radius):
    model, (x, y) = toy(dropout=0.0), data()
    before = model.table.weight.detach().clone()
    result = attacked(model, settings(adversarial={"method": "fgm", "epsilon": radius, **TABLE}), x, y)
    torch.testing.assert_close(result, fgm(toy(dropout=0.0), x, y, radius))
    assert torch.equal(model.table.weight, before)


@pytest.mark.parametrize(("radius", "length", "moves"), [(1.0, 0.3, 3), (0.5, 0.4, 4), (0.2, 1.0, 1)])
def test_pgd_is_its_formula_inside_the_ball_and_on_its_edge(toy, settings, radius, length, moves):
    model, (x, y) = toy(dropout=0.0), data()
    before = model.table.weight.detach().clone()
    config = settings(adversarial={"method": "pgd", "epsilon": radius, "step_size": length, "steps": moves, **TABLE})
    result = attacked(model, config, x, y)
    torch.testing.assert_close(result, pgd(toy(dropout=0.0), x, y, radius, length, moves))
    assert torch.equal(model.table.weight, before)


class Parts:
    """The eight examples in parts of the given borders."""

    def __init__(self, *borders):
        self.parts = list(itertools.pairwise(borders))
        self.steps = len(self.parts)

    def __call__(self, epoch, first_step=0, rank=0, world=1):
        x, y = data()
        for start, stop in self.parts[first_step:]:
            yield {"x": x[start:stop], "y": y[start:stop], "n_targets": stop - start}


@pytest.mark.parametrize("kind", ["fgm", "pgd"])
@pytest.mark.parametrize("borders", [(0, 8), (0, 2, 7, 8)], ids=["one batch", "accumulated"])
def test_the_loop_steps_along_the_formulas_gradient(toy, settings, tmp_path, kind, borders):
    config = settings(epochs=1, accumulate=3, optimiser={"clip_norm": 0.0}, adversarial={"method": kind, **TABLE})
    model, start = toy(dropout=0.0), toy(dropout=0.0)
    expected = fgm(start, *data(), 1.0) if kind == "fgm" else pgd(start, *data(), 1.0, 0.3, 3)
    optimiser = torch.optim.AdamW(start.parameters(), lr=config.lr, weight_decay=0.0)
    for name, parameter in start.named_parameters():
        parameter.grad = expected[name]
    seen = {}

    def noting(self, *args, **kwargs):
        seen.update({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
        return step(self, *args, **kwargs)

    step = torch.optim.AdamW.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", noting)
        fit(model, Parts(*borders), config, tmp_path)
    torch.testing.assert_close(seen, expected)
    optimiser.step()
    torch.testing.assert_close(model.state_dict(), start.state_dict(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["fgm", "pgd"])
def test_an_attack_under_bf16_stays_near_the_exact_one(toy, settings, kind):
    x, y = data()
    config = settings(adversarial={"method": kind, **TABLE})
    exact = attacked(toy(dropout=0.0), config, x, y)
    with torch.autocast("cpu", torch.bfloat16):
        rough = attacked(toy(dropout=0.0), config, x, y)
    assert all(gradient.dtype == torch.float32 for gradient in rough.values())
    torch.testing.assert_close(rough, exact, atol=0.02, rtol=0.05)


@pytest.mark.parametrize("kind", ["fgm", "pgd"])
@pytest.mark.parametrize("factor", [0.0, float("nan")])
def test_a_gradient_that_points_nowhere_moves_nothing(toy, settings, kind, factor):
    model, (x, y), runs = toy(), data(), []
    before = model.table.weight.detach().clone()

    def backward():
        runs.append(1)
        (model({"x": x, "y": y}) * factor).backward()

    backward()
    Attack(model, settings(adversarial={"method": kind, **TABLE}))(backward)
    assert runs == [1]
    assert torch.equal(model.table.weight, before)


def test_an_attack_that_fails_puts_the_table_back(toy, settings):
    model, (x, y) = toy(), data()
    before = model.table.weight.detach().clone()

    def failing():
        assert not torch.equal(model.table.weight, before)
        raise Killed

    model({"x": x, "y": y}).backward()
    with pytest.raises(Killed):
        Attack(model, settings(adversarial={"method": "pgd", **TABLE}))(failing)
    assert torch.equal(model.table.weight, before)


@pytest.mark.parametrize("kind", ["fgm", "pgd"])
def test_a_killed_run_goes_on_to_the_same_numbers(toy, batches, settings, curve, tmp_path, kind):
    config = settings(adversarial={"method": kind, **TABLE}, accumulate=2)
    whole = toy()
    fit(whole, batches(), config, tmp_path / "whole")

    def stop(number):
        if number == 7:
            raise Killed

    with pytest.raises(Killed):
        fit(toy(), batches(), config, tmp_path / "run", before_step=stop)
    torch.manual_seed(99)
    resumed = toy()
    fit(resumed, batches(), config, tmp_path / "run")
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in resumed.state_dict().items())
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")


def test_tables_are_matched_by_the_end_of_their_name(toy):
    model = nn.ModuleDict({"left": toy(), "right": nn.ModuleDict({"table": nn.EmbeddingBag(3, 2)})})
    assert find_table(model, "left.table") is model["left"].table.weight
    assert find_table(model, "right.table") is model["right"]["table"].weight
    with pytest.raises(InputError, match=r"'table' fits several tables: left\.table, right\.table"):
        find_table(model, "table")
    with pytest.raises(
        InputError, match=r"'able' is no embedding table here; this model has left\.table, right\.table"
    ):
        find_table(model, "able")
    model["left"].table.weight.requires_grad_(False)
    with pytest.raises(InputError, match=r"'left\.table' is frozen"):
        find_table(model, "left.table")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adversarial": {"epsilon": 0.0}}, r"epsilon is 0\.0; it must be above 0"),
        ({"adversarial": {"step_size": -1.0}}, r"step_size is -1\.0; it must be above 0"),
        ({"adversarial": {"steps": 0}}, "steps is 0; it must be at least 1"),
        ({"adversarial": {"epsilon": 0.3}}, r"epsilon is 0\.3, which train\.adversarial\.method 'none' does not use"),
        ({"adversarial": {"method": "fgm", "steps": 2}}, "steps is 2, which .* 'fgm' does not use. Leave it out"),
    ],
)
def test_settings_that_cannot_be(settings, changes, message):
    with pytest.raises(InputError, match=message):
        settings(**changes)
