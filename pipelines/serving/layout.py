"""Positions of a run's items: by PCA at once, then by the method that is wanted, by a thread of low priority."""

import os
import sys
import threading
import traceback
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.serving.map_settings import MapSettings
from recsys_bert.errors import InputError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Laid:
    """Positions ``[n, 2]``, their method, and how many items it laid out itself."""

    method: str
    positions: Floats
    n_laid_out: int


class Layout:
    """Positions of a run's items: those of PCA until those of the method that is wanted are there.

    Args:
        vectors: float32 ``[n, dim]``, unit length.
        settings: Method and sample.
    """

    def __init__(self, vectors: Floats, settings: MapSettings) -> None:
        self._vectors, self.settings = vectors, settings
        self._laid: Laid | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._work, name="map", daemon=True).start()

    def _work(self) -> None:
        from recsys_bert.retrieval.item_map import item_positions

        if hasattr(os, "setpriority"):  # Linux: of this thread alone
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        try:
            self._laid = Laid("pca", *item_positions(self._vectors, "pca"))
            if self.settings.method != "pca":
                placed = item_positions(self._vectors, self.settings.method, sample=self.settings.sample)
                self._laid = Laid(self.settings.method, *placed)
        except Exception as error:
            if not isinstance(error, InputError):
                traceback.print_exception(error, file=sys.stderr)
            self._error = error

    def of(self, vectors: Floats) -> Laid | None:
        """Positions of items; those that came since lie at their nearest one. None: not there yet.

        Args:
            vectors: Of all items now.

        Raises:
            InputError: There can be no map of these items.
            RuntimeError: The layout failed; the reason is in the log.
        """
        if isinstance(self._error, InputError):
            raise self._error
        if self._error is not None:
            raise RuntimeError("the layout of the map failed") from self._error
        if (laid := self._laid) is None:
            return None
        n = len(laid.positions)
        return Laid(
            laid.method,
            np.concatenate([laid.positions, self._beside(laid, vectors[n:])])[: len(vectors)],
            laid.n_laid_out,
        )

    def _beside(self, laid: Laid, further: Floats) -> Floats:
        """Positions of items that came later: beside their nearest one, each in its own direction."""
        if not len(further):
            return laid.positions[:0]
        chunks = [further[start : start + 64] for start in range(0, len(further), 64)]
        nearest = np.concatenate([(chunk @ self._vectors.T).argmax(1) for chunk in chunks])
        turn = np.arange(len(further))[:, None] * 2.4 + [0.0, np.pi / 2]
        return laid.positions[nearest] + 0.003 * np.sin(turn).astype(np.float32)
