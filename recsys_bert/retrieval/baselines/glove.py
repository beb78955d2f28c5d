"""GloVe on items: vectors whose inner products are the logarithms of co-occurrence (https://aclanthology.org/D14-1162)."""

from dataclasses import replace

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.clicks.training_events import TrainingEvents
from recsys_bert.retrieval.baselines.beside import Beside
from recsys_bert.retrieval.baselines.counts import Rows
from recsys_bert.static_embeddings import glove
from recsys_bert.static_embeddings.config import GloveConfig
from recsys_bert.static_embeddings.fit import fit_vectors
from recsys_bert.user_encoder.item_init import GLOVE, item_sequences


class Glove:
    """Items by their context vectors beside the last items' vectors, as ``Item2Vec`` has it.

    Args:
        vectors: Settings of the training. Event weights do not count.
        last: Last items of the history that count.
        decay: In (0, 1]; 1 counts all of them equally.
    """

    name = "glove"

    def __init__(self, *, vectors: GloveConfig | None = None, last: int = 3, decay: float = 0.7) -> None:
        self.vectors = replace(GLOVE, dim=64) if vectors is None else vectors
        self.beside = Beside(last, decay, self.name)

    def fit(self, dataset: ClickDataset) -> "Glove":
        """Train on the items of every user, in order.

        Raises:
            InputError: Nobody has two training events.
        """
        model = glove.Glove(item_sequences(dataset, TrainingEvents.of(dataset.histories)), self.vectors)
        fit_vectors(model)
        self.beside.fit(dataset, model.words[:, :-1].numpy(), model.contexts[:, :-1].numpy())
        return self

    def rank(self, queries: Queries, k: int, exclude_seen: bool = True) -> Rows:
        """Rank the catalogue: rows ``[n, k]``, popular ones where no item is known, -1 where fewer are left.

        Raises:
            InputError: ``k`` is larger than the catalogue.
        """
        return self.beside.rank(queries, k, exclude_seen)
