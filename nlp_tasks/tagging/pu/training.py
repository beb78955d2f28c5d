"""Train a tagger from a dictionary and unlabelled text, in rounds by which the dictionary grows.

AdaPU of Peng et al. 2019 (https://aclanthology.org/P19-1231).
"""

import contextlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from nlp_tasks.tagging.config import TaggingTrainConfig
from nlp_tasks.tagging.data import AnnotatedSentences
from nlp_tasks.tagging.entities import entity_rows
from nlp_tasks.tagging.heads import TAGGING_HEADS
from nlp_tasks.tagging.model import predict_entities
from nlp_tasks.tagging.pu.dictionary import Dictionary, Matches, match, read_dictionary
from nlp_tasks.tagging.pu.growth import Addition, confident_repeats, read_additions, write_additions
from nlp_tasks.tagging.pu.priors import Prior, estimate_priors
from nlp_tasks.tagging.training import TaggingTraining, with_known_types
from nlp_tasks.training import begin_task, fit_task, print_summary, write_task
from recsys_bert.encoder.parts import find
from recsys_bert.errors import InputError
from recsys_bert.evaluation.spans import span_metrics
from recsys_bert.positive_unlabelled.risk import PURisk
from recsys_bert.training.run_folder import is_first_process, run_folder

T = TypeVar("T")
Build = Callable[[AnnotatedSentences], tuple[T, TaggingTraining]]
"""Builds a tagger and its training from the training sentences."""


def train_from_dictionary(
    parts: Mapping[str, AnnotatedSentences],
    config: TaggingTrainConfig,
    out: Path | None,
    build_training: Callable[
        [Mapping[str, AnnotatedSentences], TaggingTrainConfig, list[str]], tuple[T, TaggingTraining]
    ],
) -> tuple[T, dict[str, Any]]:
    """Read the dictionary and train on unlabelled text; see ``train_rounds``.

    Args:
        parts: ``train``, whose entities are ignored, and, as far as there are any, ``validation`` and ``test``.
        config: All settings; ``pu.dictionary`` is set.
        out: Run folder; None: a temporary one.
        build_training: Builds a tagger and its training from sentences, settings and types.
    """
    check_head(config.head.name)
    assert config.pu.dictionary is not None
    text = parts["train"]
    dictionary = read_dictionary(config.pu.dictionary, text.bad_rows)
    types = sorted(set(dictionary.types.values()))
    labelled = with_known_types({name: part for name, part in parts.items() if name != "train"}, types, nested=False)

    def build(train: AnnotatedSentences) -> tuple[T, TaggingTraining]:
        return build_training({"train": train, **labelled}, config, types)

    return train_rounds(dictionary, text, labelled, config, out, build)


def train_rounds(
    dictionary: Dictionary,
    text: AnnotatedSentences,
    labelled: Mapping[str, AnnotatedSentences],
    config: TaggingTrainConfig,
    out: Path | None,
    build: Build[T],
) -> tuple[T, dict[str, Any]]:
    """Match, train and grow the dictionary, round by round.

    The run folder gets ``added-N.tsv``, the additions of round N, and ``dictionary.tsv`` beside the artefact and
    ``metrics.json``. A stopped run is resumed in its round.

    Args:
        dictionary: The dictionary.
        text: Training sentences, whose entities are ignored.
        labelled: ``validation`` and ``test``, if any.
        config: All settings, which become ``config.toml``.
        out: Run folder; None: a temporary one.
        build: Called in every round, with the matches as entities.

    Returns:
        The tagger of the last round, and the contents of ``metrics.json``.
    """
    types = sorted(set(dictionary.types.values()))
    matches = _match(dictionary, text)
    priors = _priors(config, text, matches, types)
    matching = evaluate_matching(dictionary, labelled, types)
    rounds: list[dict[str, Any]] = []
    with run_folder(out) as folder, contextlib.ExitStack() as run:
        for number in range(1, config.pu.rounds + 1):
            tagger, training = build(_with_matches(text, matches))
            if number == 1:
                run.enter_context(begin_task(training.task, config, folder))
                _print_matches(matches, dictionary, types, priors)
            grow = number < config.pu.rounds
            results, added = _round(config, training, dictionary, number, folder, priors, grow=grow)
            rounds.append(_round_record(dictionary, matches, added))
            if not added:
                break
            dictionary = dictionary.with_more({one.entity: one.type for one in added})
            matches = _match(dictionary, text)
        results["pu"] = {
            "priors": {kind: asdict(one) for kind, one in zip(types, priors, strict=True)},
            "dictionary_left_out": dictionary.left_out,
            "rounds": rounds,
        }
        results["matching"] = matching
        if is_first_process():
            dictionary.save(folder / "dictionary.tsv")
        write_task(training.task, results, folder)
        print_summary(results, folder / training.task.kind if out is not None else None)
    return tagger, results


def check_head(name: str) -> None:
    """Refuse heads without a PU risk.

    Raises:
        InputError: It is one.
    """
    if not getattr(find("tagging head", name, TAGGING_HEADS), "positive_unlabelled", False):
        raise InputError(
            f"the head {name!r} does not learn from a dictionary (pu.dictionary); set head.name = 'binary'."
        )


def evaluate_matching(
    dictionary: Dictionary, labelled: Mapping[str, AnnotatedSentences], types: Sequence[str]
) -> dict[str, Any]:
    """Metrics of dictionary matching alone, by split."""
    return {
        name: span_metrics(
            entity_rows(part.sentences, types),
            entity_rows(match(dictionary, part.sentences).sentences, types),
            types,
            len(part),
        )
        for name, part in labelled.items()
    }


