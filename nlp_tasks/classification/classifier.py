"""Classification of texts: one label of several, or any number of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nlp_tasks.batches import Choose
from nlp_tasks.checkpoint import load_task, save_task
from nlp_tasks.classification.metrics import best_thresholds, multi_label_metrics, single_label_metrics
from nlp_tasks.config import ClassificationConfig, HeadConfig, LengthConfig
from nlp_tasks.data import read_lines
from nlp_tasks.distilled import no_and_yes
from nlp_tasks.inputs import Inputs, longest, read_texts
from nlp_tasks.model import TextModel, outputs, task_loss
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.model import EncoderOutput
from recsys_bert.errors import InputError
from recsys_bert.losses.classification import multiclass_cross_entropy, multilabel_cross_entropy

TASK = "classifier"

Labels = Sequence[tuple[str, ...]]


class ClassificationLoss(nn.Module):
    """The loss that ``fit`` minimises.

    Args:
        model: One output a class.
        config: The settings.
        weights: Of the classes, ``[classes]``.
        auxiliary_weight: Share of the loss on the last layer, where the model has one.
    """

    weights: Tensor

    def __init__(
        self,
        model: TextModel,
        config: ClassificationConfig,
        weights: NDArray[np.float32],
        auxiliary_weight: float = 0.8,
    ) -> None:
        super().__init__()
        self.model, self.config, self.auxiliary_weight = model, config, auxiliary_weight
        self.register_buffer("weights", torch.from_numpy(weights), persistent=False)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Mean loss of the examples; ``batch["labels"]`` is ``[examples]``, or ``[examples, classes]`` of 0 and 1."""
        return self.loss_of(self.model.encode(batch), batch)

    def loss_of(self, encoded: EncoderOutput, batch: Mapping[str, Tensor]) -> Tensor:
        """The same, where the encoder has been over the batch."""
        loss = partial(
            multilabel_cross_entropy if self.config.multi_label else multiclass_cross_entropy,
            targets=batch["labels"],
            weights=self.weights,
            smoothing=self.config.label_smoothing,
            gamma=self.config.focal_gamma,
        )
        return task_loss(self.model, encoded, batch, loss, self.auxiliary_weight)

    def choices(self, outputs: Tensor) -> Tensor:
        """Logits of the classes, or of yes and no for each label."""
        return no_and_yes(outputs) if self.config.multi_label else outputs


