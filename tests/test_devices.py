import pytest
import torch

from recsys_bert.devices import lstm_runs_in_bf16, uses_bf16

CPU = torch.device("cpu")


@pytest.fixture
def processor(monkeypatch):
    """Make torch see a processor with these instructions, for which oneDNN has bf16 products of some kind."""

    def see(**instructions: bool) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "made up", **instructions})
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)

    return see


@pytest.mark.parametrize("instruction", ["avx512_bf16", "amx_bf16", "bf16"])
def test_auto_takes_bf16_where_the_processor_multiplies_it(processor, instruction):
    processor(avx512_f=True, **{instruction: True})
    assert uses_bf16("auto", CPU)


def test_auto_leaves_emulated_bf16_alone(processor):
    processor(avx512_f=True, avx512_bf16=False, amx_bf16=False)
    assert not uses_bf16("auto", CPU)


def test_auto_asks_onednn_as_well(processor, monkeypatch):
    processor(avx512_bf16=True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not uses_bf16("auto", CPU)


@pytest.mark.parametrize(("precision", "expected"), [("bf16", True), ("fp32", False)])
def test_a_named_precision_is_taken_as_it_is(processor, precision, expected):
    processor()
    assert uses_bf16(precision, CPU) is expected


def test_asking_for_bf16_recurrence_draws_no_random_number():
    lstm_runs_in_bf16.cache_clear()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    lstm_runs_in_bf16("cpu")
    assert torch.equal(torch.get_rng_state(), before)
