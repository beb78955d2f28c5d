"""Contract of every layer that reads times, with times."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import find

TIMED = [name for name in LAYERS if "timed" in inspect.signature(find("layer", name, LAYERS)).parameters]
TOKENS = torch.tensor([[3, 4, 5, 6, 7, 2], [8, 3, 9, 0, 0, 0], [4, 0, 0, 0, 0, 0]])
TIMES = torch.tensor([[10, 10, 75, 4_000, 90_000, 9_000_000], [50, 900, 1_000, 0, 0, 0], [9, 0, 0, 0, 0, 0]])
TIMES = TIMES + 1_600_000_000 * (TOKENS != 0)


@pytest.fixture(params=TIMED)
def make(request: pytest.FixtureRequest, build: Callable[..., Encoder], causal: bool) -> Callable[..., Encoder]:
    """Build an encoder that reads times, with one of the layers that can."""

    def build_timed(**settings: object) -> Encoder:
        encoder = build(
            "layer", request.param, attention="causal" if causal else "bidirectional", times=True, **settings
        )
        for name, p in encoder.named_parameters():
            if "bias" in name and "norm" not in name:
                torch.nn.init.normal_(p)  # so that no effect of a bias hides below a tolerance
        return encoder

    return build_timed


def test_the_time_between_positions_counts_and_the_date_does_not(make):
    encoder = make()
    here = encoder(TOKENS, times=TIMES).tokens
    stretched = TIMES.clone()
    stretched[0, :3] -= 86_400
    other = encoder(TOKENS, times=stretched).tokens
    assert not torch.allclose(here[0, 3:], other[0, 3:])
    torch.testing.assert_close(here[1:], other[1:])
    mask = TOKENS != 0
    torch.testing.assert_close(encoder(TOKENS, times=TIMES - 1_000_000_000).tokens[mask], here[mask])


def test_padding_and_its_times_do_not_change_real_positions(make):
    encoder = make()
    together = encoder(TOKENS, times=TIMES)
    odd = torch.where(TOKENS != 0, TIMES, 2**60)
    for row, length in enumerate([6, 3, 1]):
        alone = encoder(TOKENS[row : row + 1, :length], times=TIMES[row : row + 1, :length]).tokens
        torch.testing.assert_close(together.tokens[row, :length], alone[0])
        torch.testing.assert_close(encoder(TOKENS, times=odd).tokens[row, :length], alone[0])


def test_a_row_of_padding_alone_is_finite_and_harms_nobody(make):
    encoder = make()
    tokens, times = (torch.cat([rows, torch.zeros_like(rows[:1])]) for rows in (TOKENS, TIMES))
    encoded = encoder(tokens, times=times)
    assert encoded.tokens.isfinite().all()
    torch.testing.assert_close(encoded.tokens[:3], encoder(TOKENS, times=TIMES).tokens)


def test_in_causal_mode_no_position_sees_a_later_timestamp(make):
    encoder = make(position="start")
    if not encoder.config.causal:
        pytest.skip("bidirectional")
    before = encoder(TOKENS[:1], times=TIMES[:1]).tokens
    for position in range(1, 6):
        changed = TIMES[:1].clone()
        changed[0, position:] += 5_000_000
        after = encoder(TOKENS[:1], times=changed).tokens
        torch.testing.assert_close(after[:, :position], before[:, :position])
        assert not torch.allclose(after[:, position], before[:, position])
        torch.testing.assert_close(
            encoder(TOKENS[:1, :position], times=TIMES[:1, :position]).tokens, before[:, :position]
        )


def test_every_parameter_gets_a_gradient_the_same_with_checkpointing(make):
    gradients = []
    for checkpointing in (False, True):
        encoder = make(gradient_checkpointing=checkpointing).train()
        torch.manual_seed(1)  # the same dropout
        out = encoder(TOKENS, times=TIMES).tokens[TOKENS != 0]
        (out * torch.randn_like(out)).sum().backward()
        gradients.append({name: p.grad for name, p in encoder.named_parameters()})
    assert [name for name, grad in gradients[0].items() if grad is None or not grad.any()] == []
    torch.testing.assert_close(*gradients)


def test_bf16_autocast_stays_near(make):
    encoder = make()
    exact = encoder(TOKENS, times=TIMES).tokens
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(TOKENS, times=TIMES).tokens
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.1 * exact.abs().max().item())
    rough.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


def test_layer_drop_and_shared_layers_work_with_times(make):
    encoder = make(layer_drop=0.5, share_layers=True).train()
    for seed in range(8):
        torch.manual_seed(seed)
        assert encoder(TOKENS, times=TIMES).tokens.isfinite().all()


def test_save_and_load_is_exact(make, tmp_path: Path):
    encoder = make()
    encoder.save(tmp_path)
    again = Encoder.load(tmp_path)
    assert again.config == encoder.config
    assert torch.equal(again(TOKENS, times=TIMES).tokens, encoder(TOKENS, times=TIMES).tokens)
