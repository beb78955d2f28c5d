"""Summary of a training stage."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys_bert.training.loop import Summary
from recsys_bert.training.run_folder import is_first_process


def finish(
    wrote: Path,
    summary: "Summary",
    monitor: str,
    parameters: int,
    too_short: int,
    about: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Print the summary of a training and return it.

    Args:
        wrote: The artefact.
        summary: Summary of ``fit``.
        monitor: Metric that picked the epoch.
        parameters: Number of parameters.
        too_short: Users with too few events to train on.
        about: Other facts by name.
    """
    about = about or {}
    if is_first_process():
        best = "not validated" if summary.best is None else f"validation {monitor} {summary.best:.4f}"
        lines = [f"{best}, epoch {summary.best_epoch} of {summary.epochs} kept, {parameters:,} parameters"]
        lines += [f"{too_short:,} users have too few events to train on"] if too_short else []
        lines += [f"{name}: {value}" for name, value in about.items()]
        print("\n".join([*lines, f"wrote {wrote} in {summary.seconds:.0f} s"]), file=sys.stderr)
    return {
        "best": summary.best,
        "best_epoch": summary.best_epoch,
        "epochs": summary.epochs,
        "seconds": round(summary.seconds, 1),
        "parameters": parameters,
        "users_too_short": too_short,
        **{name.replace(" ", "_"): value for name, value in about.items()},
    }
