"""Replaced-token detection, from ELECTRA (https://arxiv.org/abs/2003.10555)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsys_bert.encoder.batch import encode_batch
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.objectives.auxiliary import weighed
from recsys_bert.objectives.masked import check_mask_prob, choose_predicted, context, default_mask_prob
from recsys_bert.objectives.sequences import Sequences, TokenTable
from recsys_bert.objectives.token_prediction import TokenPrediction, at

Batch = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class ReplacedToken:
    """Classify every token as original or replaced by a small masked-token generator; learn both together.

    ``loss = generator + discriminator_weight · (classification + queries)``. The encoder is the discriminator; it
    shares the token table with the generator, which is dropped after training.

    A discriminator predicts no tokens, so ELECTRA alone gives nothing to rank with. Therefore ``query_prob`` of the
    masks are left to the encoder, which predicts the tokens there over the shared table, as at test time. Texts have no
    such queries, which is ELECTRA as published.

    Args:
        mask_prob: Share of tokens that the generator replaces, in (0, 1); None: 0.2 of a history, 0.15 of a text.
        query_prob: Share of masks that the encoder sees and predicts, in [0, 1]; None: 0.5 in histories, 0 in texts.
        generator_size: Width of the generator's layers as a share of the encoder's, in (0, 1].
        discriminator_weight: Weight of the encoder's losses, against 1 for the generator's.
    """

    mask_prob: float | None = None
    query_prob: float | None = None
    generator_size: float = 0.25
    discriminator_weight: float = 50.0

    attention: ClassVar[str] = "bidirectional"
    appends_mask: ClassVar[bool] = True
    extra_events: ClassVar[int] = 0

    def __post_init__(self) -> None:
        check_mask_prob(self.mask_prob)
        if self.query_prob is not None and not 0 <= self.query_prob <= 1:
            raise InputError(f"objective_options: query_prob is {self.query_prob}; it must lie in [0, 1].")
        if not 0 < self.generator_size <= 1:
            raise InputError(f"objective_options: generator_size is {self.generator_size}; it must lie in (0, 1].")
        if not self.discriminator_weight > 0:
            raise InputError(
                f"objective_options: discriminator_weight is {self.discriminator_weight}; it must be above 0."
            )

    def make_batch(self, sequences: Sequences, table: TokenTable, random: np.random.Generator) -> dict[str, Any]:
        """Masked inputs of the generator, original tokens as targets, and ``query`` bool ``[batch, seq]``.

        ``query`` marks the masks that the encoder sees too. Only those have no timestamp of their own: of the others it
        would tell which tokens were masked. See ``Objective``.
        """
        masked = choose_predicted(
            sequences,
            random,
            mask_prob=default_mask_prob(self.mask_prob, sequences.open_ended),
            last_only_prob=0.1 if sequences.open_ended else 0.0,
        )
        query_prob = self.query_prob
        if query_prob is None:
            query_prob = 0.5 if sequences.open_ended else 0.0
        query = masked & (random.random(masked.shape) < query_prob)
        positions = np.flatnonzero(masked)
        return {
            "tokens": np.where(masked, table.mask, sequences.tokens).astype(sequences.tokens.dtype),
            "positions": positions,
            "targets": sequences.tokens.reshape(-1)[positions],
            "n_targets": len(positions),
            "query": query,
            **sequences.target_weights(positions),
            **context(sequences, query),
        }

    def module(self, prediction: TokenPrediction) -> "ReplacedTokenDetection":
        """Train generator and discriminator."""
        config = generator_config(prediction.encoder.config, self.generator_size)
        return ReplacedTokenDetection(prediction, config, self.discriminator_weight)


def generator_config(encoder: EncoderConfig, size: float) -> EncoderConfig:
    """Settings of a generator beside an encoder: its layers, narrower, over the same token table, and nothing after.

    Args:
        encoder: The discriminator.
        size: Width as a share of the encoder's; rounded to whole attention heads of one dimension or more, of an even
            number of them where relative positions may turn pairs of them.
    """
    default = EncoderConfig()
    heads = encoder.n_heads
    unit = 2 * heads if encoder.has_relative_positions and encoder.dim % (2 * heads) == 0 else heads
    dim = max(1, round(encoder.dim * size / unit)) * unit
    width = encoder.dim if encoder.embedding_dim is None else encoder.embedding_dim
    names = ("fusion", "fusion_options", "neck", "neck_options", "residual", "ngrams", "ngram_rows", "exact_match")
    changes = {name: getattr(default, name) for name in names}
    changes |= {"dim": dim, "embedding_dim": None if dim == width else width, "n_layers": max(1, encoder.n_layers)}
    return replace(encoder, **changes)


class ReplacedTokenDetection(nn.Module):
    """Generator, discriminator and their losses.

    Args:
        prediction: The discriminator's encoder, its output over the token table, and the item loss of both.
        generator: Settings of the generator.
        weight: Weight of the encoder's losses.
    """

    def __init__(self, prediction: TokenPrediction, generator: EncoderConfig, weight: float) -> None:
        super().__init__()
        encoder = prediction.encoder
        self.prediction, self.weight = prediction, weight
        self.generator = Encoder(generator)
        self.generator.embeddings.token = encoder.embeddings.token
        self.head = _classifier(encoder.out_dim)
        raw_width = encoder.embeddings.token.embedding_dim
        self.raw_head = None if prediction.last is None else _classifier(raw_width)

    def forward(self, batch: dict[str, Any]) -> Tensor:
        """Loss of a batch from ``ReplacedToken.make_batch``."""
        batch = self.read(batch)
        return self.loss_of(self.prediction.encode(batch), batch)

    def read(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Replace masked tokens by samples of the generator, except at queries.

        Returns:
            The batch with ``tokens`` corrupted, ``positions`` and ``targets`` of the queries alone, ``replaced`` and
            ``classified`` bool ``[batch, seq]``, ``generator_loss``, and ``generator_queries [n, d]`` with
            ``generator_targets [n]``.
        """
        tokens, positions, targets = batch["tokens"], batch["positions"], batch["targets"].long()
        prediction = self.prediction
        encoded = encode_batch(self.generator, batch, prediction.features(tokens))
        hidden = self.generator.project(at(encoded.tokens, positions))
        queries = prediction.compared(hidden)
        loss = prediction.loss_of_queries(batch)
        samples = self._sample(queries)
        is_query = batch["query"].flatten()[positions]
        corrupted, replaced = tokens.flatten().clone(), torch.zeros_like(tokens, dtype=torch.bool).flatten()
        corrupted[positions] = torch.where(is_query, tokens.flatten()[positions], samples.to(tokens.dtype))
        replaced[positions] = (samples != targets) & ~is_query
        classified = (tokens != 0).flatten()
        classified[positions] &= ~is_query
        weights = {"weights": batch["weights"][is_query]} if "weights" in batch else {}
        return batch | {
            **weights,
            "tokens": corrupted.view_as(tokens),
            "positions": positions[is_query],
            "targets": targets[is_query],
            "replaced": replaced.view_as(tokens),
            "classified": classified.view_as(tokens),
            "generator_loss": loss(queries),
            "generator_queries": queries.detach(),
            "generator_targets": targets,
        }

    def loss_of(self, encoded: EncoderOutput, batch: Batch) -> Tensor:
        """Generator, classification and query losses of a batch from ``read``."""
        detection = self._detection(self.head(encoded.tokens), batch)
        last, share = self.prediction.last, self.prediction.auxiliary
        if self.raw_head is not None and last is not None and share is not None:
            detection = weighed(detection, self._detection(self.raw_head(last(encoded.states[-1])), batch), share)
        return batch["generator_loss"] + self.weight * (detection + self.prediction.loss_of(encoded, batch))

    def soft_targets(self, teacher: TokenPrediction, taught: EncoderOutput, batch: Batch) -> tuple[Tensor, Tensor]:
        """The teacher's predictions at the queries; it reads the same replaced tokens."""
        return self.prediction.soft_targets(teacher, taught, batch)

    def soft_loss(
        self, encoded: EncoderOutput, targets: tuple[Tensor, Tensor], batch: Batch, temperature: float
    ) -> Tensor:
        """Mean loss against ``soft_targets``."""
        return self.prediction.soft_loss(encoded, targets, batch, temperature)

    def metrics(self, encoded: EncoderOutput, batch: Batch) -> dict[str, tuple[float, int]]:
        """Accuracy and log likelihood of the generator; accuracy of the classification, and recall of the replaced."""
        items, targets = self.prediction.items(), batch["generator_targets"] - self.prediction.first_row
        logits = (batch["generator_queries"] @ items.T).float()
        log_likelihood = -float(F.cross_entropy(logits, targets, reduction="sum"))
        detected = self.head(encoded.tokens).squeeze(-1) > 0
        replaced, classified = batch["replaced"], batch["classified"]
        return {
            "accuracy": (int((logits.argmax(dim=1) == targets).sum()), len(targets)),
            "log_likelihood": (log_likelihood, len(targets)),
            "replaced_accuracy": (int((detected == replaced)[classified].sum()), int(classified.sum())),
            "replaced_recall": (int((detected & replaced).sum()), int(replaced.sum())),
        }

    def _detection(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean binary cross-entropy over the classified positions; 0 without any."""
        classified = batch["classified"]
        logits, labels = logits.squeeze(-1)[classified].float(), batch["replaced"][classified].float()
        total = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        return total / max(1, len(labels))

    @torch.no_grad()
    def _sample(self, queries: Tensor) -> Tensor:
        """Rows ``[n]`` drawn from the generator's softmax over all tokens, some queries at a time."""
        items, first = self.prediction.items(), self.prediction.first_row
        samples = [torch.empty(0, dtype=torch.int64, device=items.device)]
        for part in queries.detach().split(self.prediction.loss.chunk):
            logits = (part @ items.T).float()
            gumbel = -torch.empty_like(logits).exponential_().log()
            samples.append((logits + gumbel).argmax(dim=1) + first)
        return torch.cat(samples)


def _classifier(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