@dataclass
class Classifier:
    """A trained classifier.

    Make one with ``load``, or train it with ``pipelines.text.classify.train``.
    """

    model: TextModel
    tokenizer: Tokenizer
    labels: list[str]
    """As they stand in files."""

    names: list[str]
    """As they are shown; the labels themselves where they have no names."""

    length: LengthConfig
    multi_label: bool
    thresholds: NDArray[np.float64] | None = None
    """``[classes]`` probability from which on a label holds; for multi-label."""

    @property
    def max_len(self) -> int:
        """Longest row in tokens."""
        return longest(self.length, self.model.encoder.config)

    def inputs(self, texts: Sequence[str]) -> Inputs:
        """Rows that the encoder reads of texts."""
        return read_texts(self.tokenizer, texts, None, self.length, self.max_len)

    def probabilities(self, texts: Sequence[str] | Inputs) -> NDArray[np.float64]:
        """Probability of every label, ``[n, classes]``; rows sum to 1 unless the task is multi-label."""
        logits = outputs(self.model, texts if isinstance(texts, Inputs) else self.inputs(texts)).astype(np.float64)
        if self.multi_label:
            return 1 / (1 + np.exp(-logits))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return powers / powers.sum(axis=1, keepdims=True)

    def holds(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each label holds, ``[n, classes]``: the likeliest one, or all that reach their thresholds."""
        if self.multi_label:
            assert self.thresholds is not None
            return probabilities >= self.thresholds
        return np.arange(len(self.labels)) == probabilities.argmax(axis=1)[:, None]

    def predict(self, texts: Sequence[str]) -> list[str] | list[tuple[str, ...]]:
        """Label of each text; with multi-label a tuple of all that hold, the likeliest first."""
        probabilities = self.probabilities(texts)
        if not self.multi_label:
            return [self.names[best] for best in probabilities.argmax(axis=1)]
        holds, order = self.holds(probabilities), np.argsort(-probabilities, axis=1, kind="stable")
        return [tuple(self.names[c] for c in order[i] if holds[i, c]) for i in range(len(order))]

    def score(self, probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> dict[str, Any]:
        """Measures of predictions; see ``label_metrics``.

        Args:
            probabilities: ``[n, classes]``.
            targets: As ``encode_labels`` gives them.
        """
        if self.multi_label:
            return multi_label_metrics(targets, probabilities, self.holds(probabilities), self.names)
        return single_label_metrics(targets, probabilities, self.names)

    def tune(self, probabilities: NDArray[np.float64], targets: NDArray[np.int64], how: str) -> None:
        """Choose the thresholds on validation examples: ``per_label``, ``shared`` or ``half``."""
        self.thresholds = best_thresholds(targets, probabilities, how)

    def save(self, folder: Path, head: HeadConfig) -> None:
        """Write the classifier to ``folder``, whole or not at all."""
        own = {"labels": self.labels, "names": self.names, "multi_label": self.multi_label}
        thresholds = None if self.thresholds is None else self.thresholds.tolist()
        save_task(folder, TASK, self.model, self.tokenizer, head=head, length=self.length, **own, thresholds=thresholds)

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Open a run folder of ``text classify train``.

        Raises:
            InputError: It holds no classifier, or a damaged one.
        """
        model, tokenizer, length, about = load_task(folder, TASK)
        thresholds = None if about["thresholds"] is None else np.asarray(about["thresholds"], np.float64)
        return cls(model, tokenizer, about["labels"], about["names"], length, about["multi_label"], thresholds)


def known_labels(labels: Labels, multi_label: bool) -> list[str]:
    """Every label of the training examples, numbers by size and everything else by the alphabet.

    Raises:
        InputError: There are fewer than two, so that there is nothing to learn (one is enough for multi-label).
    """
    counts = Counter(label for some in labels for label in some)
    if len(counts) < (1 if multi_label else 2):
        there = f"all are {next(iter(counts))!r}" if counts else "no example has one"
        raise InputError(
            f"there are too few labels among the {len(labels):,} training examples to learn from: {there}."
        )
    return sorted(counts, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def class_names(labels: Sequence[str], file: Path | None) -> list[str]:
    """Names of labels that are numbers: lines of ``file``, counted from 0; the labels themselves without a file.

    Raises:
        InputError: A label is no number of a line.
    """
    if file is None:
        return list(labels)
    names = [line.strip() for _, line in read_lines(file)]
    for label in labels:
        if not label.isdecimal() or int(label) >= len(names) or not names[int(label)]:
            raise InputError(f"label {label!r} is no number of a line of {file}, which has {len(names)} from 0 on.")
    return [names[int(label)] for label in labels]


def unseen(labels: Labels, known: Sequence[str]) -> list[str]:
    """Why an example cannot be scored, "" where it can: it has a label that training does not know."""
    there = set(known)
    wrong = [next((label for label in some if label not in there), None) for some in labels]
    return ["" if label is None else f"label {label!r} does not occur in training" for label in wrong]


def encode_labels(labels: Labels, known: Sequence[str], multi_label: bool) -> NDArray[np.int64]:
    """Numbers of known labels: ``[n]``, or ``[n, classes]`` of 0 and 1 where there may be several."""
    number = {label: n for n, label in enumerate(known)}
    if not multi_label:
        return np.array([number[some[0]] for some in labels], np.int64)
    found = np.zeros((len(labels), len(known)), np.int64)
    for row, some in enumerate(labels):
        found[row, [number[label] for label in some]] = 1
    return found


def class_weights(
    targets: NDArray[np.int64], labels: Sequence[str], config: ClassificationConfig
) -> NDArray[np.float32]:
    """Weight of each class by the training examples' targets.

    Raises:
        InputError: ``config.weights`` names a label that does not occur.
    """
    if unknown := sorted(set(config.weights) - set(labels)):
        raise InputError(f"task.weights names {unknown[0]!r}; the labels are {', '.join(labels)}.")
    weights = np.ones(len(labels))
    if config.class_weights == "balanced":
        n, ones = (
            len(targets),
            targets.sum(axis=0) if config.multi_label else np.bincount(targets, minlength=len(labels)),
        )
        weights = (n - ones) / np.maximum(ones, 1) if config.multi_label else n / (len(labels) * ones)
    own = np.array([config.weights.get(label, 1.0) for label in labels])
    return (weights * own).astype(np.float32)


def down_sampling(targets: NDArray[np.int64], ratio: float) -> Choose:
    """Draw at most ``ratio`` examples of a class for each one of the rarest class."""
    members = [np.flatnonzero(targets == label) for label in np.unique(targets)]
    most = int(min(map(len, members)) * ratio)

    def choose(random: np.random.Generator) -> NDArray[np.int64]:
        drawn = [m if len(m) <= most else random.choice(m, most, replace=False) for m in members]
        return np.sort(np.concatenate(drawn))

    return choose