def _match(dictionary: Dictionary, text: AnnotatedSentences) -> Matches:
    """Match in the training text.

    Raises:
        InputError: Nothing matches.
    """
    matches = match(dictionary, text.sentences)
    if not matches.entries:
        raise InputError(
            f"none of the {len(dictionary):,} entries of the dictionary occurs in {text.path}; an entry must be "
            "spelt as in the text, and begin and end with words."
        )
    return matches


def _with_matches(text: AnnotatedSentences, matches: Matches) -> AnnotatedSentences:
    train = replace(text, sentences=matches.sentences)
    if text.left_out or matches.ambiguous:
        train = replace(train, left_out={**text.left_out, "ambiguous_matches": matches.ambiguous})
    return train


def _priors(
    config: TaggingTrainConfig, text: AnnotatedSentences, matches: Matches, types: Sequence[str]
) -> list[Prior]:
    """Priors of the types, from the settings or estimated.

    Raises:
        InputError: A setting is of a type that the dictionary lacks, or below the matched share; or every word matches
            one type.
    """
    known_priors = config.pu.priors
    if unknown := sorted(set(known_priors) - set(types)):
        raise InputError(f"pu.priors names {unknown[0]!r}; the types of the dictionary are {', '.join(types)}.")
    priors = estimate_priors(matches.sentences, types, known_priors, seed=config.train.seed)
    for kind, one in zip(types, priors, strict=True):
        if one.labelled == 1:
            raise InputError(
                f"the dictionary (pu.dictionary) matches every word of {text.path} as {kind!r}: nothing is "
                "unlabelled. Give other text, or entries that are entities alone."
            )
        if one.prior < one.labelled:
            raise InputError(
                f"pu.priors: the prior of {kind!r} is {one.prior:.4g}, but the dictionary matches {one.labelled:.4g} "
                "of the words already. Set a larger one, or leave it out to have it estimated."
            )
    return priors


def _set_risks(config: TaggingTrainConfig, training: TaggingTraining, priors: Sequence[Prior]) -> Callable[[int], None]:
    """Set the risk of the heads; the result, called before every step, ends the warm-up."""
    model, pu, true = training.model, config.pu, training.true["train"]
    heads: list[Any] = [model.head] if model.auxiliary is None else [model.head, model.auxiliary.head]
    matched = np.bincount(true[:, 3], true[:, 2] - true[:, 1], len(priors))
    shares = (matched / training.inputs["train"].lengths.sum()).tolist()
    # a dictionary that has grown may match more than the prior that was estimated with the first one
    raised = [max(one.prior, share) for one, share in zip(priors, shares, strict=True)]
    names = ("risk", "weight", "correction", "tolerance", "step_back", "memory")
    options: dict[str, Any] = {name: getattr(pu, name) for name in names}
    for head in heads:
        head.risk = PURisk(raised, shares, loss=head.loss_name, **options)
    warm_up = pu.warm_up * math.ceil(training.steps / config.train.accumulate)

    def before_step(step: int) -> None:
        for head in heads:
            head.risk.warming = step < warm_up

    return before_step


def _round(
    config: TaggingTrainConfig,
    training: TaggingTraining,
    dictionary: Dictionary,
    number: int,
    out: Path,
    priors: Sequence[Prior],
    *,
    grow: bool,
) -> tuple[dict[str, Any], list[Addition]]:
    """Train, and predict additions to the dictionary; a finished round is not trained again and has no results."""
    path, pu = out / f"added-{number}.tsv", config.pu
    if grow and path.exists() and (added := read_additions(path)):
        return {}, added
    folder = out if pu.rounds == 1 else out / "rounds" / str(number)
    results = fit_task(training.task, config.train, folder, before_step=_set_risks(config, training, priors))
    if not grow:
        return results, []
    predicted, scores = predict_entities(training.model, training.inputs["train"])
    added = confident_repeats(
        training.parts["train"].sentences,
        predicted,
        scores,
        training.types,
        dictionary,
        min_repeats=pu.min_repeats,
        agreement=pu.agreement,
        min_score=pu.min_score,
    )
    write_additions(path, added)
    print(f"round {number} adds {len(added):,} to {len(dictionary):,} entries: {path}", file=sys.stderr)
    return results, added


def _round_record(dictionary: Dictionary, matches: Matches, added: Sequence[Addition]) -> dict[str, Any]:
    """Counts of a round."""
    by_type = Counter(dictionary.types[entry] for entry in matches.entries.elements())
    return {
        "entries": len(dictionary),
        "matches": matches.entries.total(),
        "matches_by_type": dict(sorted(by_type.items())),
        "ambiguous_matches": matches.ambiguous,
        "added": len(added),
        "added_by_type": dict(sorted(Counter(one.type for one in added).items())),
    }


def _print_matches(matches: Matches, dictionary: Dictionary, types: Sequence[str], priors: Sequence[Prior]) -> None:
    """Print matches and class priors by type, on stderr."""
    ambiguous = f"; {matches.ambiguous:,} ambiguous matches are left out" if matches.ambiguous else ""
    lines = [f"{len(dictionary):,} entries match {matches.entries.total():,} times{ambiguous}"]
    lines += [f"  {reason}: {n:,}" for reason, n in dictionary.left_out.items()]
    width = max(map(len, types))
    for kind, one in zip(types, priors, strict=True):
        shares = f"{100 * one.labelled:.2f} % of words matched, prior {100 * one.prior:.2f} % ({one.source})"
        lines.append(f"  {kind:<{width}}  {shares}")
    print("\n".join(lines), file=sys.stderr)
