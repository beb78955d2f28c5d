"""Positions of a run's items, laid out by a thread of low priority beside the requests."""

import os
import sys
import threading
import traceback
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.serving.map_settings import MapSettings
from recsys_bert.errors import InputError

Floats = NDArray[np.float32]


class Layout:
    """Positions of a run's items, as soon as they are there.

    Args:
        vectors: float32 ``[n, dim]``, unit length.
        settings: Method and sample.
    """

    def __init__(self, vectors: Floats, settings: MapSettings) -> None:
        self._vectors, self._settings = vectors, settings
        self.n_laid_out = 0
        self._positions: Floats | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._work, name="map", daemon=True).start()

    def _work(self) -> None:
        from recsys_bert.retrieval.item_map import item_positions

        if hasattr(os, "setpriority"):  # Linux: of this thread alone
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)
        try:
            sampled: dict[str, Any] = {} if self._settings.method == "pca" else {"sample": self._settings.sample}
            positions, self.n_laid_out = item_positions(self._vectors, self._settings.method, **sampled)
            self._positions = positions
        except Exception as error:
            if not isinstance(error, InputError):
                traceback.print_exception(error, file=sys.stderr)
            self._error = error

    def positions(self, vectors: Floats) -> Floats | None:
        """Positions of items, ``[n, 2]``; those that came since lie at their nearest one. None: not there yet.

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
        if self._positions is None or len(vectors) <= len(self._positions):
            return None if self._positions is None else self._positions[: len(vectors)]
        further = vectors[len(self._positions) :]
        chunks = [further[start : start + 64] for start in range(0, len(further), 64)]
        nearest = np.concatenate([(chunk @ self._vectors.T).argmax(1) for chunk in chunks])
        step = np.arange(len(further))[:, None] * 2.4 + [0.0, np.pi / 2]  # beside it, each in its own direction
        return np.concatenate([self._positions, self._positions[nearest] + 0.003 * np.sin(step).astype(np.float32)])
