"""Filter layers against an FFT of the padded history and a loop over pairs."""

import pytest
import torch

from recsys_bert.encoder.attention import AttentionMask
from recsys_bert.encoder.layers.bsarec import BsarecLayer
from recsys_bert.encoder.layers.wearec import WearecLayer
from recsys_bert.errors import InputError

REAL = torch.tensor([[True] * 6, [True] * 3 + [False] * 3, [True] + [False] * 5])
MASK = AttentionMask.of(REAL, causal=False)


def rows(x, max_len):
    """Each row padded with zeros at its start to ``max_len``, and its length."""
    for values, n in zip(x, REAL.sum(1).tolist(), strict=True):
        padded = torch.zeros(max_len, x.shape[2])
        padded[max_len - n :] = values[:n]
        yield padded, n


def build(layer_class, max_len, **options):
    torch.manual_seed(0)
    layer = layer_class(8, 2, 0.0, causal=False, max_len=max_len, **options)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer, torch.randn(3, 6, 8)


@pytest.mark.parametrize(("max_len", "low"), [(6, 1), (10, 3), (11, 2), (9, 99)])
def test_low_pass_is_an_fft_without_its_high_frequencies(max_len, low):
    layer, x = build(BsarecLayer, max_len, low_frequencies=low)
    passed = layer.low_pass(x, MASK)
    for row, (padded, n) in enumerate(rows(x, max_len)):
        spectrum = torch.fft.rfft(padded, dim=0, norm="ortho")
        spectrum[low:] = 0
        expected = torch.fft.irfft(spectrum, n=max_len, dim=0, norm="ortho")[max_len - n :]
        torch.testing.assert_close(passed[row, :n], expected, atol=1e-5, rtol=1e-4)


def test_bsarec_mixes_filter_and_attention_by_its_weight():
    layer, x = build(BsarecLayer, 10, filter_weight=0.25)
    low, attended = layer.low_pass(x, MASK), layer.attention(x, MASK)
    filtered = layer.filter_norm(x + low + layer.beta**2 * (x - low))
    mixed = 0.25 * filtered + 0.75 * layer.attention_norm(x + attended)
    torch.testing.assert_close(layer(x, MASK)[0], layer.ffn_norm(mixed + layer.ffn(mixed)))


@pytest.mark.parametrize("max_len", [6, 10, 11])
def test_the_adaptive_filter_is_that_of_an_fft(max_len):
    layer, x = build(WearecLayer, max_len)
    from_last = REAL.sum(1, keepdim=True) - 1 - torch.arange(6)
    filtered = layer.filter(x * REAL[:, :, None], from_last)
    for row, (padded, n) in enumerate(rows(x, max_len)):
        scale, shift = layer.modulation(x[row, :n].mean(0)).view(2, -1, 2).unbind(2)
        spectrum = torch.fft.rfft(padded.view(max_len, 2, 4), dim=0, norm="ortho")
        changed = spectrum * (layer.scale * (1 + scale)).T[:, :, None] + (layer.shift + shift).T[:, :, None]
        expected = torch.fft.irfft(changed, n=max_len, dim=0, norm="ortho").flatten(1)[max_len - n :]
        torch.testing.assert_close(filtered[row, :n], expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("max_len", [6, 10, 11])
def test_wavelets_are_haars_from_the_last_position(max_len):
    layer, x = build(WearecLayer, max_len)
    from_last = REAL.sum(1, keepdim=True) - 1 - torch.arange(6)
    out = layer.wavelet(x * REAL[:, :, None], from_last)
    for row, (padded, n) in enumerate(rows(x, max_len + 1)):  # an oldest one alone has a zero for its partner
        for pair in range(n - n // 2):
            newer, older = padded[-1 - 2 * pair], padded[-2 - 2 * pair]
            mean, detail = (newer + older) / 2, layer.detail[pair] * (newer - older) / 2
            torch.testing.assert_close(out[row, n - 1 - 2 * pair], mean + detail)
            if 2 * pair + 2 <= n:
                torch.testing.assert_close(out[row, n - 2 - 2 * pair], mean - detail)


def test_wearec_mixes_filter_and_wavelets_by_its_weight():
    layer, x = build(WearecLayer, 10, filter_weight=0.25)
    from_last = REAL.sum(1, keepdim=True) - 1 - torch.arange(6)
    x = x * REAL[:, :, None]
    mixed = layer.mixed_norm(x + 0.25 * layer.filter(x, from_last) + 0.75 * layer.wavelet(x, from_last))
    expected = layer.ffn_norm(mixed + layer.ffn(mixed))
    torch.testing.assert_close(layer(x, MASK)[0][REAL], expected[REAL])


@pytest.mark.parametrize("layer_class", [BsarecLayer, WearecLayer])
def test_what_does_not_fit_is_refused(layer_class):
    name = layer_class.__name__.removesuffix("Layer").lower()
    with pytest.raises(InputError, match=f"layer '{name}' filters a history as a whole and cannot be causal"):
        layer_class(8, 2, 0.0, causal=True, max_len=5)
    with pytest.raises(InputError, match=r"filter_weight is 1\.5; it must lie in"):
        layer_class(8, 2, 0.0, causal=False, max_len=5, filter_weight=1.5)
    if layer_class is BsarecLayer:
        with pytest.raises(InputError, match="low_frequencies is 0"):
            layer_class(8, 2, 0.0, causal=False, max_len=5, low_frequencies=0)
