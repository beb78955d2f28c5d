"""Items nearest to given items, or users nearest to given users."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.support.item_filters import item_lists
from pipelines.support.item_lists import print_lists
from pipelines.support.item_words import ItemWordsConfig, open_with_words
from pipelines.support.outputs import check_out
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError
from recsys_bert.post_processing import POST_PROCESSING


@dataclass(frozen=True, kw_only=True)
class Config(ItemWordsConfig):
    """Print or write the items nearest to given items or texts, or the users nearest to given users.

    By a run's vectors; by those of the items' texts, for a text. New items are asked about if no other items are.
    """

    run: Path
    """Run folder of `pretrain`, `train-retrieval` or `fuse`, which has the vectors of its runs."""

    data: Path
    """Folder that `prepare` wrote and the run was trained on."""

    items: tuple[str, ...] = ()
    """Ids of items."""

    users: tuple[str, ...] = ()
    """Ids of users with events, by the cosine of their vectors; in place of items."""

    text: tuple[str, ...] = ()
    """Texts, each one argument, in place of items: nearest are the items with the most similar text."""

    k: int = 10
    """Items or users for each, without itself; all of a smaller catalogue."""

    only: tuple[str, ...] = ()
    """Allow list: files of item ids, or COLUMN=VALUE of the items' side table; see recommend."""

    without: tuple[str, ...] = ()
    """Deny list, likewise."""

    similarity: Literal["cosine", "ip"] | None = None
    """Similarity of an exact search: cosine, or inner product, which favours long vectors. None: cosine."""

    post_processing: str = field(default="none", metadata={"names": {"none": "", **POST_PROCESSING}})
    """Map of the vectors before they are compared, fitted on those of all items, or users: a name in
    ``POST_PROCESSING``, or ``module:Class``; none."""

    post_processing_options: Options = field(default_factory=dict)
    """Options of the map, as width of whitening."""

    index: Path | None = None
    """Index folder to search, by its own metric; without one the search is exact."""

    out: Path | None = None
    """File to write instead of printing, by its ending: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k is {self.k}; it must be at least 1.")
        super().__post_init__()
        sources = [bool(self.items), bool(self.users), bool(self.text)]
        if sum(sources) > 1 or (not any(sources) and self.new_items is None):
            raise InputError("give one of items, users, text and new_items, as in --items 12 7.")
        of_items = [name for name in ("only", "without", "similarity", "index", "new_items") if getattr(self, name)]
        if self.users and of_items:
            raise InputError(f"{of_items[0]} is for similar items and has no effect on users; leave it out.")
        if self.text and (of_vectors := [name for name in of_items if name in ("similarity", "index")]):
            raise InputError(f"{of_vectors[0]} has no effect on texts, whose vectors are compared; leave it out.")
        if self.similarity is not None and self.index is not None:
            raise InputError(
                f"similarity is {self.similarity!r}, but an index is searched by its own metric. Leave out "
                "--similarity, or make the index with another --metric."
            )
        self._check_post_processing()
        check_out(self.out)

    def _check_post_processing(self) -> None:
        if self.post_processing == "none":
            if self.post_processing_options:
                raise InputError("post_processing_options have no effect without post_processing; name one.")
            return
        check_name("post-processing", self.post_processing, POST_PROCESSING)
        if beside := [name for name in ("index", "text") if getattr(self, name)]:
            raise InputError(
                f"post_processing is {self.post_processing!r}, but {beside[0]} has its own vectors. Leave one out."
            )


def run(config: Config) -> dict[str, Any]:
    """Find the nearest.

    Returns:
        Counts: items or users asked about, and lists that came out short.

    Raises:
        InputError: Items that are not in the catalogue or have no vector, users without events; or a run, log and
            index that do not belong together.
    """
    recommender, new = open_with_words(config, config.run, config.data, config.index)
    only, without = (item_lists(recommender.dataset, part) for part in (config.only, config.without))
    processing: dict[str, Any] = {
        "post_processing": config.post_processing,
        "post_processing_options": config.post_processing_options,
    }
    ids = list(dict.fromkeys(config.items or config.users or config.text or new))
    if config.users:
        frame = recommender.similar_users(ids, config.k, **processing)
    elif config.text:
        frame = recommender.similar(text=ids, k=config.k, only=only, without=without)
    else:
        lists: dict[str, Any] = {"only": only, "without": without}
        frame = recommender.similar(ids, config.k, similarity=config.similarity, **lists, **processing)
    summary = {"run": config.run.name, "k": config.k, "asked": len(ids)}
    return print_lists(frame, summary, config.out, config.json)
