"""Necks against torch's packed networks and plain loops."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from recsys_bert.encoder.necks import bidirectional
from recsys_bert.encoder.necks.bidirectional import Bidirectional, reverse_tokens
from recsys_bert.encoder.necks.cnn import Cnn
from recsys_bert.encoder.necks.residual import Residual
from recsys_bert.encoder.necks.rtransformer import LocalRnn, RTransformer
from recsys_bert.errors import InputError

LENGTHS = [5, 3, 1]
REAL = torch.arange(5) < torch.tensor(LENGTHS)[:, None]


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(3, 5, 4)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_bidirectional_equals_torchs_packed_network(kind: type, x: torch.Tensor):
    ours, theirs = Bidirectional(kind, 4, 3, causal=False), kind(4, 3, batch_first=True, bidirectional=True)
    backward_rnn = {f"{name}_reverse": value for name, value in ours.backward_rnn.state_dict().items()}
    theirs.load_state_dict(ours.forward_rnn.state_dict() | backward_rnn)
    packed = nn.utils.rnn.pack_padded_sequence(x, LENGTHS, batch_first=True)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(ours(x, REAL)[REAL], expected[REAL])


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("supported", [True, False])
def test_recurrent_parts_train_under_bf16_on_every_machine(kind: type, supported: bool, x: torch.Tensor, monkeypatch):
    if not supported:
        monkeypatch.setattr(bidirectional, "lstm_runs_in_bf16", lambda device: False)
    rnn = Bidirectional(kind, 4, 3, causal=False)
    exact = rnn(x, REAL)
    with torch.autocast("cpu", torch.bfloat16):
        rough = rnn(x.bfloat16(), REAL)
    if kind is nn.LSTM and not supported:
        torch.testing.assert_close(rough, rnn(x.bfloat16().float(), REAL))  # float32 throughout
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)
    rough.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in rnn.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["AVX2", "ALL"])
def test_bilstm_trains_in_bf16_on_a_processor_with(isa: str):
    program = (
        "import torch; from recsys_bert.encoder.necks.bilstm import BiLstm\n"
        "neck = BiLstm(4, 0.0, causal=False)\n"
        "with torch.autocast('cpu', torch.bfloat16):\n"
        "    out = neck(torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool))\n"
        "out.float().sum().backward()\n"
        "print(out.isfinite().all().item())"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_reverse_real_turns_only_what_is_real():
    x = torch.tensor([[1, 2, 3], [4, 5, 0], [0, 0, 0]])[..., None]
    assert reverse_tokens(x, x[..., 0] != 0)[..., 0].tolist() == [[3, 2, 1], [5, 4, 0], [0, 0, 0]]


@pytest.mark.parametrize(("causal", "kernel", "before"), [(True, 2, 1), (True, 3, 2), (False, 3, 1), (False, 5, 2)])
def test_cnn_equals_a_loop_over_windows(x: torch.Tensor, causal: bool, kernel: int, before: int):
    cnn = Cnn(4, 0.0, causal=causal, kernel=kernel, channels=6, activation="relu")
    out = cnn(x, REAL)
    assert out.shape[-1] == cnn.out_dim == 6
    for row, length in enumerate(LENGTHS):
        for place in range(length):
            value = cnn.convolution.bias.clone()
            for step in range(kernel):
                source = place - before + step
                if 0 <= source < length:
                    value = value + cnn.convolution.weight[:, :, step] @ x[row, source]
            torch.testing.assert_close(out[row, place], F.relu(value))


def test_local_rnn_reads_only_its_window(x: torch.Tensor):
    local = LocalRnn(4, window=3)
    out = local(x)
    for place in range(5):
        window = [x[:, s] if s >= 0 else torch.zeros(3, 4) for s in range(place - 2, place + 1)]
        _, last = local.rnn(torch.stack(window, 1))
        torch.testing.assert_close(out[:, place], last[0])


def test_the_two_way_rtransformer_reads_windows_on_both_sides(x: torch.Tensor):
    neck = RTransformer(4, 0.0, causal=False, window=2)
    local = neck._local(x, REAL)
    for row, length in enumerate(LENGTHS):
        for place in range(length):
            nothing = torch.zeros(4)
            left = torch.stack([x[row, place - 1] if place else nothing, x[row, place]])
            right = torch.stack([x[row, place + 1] if place + 1 < length else nothing, x[row, place]])
            expected = neck.left.rnn(left[None])[1] + neck.right.rnn(right[None])[1]
            torch.testing.assert_close(local[row, place], expected[0, 0])


class Narrow(nn.Module):
    out_dim = 2

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x[..., :2] ** 2


class Square(nn.Module):
    out_dim = 4

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return x**2


def test_the_residual_add_has_parameters_only_where_widths_differ(x: torch.Tensor):
    same, narrow = Residual(Square(), 4, "add"), Residual(Narrow(), 4, "add")
    assert list(same.parameters()) == []
    torch.testing.assert_close(same(x, REAL), x**2 + x)
    (weight,) = narrow.parameters()
    torch.testing.assert_close(narrow(x, REAL), x[..., :2] ** 2 + x @ weight.T)


def test_the_other_residual_forms_and_their_widths(x: torch.Tensor):
    both, plain = Residual(Narrow(), 4, "concat"), Residual(Narrow(), 4, "none")
    assert (both.out_dim, plain.out_dim) == (6, 2)
    torch.testing.assert_close(both(x, REAL), torch.cat([x[..., :2] ** 2, x], -1))
    torch.testing.assert_close(plain(x, REAL), x[..., :2] ** 2)


@pytest.mark.parametrize(
    ("neck", "options", "message"),
    [
        ("cnn", {"kernel": 4}, "neck cnn: kernel is 4; it must be odd"),
        ("cnn", {"channels": 0}, "channels is 0"),
        ("bilstm", {"hidden": 0}, "neck bilstm: hidden is 0"),
        ("bigru", {"hidden": -1}, "neck bigru: hidden is -1"),
        ("rtransformer", {"window": 0}, "window is 0"),
        ("rtransformer", {"n_heads": 3}, "dim 8 is not divisible by n_heads 3"),
        ("transformer", {"ffn_dim": 0}, "ffn_dim is 0"),
    ],
)
def test_bad_options_are_refused(make, neck: str, options: dict[str, int], message: str):
    with pytest.raises(InputError, match=message):
        make(neck=neck, neck_options=options)
