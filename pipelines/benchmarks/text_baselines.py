"""Baselines from counts on the data of a text recipe, beside trained runs.

    python -m pipelines.benchmarks.text_baselines --task classify --recipe pipelines/recipes/text_thucnews.toml \
        --runs runs/text-thucnews --out runs/thucnews_baselines

Classification: the largest class, and scikit-learn's TF-IDF with a linear SVM and with naive Bayes on counts, over
characters and their pairs for mostly Chinese texts, over words and their pairs for others; what each may choose (C, or
alpha) is chosen on validation. Matching: always the more frequent answer, and the share that two texts have in common
of their tokens and pairs of tokens (Dice) and the cosine of their TF-IDF vectors, with a threshold chosen on validation
as the recipe's. Runs must be trained on the same files; their figures are those that they wrote.
"""

import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.support.flags import load_config
from pipelines.text.classify.train import Config as Classify
from pipelines.text.match.train import Config as Match
from recsys_bert.errors import InputError
from recsys_bert.settings import read_config

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlp_tasks.examples import Table

_SVM_C = (0.1, 0.3, 1.0, 3.0, 10.0)
_BAYES_ALPHA = (0.03, 0.1, 0.3, 1.0)
_SHOWN = {"classify": ("accuracy", "macro_f1"), "match": ("accuracy", "f1", "auc")}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure baselines on the data of a recipe."""

    task: Literal["classify", "match"]
    """Whose recipe it is: that of `text classify train` or of `text match train`."""

    recipe: Path
    """The recipe; it must name a test file."""

    out: Path
    """Where the table (with the ending .md) and the same numbers (.json) are written."""

    runs: tuple[Path, ...] = ()
    """Run folders that are put into the same table."""


def run(config: Config) -> dict[str, Any]:
    """Measure, print and write the table.

    Returns:
        What the JSON file holds.

    Raises:
        InputError: The recipe's data cannot be used or has no test part, or a run was trained on other files.
    """
    from pipelines.benchmarks.tables import write_tables

    recipe = read_config(Classify, config.recipe) if config.task == "classify" else read_config(Match, config.recipe)
    if recipe.data.test is None:
        raise InputError(f"{config.recipe} names no test file; set data.test.")
    runs = [{"name": str(folder), "test": _figures(folder, recipe)} for folder in config.runs]
    rows = _classified(recipe) if isinstance(recipe, Classify) else _matched(recipe)
    result = {"recipe": config.recipe.name, "task": config.task, "rows": rows + runs}
    write_tables(config.out, _table(result), result)
    return result


def _figures(folder: Path, recipe: Classify | Match) -> dict[str, Any]:
    """Test figures that a run wrote."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder} has no metrics.json: it is no run folder, or its training has not ended.") from None
    data = read_config(type(recipe), folder / "config.toml").data
    if (data.train, data.test) != (recipe.data.train, recipe.data.test):
        raise InputError(f"{folder} was trained on {data.train} and tested on {data.test}, unlike the recipe.")
    test: dict[str, Any] = metrics["test"]
    return test


def _classified(recipe: Classify) -> list[dict[str, Any]]:
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.svm import LinearSVC

    from pipelines.text.fine_tuning import read_splits

    if recipe.task.multi_label:
        raise InputError("these baselines give every text one label; the recipe is for several.")
    tables = read_splits(recipe.data, [recipe.text], recipe.label, seed=recipe.train.seed)
    texts = {split: table.texts[recipe.text] for split, table in tables.items()}
    labels = {split: [label for (label,) in table.labels or []] for split, table in tables.items()}
    most = Counter(labels["train"]).most_common(1)[0][0]
    cut, unit = _cutter(texts["train"])
    kinds: dict[str, tuple[Any, Callable[[float], Any], Sequence[float]]] = {
        "TF-IDF, linear SVM": (TfidfVectorizer(analyzer=cut, sublinear_tf=True), lambda c: LinearSVC(C=c), _SVM_C),
        "counts, naive Bayes": (CountVectorizer(analyzer=cut), lambda a: MultinomialNB(alpha=a), _BAYES_ALPHA),
    }
    rows = [{"name": f"always {most!r}", "test": _right(labels["test"], [most] * len(labels["test"]))}]
    for name, (vectors, make, choices) in kinds.items():
        known = vectors.fit_transform(texts["train"])
        held_out = vectors.transform(texts["validation"])
        fitted = {choice: make(choice).fit(known, labels["train"]) for choice in choices}
        best = max(fitted, key=lambda choice: fitted[choice].score(held_out, labels["validation"]))
        predicted = fitted[best].predict(vectors.transform(texts["test"]))
        about = f"{name} ({unit}; {best:g} of {', '.join(f'{choice:g}' for choice in choices)})"
        rows.append({"name": about, "test": _right(labels["test"], predicted)})
    return rows


