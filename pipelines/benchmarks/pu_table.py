"""PU risks compared on learning from a dictionary, between dictionary matching and full supervision.

    python -m pipelines.benchmarks.pu_table --out runs/pu-resume

Every seed samples its own dictionary from the entities of the training file and trains every row; only the row
``supervised`` reads other labels. Metrics are strict F1, precision and recall on the test file. A stopped command is
resumed: every run has a folder below ``out``, and runs of another sample or of other files are refused. The table is
written to ``out`` with the ending .md, the same numbers to .json.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.benchmarks.sample_dictionary import Of, as_text, check_share, sample, write
from pipelines.benchmarks.tables import write_tables
from pipelines.text.tag import train
from pipelines.text.tag.files import read_files
from recsys_bert.errors import InputError, unknown_name

if TYPE_CHECKING:
    from nlp_tasks.tagging.data import AnnotatedSentences

ROWS = {
    "matching": "the longest entries of the dictionary, nothing learned",
    "biased": "unmatched text as negatives",
    "unbiased": "unbiased PU risk",
    "non_negative": "non-negative PU risk",
    "grown": "non-negative, then once more with the dictionary grown by confident repeats",
    "supervised": "every label of the training file, cross-entropy",
}
"""Rows in their expected order."""

_METRICS = ("f1", "precision", "recall")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare PU risks on learning from a dictionary."""

    out: Path
    """Folder of the runs; the table is written beside it, with the endings .md and .json."""

    recipe: Path = Path("pipelines/recipes/text_resume_ner_pu.toml")
    """Recipe of ``text tag train`` with a dictionary; its training file must be annotated, and a test file be set."""

    rows: tuple[str, ...] = ("matching", "biased", "unbiased", "non_negative", "supervised")
    """Rows: matching, biased, unbiased, non_negative, grown, supervised."""

    seeds: int = 5
    """Dictionaries and trainings of every row; seeds count from 0."""

    share: float = 0.1
    """Share of the training entities in the dictionary, in (0, 1]."""

    of: Of = "mentions"
    """See ``sample_dictionary``."""

    epochs: int = 0
    """Epochs of every row; 0 takes those of the recipe."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if row not in ROWS:
                raise unknown_name("row", row, ROWS)
        if self.seeds < 1 or not self.rows:
            raise InputError(f"seeds is {self.seeds}, and there are {len(self.rows)} rows; both must be at least 1.")
        if self.epochs < 0:
            raise InputError(f"epochs is {self.epochs}; it cannot be negative.")
        check_share(self.share)


def run(config: Config) -> dict[str, Any]:
    """Train what is missing, print and write the table.

    Returns:
        The contents of the JSON file.

    Raises:
        InputError: The recipe does not suit, or ``out`` holds runs of other settings or files.
    """
    from recsys_bert.settings import read_config
    from recsys_bert.training.run_folder import check_writable

    recipe = read_config(train.Config, config.recipe)
    if recipe.pu.dictionary is None or recipe.data.test is None:
        raise InputError(f"{config.recipe} must name pu.dictionary and data.test.")
    check_writable(config.out)
    if config.epochs:
        recipe = replace(recipe, train=replace(recipe.train, epochs=config.epochs))
    splits = read_files(recipe.data)
    _check_types(splits)
    metrics: dict[str, list[dict[str, Any]]] = {row: [] for row in config.rows}
    for seed in range(config.seeds):
        dictionary = _dictionary(config, splits["train"], seed)
        for row in config.rows:
            print(f"seed {seed}, {row}", file=sys.stderr, flush=True)
            settings = _settings(row, recipe, dictionary, config.out, seed)
            metrics[row].append(_matching(settings, splits["test"]) if row == "matching" else _trained(settings))
            table = _table(config, recipe, metrics)
            result = {"config": _plain(config), "rows": metrics, "order": _order(metrics)}
            write_tables(config.out, table, result, show=False)
    print(table, end="")
    return result


def _check_types(splits: "dict[str, AnnotatedSentences]") -> None:
    """Check that every type of the test file can be learned, since rows would leave out others each in its own way.

    Raises:
        InputError: The training file lacks one.
    """
    from nlp_tasks.tagging.entities import types_of

    train_data, test = splits["train"], splits["test"]
    if lacking := sorted(set(types_of(test.sentences)) - set(types_of(train_data.sentences))):
        raise InputError(
            f"{train_data.path} has no entity of type {lacking[0]!r}, but {test.path} has; give more sentences."
        )


def _dictionary(config: Config, annotated: "AnnotatedSentences", seed: int) -> Path:
    """Sample the dictionary of a seed.

    Raises:
        InputError: Another one is there, with which runs were trained.
    """
    path = config.out / f"dictionary-{seed}.tsv"
    entries = sample(annotated.sentences, config.share, config.of, seed)
    if not path.exists():
        write(path, entries)
    elif path.read_text(encoding="utf-8") != as_text(entries):
        raise InputError(
            f"{path} is not what share {config.share} of the {config.of} of {annotated.path} gives: it was sampled "
            "with other settings, or from another training file. Choose another --out, or delete that folder."
        )
    return path


def _settings(row: str, recipe: train.Config, dictionary: Path, out: Path, seed: int) -> train.Config:
    """Settings of a row; of ``matching`` only the dictionary counts."""
    settings = replace(recipe, out=out / row / f"seed-{seed}", train=replace(recipe.train, seed=seed))
    if row == "supervised":
        head = replace(recipe.head, options={**recipe.head.options, "loss": "logistic"})
        return replace(settings, head=head, pu=type(recipe.pu)())
    risk: Any = row if row in ("biased", "unbiased") else "non_negative"
    rounds = max(2, recipe.pu.rounds) if row == "grown" else 1
    return replace(settings, pu=replace(recipe.pu, dictionary=dictionary, risk=risk, rounds=rounds))


def _trained(settings: train.Config) -> dict[str, Any]:
    """Metrics of one run on the test file, trained unless it is finished.

    Raises:
        InputError: The run folder holds another run, or one that was trained on other files.
    """
    from recsys_bert.files import read_json
    from recsys_bert.training.run_folder import check_out, check_unchanged

    path = settings.out / "metrics.json"
    if check_out(settings.out, settings) and path.exists():
        check_unchanged(settings.out, _contents(settings))
        results = read_json(path)
    else:
        results = train.run(settings)
    record = {name: results["test"][name] for name in _METRICS} | {"seconds": results["seconds"]}
    if "pu" in results:
        record |= {"priors": results["pu"]["priors"], "rounds": results["pu"]["rounds"]}
    return record


def _contents(settings: train.Config) -> dict[Path, str]:
    """Fingerprint of every file of a run, by path."""
    from nlp_tasks.tagging.training import config_contents
    from recsys_bert.files import fingerprint

    files = (settings.data.train, settings.data.validation, settings.data.test)
    return {path: fingerprint([path]) for path in files if path is not None} | config_contents(settings)


def _matching(settings: train.Config, annotated: "AnnotatedSentences") -> dict[str, Any]:
    """Metrics of dictionary matching alone."""
    from nlp_tasks.tagging.entities import entity_rows
    from nlp_tasks.tagging.pu.dictionary import match, read_dictionary
    from recsys_bert.evaluation.spans import span_metrics

    dictionary = read_dictionary(settings.pu.dictionary or Path(), settings.data.bad_rows)
    test = annotated.sentences
    types = sorted({*dictionary.types.values(), *(one.type for sentence in test for one in sentence.levels[0])})
    predicted = entity_rows(match(dictionary, test).sentences, types)
    metrics = span_metrics(entity_rows(test, types), predicted, types, len(test))
    return {name: metrics[name] for name in _METRICS} | {"entries": len(dictionary), "left_out": dictionary.left_out}


def _order(metrics: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each row against the one before it, seed by seed."""
    import numpy as np

    comparisons = []
    names = [row for row in metrics if metrics[row]]
    for before, after in pairwise(names):
        pairs = zip(metrics[before], metrics[after], strict=False)
        more = np.array([two["f1"] - one["f1"] for one, two in pairs])
        comparisons.append({
            "rows": [before, after],
            "f1_more": float(more.mean()),
            "seeds_in_order": int((more > 0).sum()),
            "seeds": len(more),
        })  # fmt: skip
    return comparisons


