"""Train a tagger from a dictionary and unlabelled text, in rounds by which the dictionary grows."""

import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.text.tag.files import read_files
from pipelines.text.tag.training import Config, Training, begin_run, known, prepare
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.tagging.data import AnnotatedSentences
    from nlp_tasks.tagging.pu.dictionary import Dictionary, Matches
    from nlp_tasks.tagging.pu.growth import Addition
    from nlp_tasks.tagging.pu.priors import Prior


def run(config: Config) -> dict[str, Any]:
    """Rounds of matching, training and growth; write ``tagger``, ``dictionary.tsv`` and ``metrics.json``.

    ``added-N.tsv`` holds the additions of round N. A stopped run is resumed in its round.

    Returns:
        The contents of ``metrics.json``.
    """
    from nlp_tasks.tagging.pu.dictionary import read_dictionary
    from recsys_bert.training.run_folder import is_first_process

    _check_head(config)
    dictionary = read_dictionary(config.pu.dictionary or Path(), config.data.bad_rows)
    types = sorted(set(dictionary.types.values()))
    labelled, text = _read(config, types)
    matches = _match(dictionary, text)
    priors = _priors(config, matches, types)
    matching = _evaluate_matching(dictionary, labelled, types)
    rounds: list[dict[str, Any]] = []
    for number in range(1, config.pu.rounds + 1):
        training = _prepare(config, labelled, text, matches, types)
        if number == 1:
            begin_run(config)
            _print_matches(matches, dictionary, types, priors)
        folder = config.out if config.pu.rounds == 1 else config.out / "rounds" / str(number)
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
        dictionary.save(config.out / "dictionary.tsv")
    training.save(results)
    return results


def _check_head(config: Config) -> None:
    """Refuse heads without a PU risk."""
    from nlp_tasks.tagging.heads import TAGGING_HEADS
    from recsys_bert.encoder.parts import find

    if not getattr(find("tagging head", config.head.name, TAGGING_HEADS), "positive_unlabelled", False):
        raise InputError(
            f"the head {config.head.name!r} does not learn from a dictionary (pu.dictionary); set head.name = 'binary'."
        )


def _read(config: Config, types: list[str]) -> "tuple[dict[str, AnnotatedSentences], AnnotatedSentences]":
    """Annotated sentences of ``validation`` and ``test``, if set, and the text of the training file."""
    splits = read_files(config.data, labelled=False)
    text = splits.pop("train")
    return known(splits, types, False, config.data.bad_rows), text


def _priors(config: Config, matches: "Matches", types: list[str]) -> "list[Prior]":
    """Priors of the types, from the settings or estimated.

    Raises:
        InputError: A setting is of a type that the dictionary lacks, or below the matched share; or every word matches
            one type.
    """
    from nlp_tasks.tagging.pu.priors import estimate_priors

    known_priors = config.pu.priors
    if unknown := sorted(set(known_priors) - set(types)):
        raise InputError(f"pu.priors names {unknown[0]!r}; the types of the dictionary are {', '.join(types)}.")
    priors = estimate_priors(matches.sentences, types, known_priors, seed=config.train.seed)
    for kind, one in zip(types, priors, strict=True):
        if one.labelled == 1:
            raise InputError(
                f"the dictionary (pu.dictionary) matches every word of {config.data.train} as {kind!r}: nothing is "
                "unlabelled. Give other text, or entries that are entities alone."
            )
        if one.prior < one.labelled:
            raise InputError(
                f"pu.priors: the prior of {kind!r} is {one.prior:.4g}, but the dictionary matches {one.labelled:.4g} "
                "of the words already. Set a larger one, or leave it out to have it estimated."
            )
    return priors


def _match(dictionary: "Dictionary", text: "AnnotatedSentences") -> "Matches":
    """Match in the training text.

    Raises:
        InputError: Nothing matches.
    """
    from nlp_tasks.tagging.pu.dictionary import match

    matches = match(dictionary, text.sentences)
    if not matches.entries:
        raise InputError(
            f"none of the {len(dictionary):,} entries of the dictionary occurs in {text.path}; an entry must be "
            "spelt as in the text, and begin and end with words."
        )
    return matches


