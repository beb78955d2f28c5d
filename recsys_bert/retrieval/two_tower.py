"""Two towers: history and user features on one side, item and item features on the other; the score is their product.

Every position of a history is a training pair in one causal pass, or every prefix of it an example of its own.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.encoder.batch import encode_batch
from recsys_bert.encoder.model import Encoder
from recsys_bert.losses.config import LossConfig
from recsys_bert.losses.item_loss import ItemLoss
from recsys_bert.losses.negatives import Popularity
from recsys_bert.objectives.auxiliary import LastLayer, weighed
from recsys_bert.objectives.token_prediction import RowFeatures, at, drop_ids
from recsys_bert.retrieval.config import TowersConfig
from recsys_bert.retrieval.tower_features import RoleFeatures, SideFeatures, Tables, role_features
from recsys_bert.user_encoder.checkpoint import check_times, row_features
from recsys_bert.user_encoder.trained_text import TrainedText, check_bounded, items_of_step, trained_text


class TwoTower(nn.Module):
    """The towers and their training loss.

    Args:
        encoder: Its token table is the item tower's own embedding. Causal if it learns from every position.
        config: Features and MLPs.
        loss: The item loss.
        first_item: First row that is an item.
        encoder_tables: Side features of the encoder by catalogue row.
        items: Features of the item tower, by catalogue row.
        users: Features of the user tower, by user row.
        counts: Training events by row, ``[vocab_size]``; needed to train with sampled negatives.
        n_users: Users of the log, for mined negatives.
        auxiliary: Weight of an auxiliary loss on the encoder's raw last layer; None = no such loss.
        id_dropout: Probability of reading an item of a history as unknown, with its features alone, in training.
        texts: Text encoder of items that is trained with the towers, if the features have one.

    Raises:
        InputError: It would have to encode all items at every step.
    """

    def __init__(
        self,
        encoder: Encoder,
        config: TowersConfig,
        loss: LossConfig,
        *,
        first_item: int,
        encoder_tables: Tables,
        items: RoleFeatures,
        users: RoleFeatures,
        counts: Popularity | None = None,
        n_users: int = 0,
        auxiliary: float | None = None,
        id_dropout: float = 0.0,
        texts: TrainedText | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.config, self.first_item, self.id_dropout = encoder, config, first_item, id_dropout
        self.n_rows = max(encoder.config.vocab_size, items.n_rows)
        self.encoder_features = RowFeatures(encoder_tables)
        width = encoder.embeddings.token.embedding_dim
        self.auxiliary, self.last = auxiliary, None if auxiliary is None else LastLayer(encoder, width)
        self.items = SideFeatures(items, width, config) if items.tables else None
        self.users = SideFeatures(users, width, config) if users.tables else None
        n_rows = encoder.config.vocab_size  # trained and drawn; items without training events are ranked alone
        self.item_loss = ItemLoss(loss, first_item=first_item, n_rows=n_rows, counts=counts, n_users=n_users)
        self.texts = texts
        self._texts_of = {
            "histories": any(table is texts for table in encoder_tables.values()),
            "items": any(table is texts for table in items.tables.values()),
        }
        if texts is not None and self._texts_of["items"]:
            check_bounded(loss, texts.config)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss over ``batch["targets"]``.

        Args:
            batch: As ``ItemLoss`` takes it, ``users [batch]``, and where the encoder reads them ``times`` and
                ``feature.event_type`` ``[batch, seq]``.
        """
        with self._encoded_texts(batch):
            return self._loss(batch)

    def _loss(self, batch: dict[str, Tensor]) -> Tensor:
        tokens, positions = batch["tokens"], batch["positions"]
        encoded = encode_batch(self.encoder, self._without_ids(batch), self.encoder_features(tokens))
        row = positions // tokens.shape[1]
        users = self.user_side(at(encoded.tokens, positions), batch["users"], row)
        loss = self.item_loss(batch, self._lookup)
        if self.last is None or self.auxiliary is None:
            return loss(users)
        others = self._user_vectors(self.last(at(encoded.states[-1], positions)), batch["users"], row)
        return weighed(loss(users), loss(others), self.auxiliary)

    def _encoded_texts(self, batch: dict[str, Tensor]) -> AbstractContextManager[None]:
        """Texts of the items of a batch, each encoded once: those of histories, of targets and of negatives."""
        if self.texts is None:
            return nullcontext()
        rows: list[Tensor | None] = [batch["tokens"]] if self._texts_of["histories"] else []
        if not self._texts_of["items"]:
            return self.texts.batch(batch["targets"][:0], rows)
        rows += items_of_step(self.item_loss, batch)
        return self.texts.batch(batch["targets"], rows)

    def _without_ids(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Batch in which some items of histories have their features alone."""
        if not self.training or not self.id_dropout:
            return batch
        return {**batch, "tokens": drop_ids(batch["tokens"], self.id_dropout, self.first_item, UNKNOWN)}

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
        if self.users is not None:
            profile = self.users(users)
            x = x + (profile if row is None else profile[row])
        return self.item_loss.query_side(x)

    def item_side(self, rows: Tensor) -> Tensor:
        """Vectors ``[n, dim]`` of catalogue rows ``[n]``; rows without training events have their features alone."""
        cold = rows >= self.encoder.config.vocab_size
        if self.training and self.config.id_dropout and self.items is not None:
            cold = cold | (torch.rand(rows.shape, device=rows.device) < self.config.id_dropout)
        x = self.encoder.embeddings.token(rows.masked_fill(cold, UNKNOWN))
        if self.items is not None:
            x = x + self.items(rows)
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
    id_dropout: float = 0.0,
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
        id_dropout: See ``TwoTower``.

    Raises:
        InputError: The log has no such feature, or no times for an encoder that reads them.
    """
    check_times(dataset, encoder.config)
    vocabulary = dataset.vocabulary
    return TwoTower(
        encoder,
        config,
        loss,
        first_item=vocabulary.first_item,
        encoder_tables=row_features(dataset, encoder.config),
        items=role_features("item", config.item_features, dataset),
        users=role_features("user", config.user_features, dataset),
        counts=vocabulary.counts if counts is None else counts,
        n_users=dataset.histories.n_users if training else 0,
        auxiliary=auxiliary,
        id_dropout=id_dropout,
        texts=trained_text(dataset),
    )
