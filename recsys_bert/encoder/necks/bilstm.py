"""BiLSTM neck (https://arxiv.org/abs/1508.01991)."""

from torch import Tensor, nn

from recsys_bert.encoder.dropout import Dropout
from recsys_bert.encoder.necks.bidirectional import Bidirectional, default_hidden
from recsys_bert.errors import InputError


class BiLstm(nn.Module):
    """Bidirectional LSTM; with ``causal`` forward only.

    Args:
        dim: Width of the input.
        dropout: Probability in [0, 1) on the output.
        causal: No output depends on a later position.
        hidden: Width of each direction; None = ``dim / 2``, or ``dim`` if causal.
    """

    def __init__(self, dim: int, dropout: float, *, causal: bool, hidden: int | None = None) -> None:
        super().__init__()
        if hidden is not None and hidden < 1:
            raise InputError(f"neck bilstm: hidden is {hidden}; it must be at least 1.")
        self.rnn = Bidirectional(nn.LSTM, dim, default_hidden(hidden, dim, causal), causal)
        self.dropout = Dropout(dropout)
        self.out_dim = self.rnn.out_dim

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Refine every position.

        Args:
            x: ``[batch, seq, dim]``.
            mask: bool ``[batch, seq]``.

        Returns:
            ``[batch, seq, out_dim]``.
        """
        return self.dropout(self.rnn(x, mask))