def _plain(config: Config) -> dict[str, Any]:
    from dataclasses import asdict

    settings = {name: value for name, value in asdict(config).items() if name != "out"}
    return {**settings, "recipe": str(config.recipe), "rows": list(config.rows)}


def _table(config: Config, recipe: train.Config, metrics: dict[str, list[dict[str, Any]]]) -> str:
    population = "mentions" if config.of == "mentions" else "distinct entities"
    lines = [
        f"{recipe.data.test}, strict F1 on exact spans, mean ± standard deviation over seeds. A dictionary of "
        f"{100 * config.share:.0f} % of the {population} in the training file, sampled anew for each seed; "
        f"{recipe.train.epochs} epochs. Rows without labels keep the last one, since no labelled sentence selects "
        "anything there; the supervised row holds out a part of its training text and keeps the best epoch on it.",
        "",
        "| row | training signal | seeds | F1 | precision | recall |",
        "|---|---|---|---|---|---|",
    ]
    for row, records in metrics.items():
        if records:
            cells = " | ".join(_cell([one[name] for one in records]) for name in _METRICS)
            lines.append(f"| {row} | {ROWS[row]} | {len(records)} | {cells} |")
    lines += ["", "| step | F1 more | seeds in this order |", "|---|---|---|"]
    for one in _order(metrics):
        lines.append(
            f"| {' → '.join(one['rows'])} | {one['f1_more']:+.4f} | {one['seeds_in_order']} of {one['seeds']} |"
        )
    return "\n".join(lines) + "\n"


def _cell(values: Sequence[float]) -> str:
    import numpy as np

    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"


if __name__ == "__main__":
    from pipelines.support.flags import load_config

    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.pu_table"))
