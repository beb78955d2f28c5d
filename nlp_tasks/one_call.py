"""Every task in one call: ``pipeline(task, run)`` gives what answers texts."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nlp_tasks.examples import text_list
from recsys_bert.errors import InputError, unknown_name

Answers = Callable[..., Any]


class Label(NamedTuple):
    """A label and its score."""

    label: str
    score: float
    """Probability; of zero-shot classification the cosine of text and label."""


class Match(NamedTuple):
    """Decision about a pair of texts."""

    match: bool
    score: float
    """Probability of a match, or the cosine of a bi-encoder."""


class Pipeline:
    """Answers texts, one or many; see ``pipeline``.

    Args:
        task: Name of the task.
        names: Names of the lists of texts that it takes.
        answers: ``(*lists, **options) ->`` an answer for each.
    """

    def __init__(self, task: str, names: tuple[str, ...], answers: Answers) -> None:
        self.task, self._names, self._answers = task, names, answers

    def __call__(self, *texts: str | Iterable[str], **options: Any) -> Any:
        """Answer texts.

        Args:
            texts: A text, or a list of them; of pairs, first and second ones. A single text gets a single answer, a
                list a list of answers, the same as one by one.
            options: Of the task; see ``pipeline``.

        Raises:
            InputError: Another number of texts or lists, a text beside a list, or lists of different lengths.
        """
        if len(texts) != len(self._names):
            raise InputError(f"{self.task} takes {' and '.join(self._names)}; {len(texts)} arguments are given.")
        single = [isinstance(part, str) for part in texts]
        if any(single) and not all(single):
            raise InputError(f"{self.task}: {' and '.join(self._names)} are single texts, or lists of one length.")
        lists = [
            [part] if isinstance(part, str) else text_list(part, name)
            for part, name in zip(texts, self._names, strict=True)
        ]
        if len({len(part) for part in lists}) > 1:
            raise InputError(f"{self.task}: {' and '.join(f'{len(part):,}' for part in lists)} texts; give pairs.")
        answers = self._answers(*lists, **options)
        return answers[0] if single[0] else answers

    def __repr__(self) -> str:
        return f"Pipeline({self.task!r})"


def pipeline(task: str, run: Path | str) -> Pipeline:
    """Load a run for a task.

    ::

        pipeline("fill-mask", "runs/words")("a poet from [MASK] .", k=3)
        pipeline("similarity", "runs/sts")(["a cat"], ["a dog"])
        pipeline("zero-shot-classification", "runs/sts")(texts, labels=["about sport", "about money"])

    ===========================  ==================  ============================================================
    task                         texts               answer to each
    ===========================  ==================  ============================================================
    ``fill-mask``                texts with a mask   list of ``Filling``; ``k=5`` of them
    ``feature-extraction``       texts               vector
    ``similarity``               first, second       cosine
    ``classification``           texts               ``Label``, or a list of them where there may be several
    ``zero-shot-classification`` texts               list of ``Label`` by the cosine with each of ``labels``
    ``matching``                 first, second       ``Match``
    ``question-answering``       question, passage   ``Answer`` or None
    ``tagging``                  texts               list of ``Entity``
    ``generation``               texts               text; ``among`` and settings of decoding as in ``predict``
    ===========================  ==================  ============================================================

    Args:
        task: A name of the table.
        run: Run of the task; the first three and zero-shot take a run of any text task with an encoder, or a folder of
            Hugging Face or sentence-transformers. A gap is filled by a run of `text pretrain`, or a folder of a masked
            language model.

    Raises:
        InputError: No such task, or a run of another one.
    """
    if task not in _TASKS:
        raise unknown_name("task", task, _TASKS)
    names, load = _TASKS[task]
    return Pipeline(task, names, load(Path(run)))


def _fill_mask(run: Path) -> Answers:
    from nlp_tasks.artefacts import artefact_folder
    from nlp_tasks.encoders import find_encoder
    from nlp_tasks.fill_mask import fill_mask
    from nlp_tasks.text_encoder import TextEncoder
    from recsys_bert.encoder.model import FORMAT
    from recsys_bert.files import read_json

    folder, encoder = find_encoder(run), TextEncoder.load(run)
    ours = read_json(folder / "config.json").get("format") == FORMAT
    of_a_task = (folder / "task.json").is_file() or artefact_folder(run).name == "text_encoder"
    return lambda texts, k=5: fill_mask(encoder, texts, k, tied=ours and not of_a_task)


def _features(run: Path) -> Answers:
    from nlp_tasks.static_vectors import load_vectors

    return load_vectors(run).encode


def _similarity(run: Path) -> Answers:
    from nlp_tasks.static_vectors import load_vectors

    encoder = load_vectors(run)

    def cosines(first: Sequence[str], second: Sequence[str]) -> Any:
        return (encoder.encode(first, normalise=True) * encoder.encode(second, normalise=True)).sum(axis=1)

    return cosines


def _classification(run: Path) -> Answers:
    from nlp_tasks.classification.classifier import Classifier

    classifier = Classifier.load(run)

    def labels(texts: Sequence[str]) -> list[Any]:
        probabilities, answers = classifier.probabilities(texts), list[Any]()
        for row in probabilities if not classifier.multi_label else ():
            answers.append(Label(classifier.names[int(row.argmax())], float(row.max())))
        if classifier.multi_label:
            predicted = classifier.predicted(probabilities)
            for row, is_label in zip(probabilities, predicted, strict=True):
                order = [c for c in np.argsort(-row, kind="stable") if is_label[c]]
                answers.append([Label(classifier.names[c], float(row[c])) for c in order])
        return answers

    return labels


def _zero_shot(run: Path) -> Answers:
    from nlp_tasks.static_vectors import load_vectors

    encoder = load_vectors(run)

    def labels(texts: Sequence[str], *, labels: Iterable[str]) -> list[list[Label]]:
        names = text_list(labels, "labels")
        if len(set(names)) < 2 or len(set(names)) < len(names):
            raise InputError(f"labels are {names}; give two or more different descriptions.")
        cosines = encoder.encode(texts, normalise=True) @ encoder.encode(names, normalise=True).T
        return [[Label(names[c], float(row[c])) for c in np.argsort(-row, kind="stable")] for row in cosines]

    return labels


def _matching(run: Path) -> Answers:
    from nlp_tasks.matching.matcher import Matcher

    matcher = Matcher.load(run)
    threshold = matcher.known_threshold()

    def matches(first: Sequence[str], second: Sequence[str]) -> list[Match]:
        return [Match(bool(score >= threshold), float(score)) for score in matcher.similarity(first, second)]

    return matches


def _question_answering(run: Path) -> Answers:
    from nlp_tasks.qa.question_answerer import QuestionAnswerer

    return QuestionAnswerer.load(run).predict


def _tagging(run: Path) -> Answers:
    from nlp_tasks.tagging.tagger import Tagger

    return Tagger.load(run).predict


def _generation(run: Path) -> Answers:
    from nlp_tasks.generation.generator import Generator

    return Generator.load(run).predict


_TASKS: dict[str, tuple[tuple[str, ...], Callable[[Path], Answers]]] = {
    "fill-mask": (("texts",), _fill_mask),
    "feature-extraction": (("texts",), _features),
    "similarity": (("first", "second"), _similarity),
    "classification": (("texts",), _classification),
    "zero-shot-classification": (("texts",), _zero_shot),
    "matching": (("first", "second"), _matching),
    "question-answering": (("questions", "passages"), _question_answering),
    "tagging": (("texts",), _tagging),
    "generation": (("texts",), _generation),
}
