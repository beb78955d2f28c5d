"""Load any trained run as a ranker; copy one."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, replacing
from recsys_bert.retrieval.encoder_ranker import EncoderRanker
from recsys_bert.retrieval.fusion_files import (
    fusion_settings,
    is_score_fusion,
    load_score_fusion,
    refer_to,
    trained_runs,
)
from recsys_bert.retrieval.ranker import Ranker
from recsys_bert.retrieval.two_tower_ranker import load_two_tower
from recsys_bert.settings import read_toml
from recsys_bert.training.run_folder import run_kind
from recsys_bert.user_encoder.checkpoint import load_encoder
from recsys_bert.user_encoder.unchanged import weights_fingerprint


def load_ranker(run: Path, dataset: ClickDataset) -> Ranker:
    """Load a run of ``pretrain``, ``train-retrieval`` or ``fuse`` for ranking.

    Raises:
        InputError: The folder is not such a run, is damaged, or belongs to another vocabulary.
    """
    run = Path(run)
    check_ranks(run)
    if is_score_fusion(run):
        return load_score_fusion(run, [load_ranker(member, dataset) for member in trained_runs(run)], dataset)
    if (run / "two_tower" / "config.json").exists():
        return load_two_tower(run, dataset)
    return EncoderRanker(load_encoder(run, dataset), run.name)


def check_ranks(run: Path) -> None:
    """Refuse a folder that holds no ranker, by the kind of run that it holds.

    Raises:
        InputError: It is no run of ``pretrain``, ``train-retrieval`` or ``fuse``.
    """
    if any((run / name / "config.json").is_file() for name in ("encoder", "two_tower", "score_fusion")):
        return
    needed = "a run of pretrain, train-retrieval or fuse is needed"
    if not run.is_dir():
        raise InputError(f"there is no run folder {run}; {needed}.")
    if (kind := run_kind(run)) is None:
        raise InputError(f"{run} holds no trained ranker; {needed}.")
    if kind in ("pretrain", "train-retrieval", "fuse"):
        raise InputError(f"{run} is a run of {kind} that is not finished. Run it again to go on.")
    raise InputError(f"{run} is a run of {kind}; {needed}.")


def copy_run(run: Path, folder: Path, beside: Callable[[Path], None] | None = None) -> None:
    """Copy a run without its checkpoints; a score fusion with the runs that it refers to.

    Args:
        run: The run.
        folder: Its copy; an earlier one there is replaced.
        beside: Writes more into the copy.

    Raises:
        InputError: Something else lies at ``folder``.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / "config.toml").is_file()):
        raise InputError(f"{folder} is there and is no run. Choose another folder, or remove it.")
    skipped = shutil.ignore_patterns("checkpoints")
    with replacing(folder) as temporary:
        shutil.copytree(run, temporary, ignore=skipped)
        if is_score_fusion(run):
            members = trained_runs(run)
            names = [f"runs/{number}-{member.name}" for number, member in enumerate(members)]
            for name, member in zip(names, members, strict=True):
                shutil.copytree(member, temporary / name, ignore=skipped)
            refer_to(temporary, [f"../{name}" for name in names])
        if beside is not None:
            beside(temporary)


def ranker_fingerprint(run: Path) -> str:
    """Hash of the trained weights of a run, or of the runs that a score fusion is made of, with its recency."""
    return weights_fingerprint(*trained_runs(run)) + fusion_settings(run)


def earlier_vocabulary(run: Path, ranker: Ranker, dataset: ClickDataset) -> str | None:
    """Message about a run that is older than the log's vocabulary; None where it knows all items.

    Args:
        run: The run, or the score fusion.
        ranker: Its model.
        dataset: The log.
    """
    files = [path for name in ("encoder/objective.json", "two_tower/config.json") for path in run.glob(name)]
    if not files:
        return None
    known = dataset.known_to(read_json(files[0])["prepared"])
    if not known.n_new_items:
        return None
    new_rows = np.asarray(dataset.histories.items)
    n_events = int(((new_rows >= known.vocabulary.size) & (new_rows < dataset.vocabulary.size)).sum())
    if ranker.shape[0] > known.vocabulary.size:
        treated = "ranked by their features, and read in histories as unknown"
    else:
        treated = "not recommended, and read in histories as unknown"
    return (
        f"{run.name} was trained before {known.n_new_items:,} of {dataset.vocabulary.n_items:,} items of "
        f"{dataset.folder} came: these are {treated} ({n_events:,} of {len(new_rows):,} events). Go on training with "
        f"--init {run}."
    )


def open_run(run: Path, dataset: ClickDataset) -> Ranker:
    """Load a run of ``pretrain``, ``train-retrieval`` or ``fuse``; it encodes in the precision that it was trained in.

    Raises:
        InputError: See ``load_ranker``; or its ``config.toml`` is damaged.
    """
    check_ranks(run)
    if is_score_fusion(run):
        return load_score_fusion(run, [open_run(member, dataset) for member in trained_runs(run)], dataset)
    ranker = load_ranker(run, dataset)
    if (note := earlier_vocabulary(run, ranker, dataset)) is not None:
        print(note, file=sys.stderr)
    if not (run / "config.toml").exists():  # a folder that was not written by a command
        return ranker
    ranker.precision = read_toml(run / "config.toml", resolved=True).get("train", {}).get("precision", ranker.precision)
    return ranker
