"""Training a recogniser from a dictionary and text without labels, in rounds by which the dictionary grows."""

import math
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.text.tag.files import read_files
from pipelines.text.tag.train import Config, Training, begin_run, known, prepare
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.tagging.data import Annotated
    from nlp_tasks.tagging.pu.dictionary import Dictionary, Matches
    from nlp_tasks.tagging.pu.growth import Addition
    from nlp_tasks.tagging.pu.priors import Prior


def run(config: Config) -> dict[str, Any]:
    """Match, learn, grow the dictionary, and again; write ``recogniser``, ``dictionary.tsv`` and ``metrics.json``.

    ``added-N.tsv`` holds what round N added. A run that was stopped goes on in the round where it was.

    Returns:
        What ``metrics.json`` says.
    """
    from nlp_tasks.tagging.pu.dictionary import read_dictionary
    from recsys_bert.training.run_folder import is_first_process

    dictionary = read_dictionary(config.pu.dictionary or Path(), config.data.bad_rows)
    types = sorted(set(dictionary.types.values()))
    marked, text = _read(config, types)
    matches = _match(dictionary, text)
    priors = _priors(config, matches, types)
    matching = _matching(dictionary, marked, types)
    rounds: list[dict[str, Any]] = []
    for number in range(1, config.pu.rounds + 1):
        training = _prepare(config, marked, text, matches, types)
        if number == 1:
            begin_run(config)
            _tell(matches, dictionary, types, priors)
        folder = config.out if config.pu.rounds == 1 else config.out / "rounds" / str(number)
        grow = number < config.pu.rounds
        results, added = _round(config, training, dictionary, number, folder, priors, grow=grow)
        rounds.append(_about(dictionary, matches, added))
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
    training.write(results)
    return results


def _read(config: Config, types: list[str]) -> "tuple[dict[str, Annotated], Annotated]":
    """Marked sentences of ``validation`` and ``test``, where they are given, and the text of the training file."""
    found = read_files(config.data, marked=False)
    text = found.pop("train")
    return known(found, types, False, config.data.bad_rows), text


def _priors(config: Config, matches: "Matches", types: list[str]) -> "list[Prior]":
    """Priors of the types, from the settings or estimated.

    Raises:
        InputError: One is given for a type that the dictionary does not have, or is less than what is matched; or
            nothing but one type is matched.
    """
    from nlp_tasks.tagging.pu.priors import estimate_priors

    given = config.pu.priors
    if strange := sorted(set(given) - set(types)):
        raise InputError(f"pu.priors names {strange[0]!r}; the types of the dictionary are {', '.join(types)}.")
    found = estimate_priors(matches.sentences, types, given, seed=config.train.seed)
    for kind, one in zip(types, found, strict=True):
        if one.labelled == 1:
            raise InputError(
                f"the dictionary (pu.dictionary) matches every unit of {config.data.train} as {kind!r}: nothing is "
                "left that may be no entity. Give other text, or entries that are entities alone."
            )
        if one.prior < one.labelled:
            raise InputError(
                f"pu.priors: that of {kind!r} is {one.prior:.4g}, but the dictionary matches {one.labelled:.4g} of the "
                "units already. Give a larger one, or leave it out to have it estimated."
            )
    return found


def _match(dictionary: "Dictionary", text: "Annotated") -> "Matches":
    """Match in the training text.

    Raises:
        InputError: Nothing is found.
    """
    from nlp_tasks.tagging.pu.dictionary import match

    found = match(dictionary, text.sentences)
    if not found.entries:
        raise InputError(
            f"none of the {len(dictionary):,} entries of the dictionary occurs in {text.path}; an entry must be "
            "written as in the text, and begin and end with units."
        )
    return found


def _prepare(
    config: Config, marked: "dict[str, Annotated]", text: "Annotated", matches: "Matches", types: list[str]
) -> Training:
    """A model and the matches that it learns from."""
    from dataclasses import replace

    train = replace(text, sentences=matches.sentences)
    if text.left_out or matches.ambiguous:
        train = replace(train, left_out={**text.left_out, "ambiguous_matches": matches.ambiguous})
    return prepare(config, {"train": train, **marked}, types)


