"""Learning rates by layer: against a small encoder counted by hand."""

import pytest
import torch
from torch import nn

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.training.adversarial import check_table
from recsys_bert.training.config import OptimiserConfig, TrainConfig
from recsys_bert.training.parameter_groups import parameter_groups


def rates(model, groups):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rows = [(names[id(p)], group["lr"], group["weight_decay"]) for group in groups for p in group["params"]]
    assert len(rows) == len(names)
    assert all(group["lr"] == group["initial_lr"] for group in groups)
    return {name: (lr, decay) for name, lr, decay in rows}


def built(**settings):
    encoder = Encoder(EncoderConfig(vocab_size=9, dim=8, n_layers=3, fusion="scalar_mix", neck="bigru", **settings))
    return nn.ModuleDict({"encoder": encoder, "head": nn.Linear(8, 2)})


def test_each_layer_learns_more_slowly_than_the_one_above():
    model = built()
    rate = rates(
        model,
        parameter_groups(model, TrainConfig(lr=0.1, optimiser=OptimiserConfig(layer_decay=0.5, weight_decay=0.01)), []),
    )
    expected = {"embeddings": 0.1 / 16, "layers.0": 0.1 / 8, "layers.1": 0.1 / 4, "layers.2": 0.1 / 2}
    for name, (lr, decay) in rate.items():
        below = [rate for part, rate in expected.items() if name.startswith(f"encoder.{part}.")]
        assert lr == pytest.approx(below[0] if below else 0.1), name
        matrix = dict(model.named_parameters())[name].ndim >= 2 and "embeddings" not in name
        assert decay == (0.01 if matrix else 0.0), name
    full = {name for name, (lr, _) in rate.items() if lr == 0.1}
    assert all(any(name.startswith(part) for name in full) for part in ("encoder.fusion", "encoder.neck", "head"))


def test_it_multiplies_the_rate_of_a_group_of_its_own():
    model = built()
    groups = [{"params": list(model["encoder"].parameters()), "lr": 0.01}]
    rate = rates(
        model, parameter_groups(model, TrainConfig(lr=0.1, optimiser=OptimiserConfig(layer_decay=0.5)), groups)
    )
    assert rate["encoder.embeddings.token.weight"][0] == pytest.approx(0.01 / 16)
    highest = {lr for name, (lr, _) in rate.items() if name.startswith("encoder.layers.2.")}
    assert highest == {0.01 / 2}
    assert rate["head.weight"][0] == 0.1


def test_shared_layers_count_as_the_highest():
    model = built(share_layers=True)
    rate = rates(model, parameter_groups(model, TrainConfig(lr=0.1, optimiser=OptimiserConfig(layer_decay=0.5)), []))
    assert {lr for name, (lr, _) in rate.items() if ".layers." in name} == {0.05}
    assert rate["encoder.embeddings.token.weight"][0] == pytest.approx(0.1 / 16)


def test_the_last_group_has_the_full_rate_and_without_decay_there_are_two():
    """The log shows the last group's."""
    model = built()
    assert parameter_groups(model, TrainConfig(lr=0.1, optimiser=OptimiserConfig(layer_decay=0.5)), [])[-1]["lr"] == 0.1
    assert len(parameter_groups(model, TrainConfig(), [])) == 2


def test_one_step_of_adam_moves_each_layer_by_its_rate():
    torch.manual_seed(0)
    model = built()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimiser = torch.optim.AdamW(
        parameter_groups(model, TrainConfig(lr=0.01, optimiser=OptimiserConfig(layer_decay=0.5)), [])
    )
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    moved = {name: (value - before[name]).abs().max().item() for name, value in model.named_parameters()}
    assert moved["encoder.embeddings.token.weight"] == pytest.approx(0.01 / 16, rel=1e-3)
    assert moved["head.weight"] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("decay", [0.0, 1.1])
def test_a_factor_outside_its_range_is_refused(decay):
    with pytest.raises(InputError, match=r"layer_decay is .*; it must lie in \(0, 1\]"):
        TrainConfig(optimiser=OptimiserConfig(layer_decay=decay))


def test_layer_decay_without_trained_layers_is_refused():
    config, model = TrainConfig(optimiser=OptimiserConfig(layer_decay=0.5)), built()
    check_table(model, config)
    model["encoder"].requires_grad_(False)
    with pytest.raises(InputError, match=r"layer_decay is 0\.5, but this model trains no encoder layers"):
        check_table(model, config)
