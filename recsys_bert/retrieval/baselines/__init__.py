"""Recommenders without a neural network, which every trained one has to beat.

Each has ``fit(dataset) -> self``, which looks at training events only, and ``rank(queries, k, exclude_seen)``.
They rank all items with training events; others (cold ones) none but ``text_knn`` returns.
"""

BASELINES = {
    "popular": "recsys_bert.retrieval.baselines.popular:Popular",
    "popular_recent": "recsys_bert.retrieval.baselines.popular:PopularRecent",
    "popular_decayed": "recsys_bert.retrieval.baselines.popular_decayed:PopularDecayed",
    "item_knn": "recsys_bert.retrieval.baselines.item_knn:ItemKNN",
    "markov": "recsys_bert.retrieval.baselines.markov:Markov",
    "co_occurrence": "recsys_bert.retrieval.baselines.co_occurrence:CoOccurrence",
    "co_occurrence_decayed": "recsys_bert.retrieval.baselines.co_occurrence_decayed:CoOccurrenceDecayed",
    "item2vec": "recsys_bert.retrieval.baselines.item2vec:Item2Vec",
    "item2vec_cbow": "recsys_bert.retrieval.baselines.item2vec:Item2VecCBOW",
    "text_knn": "recsys_bert.retrieval.baselines.text_knn:TextKNN",
    "glove": "recsys_bert.retrieval.baselines.glove:Glove",
}
