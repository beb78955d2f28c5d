"""Map of a run's items as one HTML file."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.support.outputs import check_place
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write a map of a run's items: one HTML file that needs no network, with search, colours and nearest items."""

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`, which has the vectors of its runs."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    out: Path
    """HTML file to write."""

    colour: str | None = None
    """Side column of the items, or count (training events), that colours them at first; the page offers all."""

    method: Literal["tsne", "umap", "pca"] = "tsne"
    """tsne and umap (extra umap) keep neighbours together; pca is quick and keeps large distances."""

    neighbours: int = 10
    """Nearest items shown for each."""

    sample: int = 5_000
    """tsne and umap: so many items are laid out, at random; the others are put at their nearest ones among them."""

    perplexity: float | None = None
    """Neighbours that count in the layout, about: t-SNE's perplexity, UMAP's n_neighbors. None: 30, UMAP 15, or a third
    of the items where they are few."""

    seed: int = 0
    """Of the sample and the layout."""

    atlas: Path | None = None
    """Parquet file to write too, for Embedding Atlas."""

    projector: Path | None = None
    """Folder to write too, for TensorBoard's projector."""

    json: bool = False
    """Print counts as JSON on stdout."""

    def __post_init__(self) -> None:
        if self.out.suffix not in (".html", ".htm"):
            raise InputError(f"out is {self.out}; a page ends in .html.")
        if self.atlas is not None and self.atlas.suffix != ".parquet":
            raise InputError(f"atlas is {self.atlas}; the file ends in .parquet.")
        if self.sample < 5:
            raise InputError(f"sample is {self.sample}; it must be at least 5.")
        check_place(self.out)
        check_place(self.atlas)
        check_place(self.projector, folder=True)


def run(config: Config) -> dict[str, Any]:
    """Lay out and write.

    Returns:
        Counts; see ``map_items``.

    Raises:
        InputError: A run and a log that do not belong together, an unknown column, or too few items.
    """
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.stages.map_items import map_items

    model = Recommender.load(config.run, config.data)
    summary = map_items(
        model,
        config.out,
        method=config.method,
        colour=config.colour,
        neighbours=config.neighbours,
        sample=config.sample,
        perplexity=config.perplexity,
        seed=config.seed,
        atlas=config.atlas,
        projector=config.projector,
    )
    print(
        f"{summary['items']:,} items in {config.out} ({config.out.stat().st_size / 2**20:.1f} MiB); "
        f"{summary['neighbours_shown']:.0%} of the nearest are near on the map",
        file=sys.stderr,
    )
    if config.json:
        print(json.dumps(summary))
    return summary
