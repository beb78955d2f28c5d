"""CTR module: one flat embedding table, the history, and a head."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_bert.ctr.heads import CTR_HEADS
from recsys_bert.ctr.history import EncodedItems, PlainItems
from recsys_bert.ctr.layout import DENSE, Layout
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.ctr.multi_task import MULTI_TASK
from recsys_bert.ctr.views import ViewsPart
from recsys_bert.encoder.adapter import Adapter
from recsys_bert.encoder.parts import build, find
from recsys_bert.errors import InputError

ADAPTER_WIDTH = 4
"""Hidden width of the adapter of a dense field, in widths of a field's vector."""

HISTORY_FIELDS = ("target item", "history", "match")
"""Fields that a history adds, ahead of the features."""


class CTRModule(nn.Module):
    """Fields of an impression and the user's history → logit of a click, or one of each task.

    Every feature is one vector of the same width. With a history, three fields come first: the target item, the pooled
    history, and one learned direction times the score of the two.

    Args:
        layout: Fields of the features.
        config: Widths and parts.
        reader: Vectors of history and target; None without a history.
        n_tasks: Labels; from 2 on a multi-task part takes the place of the head's output.
        wide: Linear part, added to the head's logits.

    Raises:
        InputError: The head or one of its options is not known or does not fit, or it needs a history; or it cannot
            stand below several tasks.
    """

    column_fields: Tensor
    number_columns: Tensor

    def __init__(
        self,
        layout: Layout,
        config: CTRModelConfig,
        reader: PlainItems | EncodedItems | None = None,
        n_tasks: int = 1,
        wide: ViewsPart | None = None,
    ) -> None:
        super().__init__()
        if reader is None and getattr(find("CTR head", config.head, CTR_HEADS), "needs_history", False):
            raise InputError(
                f"head {config.head!r} reads the history, and these impressions have none. Give the prepared log and "
                "history_len above 0, or choose another head."
            )
        self.layout, self.dim = layout, config.dim
        self.table = nn.Embedding(layout.n_values, config.dim, padding_idx=0)
        nn.init.normal_(self.table.weight, std=config.init_std)
        nn.init.zeros_(self.table.weight[0])
        self.n_numbers, self.pooled = len(layout.number_columns), len(layout.column_fields) > len(layout.in_table)
        self.register_buffer("column_fields", torch.tensor(layout.column_fields, dtype=torch.long), persistent=False)
        self.register_buffer("number_columns", torch.tensor(layout.number_columns, dtype=torch.long), persistent=False)
        self.adapters = nn.ModuleList(
            Adapter(field.width, config.dim, config.init_std, ADAPTER_WIDTH * config.dim) for field in layout.dense
        )
        self.reader = reader
        if reader is not None:
            self.match_norm = nn.BatchNorm1d(1, affine=False)  # the scores of an encoder may have any size
            self.match = nn.Parameter(torch.randn(config.dim) * config.init_std)
        self.field_names = [*(HISTORY_FIELDS if reader is not None else ()), *(field.name for field in layout.fields)]
        if not self.field_names:
            raise InputError("these impressions have no field. Name columns under features.")
        self.head = build(
            "CTR head", config.head, CTR_HEADS, len(self.field_names), config.dim, options=config.head_options
        )
        self.n_tasks, self.wide = n_tasks, wide
        self.tasks = None if n_tasks == 1 else self._make_tasks(config, n_tasks)

    def _make_tasks(self, config: CTRModelConfig, n_tasks: int) -> nn.Module:
        """Build the multi-task part, and take away the head's own output."""
        if not all(hasattr(self.head, name) for name in ("encode", "out_dim", "out")):
            raise InputError(
                f"head {config.head!r} has no encode, out_dim and out, so it cannot stand below several tasks. Choose "
                "another head, or set a single columns.label."
            )
        self.head.out = nn.Identity()  # nothing would train it
        options = config.multi_task_options
        part: nn.Module = build(
            "multi-task part", config.multi_task, MULTI_TASK, n_tasks, self.head.out_dim, options=options
        )
        return part

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return logits float32 ``[batch]``, or ``[batch, n_tasks]`` of several tasks.

        Args:
            batch: ``ids [batch, columns]``, ``numbers [batch, n_numbers]``, ``dense.NAME [batch, width]`` of each dense
                field, and with a history ``history
                [batch, seq]``, oldest first and padded with 0 on the right, and ``target [batch]``; ``pooled
                [batch, width]`` where histories are cached, or else, where the encoder reads them, ``times`` and
                ``event_types`` ``[batch, seq]``; ``views [batch, inputs]`` of a linear part.
        """
        inputs = self._inputs(batch)
        logits: Tensor = self.head(*inputs) if self.tasks is None else self.tasks(self.head.encode(*inputs))
        if self.wide is not None:
            logits = logits + self.wide(batch["views"]).reshape(logits.shape)
        return logits.float()

    def encode(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The head's vectors below its output, ``[batch, out_dim]``."""
        vectors: Tensor = self.head.encode(*self._inputs(batch))
        return vectors

    def _inputs(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Fields, history and its mask, as a head takes them."""
        fields = self._fields(batch["ids"], batch["numbers"])
        if self.adapters:
            fields = torch.cat([fields, self._dense(batch)], 1)
        if self.reader is None:
            empty = fields.new_zeros(len(fields), 0, self.dim)
            return fields, empty, fields.new_zeros(len(fields), 0).bool()
        rows = batch["history"].long()
        mask = rows != 0
        inputs = {name: batch[name] for name in ("pooled", "times", "event_types") if name in batch}
        history, pooled, target, match = self.reader(rows, batch["target"].long(), **inputs)
        matched = self.match_norm(match.float()[:, None]) * self.match
        fields = torch.cat([torch.stack([target, pooled, matched.to(pooled.dtype)], 1), fields], 1)
        return fields, history, mask[:, : history.shape[1]]

    @property
    def reads_times(self) -> bool:
        """True if batches need the timestamps of histories."""
        return isinstance(self.reader, EncodedItems) and self.reader.reads_times

    @property
    def reads_event_types(self) -> bool:
        """True if batches need the event types of histories."""
        return isinstance(self.reader, EncodedItems) and self.reader.reads_event_types

    def _fields(self, ids: Tensor, numbers: Tensor) -> Tensor:
        """Feature vectors ``[batch, n_fields, dim]``."""
        vectors = self.table(ids)
        if not self.n_numbers and not self.pooled:
            return vectors
        scale = (ids != 0).to(vectors.dtype)
        n_fields = len(self.layout.in_table)
        counts = scale.new_zeros(len(ids), n_fields).index_add(1, self.column_fields, scale)
        scale = scale / counts.clamp(min=1)[:, self.column_fields]  # the mean over a field's values
        if self.n_numbers:
            scale = scale.index_copy(1, self.number_columns, numbers.to(scale.dtype))
        summed = vectors.new_zeros(len(ids), n_fields, self.dim)
        return summed.index_add(1, self.column_fields, vectors * scale.unsqueeze(2))

    def _dense(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Vectors of dense fields ``[batch, n_dense, dim]``; 0 where a row has no value."""
        fields = zip(self.layout.dense, self.adapters, strict=True)
        return torch.stack([adapter(batch[f"{DENSE}{field.name}"]) for field, adapter in fields], 1)


class CTRLoss(nn.Module):
    """Mean binary cross-entropy plus an L2 penalty on feature embeddings; the module of the training loop.

    With several tasks, the weighted sum of the tasks' means over the batch, to which a missing label adds nothing.

    Args:
        model: The CTR module.
        embedding_l2: Half of it times the squared norm of the table is added.
        task_weights: Weight of each task's loss; None: all 1.
    """

    task_weights: Tensor | None

    def __init__(
        self, model: CTRModule, embedding_l2: float = 0.0, task_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.model, self.embedding_l2 = model, embedding_l2
        weights = None if task_weights is None else torch.tensor(task_weights)
        self.register_buffer("task_weights", weights, persistent=False)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a batch with ``label [batch]`` or ``[batch, n_tasks]``, NaN where one is missing."""
        logits, label = self.model(batch), batch["label"]
        if label.ndim == 1:
            loss = F.binary_cross_entropy_with_logits(logits, label)
        else:
            known = ~label.isnan()
            losses = F.binary_cross_entropy_with_logits(logits, label.nan_to_num(), reduction="none") * known
            loss = (losses if self.task_weights is None else losses * self.task_weights).sum() / len(label)
        if self.embedding_l2:
            loss = loss + 0.5 * self.embedding_l2 * self.model.table.weight.square().sum()
        return loss


def learning_rates(model: CTRModule, config: CTRModelConfig) -> list[dict[str, Any]]:
    """Parameter groups with their own learning rate: a fine-tuned encoder's."""
    if not isinstance(model.reader, EncodedItems) or model.reader.frozen:
        return []
    return [{"params": list(model.reader.prediction.parameters()), "lr": config.encoder_lr}]
