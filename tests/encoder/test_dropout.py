import pytest
import torch

from recsys_bert.encoder.dropout import Dropout
from recsys_bert.errors import InputError


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_asked_share_is_dropped_and_the_mean_kept(probability: float):
    torch.manual_seed(0)
    out = Dropout(probability)(torch.ones(400_003))
    share = (out == 0).double().mean().item()
    assert abs(share - probability) < 4 * (probability * (1 - probability) / out.numel()) ** 0.5 + 1 / 65536
    assert out[out != 0].unique().tolist() == pytest.approx([1 / (1 - probability)], rel=1e-3)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    remaining = (Dropout(0.5)(torch.ones(100_000, 4)) != 0).double()
    correlation = torch.corrcoef(remaining.T) - torch.eye(4)
    assert correlation.abs().max() < 0.02  # four values come from one random number
    assert (remaining.mean(0) - 0.5).abs().max() < 0.01


def test_the_gradient_passes_where_the_value_did():
    x = torch.ones(1000, requires_grad=True)
    out = Dropout(0.3)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_evaluation_and_probability_0_change_nothing():
    x = torch.randn(5, 3)
    assert Dropout(0.3).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_a_seed_gives_the_same_again_and_the_type_stays():
    x, drop = torch.ones(7, 3, dtype=torch.bfloat16), Dropout(0.5)
    first, second = (torch.manual_seed(5) and drop(x) for _ in range(2))
    assert torch.equal(first, second)
    assert first.dtype == torch.bfloat16


def test_a_probability_of_1_is_refused():
    with pytest.raises(InputError, match="dropout is 1"):
        Dropout(1.0)
