"""Settings of the map of items that a service shows."""

from dataclasses import dataclass
from typing import Literal

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class MapSettings:
    """Layout of a run's items in the plane, computed beside the requests when it is first asked for."""

    method: Literal["tsne", "umap", "pca"] = "tsne"
    """tsne and umap (extra umap) keep neighbours together; pca is quick and keeps large distances."""

    sample: int = 2_000
    """tsne and umap: so many items are laid out, at random; the others are put at their nearest ones among them."""

    def __post_init__(self) -> None:
        if self.sample < 5:
            raise InputError(f"map.sample is {self.sample}; it must be at least 5.")
        if self.method == "pca" and self.sample != MapSettings.sample:
            raise InputError("map.sample is for tsne and umap and has no effect on pca; leave it out.")
