"""Text vectors of a log's items: TF-IDF, word vectors, a text encoder, or ready ones."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError
from recsys_bert.item_texts.config import ItemVectorsConfig
from recsys_bert.settings import make_config

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.item_texts.item_vectors import ItemVectors


def item_vectors(
    dataset: "ClickDataset | Path | str",
    *,
    source: Any = None,
    others: "Sequence[ClickDataset | Path | str]" = (),
    out: Path | str | None = None,
    config: ItemVectorsConfig | None = None,
    **settings: Any,
) -> "ItemVectors":
    """Make vectors of items from their words.

    Args:
        dataset: The log, prepared with ``item_features={"text": [...]}``; ready vectors need no words.
        source: For ``by="encoder"`` the text encoder: any function from a list of texts to vectors, or an object with
            such an ``encode``, as ``nlp_tasks.TextEncoder``. For ``words`` word vectors, as ``nlp_tasks.WordVectors``;
            none trains some. For ``ready`` a frame or a file; see ``ReadyVectors``.
        others: Further logs whose texts the map is fitted on, too, so that all of them have vectors of one space:
            ``.encode_log(other)`` of the result.
        out: Folder to write; earlier item vectors there are replaced. None writes nothing.
        config: All settings as one object.
        **settings: Settings by name, in place of ``config``: ``by="encoder", dim=128``.

    Raises:
        InputError: The log has no words, or the source or the settings cannot be used; nothing is written then.
    """
    from recsys_bert.clicks.dataset import ClickDataset, open_dataset
    from recsys_bert.files import replacing
    from recsys_bert.item_texts.item_vectors import fit_item_vectors
    from recsys_bert.item_texts.vector_files import check_target, save_item_vectors
    from recsys_bert.locks import only_writer

    settled, started = make_config(ItemVectorsConfig, config, settings), time.monotonic()
    log, *more = [
        one if isinstance(one, ClickDataset) else open_dataset(Path(one)) for one in (dataset, *_listed(others))
    ]
    wrote = ""
    if out is None:
        vectors = fit_item_vectors(log, settled, source, more)
    else:
        check_target(Path(out))
        with only_writer(Path(out)):
            vectors = fit_item_vectors(log, settled, source, more)
            with replacing(Path(out)) as folder:
                save_item_vectors(folder, vectors)
        wrote = f"; wrote {out}"
    print(f"{vectors!r}{wrote} in {time.monotonic() - started:.1f} s", file=sys.stderr)
    return vectors


def _listed(others: Any) -> Sequence[Any]:
    """Further logs as a list.

    Raises:
        InputError: It is one log, or one path.
    """
    if not isinstance(others, list | tuple):
        raise InputError(f"others is a {type(others).__name__}; give a list of prepared logs.")
    return others
