import pytest
import torch

from recsys_bert.encoder.attention import AttentionMask, SelfAttention
from recsys_bert.errors import InputError

REAL = torch.tensor([[True, True, True, True], [True, True, False, False]])


def test_attention_equals_torchs_own_module():
    torch.manual_seed(0)
    ours, theirs = SelfAttention(12, 3), torch.nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    x = torch.randn(2, 4, 12)
    out = ours(x, AttentionMask.of(REAL, causal=False))
    torch.testing.assert_close(out, theirs(x, x, x, key_padding_mask=~REAL, need_weights=False)[0])
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    causal = ours(x, AttentionMask.of(REAL, causal=True))
    torch.testing.assert_close(causal, theirs(x, x, x, attn_mask=later, need_weights=False)[0])


def test_no_mask_is_built_where_none_is_needed():
    assert AttentionMask.of(REAL, causal=True).key_mask is None
    assert AttentionMask.of(REAL, causal=False, padded=False).key_mask is None
    assert AttentionMask.of(REAL, causal=False).key_mask.tolist() == REAL[:, None, None].tolist()


def test_the_full_mask_says_who_sees_whom():
    full = AttentionMask.of(REAL, causal=False).full(4, REAL.device)
    assert full.expand(2, 1, 4, 4)[1, 0].tolist() == [[True, True, False, False]] * 4
    causal = AttentionMask.of(REAL, causal=True).full(4, REAL.device)
    assert causal[0, 0].tolist() == [[key <= query for key in range(4)] for query in range(4)]


def test_a_row_of_padding_keeps_one_key_open():
    assert AttentionMask.of(torch.zeros(1, 3, dtype=torch.bool), causal=False).key_mask.flatten().tolist() == [
        True,
        False,
        False,
    ]


def test_heads_must_divide_the_width():
    with pytest.raises(InputError, match="dim 10 is not divisible by n_heads 3"):
        SelfAttention(10, 3)
    with pytest.raises(InputError, match="attention_dropout is 1"):
        SelfAttention(10, 2, 1.0)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("causal", [True, False])
def test_the_quick_cpu_kernel_is_taken(heads: int, causal: bool):
    attention = SelfAttention(64, heads)
    attention_mask = AttentionMask.of(REAL, causal)
    with torch.profiler.profile() as profile:
        attention(torch.randn(2, 4, 64), attention_mask).sum().backward()
    names = {event.key for event in profile.key_averages()}
    assert "aten::_scaled_dot_product_flash_attention_for_cpu" in names
