"""Two towers: history and user features on one side, item and item features on the other; the score is their product.

Every position of a history is a training pair in one causal pass, or every prefix of it an example of its own.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.encoder.batch import encode_batch
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.losses.item_loss import ItemLoss
from recsys_bert.losses.negatives import Popularity
from recsys_bert.objectives.auxiliary import LastLayer, weighed
from recsys_bert.objectives.token_prediction import RowFeatures, at
from recsys_bert.retrieval.config import TowersConfig
from recsys_bert.user_encoder.checkpoint import check_times, row_features

Tables = dict[str, NDArray[np.int32]]


class FeatureMlp(nn.Module):
    """Embeds side features, joins them, and maps them to one vector.

    Args:
        sizes: Number of values by feature name.
        dim: Width of each embedding and of the result.
        hidden: Width between.
        dropout: Probability in [0, 1).
    """

    def __init__(self, sizes: dict[str, int], dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.names = list(sizes)
        self.tables = nn.ModuleList(nn.EmbeddingBag(max(2, n), dim, mode="mean", padding_idx=0) for n in sizes.values())
        self.mlp = nn.Sequential(
            nn.Linear(dim * len(sizes), hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )
        for weight in self.tables.parameters():
            nn.init.normal_(weight, std=0.1)
            nn.init.zeros_(weight[0])

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """``[n]`` or ``[n, width]`` values by name → ``[n, dim]``."""
        parts = [
            table(features[name].view(len(features[name]), -1))
            for name, table in zip(self.names, self.tables, strict=True)
        ]
        mixed: Tensor = self.mlp(torch.cat(parts, dim=1))
        return mixed


class TwoTower(nn.Module):
    """The towers and their training loss.

    Args:
        encoder: Its token table is the item tower's own embedding. Causal if it learns from every position.
        config: Features and MLPs.
        loss: The item loss.
        first_item: First row that is an item.
        encoder_tables: Values of the encoder's side features by catalogue row.
        item_tables: Values of the item tower's features by catalogue row, ``[n_rows, width]`` each.
        item_sizes: Number of values of each.
        user_tables: Values of the user tower's features by user row.
        user_sizes: Number of values of each.
        counts: Training events by row, ``[vocab_size]``; needed to train with sampled negatives.
        n_users: Users of the log, for mined negatives.
        auxiliary: Weight of an auxiliary loss on the encoder's raw last layer; None = no such loss.
    """

    def __init__(
        self,
        encoder: Encoder,
        config: TowersConfig,
        loss: LossConfig,
        *,
        first_item: int,
        encoder_tables: Tables,
        item_tables: Tables,
        item_sizes: dict[str, int],
        user_tables: Tables,
        user_sizes: dict[str, int],
        counts: Popularity | None = None,
        n_users: int = 0,
        auxiliary: float | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.config, self.first_item = encoder, config, first_item
        self.n_rows = max([encoder.config.vocab_size, *(len(table) for table in item_tables.values())])
        self.encoder_features, self.item_features = RowFeatures(encoder_tables), RowFeatures(item_tables)
        self.user_features = RowFeatures(user_tables)
        width = encoder.embeddings.token.embedding_dim
        self.auxiliary, self.last = auxiliary, None if auxiliary is None else LastLayer(encoder, width)
        self.item_mlp = FeatureMlp(item_sizes, width, config.hidden, config.dropout) if item_sizes else None
        self.user_mlp = FeatureMlp(user_sizes, width, config.hidden, config.dropout) if user_sizes else None
        n_rows = encoder.config.vocab_size  # trained and drawn; items without training events are ranked alone
        self.item_loss = ItemLoss(loss, first_item=first_item, n_rows=n_rows, counts=counts, n_users=n_users)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss over ``batch["targets"]``.

        Args:
            batch: As ``ItemLoss`` takes it, ``users [batch]``, and where the encoder reads them ``times`` and
                ``feature.event_type`` ``[batch, seq]``.
        """
        tokens, positions = batch["tokens"], batch["positions"]
        encoded = encode_batch(self.encoder, batch, self.encoder_features(tokens))
        row = positions // tokens.shape[1]
        users = self.user_side(at(encoded.tokens, positions), batch["users"], row)
        loss = self.item_loss(batch, self._lookup)
        if self.last is None or self.auxiliary is None:
            return loss(users)
        others = self._user_vectors(self.last(at(encoded.states[-1], positions)), batch["users"], row)
        return weighed(loss(users), loss(others), self.auxiliary)

    def _lookup(self, rows: Tensor | None) -> Tensor:
        """Item side of some rows, or of all that are trained."""
        if rows is None:
            rows = torch.arange(self.first_item, self.encoder.config.vocab_size, device=self.item_loss.log_q.device)
        return self.item_side(rows)

    def user_side(self, hidden: Tensor, users: Tensor, row: Tensor | None = None) -> Tensor:
        """User vectors at some positions of their histories.

        Args:
            hidden: ``[n, out_dim]`` encoder outputs.
            users: ``[batch]`` user rows; -1 for users of no log, who have no features.
            row: ``[n]`` index into ``users`` of each hidden state; None = one each, in order.

        Returns:
            ``[n, dim]`` whose inner product with ``item_side`` is the logit.
        """
        return self._user_vectors(self.encoder.project(hidden), users, row)

    def _user_vectors(self, x: Tensor, users: Tensor, row: Tensor | None) -> Tensor:
        """As ``user_side``, of states as wide as the item table."""
        if self.user_mlp is not None:
            known = (users >= 0).long()
            features = self.user_features(users.clamp(min=0)) or {}
            masked = {name: value * known.view(-1, *[1] * (value.ndim - 1)) for name, value in features.items()}
            profile = self.user_mlp(masked)
            x = x + (profile if row is None else profile[row])
        return self.item_loss.query_side(x)

    def item_side(self, rows: Tensor) -> Tensor:
        """Vectors ``[n, dim]`` of catalogue rows ``[n]``; rows without training events have their features alone."""
        cold = rows >= self.encoder.config.vocab_size
        if self.training and self.config.id_dropout and self.item_mlp is not None:
            cold = cold | (torch.rand(rows.shape, device=rows.device) < self.config.id_dropout)
        x = self.encoder.embeddings.token(rows.masked_fill(cold, UNKNOWN))
        if self.item_mlp is not None:
            x = x + self.item_mlp(self.item_features(rows) or {})
        return self.item_loss.item_side(x)


