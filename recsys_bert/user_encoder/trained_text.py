"""Text of items by an encoder that is trained with the model: distinct items of a batch are encoded once a step.

Batching by distinct items, and the vectors kept of an item's last step (``max_items``), are from SpeedyFeed (Xiao et
al. 2022, https://arxiv.org/abs/2102.09268). Between encoder and model stand a fixed PCA, fitted before the first step,
and a division to unit length, so that what is trained saves as any text feature does.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.dense import DenseTable
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.item_texts.config import ItemVectorsConfig
from recsys_bert.item_texts.encoder import EncoderVectors
from recsys_bert.item_texts.item_vectors import ItemVectors
from recsys_bert.item_texts.reduction import Reduction, fit_reduction, unit_length
from recsys_bert.item_texts.text_feature import ENCODER, TEXT, TextFeature
from recsys_bert.item_texts.texts import text_digests, texts_of
from recsys_bert.item_texts.training_config import TextTrainingConfig
from recsys_bert.losses.config import LossConfig
from recsys_bert.losses.item_loss import ItemLoss
from recsys_bert.training.config import Precision

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class TrainableTextEncoder(Protocol):
    """Text encoder that can be trained, as ``nlp_tasks.TextEncoder``."""

    encoder: Encoder
    model: nn.Module
    precision: Precision

    @property
    def dim(self) -> int:
        """Width of a vector."""

    @property
    def digest(self) -> str:
        """Hash of weights, tokens and settings."""

    def copy(self, max_len: int) -> "TrainableTextEncoder":
        """Copy with weights of its own that reads ``max_len`` tokens of a text at most."""

    def inputs(self, texts: Sequence[str]) -> Any:
        """Texts as the encoder reads them, cut into tokens."""

    def n_tokens(self, inputs: Any) -> Ints:
        """Tokens of each text ``[n]``."""

    def vectors(self, inputs: Any, examples: Ints) -> Tensor:
        """Vectors of some of the texts, with gradients, ``[len(examples), dim]``."""

    def encode(self, texts: Any) -> Floats:
        """Vectors of texts or of inputs, without gradients, ``[n, dim]``."""

    def save(self, folder: Path) -> None:
        """Write it."""


class TrainedText(nn.Module):
    """Dense feature ``text`` of catalogue rows, by a text encoder that is trained with the model that reads it.

    Called with rows, it gives their numbers: within ``batch`` those of the step, with gradients; otherwise those of the
    encoder as it is, computed for the whole catalogue at the first call after ``train`` or ``eval``.

    Args:
        dataset: The log, prepared with words of its items.
        encoder: The text encoder; a copy of it is trained.
        width: Width of the feature; less where the vectors have less rank.
        config: The settings.
        precision: Number format of products without gradients; with them, that of the training counts.

    Raises:
        InputError: The log has no words, no item with training events has text, or the encoder has fewer layers than
            are frozen.
    """

    mean: Tensor
    components: Tensor
    last: Tensor
    example: Tensor
    position: Tensor

    def __init__(
        self,
        dataset: ClickDataset,
        encoder: TrainableTextEncoder,
        width: int,
        config: TextTrainingConfig,
        precision: Precision = "auto",
    ) -> None:
        super().__init__()
        self.config, self.dataset, self.digest = config, dataset, f"{encoder.digest} {config.max_len}"
        self.encoder = encoder.copy(config.max_len)
        self.encoder.precision = precision
        self.model = self.encoder.model  # registers the weights
        self._freeze()
        texts = texts_of(dataset)
        rows = np.flatnonzero([bool(text) for text in texts])
        first, size = dataset.vocabulary.first_item, dataset.vocabulary.size
        if not ((rows >= first) & (rows < size)).any():
            raise InputError(
                f"no item with training events of {dataset.folder} has text, so there is nothing to train."
            )
        filled = [texts[row] for row in rows]
        self.rows, self.texts, self.inputs = rows, texts, self.encoder.inputs(filled)
        self.lengths = self.encoder.n_tokens(self.inputs)
        start = unit_length(EncoderVectors(self.encoder).encode(filled))
        reduction = fit_reduction(start[rows < size], min(width, start.shape[1]), sketch=False, whiten=1.0, seed=0)
        self.register_buffer("mean", torch.from_numpy(reduction.mean))
        self.register_buffer("components", torch.from_numpy(reduction.components))
        example = np.full(dataset.n_rows, -1, np.int64)
        example[rows] = np.arange(len(rows))
        self.register_buffer("example", torch.from_numpy(example), persistent=False)
        self.register_buffer("position", torch.zeros(dataset.n_rows, dtype=torch.int64), persistent=False)
        n_kept = dataset.n_rows if config.max_items else 0
        last = torch.zeros(n_kept, reduction.dim)
        if config.max_items:
            last[rows] = self._project(torch.from_numpy(start))
        self.register_buffer("last", last)  # part of checkpoints, so that a resumed run has the same vectors
        self._fresh: Tensor | None = None
        self._catalogue: Tensor | None = None

    def _freeze(self) -> None:
        encoder, n = self.encoder.encoder, self.config.frozen_layers
        if n > encoder.config.n_layers:
            raise InputError(
                f"text_training.frozen_layers is {n}, but the text encoder has {encoder.config.n_layers} layers."
            )
        encoder.output_projection.requires_grad_(False)  # not read by what pools
        if n:
            for module in (encoder.embeddings, *encoder.layers_in_order()[:n]):
                module.requires_grad_(False)
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            raise InputError(f"text_training.frozen_layers is {n}, which leaves nothing of the text encoder to train.")

    def __len__(self) -> int:
        """Count the catalogue rows."""
        return len(self.example)

    @property
    def width(self) -> int:
        """Numbers a row."""
        return int(self.components.shape[1])

    def train(self, mode: bool = True) -> "TrainedText":
        """Set the mode; vectors of the catalogue are computed anew from here on."""
        self._catalogue = None
        super().train(mode)
        return self

    def forward(self, rows: Tensor | slice) -> Tensor:
        """Numbers of catalogue rows, ``[*rows.shape, width]``; zeros without text."""
        if self._fresh is None:
            return self.catalogue()[rows]
        position = self.position[rows]
        fresh = self._fresh[position]
        return torch.where((position > 0)[..., None], fresh, self.last[rows]) if self.config.max_items else fresh

    def catalogue(self) -> Tensor:
        """Numbers of all rows by the encoder as it is, without gradients, ``[n_rows, width]``."""
        if self._catalogue is None:
            values = self._project(torch.from_numpy(self._unit_vectors()).to(self.mean))
            table = values.new_zeros(len(self), self.width)
            table[torch.from_numpy(self.rows).to(table.device)] = values
            self._catalogue = table
        return self._catalogue

    @contextmanager
    def batch(self, targets: Tensor, others: Sequence[Tensor | None]) -> Iterator[None]:
        """Encode the distinct items of a step; rows that are looked up inside have gradients.

        Args:
            targets: Their rows come first where ``max_items`` bounds the step.
            others: Further rows, any shape; None: all rows.
        """
        rows = self._distinct(targets, others)
        self._fresh = self._encode(rows)
        self.position[rows] = torch.arange(1, 1 + len(rows), device=rows.device)
        if self.config.max_items and self.training:
            self.last[rows] = self._fresh[1:].detach().to(self.last.dtype)
        try:
            yield
        finally:
            self._fresh = None
            self.position[rows] = 0

    def _distinct(self, targets: Tensor, others: Sequence[Tensor | None]) -> Tensor:
        """Rows with text, each once, ``[m]``; at most ``max_items``, drawn after the targets."""
        needed = torch.zeros(len(self), dtype=torch.bool, device=self.example.device)
        for rows in others:
            needed[slice(None) if rows is None else rows.flatten().long()] = True
        needed[targets.flatten().long()] = True
        needed &= self.example >= 0
        rows, bound = needed.nonzero()[:, 0], self.config.max_items
        if not bound or len(rows) <= bound:
            return rows
        order = torch.rand(len(self), device=rows.device)
        order[targets.flatten().long()] -= 1
        return rows[order[rows].argsort()[:bound]]

    def _encode(self, rows: Tensor) -> Tensor:
        """Numbers ``[1 + m, width]`` of rows ``[m]``, with gradients; the first are zeros."""
        examples: Ints = self.example[rows].cpu().numpy()
        order = np.argsort(self.lengths[examples], kind="stable")
        parts = [self._part(examples[order[part]]) for part in self._chunks(self.lengths[examples[order]])]
        zero = self.mean.new_zeros(1, self.width)
        if not parts:
            return zero
        back = torch.from_numpy(np.argsort(order)).to(rows.device)
        return torch.cat([zero, self._project(torch.cat(parts).float())[back]])

    def _part(self, examples: Ints) -> Tensor:
        if not (self.config.checkpointing and torch.is_grad_enabled()):
            return self.encoder.vectors(self.inputs, examples)
        vectors: Tensor = checkpoint(self.encoder.vectors, self.inputs, examples, use_reentrant=False)
        return vectors

    def _chunks(self, lengths: Ints) -> Iterator[slice]:
        """Ranges of texts of ascending length with ``chunk`` tokens at most, padding included; one text at least."""
        start = 0
        for stop in range(1, len(lengths) + 1):
            if stop == len(lengths) or (stop + 1 - start) * lengths[stop] > self.config.chunk:
                yield slice(start, stop)
                start = stop

    def _project(self, vectors: Tensor) -> Tensor:
        """Map of ``TextFeature``: unit length, PCA, mean square 1."""
        with torch.autocast(vectors.device.type, enabled=False):
            projected = (F.normalize(vectors, dim=-1) - self.mean) @ self.components
            return F.normalize(projected, dim=-1) * self.width**0.5

    def _unit_vectors(self) -> Floats:
        """Vectors of all texts by the encoder as it is."""
        return unit_length(self.encoder.encode(self.inputs))

    @property
    def table(self) -> DenseTable:
        """Numbers of all rows by the encoder as it is, without gradients."""
        return DenseTable(self.catalogue().cpu().numpy(), (self.example >= 0).cpu().numpy())

    @property
    def vectors(self) -> ItemVectors:
        """Vectors of the catalogue by the encoder as it is, which encodes new texts."""
        unit = self._unit_vectors()
        rows = np.zeros((len(self), unit.shape[1]), np.float32)
        rows[self.rows] = unit
        counts = {"items_with_vector": len(self.rows)}
        way, item_ids = EncoderVectors(self.encoder, cache=""), self.dataset.items["item_id"]
        config = ItemVectorsConfig(by="encoder", options={"cache": ""})
        digests = text_digests(self.texts)
        return ItemVectors(rows, item_ids, digests, way, None, config, counts, self.dataset.fingerprint)

    def save(self, folder: Path) -> None:
        """Write the feature as ``TextFeature`` does, and the text encoder."""
        reduction = Reduction(self.mean.cpu().numpy(), self.components.cpu().numpy())
        TextFeature(self.vectors, reduction).save(folder)
        self.encoder.save(folder / ENCODER)


def check_bounded(loss: LossConfig, config: TextTrainingConfig) -> None:
    """Refuse a loss that reads all items at every step, where each would be encoded.

    Raises:
        InputError: It does, and ``max_items`` does not bound the step.
    """
    if not loss.samples and not config.max_items:
        raise InputError(
            f"loss.name {loss.name!r} compares with all items, and text 'trained' would encode all of their texts at "
            "every step. Take loss.name 'sampled', or bound a step by text_training.max_items."
        )


def items_of_step(item_loss: ItemLoss, batch: Mapping[str, Tensor]) -> list[Tensor | None]:
    """Rows that an item loss compares a batch's targets with: negatives and mined ones, or all (None)."""
    if not item_loss.config.samples:
        return [None]
    mined = [item_loss.hard_rows[batch["users"]]] if item_loss.mines else []
    return [batch["negatives"], *mined]


