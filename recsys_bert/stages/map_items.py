"""Map of a run's items as one HTML file, and exports for Embedding Atlas and TensorBoard's projector."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.errors import InputError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.retrieval.recommender import Recommender

_MOST_VALUES = 5_000  # of a column of texts; ids of their own are no colours


def map_items(
    model: "Recommender",
    out: Path | str,
    *,
    method: Literal["tsne", "umap", "pca"] = "tsne",
    colour: str | None = None,
    neighbours: int = 10,
    sample: int = 5_000,
    perplexity: float | None = None,
    seed: int = 0,
    atlas: Path | str | None = None,
    projector: Path | str | None = None,
) -> dict[str, Any]:
    """Lay out the vectors of all items in the plane and write a page to look at them.

    Args:
        model: A trained run with its log.
        out: HTML file to write.
        method: ``tsne``, ``umap`` or ``pca``; see ``item_positions``.
        colour: Column that colours the items at first; None: none. The page offers all.
        neighbours: Nearest items shown for each.
        sample: Items that are laid out themselves.
        perplexity: Neighbours that count in t-SNE or UMAP.
        seed: Of the layout.
        atlas: Parquet file to write too, for Embedding Atlas: columns, positions, neighbours and vectors.
        projector: Folder to write too, for TensorBoard's projector: vectors and metadata as TSV.

    Returns:
        Counts: items, items that were laid out themselves, share of the nearest 10 that are near on the map.

    Raises:
        InputError: An unknown column, settings that do not fit together, too few items, or files that cannot be
            written.
    """
    from recsys_bert.pages.page import packed, render, write_page
    from recsys_bert.retrieval.item_map import item_positions, nearest_items
    from recsys_bert.retrieval.list_frames import title_column

    if neighbours < 1:
        raise InputError(f"neighbours is {neighbours}; it must be at least 1.")
    frame = model.item_vectors()
    columns = page_columns(model.dataset, frame.height)
    if colour is not None and colour not in columns:
        raise unknown_name("column of the items", colour, columns)
    vectors = frame["vector"].to_numpy().reshape(frame.height, -1)
    positions, n_placed = item_positions(vectors, method, sample=sample, perplexity=perplexity, seed=seed)
    nearest, cosines = nearest_items(vectors, neighbours)
    title = title_column(model.dataset)
    titles: list[str | None] = [None] * frame.height
    if title is not None:
        titles = model.dataset.items[title].head(frame.height).cast(str).to_list()
    share = _shown_share(positions, nearest)
    laid_out = "" if n_placed == frame.height else f" of {n_placed:,} items; the others lie at their nearest of these"
    data = {
        "points": packed(positions, "float32"),
        "neighbours": packed(nearest, "int32"),
        "scores": packed(cosines, "float32"),
        "ids": frame["item_id"].to_list(),
        "titles": titles,
        "columns": columns,
        "colour": colour,
        "note": f"{method.upper().replace('TSNE', 't-SNE')}{laid_out}. {share:.0%} of each item's nearest are among "
        f"the {nearest.shape[1]} nearest on the map (of items looked at).",
    }
    write_page(Path(out), render("map", f"Items of {model.ranker.name}", data))
    if atlas is not None:
        _write_atlas(Path(atlas), model, vectors, positions, nearest, cosines, titles)
    if projector is not None:
        _write_projector(Path(projector), model, vectors, titles)
    return {"items": frame.height, "laid_out": n_placed, "neighbours_shown": share}


def page_columns(
    dataset: "ClickDataset", n: int | None = None, names: "Sequence[str] | None" = None
) -> dict[str, dict[str, Any]]:
    """Columns of the catalogue as pages read them: numbers, or codes with their values; of tags the first.

    Columns of other types, and of more than some thousand different texts, are left out.

    Args:
        dataset: The log.
        n: Items, the first ones: a model may have no vector of those without training events. None: all.
        names: Columns; None: all.

    Raises:
        InputError: An unknown column of ``names``.
    """
    from recsys_bert.stages.store_items import column_types, column_values

    columns: dict[str, dict[str, Any]] = {}
    for name, kind in column_types(dataset, names).items():
        values = column_values(dataset, name, kind).head(dataset.items.height if n is None else n)
        if kind in ("int", "float"):
            columns[name] = {"kind": "number", "numbers": values.to_list()}
            continue
        texts = values.list.first() if kind == "tags" else values.cast(str)
        known = texts.drop_nulls().unique().sort().to_list()
        if len(known) > _MOST_VALUES:
            continue
        code = {value: number for number, value in enumerate(known)}
        columns[name] = {
            "kind": "text",
            "values": known,
            "codes": [-1 if value is None else code[value] for value in texts.to_list()],
        }
    return columns


def _shown_share(positions: "NDArray[np.float32]", nearest: "NDArray[np.int32]") -> float:
    """Share of items' nearest by vector that are nearest on the map, over some thousand items."""
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    rows = np.random.default_rng(0).permutation(len(positions))[:2_000]
    k = nearest.shape[1]
    near = NearestNeighbors(n_neighbors=k + 1).fit(positions).kneighbors(positions[rows], return_distance=False)
    both = [len(set(near[n]) - {row} & set(nearest[row])) / k for n, row in enumerate(rows)]
    return float(np.mean(both))


