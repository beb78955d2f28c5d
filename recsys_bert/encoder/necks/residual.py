"""Residual necks: F(x) = f(x) + W x."""

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Residual connection around a neck f.

    ``add`` returns f(x) + W x with W the identity if widths match, else a linear projection without bias; ``concat``
    returns [f(x); x]; ``none`` returns f(x).

    Args:
        neck: f, a module ``(x, mask) -> [batch, seq, neck.out_dim]``.
        dim: Width of x.
        form: ``add``, ``concat`` or ``none``.
    """

    def __init__(self, neck: nn.Module, dim: int, form: str) -> None:
        super().__init__()
        width = neck.out_dim
        assert isinstance(width, int)
        self.neck = neck
        self.form = form
        self.out_dim = width + dim if form == "concat" else width
        self.shortcut: nn.Module = nn.Identity()
        if form == "add" and width != dim:
            self.shortcut = nn.Linear(dim, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Refine every position.

        Args:
            x: ``[batch, seq, dim]``.
            mask: bool ``[batch, seq]``, True on positions that are not padding.

        Returns:
            ``[batch, seq, out_dim]``.
        """
        refined = self.neck(x, mask)
        if self.form == "add":
            return refined + self.shortcut(x)
        # Under autocast f(x) may be 16-bit; cat promotes both to the wider dtype.
        return torch.cat([refined, x], dim=-1) if self.form == "concat" else refined
