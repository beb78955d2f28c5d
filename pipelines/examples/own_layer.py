"""Your own encoder layer: one class, named by ``module:Class``; nothing of the project is edited."""

from torch import Tensor, nn

import recsys_bert as rb
from recsys_bert.clicks.simulation.config import SimulateConfig
from recsys_bert.clicks.simulation.simulate import simulate
from recsys_bert.encoder.attention import AttentionMask, SelfAttention
from recsys_bert.encoder.feed_forward import FeedForward


class ParallelLayer(nn.Module):
    """Pre-norm layer whose attention and feed-forward read the same normed input (GPT-J).

    Args:
        dim: Width of one position.
        n_heads: Attention heads; divides ``dim``.
        dropout: Probability in [0, 1).
        gain: Factor on what both add.
    """

    ends_with_norm = False

    def __init__(self, dim: int, n_heads: int, dropout: float, *, gain: float = 1.0) -> None:
        super().__init__()
        self.norm, self.dropout, self.gain = nn.LayerNorm(dim), nn.Dropout(dropout), gain
        self.attention, self.ffn = SelfAttention(dim, n_heads), FeedForward(dim, None, "gelu")

    def forward(self, x: Tensor, attention_mask: AttentionMask, state: None) -> tuple[Tensor, None]:
        """Transform ``[batch, seq, dim]``."""
        normed = self.norm(x)
        return x + self.gain * self.dropout(self.attention(normed, attention_mask) + self.ffn(normed)), state


def main() -> "rb.Recommender":
    """Pretrain an encoder of two such layers; returns the recommender."""
    dataset = rb.prepare(simulate(SimulateConfig(users=200, items=200, max_events=100)).clicks)
    encoder = {"layer": f"{__name__}:ParallelLayer", "layer_options": {"gain": 0.5}, "dim": 16, "max_len": 20}
    model = rb.pretrain(dataset, objective="next_item", encoder=encoder, train={"epochs": 2})
    print(model.recommend(users=[1], k=3))
    return model


if __name__ == "__main__":
    main()
