"""BERT's masked-token head (https://arxiv.org/abs/1810.04805): dense layer, activation, norm, and a bias per token."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from recsys_bert.encoder.feed_forward import activation_by_name
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from recsys_bert.encoder.model import Encoder

_FILE = "masked_head.safetensors"


class MaskedTokenHead(nn.Module):
    """Query vector of each hidden state; its inner product with a token's vector, plus ``bias``, is the token's logit.

    Args:
        dim: Width of a hidden state.
        width: Width of the token table.
        n_rows: Rows of the token table.
        activation: A name in ``ACTIVATIONS``.
        norm_eps: Added to the variance in the norm.
    """

    def __init__(self, dim: int, width: int, n_rows: int, activation: str = "gelu", norm_eps: float = 1e-12) -> None:
        super().__init__()
        self.activation_name, self.norm_eps = activation, norm_eps
        self.dense = nn.Linear(dim, width)
        nn.init.xavier_uniform_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        self.activation = activation_by_name(activation)
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.bias = nn.Parameter(torch.zeros(n_rows))

    def forward(self, hidden: Tensor) -> Tensor:
        """``[n, dim]`` → ``[n, width]``."""
        query: Tensor = self.norm(self.activation(self.dense(hidden)))
        return query

    def check_fits(self, encoder: "Encoder") -> None:
        """Refuse an encoder of other widths.

        Raises:
            InputError: Its output, token table or number of tokens is another.
        """
        sizes = (self.dense.in_features, self.dense.out_features, len(self.bias))
        table = encoder.embeddings.token
        expected = (encoder.out_dim, table.embedding_dim, table.num_embeddings)
        if sizes != expected:
            raise InputError(
                f"the masked-token head reads {sizes[0]} dimensions, with a token table of {sizes[2]:,} × {sizes[1]}; "
                f"the encoder gives {expected[0]}, and its table is {expected[2]:,} × {expected[1]}. A neck that "
                "changes the width needs another head: set output_head 'tied'."
            )

    def save(self, folder: Path) -> None:
        """Write ``masked_head.safetensors`` into ``folder``."""
        about = {"activation": self.activation_name, "norm_eps": repr(self.norm_eps)}
        weights = {name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}
        save_file(weights, Path(folder) / _FILE, metadata=about)

    @classmethod
    def load(cls, folder: Path) -> "MaskedTokenHead | None":
        """Load what ``save`` wrote, in evaluation mode; None if there is none.

        Raises:
            InputError: It is damaged.
        """
        file = Path(folder) / _FILE
        if not file.is_file():
            return None
        try:
            with safe_open(str(file), "pt") as opened:
                about = opened.metadata()
                weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            width, dim = weights["dense.weight"].shape
            head = cls(dim, width, len(weights["bias"]), about["activation"], float(about["norm_eps"]))
            head.load_state_dict(weights)
        except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file} cannot be read: {error}. It may be damaged; train again.") from error
        return head.eval()