def _prepare(
    config: Config,
    labelled: "dict[str, AnnotatedSentences]",
    text: "AnnotatedSentences",
    matches: "Matches",
    types: list[str],
) -> Training:
    """Build the model, with matches as training labels."""
    from dataclasses import replace

    train = replace(text, sentences=matches.sentences)
    if text.left_out or matches.ambiguous:
        train = replace(train, left_out={**text.left_out, "ambiguous_matches": matches.ambiguous})
    return prepare(config, {"train": train, **labelled}, types)


def _risks(config: Config, training: Training, priors: "list[Prior]") -> Callable[[int], None]:
    """Set the risk of the heads; the result, called before every step, ends the warm-up."""
    import numpy as np

    from recsys_bert.positive_unlabelled.risk import PURisk

    model, pu = training.tagger.model, config.pu
    heads: list[Any] = [model.head] if model.auxiliary is None else [model.head, model.auxiliary.head]
    lengths = training.true["train"][:, 2] - training.true["train"][:, 1]
    matched = np.bincount(training.true["train"][:, 3], lengths, len(priors))
    shares = (matched / training.inputs["train"].lengths.sum()).tolist()
    # a dictionary that has grown may match more than the prior that was estimated with the first one
    raised = [max(one.prior, share) for one, share in zip(priors, shares, strict=True)]
    options: dict[str, Any] = {
        name: getattr(pu, name) for name in ("risk", "weight", "correction", "tolerance", "step_back", "memory")
    }
    for head in heads:
        head.risk = PURisk(raised, shares, loss=head.loss_name, **options)
    warm_up = pu.warm_up * math.ceil(training.batches.steps / config.train.accumulate)

    def before_step(step: int) -> None:
        for head in heads:
            head.risk.warming = step < warm_up

    return before_step


def _round(
    config: Config,
    training: Training,
    dictionary: "Dictionary",
    number: int,
    folder: Path,
    priors: "list[Prior]",
    *,
    grow: bool,
) -> "tuple[dict[str, Any], list[Addition]]":
    """Train, and predict additions to the dictionary; a finished round is not trained again and has no results."""
    from nlp_tasks.tagging.pu.growth import confident_repeats, read_additions, write_additions

    path, pu = config.out / f"added-{number}.tsv", config.pu
    if grow and path.exists() and (added := read_additions(path)):
        return {}, added
    results = training.fit(folder, _risks(config, training, priors))
    if not grow:
        return results, []
    predicted, scores = training.tagger.predict_spans(training.inputs["train"])
    added = confident_repeats(
        training.splits["train"].sentences,
        predicted,
        scores,
        training.tagger.types,
        dictionary,
        min_repeats=pu.min_repeats,
        agreement=pu.agreement,
        min_score=pu.min_score,
    )
    write_additions(path, added)
    print(f"round {number} adds {len(added):,} to {len(dictionary):,} entries: {path}", file=sys.stderr)
    return results, added


def _evaluate_matching(
    dictionary: "Dictionary", labelled: "dict[str, AnnotatedSentences]", types: list[str]
) -> dict[str, Any]:
    """Metrics of dictionary matching alone on annotated sentences."""
    from nlp_tasks.tagging.pu.dictionary import match
    from nlp_tasks.tagging.tagger import rows_of
    from recsys_bert.evaluation.spans import span_metrics

    return {
        name: span_metrics(
            rows_of(one.sentences, types), rows_of(match(dictionary, one.sentences).sentences, types), types, len(one)
        )
        for name, one in labelled.items()
    }


def _round_record(dictionary: "Dictionary", matches: "Matches", added: "list[Addition]") -> dict[str, Any]:
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


def _print_matches(matches: "Matches", dictionary: "Dictionary", types: list[str], priors: "list[Prior]") -> None:
    """Print matches and class priors by type, on stderr."""
    ambiguous = f"; {matches.ambiguous:,} ambiguous matches are left out" if matches.ambiguous else ""
    lines = [f"{len(dictionary):,} entries match {matches.entries.total():,} times{ambiguous}"]
    lines += [f"  {reason}: {n:,}" for reason, n in dictionary.left_out.items()]
    width = max(map(len, types))
    for kind, one in zip(types, priors, strict=True):
        shares = f"{100 * one.labelled:.2f} % of words matched, prior {100 * one.prior:.2f} % ({one.source})"
        lines.append(f"  {kind:<{width}}  {shares}")
    print("\n".join(lines), file=sys.stderr)