def _risks(config: Config, training: Training, priors: "list[Prior]") -> Callable[[int], None]:
    """What ``fit`` calls before a step, so that the heads learn by the risk of the settings, after a warm-up."""
    import numpy as np

    from recsys_bert.positive_unlabelled.risk import PURisk

    model, given = training.recogniser.model, config.pu
    heads: list[Any] = [model.head] if model.auxiliary is None else [model.head, model.auxiliary.head]
    lengths = training.true["train"][:, 2] - training.true["train"][:, 1]
    matched = np.bincount(training.true["train"][:, 3], lengths, len(priors))
    shares = (matched / training.inputs["train"].lengths.sum()).tolist()
    # a dictionary that has grown may match more than the prior that was estimated with the first one
    own = [max(one.prior, share) for one, share in zip(priors, shares, strict=True)]
    options: dict[str, Any] = {
        name: getattr(given, name) for name in ("risk", "weight", "correction", "tolerance", "step_back", "memory")
    }
    for head in heads:
        head.risk = PURisk(own, shares, loss=head.loss_name, **options)
    warm_up = given.warm_up * math.ceil(training.batches.steps / config.train.accumulate)

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
    """Train, and find what the dictionary grows by; a round that is over is not trained again, and has no results."""
    from nlp_tasks.tagging.pu.growth import confident_repeats, read_additions, write_additions

    path, given = config.out / f"added-{number}.tsv", config.pu
    if grow and path.exists() and (added := read_additions(path)):
        return {}, added
    results = training.learn(folder, _risks(config, training, priors))
    if not grow:
        return results, []
    recogniser = training.recogniser
    found, scores = recogniser.entities(training.inputs["train"])
    added = confident_repeats(
        training.found["train"].sentences,
        found,
        scores,
        recogniser.types,
        dictionary,
        min_repeats=given.min_repeats,
        agreement=given.agreement,
        min_score=given.min_score,
    )
    write_additions(path, added)
    print(f"round {number} adds {len(added):,} to {len(dictionary):,} entries: {path}", file=sys.stderr)
    return results, added


def _matching(dictionary: "Dictionary", marked: "dict[str, Annotated]", types: list[str]) -> dict[str, Any]:
    """How well the dictionary alone does on marked sentences."""
    from nlp_tasks.tagging.metrics import span_metrics
    from nlp_tasks.tagging.pu.dictionary import match
    from nlp_tasks.tagging.tagger import rows_of

    return {
        name: span_metrics(
            rows_of(one.sentences, types), rows_of(match(dictionary, one.sentences).sentences, types), types, len(one)
        )
        for name, one in marked.items()
    }


def _about(dictionary: "Dictionary", matches: "Matches", added: "list[Addition]") -> dict[str, Any]:
    """A round in numbers."""
    by_type = Counter(dictionary.types[entry] for entry in matches.entries.elements())
    return {
        "entries": len(dictionary),
        "matches": matches.entries.total(),
        "matches_by_type": dict(sorted(by_type.items())),
        "ambiguous_matches": matches.ambiguous,
        "added": len(added),
        "added_by_type": dict(sorted(Counter(one.type for one in added).items())),
    }


def _tell(matches: "Matches", dictionary: "Dictionary", types: list[str], priors: "list[Prior]") -> None:
    """Say on stderr what is known before training, type by type."""
    about = _about(dictionary, matches, [])
    ambiguous = f"; {matches.ambiguous:,} ambiguous places are left out" if matches.ambiguous else ""
    lines = [f"{about['entries']:,} entries match {about['matches']:,} times{ambiguous}"]
    lines += [f"  {reason}: {n:,}" for reason, n in dictionary.left_out.items()]
    width = max(map(len, types))
    for kind, one in zip(types, priors, strict=True):
        told = f"{100 * one.labelled:.2f} % of units matched, prior {100 * one.prior:.2f} % ({one.how})"
        lines.append(f"  {kind:<{width}}  {told}")
    print("\n".join(lines), file=sys.stderr)
