"""Random lists and targets, small enough for plain loops."""

import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def lists(rng):
    """40 lists of 12 from 60 items (rows 3..62), some short, and 1 to 5 targets each."""
    ranked = np.stack([rng.permutation(np.arange(3, 63))[:12] for _ in range(40)]).astype(np.int32)
    ranked[5, 4:] = -1
    ranked[6] = -1
    sizes = rng.integers(1, 6, size=40)
    query = np.repeat(np.arange(40), sizes)
    rows = np.concatenate([rng.permutation(np.arange(3, 63))[:size] for size in sizes])
    order = rng.permutation(len(query))
    return ranked, (query[order], rows[order])


def _model(name, kind, level):
    ks = (5, 10, 20)
    metrics = {
        f"{measure}@{k}": {
            "value": level * k / 10,
            "low": level * k / 10 - 0.01,
            "high": level * k / 10 + 0.01,
            "n": 900,
        }
        for measure in ("recall", "ndcg", "hit", "mrr")
        for k in ks
    }
    return {
        "name": name,
        "kind": kind,
        "metrics": metrics,
        "warm": metrics,
        "curve": [level * k / 10 for k in range(1, 21)],
        "users_per_second": 1000 * level,
        "beyond": {
            "coverage": level,
            "gini": 1 - level,
            "novelty": 9.5,
            "popularity": 120.0,
            "popularity_bias": 1.3,
            "head_share": 0.6,
            "list_length": 10.0,
        },
        "by_history": [
            {"group": "1-9", "users": 400, "ndcg@10": level / 2},
            {"group": "10-90", "users": 500, "ndcg@10": level},
        ],
        "by_popularity": [
            {"group": "1-50", "targets": 400, "recall@10": level / 3},
            {"group": "51-2,000", "targets": 500, "recall@10": level},
        ],
        "by_training_events": [
            {"group": "0", "predictions": 4, "targets": 4, "recall@10": 0.0, "ndcg@10": 0.0},
            {"group": "1-4", "predictions": 96, "targets": 99, "recall@10": level / 4, "ndcg@10": level / 8},
            {"group": "5-19", "predictions": 0, "targets": 0, "recall@10": None, "ndcg@10": None},
            {"group": "20+", "predictions": 800, "targets": 801, "recall@10": level, "ndcg@10": level / 2},
        ],
    }


@pytest.fixture
def results():
    """Results as the pipeline hands them over, with every section filled."""
    return {
        "data": "tiny & small",
        "level": 0.95,
        "machine": "2 cores",
        "protocol": {
            "line": "leave_one_out · test · 900 users · full ranking of 300 items · seen removed · ties: lower row",
            "items": 300,
            "users": 900,
            "users_cold": 0,
            "targets": 900,
            "targets_unknown": 4,
            "targets_cold": 0,
            "targets_seen": 0,
        },
        "skipped": {"no test event": 12},
        "ks": [5, 10, 20],
        "headline_k": 10,
        "models": [_model("masked", "run", 0.21), _model("towers <b>", "run", 0.3), _model("markov", "baseline", 0.18)],
        "comparisons": [
            {
                "model": "towers <b>",
                "against": "masked",
                "metric": "ndcg@10",
                "difference": 0.09,
                "low": 0.07,
                "high": 0.11,
                "p_value": 0.0001,
                "p_corrected": 0.0002,
                "better": 300,
                "worse": 100,
                "tied": 500,
            }
        ],
        "index_k": 20,
        "indexes": [
            {
                "run": "towers <b>",
                "factory": factory,
                "ann_recall": recall,
                "recall": 0.5 * recall,
                "headline_recall": 0.3 * recall,
                "queries_per_second": speed,
                "bytes": size,
                "build_seconds": 0.2,
            }
            for factory, recall, speed, size in (
                ("exact", 1.0, 900.0, 76_800),
                ("HNSW32", 0.97, 9000.0, 150_000),
                ("IVF16,PQ8", 0.7, 20_000.0, 9_000),
            )
        ],
        "training": [
            {
                "run": "masked",
                "metric_name": "ndcg@10",
                "loss": [[10.0, 5.0], [20.0, 4.0], [30.0, 3.5]],
                "metric": [[20.0, 0.1], [30.0, 0.12]],
            }
        ],
        "fusion": [
            {"run": "masked", "labels": ["0", "1", "2"], "weights": [0.1, 0.3, 0.6], "meaning": "softmax weight"}
        ],
        "notes": ["One note."],
        "config": {"split": "test"},
    }
