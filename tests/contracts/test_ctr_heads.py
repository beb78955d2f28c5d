"""Every entry of CTR_HEADS keeps the contract of a CTR head."""

import pytest
import torch
from torch import nn

from recsys_bert.ctr.heads import CTR_HEADS
from recsys_bert.encoder.parts import build
from recsys_bert.errors import InputError

BATCH, N_FIELDS, DIM, SEQ = 6, 4, 8, 5
OUTSIDE = """
from torch import nn

class SumHead(nn.Module):
    def __init__(self, n_fields, dim, *, scale: float = 1.0):
        super().__init__()
        self.scale = scale

    def forward(self, fields, history, mask):
        return self.scale * fields.sum((1, 2))
"""


@pytest.fixture(params=sorted(CTR_HEADS))
def name(request):
    return request.param


@pytest.fixture
def head(name):
    torch.manual_seed(0)
    return build("CTR head", name, CTR_HEADS, N_FIELDS, DIM, options={})


@pytest.fixture
def inputs():
    random = torch.Generator().manual_seed(1)
    fields = torch.randn(BATCH, N_FIELDS, DIM, generator=random)
    history = torch.randn(BATCH, SEQ, DIM, generator=random)
    mask = torch.arange(SEQ) < torch.tensor([5, 4, 3, 2, 1, 0])[:, None]
    return fields, history, mask


def test_logits_are_one_number_an_impression(head, inputs):
    logits = head(*inputs)
    assert logits.shape == (BATCH,)
    assert torch.isfinite(logits).all()


def test_encode_gives_a_vector_of_which_out_makes_the_logits(head, inputs):
    fields, history, mask = inputs
    encoded = head.encode(fields.requires_grad_(), history, mask)
    assert encoded.shape == (BATCH, head.out_dim)
    torch.testing.assert_close(head.out(encoded).squeeze(1), head(*inputs))
    head.out = nn.Identity()
    encoded.square().sum().backward()
    assert all(value.grad is not None for value in head.parameters())  # nothing but the output is left without one


def test_every_parameter_and_every_field_gets_a_gradient(head, inputs):
    fields, history, mask = inputs
    fields.requires_grad_()
    head(fields, history, mask).square().sum().backward()
    idle = [key for key, value in head.named_parameters() if value.grad is None or not value.grad.abs().sum()]
    assert not idle
    assert (fields.grad.abs().sum((0, 2)) > 0).all()


def test_padding_of_the_history_changes_nothing(head, inputs):
    fields, history, mask = inputs
    padded = torch.cat([history, torch.full((BATCH, 3, DIM), 7.0)], 1)
    noise = torch.where(mask.unsqueeze(2), history, 9.0)
    for train in (False, True):
        head.train(train)
        expected = head(fields, history, mask)
        torch.testing.assert_close(head(fields, padded, nn.functional.pad(mask, (0, 3))), expected)
        torch.testing.assert_close(head(fields, noise, mask), expected)


def test_an_empty_history_works_whatever_its_width(head, inputs):
    fields, history, _ = inputs
    head.eval()
    nothing = head(fields, history[:, :0], torch.zeros(BATCH, 0, dtype=torch.bool))
    assert torch.isfinite(nothing).all()
    torch.testing.assert_close(head(fields, history, torch.zeros(BATCH, SEQ, dtype=torch.bool)), nothing)


def test_gradients_stay_finite_with_an_empty_history(head, inputs):
    fields, history, _ = inputs
    head(fields, history.requires_grad_(), torch.zeros(BATCH, SEQ, dtype=torch.bool)).sum().backward()
    assert all(torch.isfinite(value.grad).all() for value in head.parameters() if value.grad is not None)
    assert history.grad is None or torch.isfinite(history.grad).all()


def test_heads_that_need_a_history_read_it_and_the_others_do_not(head, inputs):
    fields, history, mask = inputs
    head.eval()
    changed = head(fields, history.flip(2) * mask.unsqueeze(2), mask)
    differs = (changed - head(fields, history, mask)).abs() > 1e-7
    assert differs[:-1].all() if getattr(head, "needs_history", False) else not differs.any()


def test_bf16_autocast_runs_and_is_close(head, inputs):
    head.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = head(*inputs)
    torch.testing.assert_close(rough.float(), head(*inputs), atol=0.1, rtol=0.1)


def test_evaluation_is_deterministic_and_row_by_row(head, inputs):
    head.eval()
    together = head(*inputs)
    alone = torch.cat([head(*(part[row : row + 1] for part in inputs)) for row in range(BATCH)])
    torch.testing.assert_close(alone, together)


def test_an_unknown_option_is_refused_by_name(name):
    with pytest.raises(InputError, match="no option 'wdith'"):
        build("CTR head", name, CTR_HEADS, N_FIELDS, DIM, options={"wdith": 3})


def test_an_unknown_head_is_refused_with_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'deepfm'"):
        build("CTR head", "depfm", CTR_HEADS, N_FIELDS, DIM, options={})


def test_a_head_from_outside_is_found_by_module_and_class(tmp_path, monkeypatch, inputs):
    (tmp_path / "outside_ctr_head.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    head = build("CTR head", "outside_ctr_head:SumHead", CTR_HEADS, N_FIELDS, DIM, options={"scale": 2.0})
    torch.testing.assert_close(head(*inputs), 2 * inputs[0].sum((1, 2)))
