"""Score fusions on disk: references to the trained runs, counts, text vectors, and settings."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recsys_bert.checksums import check_intact, file_digest, write_checksums
from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json
from recsys_bert.item_texts.vector_files import load_item_vectors, save_item_vectors
from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
from recsys_bert.retrieval.count_files import load_counts, save_counts
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.recency import Recency
from recsys_bert.retrieval.score_fusion import ScoreFusion, one_ranker
from recsys_bert.retrieval.text_histories import TextGains
from recsys_bert.retrieval.untrained import PopularityRanker


def save_score_fusion(
    folder: Path,
    target: Path,
    runs: Sequence[Path],
    score_fusion: ScoreFusion | None,
    about: dict[str, Any],
    recency: Recency | None = None,
    popularity: float | None = None,
) -> None:
    """Write references to runs, the co-occurrence counts, the text vectors and the settings of the fusion.

    Args:
        folder: Folder to make.
        target: Final path of the folder.
        runs: Folders of the trained runs; kept relative to ``target``, so that all can move together.
        score_fusion: Has the counts; None is the mean of the runs alone.
        about: Kept beside the settings: ``prepared``, the log's fingerprint, and results.
        recency: Kernel and scale of its recency; the gains follow from the log.
        popularity: Weight of popularity, which stands in where there is no run.
    """
    folder.mkdir(parents=True)
    settings: dict[str, Any] = {"runs": [os.path.relpath(run, target) for run in runs]}
    if recency is not None:
        settings["recency"] = asdict(recency)
    if popularity is not None:
        settings["popularity"] = popularity
    if score_fusion is not None and score_fusion.texts is not None:
        vectors, gains = score_fusion.texts
        save_item_vectors(folder / "text", vectors)
        settings["text"] = asdict(gains)
    if score_fusion is not None and score_fusion.counts is not None:
        save_counts(folder / "after.npz", score_fusion.counts.after)
        names = ("last", "window", "decay", "most", "half_life")
        counts = {name: getattr(score_fusion.counts, name) for name in names}
        settings |= {"weight": score_fusion.weight, "smoothing": score_fusion.smoothing, "counts": counts}
    write_json(folder / "config.json", settings | about)
    write_checksums(folder)


def is_score_fusion(run: Path) -> bool:
    """True iff a run folder holds a score fusion."""
    return (run / "score_fusion" / "config.json").is_file()


def trained_runs(run: Path) -> list[Path]:
    """Trained runs: those that a score fusion refers to, or the run itself.

    Raises:
        InputError: The fusion's settings are damaged, or of an older version.
    """
    if not is_score_fusion(run):
        return [run]
    path = run / "score_fusion" / "config.json"
    check_intact(path.parent, "make the score fusion again")
    settings = read_json(path)
    if not isinstance(settings, dict) or "runs" not in settings:
        raise InputError(f"{path} names no runs: it is damaged or of an older version. Make the score fusion again.")
    if not isinstance(settings["runs"], list) or not all(isinstance(member, str) for member in settings["runs"]):
        raise InputError(f"{path}: runs is {settings['runs']!r}; it must be a list of folders. Make the fusion again.")
    members = [Path(os.path.normpath(path.parent / member)) for member in settings["runs"]]
    if nested := [member for member in members if is_score_fusion(member)]:  # perhaps itself, without an end
        raise InputError(f"{path} names {nested[0]}, which is a score fusion. Fuse the runs that it was made of.")
    return members


def refer_to(run: Path, runs: Sequence[str]) -> None:
    """Let a score fusion refer to other folders of the same runs, relative to ``run/score_fusion``."""
    path = run / "score_fusion" / "config.json"
    write_json(path, read_json(path) | {"runs": list(runs)})
    write_checksums(path.parent)


def load_score_fusion(run: Path, rankers: Sequence[Ranker], dataset: ClickDataset) -> Ranker:
    """Load ``run/score_fusion`` around its trained runs.

    Args:
        run: Folder of ``fuse``.
        rankers: Those of ``trained_runs``, loaded.
        dataset: The log.

    Raises:
        InputError: It is damaged, or of another vocabulary.
    """
    folder = run / "score_fusion"
    check_intact(folder, "make the score fusion again")
    settings = read_json(folder / "config.json")
    dataset.known_to(settings["prepared"])
    ranker = one_ranker(rankers, run.name) if rankers else PopularityRanker(dataset, settings["popularity"], run.name)
    scale, counts, texts = {}, None, None
    if "counts" in settings:
        counts, scale = CoOccurrence(**settings["counts"]), {name: settings[name] for name in ("weight", "smoothing")}
        counts.after = load_counts(folder / "after.npz", dataset.n_rows)
    recency = Recency(**settings["recency"]) if "recency" in settings else None
    if "text" in settings:
        texts = load_item_vectors(folder / "text", dataset), TextGains(**settings["text"])
    if counts is None and recency is None and texts is None:
        return ranker
    recent = None if recency is None else recency.gains(dataset, ranker.shape[0])
    return ScoreFusion(ranker, counts, **scale, recent=recent, texts=texts, name=run.name)


def fusion_settings(run: Path) -> str:
    """Settings of what is in a score fusion's item vectors beside the runs', recency and text; empty without any."""
    if not is_score_fusion(run):
        return ""
    folder = run / "score_fusion"
    settings = read_json(folder / "config.json")
    parts = {name: settings[name] for name in ("recency", "text", "popularity") if name in settings}
    if "text" in parts:
        parts["texts"] = file_digest(folder / "text" / "vectors.npy")
    return json.dumps(parts, sort_keys=True) if parts else ""
