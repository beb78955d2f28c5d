"""Spans of time against whole-number arithmetic, and what an encoder does with moments."""

import pytest
import torch

from recsys_bert.encoder.times import N_BUCKETS, pairwise_time_buckets, time_buckets
from recsys_bert.errors import InputError

TOKENS = torch.tensor([[3, 4, 5, 6], [7, 3, 0, 0]])
TIMES = torch.tensor([[100, 160, 90_000, 90_000], [5, 2_000_000_000, 0, 0]])


def bucket(seconds: int) -> int:
    """By the definition, in Python's exact integers."""
    seconds = min(max(1, abs(seconds)), 2**31 - 1)
    octave = seconds.bit_length() - 1
    return 2 * octave + (2 * seconds >= 3 * 2**octave)


def test_buckets_are_half_octaves_of_seconds():
    spans = [0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 60, 3_599, 3_600, 86_400, 604_800, 31_557_600, 2**31 - 1000, 2**40]
    for dtype in (torch.int32, torch.int64):
        differences = [span for span in spans if span < 2**31 or dtype is torch.int64]
        expected = [bucket(span) for span in differences]
        assert time_buckets(torch.tensor(differences, dtype=dtype)).tolist() == expected
        assert time_buckets(-torch.tensor(differences, dtype=dtype)).tolist() == expected
    assert bucket(2**40) == N_BUCKETS - 1


def test_pairwise_time_buckets_are_of_differences_alone():
    pairs = [[[bucket(int(a - b)) for b in row] for a in row] for row in TIMES]
    buckets = pairwise_time_buckets(TIMES)
    assert buckets.tolist()[0] == pairs[0]
    assert buckets[1, :2, :2].tolist() == [[0, 60], [60, 0]]  # 34 years at most: 2**30 - 1 s is in [1.5 * 2**29, 2**30)
    moved = pairwise_time_buckets(TIMES + 1_700_000_000)
    torch.testing.assert_close(moved[REAL_PAIRS], buckets[REAL_PAIRS])


REAL_PAIRS = (TOKENS != 0)[:, :, None] & (TOKENS != 0)[:, None, :]


def test_a_gap_is_an_embedding_of_the_time_since_the_position_before(make):
    encoder = make(time_gaps=True, layer="bert")
    table, plain = encoder.embeddings.gap.weight, make(layer="bert")
    weights = {name: value for name, value in encoder.state_dict().items() if name != "embeddings.gap.weight"}
    plain.load_state_dict(weights)
    ours, without = encoder(TOKENS, times=TIMES).states[0], plain(TOKENS).states[0]
    rows = [[0, 1 + bucket(60), 1 + bucket(89_840), 1 + bucket(0)], [0, 1 + bucket(1_999_999_995)]]
    torch.testing.assert_close(ours[0], without[0] + table[rows[0]])
    torch.testing.assert_close(ours[1, :2], without[1, :2] + table[rows[1]])


def test_gaps_and_times_can_be_read_together(make):
    encoder = make(layer="hstu", times=True, time_gaps=True, attention="causal")
    assert not torch.allclose(encoder(TOKENS, times=TIMES).tokens, encoder(TOKENS, times=2 * TIMES).tokens)
    assert encoder.embeddings.gap is not None
    assert encoder.layers[0].time_bias is not None


@pytest.mark.parametrize("settings", [{"layer": "hstu", "times": True}, {"time_gaps": True}])
def test_times_come_exactly_where_they_are_read(make, settings: dict[str, object]):
    encoder = make(**settings)
    with pytest.raises(InputError, match=r"reads times .* but got none"):
        encoder(TOKENS)
    for wrong in (TIMES[:, :3], TIMES.float(), TIMES.int()):
        with pytest.raises(InputError, match=r"times are .*; they must be int64 \[2, 4\]"):
            encoder(TOKENS, times=wrong)
    with pytest.raises(InputError, match="got times, but this encoder reads none"):
        make()(TOKENS, times=TIMES)


def test_a_layer_that_reads_no_times_refuses_them(make):
    with pytest.raises(InputError, match=r"times is set, but layer 'pre_norm' reads no times. Choose .* 'hstu'"):
        make(times=True)
    with pytest.raises(InputError, match="layer 'hstu' has no option 'timed'"):
        make(layer="hstu", layer_options={"timed": True})
