"""Settings of an item index; imports nothing heavy, so that `--help` stays instant."""

from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError
from recsys_bert.retrieval.faiss_guard import check_factory

Metric = Literal["ip", "l2", "cosine"]


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """Settings of an item index.

    A setting that the chosen index type does not have is refused, never ignored.
    """

    factory: str = "Flat"
    """FAISS factory string: Flat, HNSW32, "IVF256,Flat", "IVF256,PQ16", "IVF256,PQ16,RFlat", PQ16, SQ8, LSH256r …
    A form that FAISS cannot build is refused at once."""

    metric: Metric = "ip"
    """ip (inner product), l2 (squared Euclidean distance) or cosine (both sides normalised, then inner product)."""

    nprobe: int | None = None
    """IVF only: lists looked at per query; 2 * sqrt(lists) when not given (FAISS itself looks at one)."""

    ef_search: int | None = None
    """HNSW only: candidates kept while searching; 128 when not given, and never under the number asked for."""

    ef_construction: int | None = None
    """HNSW only: candidates kept while building; 40 when not given."""

    refine_factor: int | None = None
    """Refined ("…,RFlat") only: candidates per result that are scored again exactly; 8 when not given."""

    seed: int = 0
    """Seed of the training sample."""

    def __post_init__(self) -> None:
        """Check what can be checked without FAISS.

        Raises:
            InputError: An unknown metric, a setting under 1, or a factory string that FAISS cannot build.
        """
        if self.metric not in ("ip", "l2", "cosine"):
            raise InputError(f"no metric is called {self.metric!r}. Known: cosine, ip, l2.")
        for name in ("nprobe", "ef_search", "ef_construction", "refine_factor"):
            value = getattr(self, name)
            if value is not None and not 1 <= value < 2**31:
                raise InputError(
                    f"{name} is {value}; it must be at least 1" + (", and below 2³¹." if value > 1 else ".")
                )
        check_factory(self.factory)
