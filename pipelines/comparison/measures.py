"""What the runs of a command are measured by on the test, example by example: one pair of functions a command.

A command that trains takes part in comparisons when it has a line in ``MEASURES``. Its pipeline has settings ``out``
and ``train``, calls ``runs.begin`` once everything that bad input can stop is done, and returns ``seconds``,
``epochs``, ``best_epoch`` and ``parameters``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_K = 10  # length of the lists, as in validation


@dataclass(frozen=True)
class Measured:
    """A finished run on the test."""

    examples: "dict[str, NDArray[np.float64]]"
    """Measure → one value an example, ``[n]``, NaN where it has none; their mean is the figure. Higher is better."""

    metrics: dict[str, float]
    """Measures of the test as a whole; higher is better."""


@dataclass(frozen=True)
class Measures:
    """How the runs of one command are measured."""

    asked: Callable[[Any], str]
    """Settings → a digest of the test examples; raises ``InputError`` where there are none."""

    measure: Callable[[Any], Measured]
    """Settings of a finished run → what it gives on them."""


def _clicks_asked(config: Any) -> str:
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.user_encoder.unchanged import log_digest

    dataset = open_dataset(config.data)
    if not len(Queries.of(dataset, "test")):
        raise InputError(f"{config.data} holds out no test events to compare runs by; prepare it with another split.")
    return log_digest(dataset)


def _ranking(config: Any) -> Measured:
    """The full catalogue ranked for every user with a test event, seen items removed."""
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.evaluation.ranking import per_user
    from recsys_bert.retrieval.load import open_run

    dataset = open_dataset(config.data)
    queries, depth = Queries.of(dataset, "test"), min(_K, dataset.vocabulary.n_items)
    ranked = open_run(config.out, dataset).rank(queries, depth)
    values = per_user(ranked, queries.targets(), len(queries), (depth,), dataset.vocabulary.first_item)
    return Measured({f"{name}@{_K}": values[f"{name}@{depth}"] for name in ("ndcg", "recall")}, {})


def _text_asked(config: Any) -> str:
    from recsys_bert.files import fingerprint

    if config.data.test is None:
        raise InputError("runs are compared by a test file; name it in the recipe or with --grid data.test=FILE.")
    if not config.data.test.is_file():
        raise InputError(f"the test file {config.data.test} does not exist.")
    return fingerprint([config.data.test])


def _classification(config: Any) -> Measured:
    """Right or wrong for every text: its label, or with multi-label all of its labels."""
    from nlp_tasks.classification.classifier import Classifier, encode_labels, unseen
    from nlp_tasks.data import read_table

    separator = config.label_separator if config.task.multi_label else None
    table = read_table(config.data.test, config.data, [config.text], config.label, separator)
    classifier = Classifier.load(config.out)
    reasons = unseen(table.labels or [], classifier.labels)
    known = table.without(reasons, config.data.bad_rows)
    targets = encode_labels(known.labels or [], classifier.labels, classifier.multi_label)
    probabilities = classifier.probabilities(known.texts[config.text])
    found = classifier.score(probabilities, targets)
    holds = classifier.holds(probabilities)
    if classifier.multi_label:
        name, right, others = "exact", (holds == targets).all(axis=1), ("micro_f1", "macro_f1")
    else:
        name, right, others = "accuracy", holds[range(len(targets)), targets], ("macro_f1", "auc")
    return Measured({name: _placed(right, reasons)}, {other: found[other] for other in others if other in found})


def _matching(config: Any) -> Measured:
    """Right or wrong for every pair; without labels, 1 / rank of every text's match among all texts."""
    from nlp_tasks.data import read_table
    from nlp_tasks.matching.matcher import Matcher, not_yes_or_no, text_ids, yes_or_no
    from nlp_tasks.matching.metrics import pair_metrics, search_ranks

    table = read_table(config.data.test, config.data, [config.first, config.second], config.label)
    matcher = Matcher.load(config.out)
    if table.labels is None:
        first, second = table.texts[config.first], table.texts[config.second]
        ids = text_ids(first, second)
        ranks = search_ranks(matcher.vectors(first), ids, matcher.vectors(second), ids[:, 1])
        return Measured({"mrr": 1 / ranks}, {f"hit@{k}": float((ranks <= k).mean()) for k in (1, 10)})
    reasons = not_yes_or_no(table.labels)
    known = table.without(reasons, config.data.bad_rows)
    labels = yes_or_no(known.labels or [])
    scores = matcher.score(known.texts[config.first], known.texts[config.second])
    found = pair_metrics(labels, scores, threshold := matcher.known_threshold())
    right = (scores >= threshold) == (labels == 1)
    metrics: dict[str, float] = {name: found[name] for name in ("f1", "auc") if name in found}
    return Measured({"accuracy": _placed(right, reasons)}, metrics)


def _reading(config: Any) -> Measured:
    """F1 and exact match of every question's answer."""
    from nlp_tasks.qa.data import read_set, unusable
    from nlp_tasks.qa.metrics import em_and_f1
    from nlp_tasks.qa.question_answerer import Reader

    reader = Reader.load(config.out)
    made = read_set(config.data.test, config.data)
    reasons = unusable(made, train=False, no_answer=reader.config.no_answer)
    known = made.without(reasons, config.data.bad_rows)
    answers = [None if one is None else one.text for one in reader.given(reader.best(reader.windows(known)))]
    references = [[answer.text for answer in question.answers] for question in known.questions]
    em, f1 = em_and_f1(answers, references, reader.language)
    return Measured({"f1": _placed(f1, reasons), "em": _placed(em, reasons)}, {})


def _recognition(config: Any) -> Measured:
    """Exact match of a sentence's entities; beside it F1, which single sentences do not have."""
    from nlp_tasks.tagging.data import unseen_types
    from nlp_tasks.tagging.files import read_annotated
    from nlp_tasks.tagging.metrics import exact
    from nlp_tasks.tagging.mrc import is_nested
    from nlp_tasks.tagging.tagger import Tagger

    tagger = Tagger.load(config.out)
    files = replace(config.data, granularity=tagger.granularity, word_separator=tagger.word_separator)
    data = read_annotated(config.data.test, files)
    reasons = unseen_types(data.sentences, tagger.types, nested=is_nested(tagger.model.head))
    known = data.without(reasons, config.data.bad_rows)
    true = tagger.true_spans(known.sentences)
    predicted = tagger.predict_spans(tagger.inputs(known.sentences))[0]
    metrics = tagger.metrics(predicted, true, len(known))
    overall: dict[str, float] = {
        name: metrics[name] for name in ("f1", "precision", "recall", "outer_f1", "inner_f1") if name in metrics
    }
    return Measured({"exact": _placed(exact(true, predicted, len(known)), reasons)}, overall)


def _placed(values: Any, reasons: list[str]) -> "NDArray[np.float64]":
    """Values of the examples without a reason to be left out, among all of them."""
    import numpy as np

    found = np.full(len(reasons), np.nan)
    found[[not reason for reason in reasons]] = values
    return found


MEASURES = {
    "pretrain": Measures(_clicks_asked, _ranking),
    "train-retrieval": Measures(_clicks_asked, _ranking),
    "text classify train": Measures(_text_asked, _classification),
    "text match train": Measures(_text_asked, _matching),
    "text qa train": Measures(_text_asked, _reading),
    "text tag train": Measures(_text_asked, _recognition),
}