def build_two_tower(
    encoder: Encoder,
    config: TowersConfig,
    loss: LossConfig,
    dataset: ClickDataset,
    *,
    counts: Popularity | None = None,
    training: bool = True,
    auxiliary: float | None = None,
) -> TwoTower:
    """Put towers on an encoder for a prepared log.

    Args:
        encoder: See ``TwoTower``.
        config: Features and MLPs.
        loss: The item loss.
        dataset: Has the features and the training counts.
        counts: Popularity that negatives are drawn by, ``[vocab_size]``; None: the training counts.
        training: Hold what only training needs, as mined negatives.
        auxiliary: See ``TwoTower``.

    Raises:
        InputError: The log has no such feature, or no times for an encoder that reads them.
    """
    check_times(dataset, encoder.config)
    vocabulary = dataset.vocabulary
    for kind, names, known in (
        ("item", config.item_features, dataset.item_features),
        ("user", config.user_features, dataset.user_features),
    ):
        if missing := sorted(set(names) - set(known)):
            raise InputError(
                f"the prepared log has no {kind} feature {missing[0]!r}; it has {', '.join(sorted(known)) or 'none'}. "
                f"Give `prepare` a side table of {kind}s, or leave the feature out of towers.{kind}_features."
            )
    return TwoTower(
        encoder,
        config,
        loss,
        first_item=vocabulary.first_item,
        encoder_tables=row_features(dataset, encoder.config),
        item_tables={name: dataset.item_features[name] for name in config.item_features},
        item_sizes={name: dataset.item_feature_sizes[name] for name in config.item_features},
        user_tables={name: dataset.user_features[name] for name in config.user_features},
        user_sizes={name: dataset.user_feature_sizes[name] for name in config.user_features},
        counts=vocabulary.counts if counts is None else counts,
        n_users=dataset.histories.n_users if training else 0,
        auxiliary=auxiliary,
    )