def _catalogue(model: "Recommender", titles: list[str | None]) -> "pl.DataFrame":
    """Ids, titles and columns of the items."""
    import polars as pl

    from recsys_bert.stages.store_items import column_types, column_values

    columns = {name: column_values(model.dataset, name, kind) for name, kind in column_types(model.dataset).items()}
    ids = model.dataset.items["item_id"].head(len(titles))
    text = pl.Series("text", [title if title is not None else str(one) for title, one in zip(titles, ids, strict=True)])
    others = [
        values.head(len(titles)).alias(name) for name, values in columns.items() if name not in ("item_id", "text")
    ]
    return pl.DataFrame([ids.alias("item_id"), text, *others])


def _write_atlas(
    out: Path,
    model: "Recommender",
    vectors: "NDArray[np.float32]",
    positions: "NDArray[np.float32]",
    nearest: "NDArray[np.int32]",
    cosines: "NDArray[np.float32]",
    titles: list[str | None],
) -> None:
    """Parquet with Embedding Atlas' own names for positions and neighbours (https://apple.github.io/embedding-atlas/)."""
    import polars as pl

    from recsys_bert.files import replacing

    lists = {"ids": pl.Series(nearest).arr.to_list(), "distances": pl.Series(1 - cosines).arr.to_list()}
    frame = _catalogue(model, titles).with_columns(
        pl.Series("projection_x", positions[:, 0]),
        pl.Series("projection_y", positions[:, 1]),
        pl.Series("vector", vectors),
        pl.DataFrame(lists).to_struct("neighbors"),
    )
    with replacing(out) as temporary:
        frame.write_parquet(temporary)


def _write_projector(
    folder: Path, model: "Recommender", vectors: "NDArray[np.float32]", titles: list[str | None]
) -> None:
    """Files of TensorBoard's embedding projector: it splits lines at breaks and cells at tabs, which become blanks."""
    import polars as pl

    from recsys_bert.files import replacing

    frame = _catalogue(model, titles)
    lists = [name for name, dtype in frame.schema.items() if dtype == pl.List(pl.String)]
    frame = frame.with_columns(pl.col(name).list.join(", ") for name in lists)
    cells = frame.select(pl.all().cast(pl.String).fill_null("").str.replace_all(r"[\s\p{Cc}]+", " "))
    with replacing(folder) as temporary:
        temporary.mkdir()
        lines = ["\t".join(map(repr, vector)) for vector in vectors.astype(float).tolist()]
        (temporary / "vectors.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        rows = ["\t".join(row) for row in [tuple(cells.columns), *cells.iter_rows()]]
        (temporary / "metadata.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8", errors="replace")
        config = 'embeddings {\n  tensor_path: "vectors.tsv"\n  metadata_path: "metadata.tsv"\n}\n'
        (temporary / "projector_config.pbtxt").write_text(config, encoding="utf-8")
