"""Test metrics of the runs of a command, example by example: one pair of functions a command.

A training command takes part in comparisons if it has a line in ``EXAMPLE_METRICS``. Its pipeline has settings ``out``
and ``train``, calls ``run_folder.begin`` once everything that bad input can stop is done, and returns ``seconds``,
``epochs``, ``best_epoch`` and ``parameters``. `fuse`, which trains nothing, calls ``end_of_checks`` there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_bert.errors import InputError
from recsys_bert.stages.comparison.runs import HeldOutMetrics


@dataclass(frozen=True)
class CommandEvaluation:
    """Evaluation of the runs of one command."""

    test_fingerprint: Callable[[Any], str]
    """Settings → fingerprint of the test examples; raises ``InputError`` where there are none."""

    evaluate: Callable[[Any], HeldOutMetrics]
    """Settings of a finished run → its metrics on them."""


def _log_fingerprint(config: Any) -> str:
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.user_encoder.unchanged import log_digest

    dataset = open_dataset(config.data)
    if not len(Queries.of(dataset, "test")):
        raise InputError(f"{config.data} holds out no test events to compare runs by; prepare it with another split.")
    return log_digest(dataset)


def _ranking(config: Any) -> HeldOutMetrics:
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.retrieval.load import open_run
    from recsys_bert.stages.comparison.rankings import ranking_metrics

    dataset = open_dataset(config.data)
    return ranking_metrics(open_run(config.out, dataset), dataset)


def _impressions_fingerprint(config: Any) -> str:
    from hashlib import sha256

    test = _test_impressions(config)
    digest = sha256(repr(config.columns.tasks).encode())
    for array in (test.labels, test.times):
        digest.update(b"" if array is None else array.tobytes())
    return digest.hexdigest()


def _click_through(config: Any) -> HeldOutMetrics:
    """Of every impression the value whose mean is the AUC, and the log-likelihood of its label; by label if several.

    The baselines of the run stand beside them.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.ctr.checkpoint import load_model
    from recsys_bert.evaluation.classification import auc_placements
    from recsys_bert.files import read_json
    from recsys_bert.stages.comparison.beside import baseline_metrics

    model = load_model(config.out, None if config.data is None else open_dataset(config.data))
    test = _test_impressions(config)
    data, tasks = model.encode(test), model.tasks
    scores = model.predict_encoded(test, data)
    labels = np.asarray(data.labels).reshape(len(data), len(tasks))
    examples = {}
    for task, label, column in zip(tasks, labels.T, model.score_names, strict=True):
        score, prefix = scores[column].to_numpy(), "" if len(tasks) == 1 else f"{task}."
        unlabelled = ["no label" if missing else "" for missing in np.isnan(label)]
        label, score = label[~np.isnan(label)], score[~np.isnan(label)]
        likelihood = np.log(np.clip(np.where(label == 1, score, 1 - score), 1e-15, 1))
        examples[f"{prefix}auc"] = _aligned(auc_placements(label, score), unlabelled)
        examples[f"{prefix}log_likelihood"] = _aligned(likelihood, unlabelled)
    return HeldOutMetrics(examples, baseline_metrics(read_json(config.out / "metrics.json", sealed=True)))


def _test_impressions(config: Any) -> Any:
    """Test impressions of ``train-ctr``, as it reads or cuts them."""
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.ctr.splits import read_splits

    dataset = None if config.data is None else open_dataset(config.data)
    parts = {"train": config.impressions, "validation": config.validation, "test": config.test}
    splits = read_splits({name: path for name, path in parts.items() if path}, config, config.split, dataset)
    if "test" not in splits:
        raise InputError("runs are compared on test impressions; name their file as test beside validation.")
    return splits["test"]


def _file_fingerprint(config: Any) -> str:
    from recsys_bert.files import fingerprint

    if config.data.test is None:
        raise InputError("runs are compared on a test file; name it in the recipe or with --grid data.test=FILE.")
    if not config.data.test.is_file():
        raise InputError(f"the test file {config.data.test} does not exist.")
    return fingerprint([config.data.test])


def _classification(config: Any) -> HeldOutMetrics:
    """Right or wrong for every text: its label, or with multi-label all of its labels."""
    from nlp_tasks.classification.classifier import Classifier
    from nlp_tasks.classification.data import encode_labels, unseen
    from nlp_tasks.data import read_table

    separator = config.label_separator if config.task.multi_label else None
    table = read_table(config.data.test, config.data, [config.text], config.label, separator)
    classifier = Classifier.load(config.out)
    reasons = unseen(table.labels or [], classifier.labels)
    known = table.without(reasons)
    targets = encode_labels(known.labels or [], classifier.labels, classifier.multi_label)
    probabilities = classifier.probabilities(known.texts[config.text])
    metrics = classifier.metrics(probabilities, targets)
    predicted = classifier.predicted(probabilities)
    if classifier.multi_label:
        name, right, others = "exact", (predicted == targets).all(axis=1), ("micro_f1", "macro_f1")
    else:
        name, right, others = "accuracy", predicted[range(len(targets)), targets], ("macro_f1", "auc")
    return HeldOutMetrics(
        {name: _aligned(right, reasons)}, {other: metrics[other] for other in others if other in metrics}
    )


