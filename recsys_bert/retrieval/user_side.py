"""The user side of a trained model: arrays of histories in, one vector each out."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.clicks.queries import Queries
from recsys_bert.training.config import Precision
from recsys_bert.user_encoder.encode import encode_queries


@dataclass(frozen=True)
class UserSide:
    """The user side of a model.

    Args:
        module: ``(items [batch, seq], lengths [batch], users [batch], times, event_types) -> [batch, d]``; the last two
            are ``[batch, seq]`` or None.
        max_len: Longest history; of a longer one the last items are read.
        reads_users: True iff it reads features of users.
        reads_times: True iff it reads timestamps.
        reads_event_types: True iff it reads types of events.
    """

    module: nn.Module
    max_len: int
    reads_users: bool
    reads_times: bool
    reads_event_types: bool

    def encode(self, queries: Queries, precision: Precision) -> NDArray[np.float32]:
        """Vectors of queries ``[n, d]``.

        Args:
            queries: Histories.
            precision: See ``encode_queries``.
        """
        return encode_queries(
            queries,
            self.module,
            self.max_len,
            times=self.reads_times,
            event_types=self.reads_event_types,
            device=next(self.module.parameters()).device,
            precision=precision,
        )

    def arrays(self, queries: Queries) -> dict[str, NDArray[np.int64]]:
        """Inputs of queries, int64, by the names that they have in an exported file."""
        items, lengths = queries.inputs(self.max_len)
        arrays: dict[str, NDArray[np.integer]] = {"items": items, "lengths": lengths}
        if self.reads_users:
            arrays["users"] = queries.users
        if self.reads_times:
            arrays["times"] = queries.input_times(self.max_len)
        if self.reads_event_types:
            arrays["event_types"] = queries.input_event_types(self.max_len)
        return {name: array.astype(np.int64, copy=False) for name, array in arrays.items()}


class NamedInputs(nn.Module):
    """A user side as a function of the inputs that it reads, in the order of ``names``."""

    def __init__(self, side: UserSide, names: list[str]) -> None:
        super().__init__()
        self.side, self.names = side.module, names

    def forward(self, *inputs: Tensor) -> Tensor:
        """Vectors ``[batch, d]``."""
        values = dict(zip(self.names, inputs, strict=True))
        users = values.get("users", values["lengths"])  # not read then
        vectors: Tensor = self.side(
            values["items"], values["lengths"], users, values.get("times"), values.get("event_types")
        )
        return vectors