class WithTrainedText(nn.Module):
    """Loss of token prediction whose steps encode the texts of their items.

    Args:
        loss: ``forward(batch)`` is the loss; it reads the texts of ``tokens``, of targets and of negatives.
        item_loss: Its item loss.
        texts: The text encoder, which is trained with it.
    """

    def __init__(self, loss: nn.Module, item_loss: ItemLoss, texts: TrainedText) -> None:
        super().__init__()
        check_bounded(item_loss.config, texts.config)
        self.loss, self.texts, self._item_loss = loss, texts, [item_loss]  # registered in loss

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss over the batch's targets."""
        with self.texts.batch(batch["targets"], [batch["tokens"], *items_of_step(self._item_loss[0], batch)]):
            loss: Tensor = self.loss(batch)
        return loss


def trained_text(dataset: ClickDataset) -> TrainedText | None:
    """Text encoder that is trained on a log's items, if there is one."""
    return next((source for source in dataset.added_dense.values() if isinstance(source, TrainedText)), None)


def item_numbers(dataset: ClickDataset, name: str) -> NDArray[Any] | TrainedText:
    """Numbers by catalogue row of a dense feature of items: its table, or what is trained in its place."""
    source = dataset.added_dense.get(name)
    return source if isinstance(source, TrainedText) else dataset.item_dense[name].values


def text_of(dataset: ClickDataset) -> TextFeature | TrainedText | None:
    """Text of items that a model reads, if any."""
    source = dataset.added_dense.get(TEXT)
    return source if isinstance(source, TextFeature | TrainedText) else None