def _right(labels: Sequence[str], predicted: Sequence[str]) -> dict[str, Any]:
    from sklearn import metrics

    macro = metrics.f1_score(labels, predicted, average="macro", labels=sorted(set(labels)), zero_division=0)
    return {"accuracy": float(metrics.accuracy_score(labels, predicted)), "macro_f1": float(macro)}


def _matched(recipe: Match) -> list[dict[str, Any]]:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    from nlp_tasks.matching.data import not_yes_or_no, yes_or_no
    from pipelines.text.fine_tuning import read_splits
    from recsys_bert.evaluation.text import best_threshold, pair_metrics

    if recipe.label is None:
        raise InputError("these baselines say whether a pair matches; the recipe's data has no label.")
    tables = read_splits(recipe.data, [recipe.first, recipe.second], recipe.label, seed=recipe.train.seed)
    tables = {split: table.without(not_yes_or_no(table.labels or [])) for split, table in tables.items()}
    labels = {split: yes_or_no(table.labels or []) for split, table in tables.items()}
    cut, unit = _cutter(tables["train"].texts[recipe.first])
    vectors = TfidfVectorizer(analyzer=cut, sublinear_tf=True)
    vectors.fit([text for column in (recipe.first, recipe.second) for text in tables["train"].texts[column]])

    def cosine(first: list[str], second: list[str]) -> "NDArray[np.float64]":
        return np.asarray(vectors.transform(first).multiply(vectors.transform(second)).sum(axis=1)).reshape(-1)

    def shared(first: list[str], second: list[str]) -> "NDArray[np.float64]":
        return np.array([_dice(cut(a), cut(b)) for a, b in zip(first, second, strict=True)])

    most = int(2 * labels["train"].sum() >= len(labels["train"]))
    answers = np.full(len(labels["test"]), most)
    rows: list[dict[str, Any]] = [
        {"name": f"always {('no', 'yes')[most]}", "test": pair_metrics(labels["test"], answers, 1)}
    ]
    for name, score in (("overlap", shared), ("TF-IDF, cosine", cosine)):
        scores = {split: score(*_pair(tables[split], recipe)) for split in ("validation", "test")}
        threshold = best_threshold(labels["validation"], scores["validation"], recipe.task.threshold)
        metrics = pair_metrics(labels["test"], scores["test"], threshold)
        rows.append({"name": f"{name} ({unit})", "test": metrics, "threshold": threshold})
    return rows


def _pair(table: "Table", recipe: Match) -> tuple[list[str], list[str]]:
    return table.texts[recipe.first], table.texts[recipe.second]


def _dice(first: Sequence[str], second: Sequence[str]) -> float:
    """Twice what two multisets share, of all that is in them."""
    shared = sum((Counter(first) & Counter(second)).values())
    return 2 * shared / max(1, len(first) + len(second))


def _cutter(texts: Sequence[str]) -> tuple[Callable[[str], list[str]], str]:
    """Function that cuts a text into tokens and bigrams, and their name."""
    from nlp_tasks.tokenization import mostly_chinese

    if mostly_chinese(texts[:10_000]):
        return (lambda text: _with_pairs(list(text.lower())), "characters and pairs of them")
    return (lambda text: _with_pairs(text.lower().split()), "words and pairs of them")


def _with_pairs(tokens: list[str]) -> list[str]:
    return tokens + [f"{a} {b}" for a, b in itertools.pairwise(tokens)]


def _table(result: dict[str, Any]) -> str:
    columns = _SHOWN[result["task"]]
    head = [f"{result['recipe']}, test", *(name.replace("_", " ") for name in columns)]
    rows = [[row["name"], *(_cell(row["test"].get(name)) for name in columns)] for row in result["rows"]]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.text_baselines"))
