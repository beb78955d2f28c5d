"""item2vec: vectors of items by skip-gram or CBOW on histories (https://arxiv.org/abs/1603.04259)."""

from dataclasses import replace
from typing import Literal

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.errors import InputError
from recsys_bert.retrieval.baselines.beside import Beside
from recsys_bert.retrieval.baselines.counts import Rows
from recsys_bert.static_embeddings.config import Word2VecConfig
from recsys_bert.static_embeddings.fit import fit_vectors
from recsys_bert.static_embeddings.word2vec import Word2Vec
from recsys_bert.user_encoder.item_init import ITEM2VEC, ITEM2VEC_CBOW, item_sequences


class Item2Vec:
    """Items by how likely they are beside the last few items of the history, by the vectors of word2vec.

    A candidate's score is the inner product of its vector as a neighbour with the sum of the last items' vectors, all
    of length 1; one that is ``age`` events old counts ``decay ** age``. The paper compares vectors of one kind, which
    finds items that are alike; what comes next is rather what stands beside, and that found nearly half as many items
    again on ml-1m.

    Args:
        architecture: ``skip_gram`` or ``cbow``.
        vectors: Further settings of their training, with that architecture. Event weights do not count.
        last: Last items of the history that count.
        decay: In (0, 1]; 1 counts all of them equally.
    """

    def __init__(
        self,
        *,
        architecture: Literal["skip_gram", "cbow"] = "skip_gram",
        vectors: Word2VecConfig | None = None,
        last: int = 3,
        decay: float = 0.7,
    ) -> None:
        if architecture not in ("skip_gram", "cbow"):
            raise InputError(f"item2vec: architecture is {architecture!r}; known are 'skip_gram' and 'cbow'.")
        default = replace(ITEM2VEC_CBOW if architecture == "cbow" else ITEM2VEC, dim=64)
        self.vectors = default if vectors is None else replace(vectors, model=architecture)
        self.name = "item2vec" if architecture == "skip_gram" else "item2vec_cbow"
        self.beside = Beside(last, decay, self.name)

    def fit(self, dataset: ClickDataset) -> "Item2Vec":
        """Train on the items of every user, in order.

        Raises:
            InputError: Nobody has two training events.
        """
        model = Word2Vec(item_sequences(dataset, TrainingEvents.of(dataset.histories)), self.vectors)
        fit_vectors(model)
        self.beside.fit(dataset, model.inputs.numpy(), model.outputs.numpy())
        return self

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue: rows ``[n, k]``, popular ones where no item is known, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        return self.beside.rank(queries, k, exclude_seen)


class Item2VecCBOW(Item2Vec):
    """item2vec by CBOW: the mean of an item's neighbours predicts it."""

    def __init__(self, *, vectors: Word2VecConfig | None = None, last: int = 3, decay: float = 0.7) -> None:
        super().__init__(architecture="cbow", vectors=vectors, last=last, decay=decay)
