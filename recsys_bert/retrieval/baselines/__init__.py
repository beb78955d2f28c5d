"""Recommenders without a neural network, which every trained one has to beat.

Each has ``fit(dataset) -> self``, which looks at training events only, and ``rank(queries, k, exclude_seen)``.
They rank all items with training events; others (cold ones) they never return.
"""

from recsys_bert.retrieval.baselines.co_occurrence import CoOccurrence
from recsys_bert.retrieval.baselines.item2vec import Item2Vec
from recsys_bert.retrieval.baselines.item_knn import ItemKNN
from recsys_bert.retrieval.baselines.markov import Markov
from recsys_bert.retrieval.baselines.popular import Popular, PopularRecent

Baseline = Popular | PopularRecent | ItemKNN | Markov | CoOccurrence | Item2Vec

BASELINES: dict[str, type[Baseline]] = {
    "popular": Popular,
    "popular_recent": PopularRecent,
    "item_knn": ItemKNN,
    "markov": Markov,
    "co_occurrence": CoOccurrence,
    "item2vec": Item2Vec,
}
