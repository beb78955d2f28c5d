"""Splits of a call or command: train, validation, test; holding out; fingerprints of their contents."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nlp_tasks.examples import Read, Rows
from recsys_bert.errors import InputError
from recsys_bert.files import fingerprint
from recsys_bert.training.hidden_test import visible

VALIDATION_SHARE = 0.1
"""Share of the training examples that is held out where a call names no validation examples."""


class Sourced(Protocol):
    """Examples whose contents can be compared with those of an earlier call."""

    @property
    def path(self) -> Path:
        """File, or name of the lists."""

    @property
    def digest(self) -> str | None:
        """Fingerprint of lists; None for a file, whose fingerprint is that of its bytes."""


def hold_out(table: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
    """Split examples into training and validation at random; lines left out of the file count for training.

    Raises:
        InputError: There are too few for both.
    """
    n = round(len(table) * share)
    if not 0 < n < len(table):
        raise InputError(
            f"holding out the share {share} of the {len(table):,} examples of {table.path} leaves nothing for training "
            "or for validation. Give validation examples."
        )
    order = np.random.default_rng(seed).permutation(len(table))
    train, validation = (table.take(sorted(rows.tolist())) for rows in (order[n:], order[:n]))
    counts: dict[str, Any] = {
        name: {} for name in ("left_out", "repaired") if hasattr(validation, name)
    }  # they are the training's
    return train, replace(validation, **counts)


def with_validation(
    parts: Mapping[str, Read], share: float, seed: int, hold_out: Callable[[Read, float, int], tuple[Read, Read]]
) -> dict[str, Read]:
    """Parts in the order train, validation, test; validation is held out of train where there is none.

    Args:
        parts: ``train``, and ``validation`` and ``test`` as far as there are any.
        share: To hold out.
        seed: Of the split.
        hold_out: Splits the training examples.
    """
    filled = visible(parts)
    if "validation" not in filled:
        filled["train"], filled["validation"] = hold_out(filled["train"], share, seed)
    return {name: filled[name] for name in ("train", "validation", "test") if name in filled}


def parts_of(
    train: Read, validation: Any, test: Any, make: Callable[..., Read], seed: int, hold_out: Callable[..., Any]
) -> dict[str, Read]:
    """Parts of the data of a call.

    Args:
        train: Training examples.
        validation: Arguments of ``make``, a share of the training examples, or None for ``VALIDATION_SHARE`` of them.
        test: Arguments of ``make``, or None.
        make: Makes examples of lists and the name of their part.
        seed: Of the split.
        hold_out: Splits the training examples.

    Raises:
        InputError: ``validation`` or ``test`` is neither.
    """
    parts, share = {"train": train}, VALIDATION_SHARE
    if isinstance(validation, float) and 0 < validation < 1:
        share, validation = validation, None
    for name, lists in (("validation", validation), ("test", test)):
        if lists is None:
            continue
        if not isinstance(lists, tuple):
            raise InputError(f"{name} is {lists!r}; give a tuple of lists like the training examples.")
        parts[name] = make(*lists, name)
    return with_validation(parts, share, seed, hold_out)


def contents(parts: Iterable[Sourced]) -> dict[Path, str]:
    """Fingerprint of the examples of each part, by file or name; see ``run_folder.check_unchanged``."""
    return {part.path: fingerprint([part.path]) if part.digest is None else part.digest for part in parts}