def _matching(config: Any) -> HeldOutMetrics:
    """Right or wrong for every pair; without labels, 1 / rank of every text's match among all texts."""
    from nlp_tasks.data import read_table
    from nlp_tasks.matching.data import not_yes_or_no, text_ids, yes_or_no
    from nlp_tasks.matching.matcher import Matcher
    from recsys_bert.evaluation.text import pair_metrics, search_ranks

    table = read_table(config.data.test, config.data, [config.first, config.second], config.label)
    matcher = Matcher.load(config.out)
    if table.labels is None:
        first, second = table.texts[config.first], table.texts[config.second]
        ids = text_ids(first, second)
        ranks = search_ranks(matcher.encode(first), ids, matcher.encode(second), ids[:, 1])
        return HeldOutMetrics({"mrr": 1 / ranks}, {f"hit@{k}": float((ranks <= k).mean()) for k in (1, 10)})
    reasons = not_yes_or_no(table.labels)
    known = table.without(reasons)
    labels = yes_or_no(known.labels or [])
    scores = matcher.similarity(known.texts[config.first], known.texts[config.second])
    values = pair_metrics(labels, scores, threshold := matcher.known_threshold())
    right = (scores >= threshold) == (labels == 1)
    metrics: dict[str, float] = {name: values[name] for name in ("f1", "auc") if name in values}
    return HeldOutMetrics({"accuracy": _aligned(right, reasons)}, metrics)


def _reading(config: Any) -> HeldOutMetrics:
    """F1 and exact match of every question's answer."""
    from nlp_tasks.qa.data import unusable
    from nlp_tasks.qa.files import read_set
    from nlp_tasks.qa.metrics import em_and_f1
    from nlp_tasks.qa.question_answerer import QuestionAnswerer

    answerer = QuestionAnswerer.load(config.out)
    questions = read_set(config.data.test, config.data)
    reasons = unusable(questions, train=False, no_answer=answerer.config.no_answer)
    known = questions.without(reasons)
    best = answerer.accepted(answerer.best_answers(answerer.windows(known)))
    answers = [None if answer is None else answer.text for answer in best]
    em, f1 = em_and_f1(answers, known.references, answerer.language)
    return HeldOutMetrics({"f1": _aligned(f1, reasons), "em": _aligned(em, reasons)}, {})


def _recognition(config: Any) -> HeldOutMetrics:
    """Exact match of all entities of a sentence; beside it F1, which single sentences do not have."""
    from nlp_tasks.tagging.entities import unseen_types
    from nlp_tasks.tagging.files import read_annotated
    from nlp_tasks.tagging.mrc import is_nested
    from nlp_tasks.tagging.tagger import Tagger
    from recsys_bert.evaluation.spans import exact

    tagger = Tagger.load(config.out)
    files = replace(config.data, granularity=tagger.granularity, word_separator=tagger.word_separator)
    sentences = read_annotated(config.data.test, files)
    reasons = unseen_types(sentences.sentences, tagger.types, nested=is_nested(tagger.model.head))
    known = sentences.without(reasons)
    true = tagger.true_spans(known.sentences)
    predicted = tagger.predict_spans(tagger.inputs(known.sentences))[0]
    metrics = tagger.metrics(predicted, true, len(known))
    numbers: dict[str, float] = {
        name: metrics[name] for name in ("f1", "precision", "recall", "outer_f1", "inner_f1") if name in metrics
    }
    return HeldOutMetrics({"exact": _aligned(exact(true, predicted, len(known)), reasons)}, numbers)


def _aligned(values: Any, reasons: list[str]) -> NDArray[np.float64]:
    """Values of all examples: NaN where a reason leaves the example out."""
    aligned = np.full(len(reasons), np.nan)
    aligned[[not reason for reason in reasons]] = values
    return aligned


EXAMPLE_METRICS = {
    "pretrain": CommandEvaluation(_log_fingerprint, _ranking),
    "train-retrieval": CommandEvaluation(_log_fingerprint, _ranking),
    "fuse": CommandEvaluation(_log_fingerprint, _ranking),
    "train-ctr": CommandEvaluation(_impressions_fingerprint, _click_through),
    "text classify train": CommandEvaluation(_file_fingerprint, _classification),
    "text match train": CommandEvaluation(_file_fingerprint, _matching),
    "text qa train": CommandEvaluation(_file_fingerprint, _reading),
    "text tag train": CommandEvaluation(_file_fingerprint, _recognition),
}
