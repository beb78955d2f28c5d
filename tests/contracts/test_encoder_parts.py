"""Contract of every layer, fusion and neck, bidirectional and causal."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError

Build = Callable[..., Encoder]

TOKENS = torch.tensor([[3, 4, 5, 6, 7, 2], [8, 3, 9, 0, 0, 0], [4, 0, 0, 0, 0, 0]])


def test_output_has_the_width_that_is_announced(encoder):
    encoded = encoder(TOKENS)
    assert encoded.tokens.shape == (*TOKENS.shape, encoder.out_dim)
    assert [tuple(state.shape) for state in encoded.states] == [(3, 6, 8)] * 4
    assert encoder.project(encoded.tokens).shape[-1] == encoder.embeddings.token.embedding_dim


def test_the_last_position_alone_equals_that_of_forward(encoder):
    lengths = (TOKENS != 0).sum(1)
    with torch.no_grad():
        expected = encoder(TOKENS).tokens[torch.arange(3), lengths - 1]
        torch.testing.assert_close(encoder.last_position(TOKENS, lengths), expected)
        torch.testing.assert_close(encoder.last_position(TOKENS[:1], lengths[:1]), expected[:1])  # nothing padded


def test_padding_does_not_change_real_positions(encoder):
    together = encoder(TOKENS)
    for row, length in enumerate([6, 3, 1]):
        alone = encoder(TOKENS[row : row + 1, :length])
        torch.testing.assert_close(together.tokens[row, :length], alone.tokens[0])
        for with_others, by_itself in zip(together.states, alone.states, strict=True):
            torch.testing.assert_close(with_others[row, :length], by_itself[0])


def test_a_row_of_padding_alone_is_finite_and_harms_nobody(encoder):
    tokens = torch.cat([TOKENS, torch.zeros_like(TOKENS[:1])])
    encoded = encoder(tokens)
    assert encoded.tokens.isfinite().all()
    torch.testing.assert_close(encoded.tokens[:3], encoder(TOKENS).tokens)
    encoded.tokens[encoded.mask].square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def test_every_parameter_gets_a_gradient(make, part: tuple[str, str]):
    # A norm behind the fusion would undo the fusion's scale and leave its gradient 0; "bert" needs no such norm.
    layer = part[1] if part[0] == "layer" else "bert"
    encoder = make(layer=layer, embedding_dim=4, n_segments=2, embedding_norm=True).train()
    encoded = encoder(TOKENS, segments=TOKENS % 2)
    out = encoder.project(encoded.tokens[encoded.mask])
    (out * torch.randn_like(out)).sum().backward()
    untouched = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


def test_gradients_are_the_same_with_checkpointing(make):
    gradients = []
    for checkpointing in (False, True):
        encoder = make(gradient_checkpointing=checkpointing).train()
        torch.manual_seed(1)  # the same dropout
        encoder(TOKENS).tokens.square().sum().backward()
        gradients.append({name: p.grad for name, p in encoder.named_parameters()})
    torch.testing.assert_close(*gradients)


def test_bf16_autocast_runs_and_stays_near(encoder):
    exact = encoder(TOKENS).tokens
    with torch.autocast("cpu", torch.bfloat16):
        rough = encoder(TOKENS).tokens
    torch.testing.assert_close(rough.float(), exact, rtol=0.1, atol=0.1 * exact.abs().max().item())
    with torch.autocast("cpu", torch.bfloat16):
        trained = encoder.train()(TOKENS).tokens
    trained.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


def test_save_and_load_is_exact(encoder, tmp_path: Path):
    for p in encoder.parameters():
        torch.nn.init.normal_(p)  # nothing may come back just because it starts that way
    encoder.save(tmp_path)
    again = Encoder.load(tmp_path)
    assert again.config == encoder.config
    assert torch.equal(again(TOKENS).tokens, encoder(TOKENS).tokens)


def test_evaluation_is_deterministic(make):
    encoder = make(layer_drop=0.4)
    assert torch.equal(encoder(TOKENS).tokens, encoder(TOKENS).tokens)
    encoder.train()
    assert not torch.equal(encoder(TOKENS).tokens, encoder(TOKENS).tokens)


def test_in_causal_mode_no_position_sees_a_later_one(causal_encoder: Build, part: tuple[str, str]):
    for residual in ("add", "concat", "none") if part[0] == "neck" else ("add",):
        encoder = causal_encoder(residual=residual, position="start")
        before = encoder(TOKENS[:1])
        for position in range(1, 6):
            changed = TOKENS[:1].clone()
            changed[0, position] = 11
            after = encoder(changed)
            for one, other in zip((before.tokens, *before.states), (after.tokens, *after.states), strict=True):
                torch.testing.assert_close(one[:, :position], other[:, :position])
                assert not torch.allclose(one[:, position], other[:, position])
            torch.testing.assert_close(encoder(TOKENS[:1, :position]).tokens, before.tokens[:, :position])


def test_outside_causal_mode_every_position_sees_the_last_one(build: Build, part: tuple[str, str]):
    encoder = build(*part)
    changed = TOKENS[:1].clone()
    changed[0, -1] = 11
    difference = (encoder(TOKENS[:1]).tokens - encoder(changed).tokens).abs().amax(-1)
    assert (difference > 1e-4).all()


def test_an_unknown_option_is_refused_by_name(build: Build, part: tuple[str, str]):
    kind, name = part
    with pytest.raises(InputError, match=rf"{kind} '{name}' has no option 'no_such_option'; it"):
        build(kind, name, **{f"{kind}_options": {"no_such_option": 1}})


def test_every_option_is_explained_and_checked(build: Build, part: tuple[str, str], part_class: type):
    kind, name = part
    for option, parameter in inspect.signature(part_class).parameters.items():
        assert f"{option}:" in (part_class.__doc__ or "")
        if parameter.kind is parameter.KEYWORD_ONLY and option not in ("causal", "max_len", "timed"):
            assert parameter.default is not parameter.empty
            with pytest.raises(InputError, match="no such value"):
                build(kind, name, **{f"{kind}_options": {option: "no such value"}})


@pytest.mark.parametrize(("kind", "name"), [("layer", "PlainLayer"), ("fusion", "First"), ("neck", "Halves")])
def test_a_part_from_outside_works(build: Build, kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    outside = f"outside_parts:{name}"
    residual = {"residual": "none"} if kind == "neck" else {}
    plain, doubled = (build(kind, outside, **residual, **{f"{kind}_options": {"gain": g}}) for g in (1.0, 2.0))
    assert not torch.equal(plain(TOKENS).tokens, doubled(TOKENS).tokens)
    doubled.save(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())[kind] == outside
    assert torch.equal(Encoder.load(tmp_path)(TOKENS).tokens, doubled(TOKENS).tokens)
    with pytest.raises(InputError, match=f"{kind} '{outside}' has no option 'gian'; its options: gain"):
        build(kind, outside, **{f"{kind}_options": {"gian": 2.0}})


def test_a_neck_that_cannot_be_causal_refuses_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    with pytest.raises(InputError, match="neck Halves cannot be causal"):
        Encoder(EncoderConfig(vocab_size=9, neck="outside_parts:Halves", attention="causal"))
