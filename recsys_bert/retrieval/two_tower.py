"""Two towers: history and user features on one side, item and its features on the other, meeting in a product.

Every position of a history is a training pair in one causal pass. Negatives are mixed (Yang et al. 2020,
https://doi.org/10.1145/3366424.3386195): from the batch's own targets and uniform, corrected by logQ.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.vocabulary import UNKNOWN
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder, load_weights
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json
from recsys_bert.losses.item_softmax import Sampled, full_cross_entropy, sampled_softmax
from recsys_bert.objectives.auxiliary import LastLayer, weighed
from recsys_bert.objectives.token_prediction import RowFeatures, at
from recsys_bert.retrieval.config import TowersConfig
from recsys_bert.retrieval.ranker import Lists, full_ranking
from recsys_bert.training.config import Precision
from recsys_bert.user_encoder.checkpoint import check_times
from recsys_bert.user_encoder.encode import encode_queries, last_states

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset

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
        encoder: Causal; its token table is the item tower's own embedding.
        config: The settings.
        first_item: First row that is an item.
        encoder_tables: Values of the encoder's side features by catalogue row.
        item_tables: Values of the item tower's features by catalogue row, ``[n_rows, width]`` each.
        item_sizes: Number of values of each.
        user_tables: Values of the user tower's features by user row.
        user_sizes: Number of values of each.
        shares: Training share of each row, ``[vocab_size]``, for logQ.
        n_users: Users of the log; each has room for its mined negatives.
        auxiliary: Share of a second loss, on the encoder's raw last layer, in the whole; None = no such loss.
    """

    log_q: Tensor
    hard_rows: Tensor

    def __init__(
        self,
        encoder: Encoder,
        config: TowersConfig,
        *,
        first_item: int,
        encoder_tables: Tables,
        item_tables: Tables,
        item_sizes: dict[str, int],
        user_tables: Tables,
        user_sizes: dict[str, int],
        shares: NDArray[np.float64],
        n_users: int = 0,
        auxiliary: float | None = None,
    ) -> None:
        super().__init__()
        if not encoder.config.causal:
            raise InputError("the user tower learns from every position, so its encoder must be causal.")
        self.encoder, self.config, self.first_item = encoder, config, first_item
        self.n_rows = max([encoder.config.vocab_size, *(len(table) for table in item_tables.values())])
        self.encoder_features, self.item_features = RowFeatures(encoder_tables), RowFeatures(item_tables)
        self.user_features = RowFeatures(user_tables)
        width = encoder.embeddings.token.embedding_dim
        self.auxiliary, self.last = auxiliary, None if auxiliary is None else LastLayer(encoder, width)
        self.item_mlp = FeatureMlp(item_sizes, width, config.hidden, config.dropout) if item_sizes else None
        self.user_mlp = FeatureMlp(user_sizes, width, config.hidden, config.dropout) if user_sizes else None
        n_items = encoder.config.vocab_size - first_item
        expected = config.in_batch * shares + config.uniform / n_items
        self.register_buffer("log_q", torch.from_numpy(np.log(np.maximum(expected, 1e-12))).float(), persistent=False)
        if config.hard_negatives:  # part of checkpoints, so that a resumed run has the same negatives
            self.register_buffer("hard_rows", torch.zeros(n_users, config.hard_negatives, dtype=torch.int64))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss over ``batch["targets"]``.

        Args:
            batch: ``tokens [batch, seq]``, ``users [batch]``, ``positions [n]`` in the flattened batch, ``targets
                [n]``; for the mixed loss ``negatives [batch, k]``, and ``own`` bool ``[batch, k]`` where own
                items are hidden; ``times [batch, seq]`` where the encoder reads them.
        """
        tokens, positions = batch["tokens"], batch["positions"]
        encoded = self.encoder(tokens, features=self.encoder_features(tokens), times=batch.get("times"))
        row = positions // tokens.shape[1]
        users = self.user_side(at(encoded.tokens, positions), batch["users"], row)
        loss = self._loss(row, batch)
        if self.last is None or self.auxiliary is None:
            return loss(users)
        others = self._user_vectors(self.last(at(encoded.states[-1], positions)), batch["users"], row)
        return weighed(loss(users), loss(others), self.auxiliary)

    def _loss(self, row: Tensor, batch: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
        """What compares user vectors ``[n, dim]``, of histories ``row [n]``, with the item side of a batch."""
        targets = batch["targets"].long()
        if self.config.loss == "full":
            rows = torch.arange(self.first_item, self.encoder.config.vocab_size, device=targets.device)
            return partial(full_cross_entropy, table=self.item_side(rows), targets=targets - self.first_item, chunk=512)
        negatives, log_q_negative = self._negatives(batch)
        distinct, place = torch.cat([targets, negatives.flatten()]).unique(return_inverse=True)
        items = self.item_side(distinct)
        sampled = Sampled(
            row=row,
            targets=targets,
            positives=items.index_select(0, place[: len(targets)]),
            negatives=negatives,
            vectors=items.index_select(0, place[len(targets) :]).view(*negatives.shape, -1),
        )
        log_q = self.log_q[targets] if self.config.log_q else torch.zeros(targets.shape, device=targets.device)
        return partial(sampled_softmax, sampled=sampled, positive_log_q=log_q, negative_log_q=log_q_negative)

    def _negatives(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Drawn and mined negatives ``[batch, k]`` with their logQ; infinite for those that are left out."""
        negatives = batch["negatives"].long()
        log_q = self.log_q[negatives] if self.config.log_q else torch.zeros(negatives.shape, device=negatives.device)
        if "own" in batch:
            log_q = log_q.masked_fill(batch["own"], torch.inf)
        if not self.config.hard_negatives:
            return negatives, log_q
        hard_negatives = self.hard_rows[batch["users"]]
        # they were not drawn, so they count as they are; row 0 stands where none was mined yet
        no_correction = torch.zeros(hard_negatives.shape, device=hard_negatives.device).masked_fill(
            hard_negatives < self.first_item, torch.inf
        )
        return torch.cat([negatives, hard_negatives], dim=1), torch.cat([log_q, no_correction], dim=1)

    def user_side(self, hidden: Tensor, users: Tensor, row: Tensor | None = None) -> Tensor:
        """Vectors of users at some moments.

        Args:
            hidden: ``[n, out_dim]`` encoder outputs.
            users: ``[batch]`` user rows; -1 for users of no log, who have no features.
            row: ``[n]`` which of ``users`` each hidden state belongs to; None = one each, in order.

        Returns:
            ``[n, dim]`` whose inner product with ``item_side`` is the logit.
        """
        return self._user_vectors(self.encoder.project(hidden), users, row)

    def _user_vectors(self, x: Tensor, users: Tensor, row: Tensor | None) -> Tensor:
        """As ``user_side``, of what is as wide as the item table."""
        if self.user_mlp is not None:
            known = (users >= 0).long()
            features = self.user_features(users.clamp(min=0)) or {}
            hidden_values = {name: value * known.view(-1, *[1] * (value.ndim - 1)) for name, value in features.items()}
            own = self.user_mlp(hidden_values)
            x = x + (own if row is None else own[row])
        return x if self.config.similarity == "dot" else F.normalize(x, dim=-1) / self.config.temperature

    def item_side(self, rows: Tensor) -> Tensor:
        """Vectors ``[n, dim]`` of catalogue rows ``[n]``; rows without training events have their features alone."""
        cold = rows >= self.encoder.config.vocab_size
        if self.training and self.config.id_dropout and self.item_mlp is not None:
            cold = cold | (torch.rand(rows.shape, device=rows.device) < self.config.id_dropout)
        x = self.encoder.embeddings.token(rows.masked_fill(cold, UNKNOWN))
        if self.item_mlp is not None:
            x = x + self.item_mlp(self.item_features(rows) or {})
        return x if self.config.similarity == "dot" else F.normalize(x, dim=-1)


