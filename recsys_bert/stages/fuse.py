"""Score fusion of trained runs with co-occurrence counts, recency and text, weighed on validation."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.encoder.parts import allowing_parts
from recsys_bert.errors import InputError
from recsys_bert.settings import make_config
from recsys_bert.stages.folders import temporary_run
from recsys_bert.stages.fuse_config import FuseConfig, check_named_settings, check_runs
from recsys_bert.training.run_folder import end_of_checks

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.item_texts.item_vectors import ItemVectors
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.stages.fusion_search import Fusion


def fuse(
    runs: "Sequence[Path | str | Recommender]",
    dataset: "ClickDataset",
    *,
    texts: "ItemVectors | None" = None,
    out: Path | str | None = None,
    config: FuseConfig | None = None,
    allow_parts: bool = False,
    **settings: Any,
) -> "Recommender":
    """Fuse the scores of trained runs with co-occurrence counts, recency and text, and write ``out/score_fusion``.

    Nothing is trained. Every setting of counts is tried on validation, then recency and text beside the best of them
    and without counts; the best is kept.

    Args:
        runs: Run folders of ``pretrain`` or ``train-retrieval``, or what those returned; they stay where they are, and
            are needed from then on. None of them: counts, recency and text are added to popularity.
        dataset: The log that they were trained on; for the setting ``text``, prepared with words of its items.
        texts: Text vectors as ``item_vectors`` gives them, in place of the setting ``text``; a copy is kept.
        out: Run folder; an earlier score fusion there is replaced. None: a temporary one, removed with what is
            returned.
        config: All settings as one object.
        allow_parts: Import parts from outside (``module:Class``) that the runs name; their code runs.
        **settings: Settings by name, in place of ``config``: ``weights=[1.0]``.

    Returns:
        The fused recommender. Its ``summary`` has ``weight``, ``smoothing``, ``half_life``, ``recent_kernel``,
        ``recent_days``, ``recent_weight``, ``recent_smoothing``, ``text_last``, ``text_decay``, ``text_weight`` and
        ``popularity_weight`` of what was chosen, ``kept`` (entries of the counts), ``seconds`` and ``tried`` (all
        settings with their metrics; the runs alone first, as weight 0).

    Raises:
        InputError: Nothing is held out for validation and there are several pairs; or the runs, the log or ``out`` do
            not suit.
    """
    from recsys_bert.full_disk import explaining_full_disk
    from recsys_bert.item_texts.text_feature import check_named_text
    from recsys_bert.locks import only_writer
    from recsys_bert.retrieval.recommender import run_folder_of

    settled = make_config(FuseConfig, config, settings)
    folders = [run_folder_of(run) for run in runs]
    if texts is not None and settled.text is not None:
        raise InputError(f"texts are given, and the setting text is {settled.text!r} as well; give one of them.")
    has_text = texts is not None or settled.text is not None
    check_runs(settled, folders, has_text)
    check_named_settings(frozenset(settings), bool(folders), has_text)
    if settled.text is not None:
        check_named_text(settled.text)
    end_of_checks()
    with allowing_parts(allow_parts):
        if out is not None:
            with only_writer(Path(out)), explaining_full_disk(Path(out)):
                return _fuse(folders, dataset, texts, Path(out), settled)
        with temporary_run("fusion") as (folder, keep_with):
            return keep_with(_fuse(folders, dataset, texts, folder, settled))


def _fuse(
    runs: Sequence[Path], dataset: "ClickDataset", texts: "ItemVectors | None", out: Path, config: FuseConfig
) -> "Recommender":
    from recsys_bert.files import replacing
    from recsys_bert.item_texts.text_feature import named_vectors
    from recsys_bert.retrieval.fusion_files import save_score_fusion
    from recsys_bert.retrieval.load import open_run
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.retrieval.score_fusion import ScoreFusion, one_ranker
    from recsys_bert.settings import write_config
    from recsys_bert.stages.fusion_search import FusionSearch, best_fusion

    _check_folders(runs, out)
    started = time.monotonic()
    vectors = texts if config.text is None else named_vectors(dataset, config.text)
    model = one_ranker([open_run(run, dataset) for run in runs], out.name) if runs else None
    search = FusionSearch(config, dataset, model, vectors)
    fusions = search.tried()
    best = best_fusion(fusions)
    ranker, tried = search.ranker_of(best, out.name), [one.as_dict() for one in fusions if one.metrics]
    n_pairs = int(search.counts(best.half_life).after.nnz) if best.weight else 0
    with replacing(out / "score_fusion", sealed=True) as temporary:
        about = {"prepared": dataset.fingerprint, "tried": tried}
        fused = ranker if isinstance(ranker, ScoreFusion) else None
        save_score_fusion(temporary, out / "score_fusion", runs, fused, about, best.recency, best.popularity)
    write_config(config, out / "config.toml")
    if tried and best.metrics["ndcg@10"] <= tried[0]["ndcg@10"]:
        alone = "the scores of the runs alone are" if runs else "popularity alone is"
        print(f"on validation {alone} no worse than any fusion.", file=sys.stderr)
    print(f"{_summary(best, n_pairs)}; wrote {out}", file=sys.stderr)
    settings = {name: value for name, value in best.as_dict().items() if "@" not in name}
    costs = {"kept": n_pairs, "seconds": time.monotonic() - started}
    return Recommender(ranker, dataset, out, summary=settings | costs | {"tried": tried})


def _summary(best: "Fusion", n_pairs: int) -> str:
    """The chosen configuration in words."""
    counts, recency = "without counts", best.recency
    if best.weight:
        fading = "" if best.half_life is None else f", half-life {best.half_life:g} days"
        counts = f"weight {best.weight:g}, smoothing {best.smoothing:g}{fading}, {n_pairs:,} pairs"
    text = ""
    if best.text is not None:
        text = f"; text of {best.text.last} items, decay {best.text.decay:g}, weight {best.text.weight:g}"
    if best.popularity is not None:
        text += f"; popularity, weight {best.popularity:g}"
    if recency is None:
        return f"{counts}, no recency{text}"
    kernel = f"{recency.kernel.replace('_', '-')} of {recency.days:g} days"
    return f"{counts}; recency by a {kernel}, weight {recency.weight:g}, smoothing {recency.smoothing:g}{text}"


def _check_folders(runs: Sequence[Path], out: Path) -> None:
    from recsys_bert.files import is_leftover
    from recsys_bert.retrieval.fusion_files import is_score_fusion

    for run in runs:
        if is_score_fusion(run):
            raise InputError(f"{run} is a score fusion already. Fuse the runs that it was made of.")
    others = out.is_dir() and not all(is_leftover(entry) for entry in out.iterdir()) and not is_score_fusion(out)
    if out.is_file() or others:
        raise InputError(f"{out} is there and is no score fusion. Choose another --out, or remove it.")
