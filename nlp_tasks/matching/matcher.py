"""Text matching: two texts read together (cross-encoder), or one vector each, compared by cosine (bi-encoder)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from nlp_tasks.checkpoint import load_task, save_task
from nlp_tasks.config import LengthConfig
from nlp_tasks.distilled import distilled
from nlp_tasks.encoders import make_text_encoder, start_contents
from nlp_tasks.examples import Table, check_lengths, label_tuples, text_list
from nlp_tasks.export.exportable import Exportable, Target, export
from nlp_tasks.export.heads import sequence_classifier, text_vectors
from nlp_tasks.fine_tuning import with_monitor
from nlp_tasks.inputs import Inputs, longest, read_texts
from nlp_tasks.matching.config import MatchingTrainConfig, check_labelled, monitors
from nlp_tasks.matching.data import (
    Texts,
    check_both_kinds,
    check_yes_or_no,
    match_weight,
    not_yes_or_no,
    pair_batches,
    pair_labels,
    pair_table,
    text_columns,
    text_ids,
    usable_pairs,
    yes_or_no,
)
from nlp_tasks.matching.model import MatchingLoss
from nlp_tasks.model import TextModel, outputs
from nlp_tasks.pooling import is_sentence_transformer
from nlp_tasks.splits import contents, hold_out, parts_of
from nlp_tasks.text_encoder import TextEncoder
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.training import TaskTraining, nonempty, train_task
from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.evaluation.text import best_threshold, pair_metrics, search_metrics
from recsys_bert.settings import make_config

TASK = "matcher"

Pairs = tuple[Texts, Texts] | tuple[Texts, Texts, Iterable[Any]]
"""First texts, second texts and, where there are any, labels."""


@dataclass
class Matcher:
    """Matcher of pairs of texts.

    ::

        matcher = Matcher.train(first, second, labels, task={"form": "bi"})
        matcher.similarity(["how do I pay?"], ["paying a bill"])  # [0.93]
        matcher.encode(["how do I pay?"])  # unit vectors, of a bi-encoder
    """

    model: TextModel
    tokenizer: Tokenizer
    form: Literal["cross", "bi"]
    length: LengthConfig
    threshold: float | None = None
    """Similarity from which on two texts match; None where there were no labels to tune it on."""

    results: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Metrics and counts of the training, as in ``metrics.json``; empty for a loaded matcher."""

    @classmethod
    def train(
        cls,
        first: Texts,
        second: Texts,
        labels: Iterable[Any] | None = None,
        *,
        validation: Pairs | float | None = None,
        test: Pairs | None = None,
        out: Path | None = None,
        config: MatchingTrainConfig | None = None,
        allow_parts: bool = False,
        **settings: Any,
    ) -> "Matcher":
        """Train a matcher.

        Args:
            first: First text of each training pair.
            second: Second text of each.
            labels: 1 for a match, 0 for none; None: all are matches, for ``task={"form": "bi", "loss": "in_batch"}``.
            validation: First texts, second texts and labels that pick epoch and threshold, or the share of the training
                pairs to hold out for it; None: 0.1.
            test: First texts, second texts and labels; evaluated once, after training.
            out: Run folder, as of `text match train`; a stopped run there is resumed. None: a temporary one.
            config: All settings.
            allow_parts: Import parts from outside (``module:Class``) that the run of ``init`` names; their code runs.
            settings: Or single ones, as in a recipe: ``task={"form": "bi"}, train={"epochs": 3}``.

        Raises:
            InputError: Data or settings that do not fit.
        """
        config = make_config(MatchingTrainConfig, config, settings)
        train = pair_table(first, second, labels, "training")
        parts = parts_of(train, validation, test, pair_table, config.train.seed, hold_out)
        with allowing_parts(allow_parts):
            return train_matcher(parts, config, out)

    @classmethod
    def load(cls, folder: Path, threshold: float | None = None, *, allow_parts: bool = False) -> "Matcher":
        """Load a run folder of a matcher, a folder that ``save`` wrote, or one of sentence-transformers (a bi-encoder).

        Args:
            folder: The folder.
            threshold: In place of the one tuned in training.
            allow_parts: Import parts from outside (``module:Class``) that saved settings name; their code runs.

        Raises:
            InputError: It holds no matcher, or a damaged one.
        """
        if is_sentence_transformer(Path(folder)):
            encoder = TextEncoder.load(folder)
            return cls(encoder.model, encoder.tokenizer, "bi", encoder.length, threshold)
        with allowing_parts(allow_parts):
            model, tokenizer, length, about = load_task(folder, TASK)
        form, tuned = about.get("form"), about.get("threshold")
        if form not in ("cross", "bi") or not (tuned is None or type(tuned) in (int, float)):
            raise InputError(
                f"{folder}: task.json has the form {form!r} and the threshold {tuned!r}; allowed are 'cross' and 'bi', "
                "and a number or null. It may be damaged; train the run again."
            )
        return cls(model, tokenizer, form, length, tuned if threshold is None else threshold)

    def save(self, folder: Path) -> None:
        """Write the matcher to ``folder``, all or nothing."""
        about = {"form": self.form, "threshold": self.threshold}
        save_task(Path(folder), TASK, self.model, self.tokenizer, self.length, **about)

    def export(self, folder: Path | str, to: Target = "transformers") -> Path:
        """Write a folder that transformers, sentence-transformers or onnxruntime opens, with the same outputs.

        Longer texts than ``model_max_length`` are cut to their beginning there, whatever ``length`` does here.

        Args:
            folder: Folder to write; it must not be there, or be empty.
            to: ``transformers``, ``sentence-transformers`` or ``onnx``; a cross-encoder has one label there.

        Raises:
            InputError: The other side has no such model; the message names every reason.
        """
        return export(self._exportable(), folder, to)

    def _exportable(self) -> Exportable:
        if self.form == "cross":
            return sequence_classifier(self.model, self.tokenizer, self.max_len, ["match"])
        return text_vectors(self.model, self.tokenizer, self.max_len, normalise=True)

    def predict(self, first: Texts, second: Texts) -> NDArray[np.bool_]:
        """True for each pair that matches.

        Raises:
            InputError: There were no labels to tune a threshold on.
        """
        return self.similarity(first, second) >= self.known_threshold()

    def similarity(self, first: Texts, second: Texts) -> NDArray[np.float64]:
        """Similarity of each pair of texts ``[n]``: probability of a match, or cosine of a bi-encoder."""
        return self.similarity_of(self.inputs(first, second))

    def encode(self, texts: Texts) -> NDArray[np.float32]:
        """Unit vectors of texts ``[n, dim]``, whose inner product is the similarity.

        Raises:
            InputError: This is a cross-encoder.
        """
        if self.form == "cross":
            raise InputError("a cross-encoder has no vectors of single texts; train a matcher with task.form 'bi'.")
        return _unit(outputs(self.model, read_texts(self.tokenizer, text_list(texts), None, self.length, self.max_len)))

    def evaluate(self, first: Texts, second: Texts, labels: Iterable[Any] | None = None) -> dict[str, Any]:
        """Metrics on pairs: of labels against the threshold, and, of a bi-encoder, of search among all second texts.

        Args:
            first: First text of each pair.
            second: Second text of each.
            labels: 1 for a match, 0 for none; None: all are matches.

        Raises:
            InputError: Lists of different lengths, empty ones, or another label.
        """
        first, second = text_list(first, "first"), text_list(second, "second")
        names = None if labels is None else label_tuples(labels)
        check_lengths({"first": first, "second": second, **({} if names is None else {"labels": names})})
        if not first:
            raise InputError("there are no pairs to evaluate on.")
        if names is None and self.form == "cross":
            raise InputError("a cross-encoder is evaluated on labels; give them.")
        check_yes_or_no(names or [], Path("the given pairs"))
        if reason := next(filter(None, not_yes_or_no(names or [])), None):
            raise InputError(f"{reason}.")
        targets = None if names is None else yes_or_no(names)
        return self.metrics(self.inputs(first, second), targets, text_ids(first, second))

    @property
    def max_len(self) -> int:
        """Longest row in tokens."""
        return longest(self.length, self.model.encoder.config)

    def inputs(self, first: Texts, second: Texts) -> Inputs:
        """Rows of pairs: one example a pair for a cross-encoder, two (first, second) for a bi-encoder."""
        first, second = text_list(first, "first"), text_list(second, "second")
        check_lengths({"first": first, "second": second})
        if self.form == "cross":
            return read_texts(self.tokenizer, first, second, self.length, self.max_len)
        both = [text for pair in zip(first, second, strict=True) for text in pair]
        return read_texts(self.tokenizer, both, None, self.length, self.max_len)

    def similarity_of(self, pairs: Inputs) -> NDArray[np.float64]:
        """Similarity of each pair of ``inputs``."""
        values = outputs(self.model, pairs, "comparing texts").astype(np.float64)
        if self.form == "cross":
            return 1 / (1 + np.exp(-values[:, 0]))
        vectors = _unit(values)
        return (vectors[0::2] * vectors[1::2]).sum(axis=1)

    def known_threshold(self) -> float:
        """Threshold of a match.

        Raises:
            InputError: There is none.
        """
        if self.threshold is None:
            raise InputError("this matcher was trained without labels, so it has no threshold for a match; give one.")
        return self.threshold

    def metrics(
        self, pairs: Inputs, labels: NDArray[np.int64] | None, ids: NDArray[np.int64], tune: str | None = None
    ) -> dict[str, Any]:
        """Metrics on rows of pairs; see ``pair_metrics`` and, of a bi-encoder, ``search_metrics``.

        Args:
            pairs: As of ``inputs``.
            labels: ``[n]``, 1 for a match; None where all are.
            ids: ``[n, 2]`` number of each pair's texts, the same for equal texts (see ``text_ids``).
            tune: Metric to tune the threshold for first: ``accuracy`` or ``f1``; None keeps it.
        """
        metrics: dict[str, Any] = {"examples": len(ids)}
        if self.form == "cross":
            similarity = self.similarity_of(pairs)
        else:
            vectors = _unit(outputs(self.model, pairs, "comparing texts"))
            first, second = vectors[0::2], vectors[1::2]
            similarity = (first * second).sum(axis=1)
            matches = np.ones(len(ids), bool) if labels is None else labels == 1
            metrics |= search_metrics(first[matches], ids[matches], second, ids[:, 1])
        if labels is not None:
            self.threshold = best_threshold(labels, similarity, tune) if tune else self.threshold
            metrics |= pair_metrics(labels, similarity, self.threshold)
        return metrics