class TwoTowerRanker:
    """Ranker of two towers.

    Args:
        model: The trained module.
        name: Shown in tables.
        precision: See ``encode_queries``.
    """

    reranks = False

    def __init__(self, model: TwoTower, name: str = "two towers", precision: Precision = "auto") -> None:
        self.model, self.name, self.precision, self.first_item = model, name, precision, model.first_item

    @property
    def reads_times(self) -> bool:
        """True iff the user tower's encoder reads timestamps."""
        return self.model.encoder.config.needs_times

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        return self.model.n_rows, self.model.encoder.embeddings.token.embedding_dim

    def item_vectors(self) -> NDArray[np.float32]:
        """``[n_rows, d]``; with item features, items without training events are among them."""
        device = self.model.log_q.device
        with torch.inference_mode():
            parts = torch.arange(self.model.n_rows, device=device).split(1 << 16)
            return torch.cat([self.model.item_side(part).float() for part in parts]).cpu().numpy()

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``."""
        model = self.model

        def encode(rows: Tensor, lengths: Tensor, users: Tensor, times: Tensor | None) -> Tensor:
            hidden = last_states(model.encoder, rows, lengths, model.encoder_features(rows), times)
            return model.user_side(hidden, users)

        config = model.encoder.config
        device, times = model.log_q.device, config.needs_times
        return encode_queries(queries, encode, config.max_len, times=times, device=device, precision=self.precision)

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> NDArray[np.int32]:
        """Exact full ranking."""
        return full_ranking(self, queries, k, exclude_seen)

    def rerank(self, lists: Lists, users: Any, queries: Queries, *, items: Any, exclude_seen: bool) -> Lists:
        """Lists as they are: the score is the inner product."""
        return lists


def build_two_tower(
    encoder: Encoder, config: TowersConfig, dataset: "ClickDataset", auxiliary: float | None = None
) -> TwoTower:
    """Put towers on an encoder for a prepared log; ``auxiliary`` is for training, as in ``TwoTower``.

    Raises:
        InputError: The log has no such feature, or no times for an encoder that reads them.
    """
    check_times(dataset, encoder.config)
    vocabulary = dataset.vocabulary
    for kind, wanted, known in (
        ("item", config.item_features, dataset.item_features),
        ("user", config.user_features, dataset.user_features),
    ):
        if missing := sorted(set(wanted) - set(known)):
            raise InputError(
                f"the prepared log has no {kind} feature {missing[0]!r}; it has {', '.join(sorted(known)) or 'none'}. "
                f"Give `prepare` a side table of {kind}s, or leave the feature out of towers.{kind}_features."
            )
    return TwoTower(
        encoder,
        config,
        first_item=vocabulary.first_item,
        encoder_tables={feature.name: dataset.item_features[feature.name] for feature in encoder.config.features},
        item_tables={name: dataset.item_features[name] for name in config.item_features},
        item_sizes={name: dataset.item_feature_sizes[name] for name in config.item_features},
        user_tables={name: dataset.user_features[name] for name in config.user_features},
        user_sizes={name: dataset.user_feature_sizes[name] for name in config.user_features},
        shares=vocabulary.counts / vocabulary.counts.sum(),
        n_users=dataset.histories.n_users,
        auxiliary=auxiliary,
    )


def save_two_tower(folder: Path, model: TwoTower, dataset: "ClickDataset") -> None:
    """Write both towers with their settings and vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    only_training = ("hard_rows", "last.")
    weights = {
        name: value.contiguous() for name, value in model.state_dict().items() if not name.startswith(only_training)
    }
    save_file(weights, folder / "model.safetensors")
    dataset.vocabulary.save(folder / "vocabulary.parquet")
    told: dict[str, Any] = {"encoder": model.encoder.config.to_dict(), "towers": asdict(model.config)}
    write_json(folder / "config.json", {**told, "prepared": dataset.fingerprint})


def load_two_tower(run: Path, dataset: "ClickDataset") -> TwoTowerRanker:
    """Load a run of ``train-retrieval`` for ranking.

    Raises:
        InputError: It is damaged, or was trained on another vocabulary or other features.
    """
    folder = run / "two_tower"
    told = read_json(folder / "config.json")
    dataset.check_same(told["prepared"])
    towers = pydantic.TypeAdapter(TowersConfig).validate_python(
        {**told["towers"], "hard_negatives": 0}
    )  # only training mines
    model = build_two_tower(Encoder(EncoderConfig.from_dict(told["encoder"])), towers, dataset)
    load_weights(model, folder / "model.safetensors")
    return TwoTowerRanker(model.eval(), run.name)
