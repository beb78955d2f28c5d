"""Whether two texts belong together: read together (cross-encoder), or each to a vector of its own (bi-encoder)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.batches import TextBatches
from nlp_tasks.checkpoint import load_task, save_task
from nlp_tasks.classification.metrics import best_threshold
from nlp_tasks.config import HeadConfig, LengthConfig, MatchingConfig
from nlp_tasks.distilled import no_and_yes
from nlp_tasks.inputs import Inputs, longest, read_texts
from nlp_tasks.matching.metrics import pair_metrics, search_metrics
from nlp_tasks.model import TextModel, outputs, task_loss
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.model import EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.losses.classification import multilabel_cross_entropy
from recsys_bert.losses.contrastive import in_batch_loss, pair_ranking_loss

TASK = "matcher"
YES = {"1", "true"}
NO = {"0", "false"}


class MatchingLoss(nn.Module):
    """The loss that ``fit`` minimises.

    Args:
        model: One output for a cross-encoder, none (the vector) for a bi-encoder.
        config: The settings.
        weight: Of the matches, against 1 for other pairs.
        auxiliary_weight: Share of the loss on the last layer, where the model has one.
    """

    def __init__(
        self, model: TextModel, config: MatchingConfig, weight: float = 1.0, auxiliary_weight: float = 0.8
    ) -> None:
        super().__init__()
        self.model, self.config, self.weight, self.auxiliary_weight = model, config, weight, auxiliary_weight
        # a cosine becomes a logit by scale · cosine + shift: at first 10 · (cosine − 0.5)
        learned = config.form == "bi" and config.loss == "labels"
        self.cosine = nn.Parameter(torch.tensor([10.0, -5.0])) if learned else None

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the pairs; ``batch["labels"]`` int ``[pairs]``, 1 for a match."""
        return self.loss_of(self.model.encode(batch), batch)

    def loss_of(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """The same, where the encoder has been over the batch."""
        return task_loss(self.model, encoded, batch, partial(self._of_outputs, batch=batch), self.auxiliary_weight)

    def choices(self, outputs: Tensor) -> Tensor:
        """Logits of no and yes, or, of a bi-encoder, cosines of each first text with all second ones of the batch."""
        if self.config.form == "cross":
            return no_and_yes(outputs.squeeze(1))
        first, second = (F.normalize(vectors.float(), dim=-1) for vectors in (outputs[0::2], outputs[1::2]))
        return first @ second.T / self.config.temperature

    def _of_outputs(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The loss on logits ``[pairs, 1]``, or on vectors ``[2 · pairs, dim]``, those of a pair side by side."""
        labels = batch["labels"]
        if self.config.form == "cross":
            return self._on_labels(outputs.squeeze(1), labels)
        first, second = outputs[0::2], outputs[1::2]
        if self.config.loss == "in_batch":
            same = known_matches(batch["ids"], labels == 1)
            return in_batch_loss(first, second, labels == 1, temperature=self.config.temperature, same=same)
        cosines = F.cosine_similarity(first.float(), second.float())
        if self.config.loss == "ranking":
            return pair_ranking_loss(cosines, labels == 1, temperature=self.config.temperature)
        assert self.cosine is not None
        return self._on_labels(self.cosine[0] * cosines + self.cosine[1], labels)

    def _on_labels(self, logits: Tensor, labels: Tensor) -> Tensor:
        weights, config = logits.new_tensor([self.weight]), self.config
        return multilabel_cross_entropy(
            logits[:, None],
            labels[:, None],
            weights=weights,
            smoothing=config.label_smoothing,
            gamma=config.focal_gamma,
        )


def known_matches(ids: Tensor, match: Tensor) -> Tensor:
    """Where the first text of one pair and the second of another must not be told apart.

    They are the same text, or the batch itself holds them, in either order, as a match. A pair with the label 0 stays
    what it is: the hardest of negatives.

    Args:
        ids: ``[pairs, 2]`` numbers of the texts.
        match: bool ``[pairs]``.

    Returns:
        bool ``[pairs, pairs]``.
    """
    first, second, width = ids[:, 0], ids[:, 1], int(ids.max()) + 1
    known = torch.cat([first * width + second, second * width + first])[match.repeat(2)]
    return torch.isin(first[:, None] * width + second[None, :], known) | (first[:, None] == second[None, :])


@dataclass
class Matcher:
    """A trained matcher.

    Make one with ``load``, or train it with ``pipelines.text.match.train``.
    """

    model: TextModel
    tokenizer: Tokenizer
    form: Literal["cross", "bi"]
    length: LengthConfig
    threshold: float | None = None
    """Score from which on two texts match; None where no labels were there to choose it by."""

    @property
    def max_len(self) -> int:
        """Longest row in tokens."""
        return longest(self.length, self.model.encoder.config)

    def inputs(self, first: Sequence[str], second: Sequence[str]) -> Inputs:
        """Rows of pairs: one example a pair for a cross-encoder, two (first, second) for a bi-encoder."""
        if self.form == "cross":
            return read_texts(self.tokenizer, first, second, self.length, self.max_len)
        both = [text for pair in zip(first, second, strict=True) for text in pair]
        return read_texts(self.tokenizer, both, None, self.length, self.max_len)

    def scores(self, pairs: Inputs) -> NDArray[np.float64]:
        """Score of each pair of ``inputs``: the probability of a match, or the cosine of a bi-encoder."""
        found = outputs(self.model, pairs, "comparing texts").astype(np.float64)
        if self.form == "cross":
            return 1 / (1 + np.exp(-found[:, 0])) if len(found) else np.empty(0)
        vectors = _unit(found)
        return (vectors[0::2] * vectors[1::2]).sum(axis=1)

    def score(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.float64]:
        """Score of each pair of texts, ``[n]``."""
        return self.scores(self.inputs(first, second))

    def predict(self, first: Sequence[str], second: Sequence[str]) -> NDArray[np.bool_]:
        """Whether each pair matches.

        Raises:
            InputError: There were no labels to choose a threshold by.
        """
        return self.score(first, second) >= self.known_threshold()

    def known_threshold(self) -> float:
        """The threshold, or an error that says why there is none."""
        if self.threshold is None:
            raise InputError(
                "this matcher was trained without labels, so it has scores but no threshold for a match; give one."
            )
        return self.threshold

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length ``[n, dim]``, whose inner product is the score.

        Raises:
            InputError: This is a cross-encoder.
        """
        if self.form == "cross":
            raise InputError("a cross-encoder has no vectors of single texts; train a matcher with task.form 'bi'.")
        inputs = read_texts(self.tokenizer, texts, None, self.length, self.max_len)
        return _unit(outputs(self.model, inputs))

    def metrics(
        self, pairs: Inputs, labels: NDArray[np.int64] | None, ids: NDArray[np.int64], tune: str | None = None
    ) -> dict[str, Any]:
        """Measures on pairs: of matches against the threshold, and, of a bi-encoder, of finding them among all texts.

        Args:
            pairs: As ``inputs`` gives them.
            labels: ``[n]``, 1 for a match; None where all are.
            ids: ``[n, 2]`` number of each pair's texts, the same for equal texts (see ``text_ids``).
            tune: First choose the threshold so that this is best here: ``accuracy`` or ``f1``; None leaves it.
        """
        found: dict[str, Any] = {"examples": len(ids)}
        if self.form == "cross":
            scores = self.scores(pairs)
        else:
            vectors = _unit(outputs(self.model, pairs, "comparing texts"))
            first, second = vectors[0::2], vectors[1::2]
            scores = (first * second).sum(axis=1)
            matches = np.ones(len(ids), bool) if labels is None else labels == 1
            found |= search_metrics(first[matches], ids[matches], second, ids[:, 1])
        if labels is not None:
            self.threshold = best_threshold(labels, scores, tune) if tune else self.threshold
            found |= pair_metrics(labels, scores, self.threshold)
        return found

    def save(self, folder: Path, head: HeadConfig) -> None:
        """Write the matcher to ``folder``, whole or not at all."""
        own = {"form": self.form, "threshold": self.threshold}
        save_task(folder, TASK, self.model, self.tokenizer, head=head, length=self.length, **own)

    @classmethod
    def load(cls, folder: Path, threshold: float | None = None) -> "Matcher":
        """Open a run folder of ``text match train``; ``threshold`` takes the place of the one chosen in training.

        Raises:
            InputError: It holds no matcher, or a damaged one.
        """
        model, tokenizer, length, about = load_task(folder, TASK)
        return cls(model, tokenizer, about["form"], length, about["threshold"] if threshold is None else threshold)


def not_yes_or_no(labels: Sequence[tuple[str, ...]]) -> list[str]:
    """Why a pair cannot be used, "" where it can: its label is neither 0 nor 1."""
    return ["" if label.lower() in YES | NO else f"label {label!r} is neither 0 nor 1" for (label,) in labels]


def yes_or_no(labels: Sequence[tuple[str, ...]]) -> NDArray[np.int64]:
    """Labels as 0 and 1, ``[n]``."""
    return np.array([label.lower() in YES for (label,) in labels], np.int64)


def check_both_kinds(labels: NDArray[np.int64]) -> None:
    """Refuse pairs from which nothing can be learned.

    Raises:
        InputError: All match, or none does.
    """
    if labels.all() or not labels.any():
        kind = "match" if labels.any() else "do not match"
        raise InputError(
            f"all {len(labels):,} training pairs {kind}; both kinds are needed. From matches alone, a bi-encoder can "
            "learn with --task.form bi --task.loss in_batch --label None."
        )


def text_ids(first: Sequence[str], second: Sequence[str]) -> NDArray[np.int64]:
    """Number the texts of pairs, equal texts alike: ``[n, 2]``."""
    number: dict[str, int] = {}
    pairs = [[number.setdefault(text, len(number)) for text in pair] for pair in zip(first, second, strict=True)]
    return np.array(pairs, np.int64).reshape(-1, 2)


def match_weight(labels: NDArray[np.int64], config: MatchingConfig) -> float:
    """Weight of the matches among training pairs."""
    return float((labels == 0).sum() / labels.sum()) if config.class_weights == "balanced" else 1.0


def pair_batches(
    matcher: Matcher,
    texts: tuple[list[str], list[str]],
    labels: NDArray[np.int64],
    config: MatchingConfig,
    batch_size: int,
    seed: int,
) -> TextBatches:
    """Training batches of pairs; with ``swap``, every epoch draws the order of each pair.

    Args:
        matcher: Reads the pairs.
        texts: First and second text of each pair.
        labels: ``[n]``.
        config: The settings.
        batch_size: Pairs per batch.
        seed: Of order and swaps.
    """
    first, second = texts
    choose, n = None, len(labels)
    if config.swap:
        first, second, labels = first + second, second + first, np.concatenate([labels, labels])
        choose = partial(_one_of_two, n)
    values = {"labels": labels, "ids": text_ids(first, second)}
    return TextBatches(
        matcher.inputs(first, second),
        values,
        batch_size=batch_size,
        seed=seed,
        choose=choose,
        texts=2 if matcher.form == "bi" else 1,
        targets=labels if config.loss == "in_batch" else None,
    )


def _one_of_two(n: int, random: np.random.Generator) -> NDArray[np.int64]:
    return np.arange(n) + n * random.integers(0, 2, n)


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
