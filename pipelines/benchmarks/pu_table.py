"""What a dictionary teaches by each risk, between matching it alone and labels for everything, in one table.

    python -m pipelines.benchmarks.pu_table --out runs/pu-resume

Every seed draws its own dictionary from the entities of the training file and trains every row; nothing else is read of
the labels but by the row ``supervised``. Figures are of the test file, strict F1 on exact spans. The same command goes
on where it was stopped: every run has a folder below ``out``, and what another draw or other files left there is
refused. The table is written to ``out`` with the ending .md, the same numbers to .json.
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
    from nlp_tasks.tagging.data import Annotated

ROWS = {
    "matching": "the longest entries of the dictionary, nothing learned",
    "biased": "what is not matched is no entity",
    "unbiased": "unbiased PU risk",
    "non_negative": "non-negative PU risk",
    "grown": "non-negative, then once more with the dictionary grown by confident repeats",
    "supervised": "every label of the training file, cross-entropy",
}
"""Rows in the order that is expected of them."""

_FIGURES = ("f1", "precision", "recall")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare what a dictionary teaches."""

    out: Path
    """Folder of the runs; the table is written beside it, with the endings .md and .json."""

    recipe: Path = Path("pipelines/recipes/text_resume_ner_pu.toml")
    """Recipe of ``text tag train`` with a dictionary; its training file must be marked, and a test file be named."""

    rows: tuple[str, ...] = ("matching", "biased", "unbiased", "non_negative", "supervised")
    """Which rows, of: matching, biased, unbiased, non_negative, grown, supervised."""

    seeds: int = 5
    """Dictionaries and trainings of every row; seeds count from 0."""

    share: float = 0.1
    """Share of the training entities that the dictionary is drawn from, in (0, 1]."""

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
        What the JSON file holds.

    Raises:
        InputError: The recipe does not suit, or ``out`` holds what other settings or files gave.
    """
    from recsys_bert.settings import read_config
    from recsys_bert.training.run_folder import check_writable

    recipe = read_config(train.Config, config.recipe)
    if recipe.pu.dictionary is None or recipe.data.test is None:
        raise InputError(f"{config.recipe} must name pu.dictionary and data.test.")
    check_writable(config.out)
    if config.epochs:
        recipe = replace(recipe, train=replace(recipe.train, epochs=config.epochs))
    found = read_files(recipe.data)
    _check_types(found)
    metrics: dict[str, list[dict[str, Any]]] = {row: [] for row in config.rows}
    for seed in range(config.seeds):
        dictionary = _dictionary(config, found["train"], seed)
        for row in config.rows:
            print(f"seed {seed}, {row}", file=sys.stderr, flush=True)
            settings = _settings(row, recipe, dictionary, config.out, seed)
            metrics[row].append(_matching(settings, found["test"]) if row == "matching" else _trained(settings))
            table = _table(config, recipe, metrics)
            result = {"config": _plain(config), "rows": metrics, "order": _order(metrics)}
            write_tables(config.out, table, result, show=False)
    print(table, end="")
    return result


def _check_types(found: "dict[str, Annotated]") -> None:
    """Check that every type of the test file can be learned, for rows would leave out others each in its own way.

    Raises:
        InputError: The training file lacks one.
    """
    from nlp_tasks.tagging.data import types_of

    marked, test = found["train"], found["test"]
    if lacking := sorted(set(types_of(test.sentences)) - set(types_of(marked.sentences))):
        raise InputError(
            f"{marked.path} has no entity of type {lacking[0]!r}, but {test.path} has; give more sentences."
        )


def _dictionary(config: Config, marked: "Annotated", seed: int) -> Path:
    """Draw the dictionary of a seed.

    Raises:
        InputError: Another one is there, with which runs were trained.
    """
    path = config.out / f"dictionary-{seed}.tsv"
    entries = sample(marked.sentences, config.share, config.of, seed)
    if not path.exists():
        write(path, entries)
    elif path.read_text(encoding="utf-8") != as_text(entries):
        raise InputError(
            f"{path} is not what share {config.share} of the {config.of} of {marked.path} draws: it was made with "
            "other settings, or of another training file. Choose another --out, or delete that folder."
        )
    return path


def _settings(row: str, recipe: train.Config, dictionary: Path, out: Path, seed: int) -> train.Config:
    """What a row trains; of ``matching`` the dictionary alone is looked at."""
    settings = replace(recipe, out=out / row / f"seed-{seed}", train=replace(recipe.train, seed=seed))
    if row == "supervised":
        head = replace(recipe.head, options={**recipe.head.options, "loss": "logistic"})
        return replace(settings, head=head, pu=type(recipe.pu)())
    risk: Any = row if row in ("biased", "unbiased") else "non_negative"
    rounds = max(2, recipe.pu.rounds) if row == "grown" else 1
    return replace(settings, pu=replace(recipe.pu, dictionary=dictionary, risk=risk, rounds=rounds))


def _trained(settings: train.Config) -> dict[str, Any]:
    """Figures of one run on the test file, trained if that was not done yet.

    Raises:
        InputError: The run folder holds another run, or one that was trained on other files.
    """
    from recsys_bert.files import read_json
    from recsys_bert.training.run_folder import check_out

    path = settings.out / "metrics.json"
    if check_out(settings.out, settings) and path.exists():
        train.check_begun(settings)
        found = read_json(path)
    else:
        found = train.run(settings)
    told = {name: found["test"][name] for name in _FIGURES} | {"seconds": found["seconds"]}
    if "pu" in found:
        told |= {"priors": found["pu"]["priors"], "rounds": found["pu"]["rounds"]}
    return told


def _matching(settings: train.Config, marked: "Annotated") -> dict[str, Any]:
    """Figures of the dictionary alone."""
    from nlp_tasks.tagging.metrics import span_metrics
    from nlp_tasks.tagging.pu.dictionary import match, read_dictionary
    from nlp_tasks.tagging.tagger import rows_of

    dictionary = read_dictionary(settings.pu.dictionary or Path(), settings.data.bad_rows)
    test = marked.sentences
    types = sorted({*dictionary.types.values(), *(one.type for sentence in test for one in sentence.levels[0])})
    found = rows_of(match(dictionary, test).sentences, types)
    metrics = span_metrics(rows_of(test, types), found, types, len(test))
    return {name: metrics[name] for name in _FIGURES} | {"entries": len(dictionary), "left_out": dictionary.left_out}


def _order(metrics: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Each row against the one before it, seed by seed."""
    import numpy as np

    found = []
    names = [row for row in metrics if metrics[row]]
    for before, after in pairwise(names):
        pairs = zip(metrics[before], metrics[after], strict=False)
        more = np.array([two["f1"] - one["f1"] for one, two in pairs])
        found.append({
            "rows": [before, after],
            "f1_more": float(more.mean()),
            "seeds_in_order": int((more > 0).sum()),
            "seeds": len(more),
        })  # fmt: skip
    return found


def _plain(config: Config) -> dict[str, Any]:
    from dataclasses import asdict

    given = {name: value for name, value in asdict(config).items() if name != "out"}
    return {**given, "recipe": str(config.recipe), "rows": list(config.rows)}


def _table(config: Config, recipe: train.Config, metrics: dict[str, list[dict[str, Any]]]) -> str:
    drawn = "places" if config.of == "mentions" else "different entities"
    lines = [
        f"{recipe.data.test}, strict F1 on exact spans, mean ± deviation over seeds. A dictionary of "
        f"{100 * config.share:.0f} % of the {drawn} marked in the training file, drawn anew for each seed; "
        f"{recipe.train.epochs} epochs. Rows without labels keep the last one, for no labelled sentence chooses "
        "anything there; the supervised row holds out a part of its training text and keeps the best epoch on it.",
        "",
        "| row | what it learns | seeds | F1 | precision | recall |",
        "|---|---|---|---|---|---|",
    ]
    for row, found in metrics.items():
        if found:
            cells = " | ".join(_cell([one[name] for one in found]) for name in _FIGURES)
            lines.append(f"| {row} | {ROWS[row]} | {len(found)} | {cells} |")
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
