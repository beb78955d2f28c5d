"""Every entry of MULTI_TASK keeps the contract of a multi-task part."""

import pytest
import torch
from torch import nn

from recsys_bert.ctr.heads import CTR_HEADS
from recsys_bert.ctr.history import PlainItems
from recsys_bert.ctr.layout import Field, Layout
from recsys_bert.ctr.model import CTRLoss, CTRModule
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.ctr.multi_task import MULTI_TASK
from recsys_bert.encoder.parts import build, find
from recsys_bert.encoder.weights import load_weights
from recsys_bert.errors import InputError
from recsys_bert.training.checkpoints import save_weights

BATCH, N_TASKS, DIM = 6, 3, 8
LAYOUT = Layout((Field("c", "categorical", 5), Field("d", "categorical", 4)))
OUTSIDE = """
from torch import nn

class OneLinear(nn.Module):
    def __init__(self, n_tasks, dim, *, bias: bool = True):
        super().__init__()
        self.out = nn.Linear(dim, n_tasks, bias=bias)

    def forward(self, x):
        return self.out(x)
"""


@pytest.fixture(params=sorted(MULTI_TASK))
def name(request):
    return request.param


@pytest.fixture
def part(name):
    torch.manual_seed(0)
    return build("multi-task part", name, MULTI_TASK, N_TASKS, DIM, options={})


@pytest.fixture
def x():
    return torch.randn(BATCH, DIM, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def batch():
    return {
        "ids": torch.tensor([[1, 6], [2, 7], [3, 8], [4, 9], [5, 6], [1, 9]], dtype=torch.int32),
        "numbers": torch.zeros(BATCH, 0),
        "history": torch.tensor([[3, 4], [5, 0], [0, 0], [6, 3], [4, 0], [5, 6]], dtype=torch.int32),
        "target": torch.tensor([3, 4, 5, 6, 3, 4], dtype=torch.int32),
        "label": torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 1], [0, 0, 0], [1, 1, 1]], dtype=torch.float32),
    }


def _model(name, head="mlp", **settings):
    torch.manual_seed(2)
    config = CTRModelConfig(multi_task=name, head=head, dim=4, init_std=0.5, **settings)
    return CTRModule(LAYOUT, config, PlainItems(8, 4, 0.5), N_TASKS)


def test_logits_are_one_number_a_task(part, x):
    logits = part(x)
    assert logits.shape == (BATCH, N_TASKS)
    assert torch.isfinite(logits).all()
    assert len({round(value, 5) for value in logits[0].tolist()}) == N_TASKS


def test_every_parameter_and_the_input_get_a_gradient(part, x):
    part(x.requires_grad_()).square().sum().backward()
    idle = [key for key, value in part.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert not idle
    assert (x.grad.abs().sum(1) > 0).all()


def test_evaluation_is_deterministic_and_row_by_row(part, x):
    part.eval()
    alone = torch.cat([part(x[row : row + 1]) for row in range(BATCH)])
    torch.testing.assert_close(alone, part(x))


def test_extreme_inputs_give_finite_logits_and_gradients(part, x):
    large = (x * 1e4).requires_grad_()
    logits = part(large)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert torch.isfinite(large.grad).all()


def test_bf16_autocast_runs_and_is_close(part, x):
    part.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = part(x)
    torch.testing.assert_close(rough.float(), part(x), atol=0.1, rtol=0.1)


def test_probabilities_of_a_chain_only_fall(name, part, x):
    p = torch.sigmoid(part(20 * x))
    falls = bool((p[:, 1:] <= p[:, :-1] + 1e-6).all())
    assert falls == getattr(find("multi-task part", name, MULTI_TASK), "chained", False)


def test_an_unknown_option_is_refused_by_name(name):
    with pytest.raises(InputError, match="no option 'wdith'"):
        build("multi-task part", name, MULTI_TASK, N_TASKS, DIM, options={"wdith": 3})


@pytest.mark.parametrize("head", sorted(CTR_HEADS))
def test_it_stands_on_every_head_and_trains_all_of_it(name, head, batch):
    model = _model(name, head)
    logits = model(batch)
    assert logits.shape == (BATCH, N_TASKS)
    CTRLoss(model)(batch).backward()
    assert all(value.grad is not None for value in model.parameters())


def test_it_overfits_one_batch(name, batch):
    loss = CTRLoss(_model(name))
    optimiser = torch.optim.Adam(loss.parameters(), lr=0.02)
    first = loss(batch).item()
    for _ in range(80):
        optimiser.zero_grad()
        loss(batch).backward()
        optimiser.step()
    assert loss(batch).item() < 0.2 * first


def test_saved_weights_give_the_same_logits(name, batch, tmp_path):
    model = _model(name)
    save_weights(tmp_path / "model.safetensors", model)
    torch.manual_seed(9)
    again = CTRModule(LAYOUT, CTRModelConfig(multi_task=name, head="mlp", dim=4), PlainItems(8, 4, 0.5), N_TASKS)
    load_weights(again, tmp_path / "model.safetensors")
    assert again.eval()(batch).equal(model.eval()(batch))


def test_a_part_from_outside_is_found_by_module_and_class(tmp_path, monkeypatch, batch):
    (tmp_path / "outside_multi_task.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    model = _model("outside_multi_task:OneLinear", multi_task_options={"bias": False})
    assert model(batch).shape == (BATCH, N_TASKS)
    with pytest.raises(InputError, match="did you mean 'mmoe'"):
        _model("mmeo")


def test_a_head_without_encode_is_refused(tmp_path, monkeypatch):
    source = OUTSIDE.replace("n_tasks, dim", "n_fields, dim").replace("n_tasks", "1")
    (tmp_path / "outside_plain_head.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="has no encode, out_dim and out"):
        _model("mmoe", head="outside_plain_head:OneLinear")


def test_the_output_of_the_head_is_taken_away(batch):
    assert isinstance(_model("mmoe").head.out, nn.Identity)
