"""Test metrics of rankers in a comparison, user by user, and by training events of the target."""

from typing import Any

import numpy as np

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.queries import Queries
from recsys_bert.evaluation.breakdowns import by_training_events
from recsys_bert.evaluation.ranking import per_user, relevant
from recsys_bert.retrieval.recommender import Recommender
from recsys_bert.stages.comparison.runs import HeldOutMetrics

_K = 10  # length of the lists, as in validation


def ranking_metrics(model: Any, dataset: ClickDataset) -> HeldOutMetrics:
    """Rank the full catalogue for every user with a test event, seen items removed: NDCG@10 and recall@10.

    Beside them, recall@10 by training events of the target: ``recall@10 of 1-4 (812)``, with the predictions that have
    such a target; groups without any are left out.
    """
    ranker = model.ranker if isinstance(model, Recommender) else model  # a score fusion holds a ranker, too
    queries, vocabulary = Queries.of(dataset, "test"), dataset.vocabulary
    depth, targets = min(_K, vocabulary.n_items), queries.targets()
    ranked = ranker.rank(queries, depth)
    values = per_user(ranked, targets, len(queries), (depth,), vocabulary.first_item)
    counts = np.zeros(dataset.n_rows, np.int64)
    counts[: vocabulary.size] = vocabulary.counts
    groups = by_training_events(ranked, relevant(targets, vocabulary.first_item), counts, depth, vocabulary.first_item)
    return HeldOutMetrics(
        {f"{name}@{_K}": values[f"{name}@{depth}"] for name in ("ndcg", "recall")},
        {
            f"recall@{_K} of {line['group']} ({line['predictions']:,})": line[f"recall@{depth}"]
            for line in groups
            if line["targets"]
        },
    )
