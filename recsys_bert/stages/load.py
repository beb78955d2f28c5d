"""Open any trained run."""

from pathlib import Path
from typing import TYPE_CHECKING

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.ctr.checkpoint import CTRModel
    from recsys_bert.item_texts.item_vectors import ItemVectors
    from recsys_bert.item_texts.opening import Opener
    from recsys_bert.retrieval.recommender import Recommender


def load(
    run: Path | str,
    dataset: "ClickDataset | Path | str | None" = None,
    *,
    item_vectors: "ItemVectors | Path | str | None" = None,
    text_encoder: "Opener | None" = None,
    allow_parts: bool = False,
) -> "Recommender | CTRModel":
    """Open a run folder, or what ``save`` wrote.

    Args:
        run: Run of ``pretrain``, ``train-retrieval``, ``fuse`` or ``train-ctr``.
        dataset: The prepared log that it was trained on, or its folder; a CTR model knows its own.
        item_vectors: Text vectors of a recommender's items, for new items and for words; see ``Recommender``.
        text_encoder: ``nlp_tasks.TextEncoder.load``, which opens the text encoder that was trained with a recommender,
            for new texts.
        allow_parts: Import parts from outside (``module:Class``) that the run's settings name; their code runs.

    Raises:
        InputError: No such run, a damaged one, or one of another log; or a recommender without ``dataset``.
    """
    from recsys_bert.clicks.dataset import ClickDataset, open_dataset
    from recsys_bert.ctr.checkpoint import CTRModel
    from recsys_bert.retrieval.recommender import Recommender

    if not (dataset is None or isinstance(dataset, ClickDataset)):
        dataset = open_dataset(Path(dataset))
    if (Path(run) / "ctr").is_dir():
        if item_vectors is not None:
            raise InputError(f"item_vectors have no effect on {run}, a CTR run; leave them out.")
        if text_encoder is not None:
            raise InputError(f"text_encoder has no effect on {run}, a CTR run; leave it out.")
        return CTRModel.load(run, dataset, allow_parts=allow_parts)
    if dataset is None:
        raise InputError(f"{run} is no CTR run; a recommender needs its prepared log too: load(run, dataset).")
    return Recommender.load(run, dataset, item_vectors=item_vectors, text_encoder=text_encoder, allow_parts=allow_parts)