def train_matcher(parts: Mapping[str, Table], config: MatchingTrainConfig, out: Path | None = None) -> Matcher:
    """Train on tables; see ``Matcher.train``.

    Args:
        parts: ``train``, ``validation`` and, where there is one, ``test``; a column of first and one of second texts.
        config: Settings; ``config.toml`` of the run.
        out: Run folder; None: a temporary one.

    Raises:
        InputError: Data or settings that do not fit.
    """
    labelled = parts["train"].labels is not None
    check_labelled(config.task, labelled=labelled)
    config = with_monitor(config, monitors(config.task, labelled=labelled))
    matcher, training = build_training(parts, config)
    matcher.results = train_task(training, config, out)
    return matcher


def build_training(parts: Mapping[str, Table], config: MatchingTrainConfig) -> tuple[Matcher, TaskTraining]:
    """Build an untrained matcher and its training; see ``train_matcher``.

    Raises:
        InputError: Data or settings that do not fit.
    """
    task = config.task
    parts = usable_pairs(parts)
    labels = {name: pair_labels(table) for name, table in parts.items()}
    if task.loss != "in_batch":
        check_both_kinds(labels["train"])
    texts = {name: text_columns(table) for name, table in parts.items()}
    torch.manual_seed(config.train.seed)
    known = [text for column in texts["train"] for text in column]
    encoder, tokenizer = make_text_encoder(config.init, config.encoder, config.tokenizer, known)
    n_outputs, auxiliary = 1 if task.form == "cross" else 0, config.train.auxiliary.weight
    model = TextModel(encoder, config.head, n_outputs, config.length.pool, auxiliary=auxiliary > 0)
    matcher = Matcher(model, tokenizer, task.form, config.length)
    loss = MatchingLoss(model, task, match_weight(labels["train"], task), auxiliary)
    size, seed = config.train.batch_size, config.train.seed
    batches = pair_batches(matcher.inputs, texts["train"], labels["train"], task, size, seed)
    inputs = {name: matcher.inputs(*pair) for name, pair in texts.items() if name != "train"}

    def evaluate(split: str) -> dict[str, Any]:
        known = None if parts[split].labels is None else labels[split]
        tune = task.threshold if split == "validation" else None
        return matcher.metrics(inputs[split], known, text_ids(*texts[split]), tune)

    def record() -> dict[str, Any]:
        rows = inputs | {"train": batches.inputs}
        counts = {name: {**table.left_out, **rows[name].counts} for name, table in parts.items()}
        examples = {name: len(table) for name, table in parts.items()}
        return {"threshold": matcher.threshold, "examples": examples, "counted": nonempty(counts)}

    teacher = None if config.teacher is None else Matcher.load(config.teacher)
    training = TaskTraining(
        kind=TASK,
        loss=distilled(loss, matcher, teacher, config.distillation),
        model=model,
        batches=batches,
        sources=contents(parts.values()) | start_contents(config.init, config.tokenizer, config.teacher),
        splits=list(inputs),
        evaluate=evaluate,
        record=record,
        save=matcher.save,
    )
    return matcher, training


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
