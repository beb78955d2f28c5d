"""Recommendation that treats a user's clicks as a sentence.

The public names are imported when they are first used: ``import recsys_bert as rb`` is instant.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

from recsys_bert.version import __version__

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset, open_dataset
    from recsys_bert.ctr.checkpoint import CTRModel
    from recsys_bert.encoder.config import EncoderConfig
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.errors import InputError
    from recsys_bert.item_texts.item_vectors import ItemVectors
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.stages.append import append
    from recsys_bert.stages.backtest import backtest
    from recsys_bert.stages.compare import compare
    from recsys_bert.stages.evaluate import evaluate
    from recsys_bert.stages.evaluation.results import Evaluation
    from recsys_bert.stages.fuse import fuse
    from recsys_bert.stages.item_vectors import item_vectors
    from recsys_bert.stages.load import load
    from recsys_bert.stages.prepare import prepare
    from recsys_bert.stages.pretrain import pretrain
    from recsys_bert.stages.store_items import store_items
    from recsys_bert.stages.train_ctr import train_ctr
    from recsys_bert.stages.train_retrieval import train_retrieval
    from recsys_bert.stages.tune import tune
    from recsys_bert.stores.opening import open_store
    from recsys_bert.stores.vector_store import VectorStore

__all__ = [
    "CTRModel",
    "ClickDataset",
    "Encoder",
    "EncoderConfig",
    "Evaluation",
    "InputError",
    "ItemVectors",
    "Recommender",
    "VectorStore",
    "__version__",
    "append",
    "backtest",
    "compare",
    "evaluate",
    "fuse",
    "item_vectors",
    "load",
    "open_dataset",
    "open_store",
    "prepare",
    "pretrain",
    "store_items",
    "train_ctr",
    "train_retrieval",
    "tune",
]

_MODULES = {
    "CTRModel": "recsys_bert.ctr.checkpoint",
    "ClickDataset": "recsys_bert.clicks.dataset",
    "Encoder": "recsys_bert.encoder.model",
    "EncoderConfig": "recsys_bert.encoder.config",
    "Evaluation": "recsys_bert.stages.evaluation.results",
    "InputError": "recsys_bert.errors",
    "ItemVectors": "recsys_bert.item_texts.item_vectors",
    "Recommender": "recsys_bert.retrieval.recommender",
    "VectorStore": "recsys_bert.stores.vector_store",
    "append": "recsys_bert.stages.append",
    "backtest": "recsys_bert.stages.backtest",
    "compare": "recsys_bert.stages.compare",
    "evaluate": "recsys_bert.stages.evaluate",
    "fuse": "recsys_bert.stages.fuse",
    "item_vectors": "recsys_bert.stages.item_vectors",
    "load": "recsys_bert.stages.load",
    "open_dataset": "recsys_bert.clicks.dataset",
    "open_store": "recsys_bert.stores.opening",
    "prepare": "recsys_bert.stages.prepare",
    "pretrain": "recsys_bert.stages.pretrain",
    "store_items": "recsys_bert.stages.store_items",
    "train_ctr": "recsys_bert.stages.train_ctr",
    "train_retrieval": "recsys_bert.stages.train_retrieval",
    "tune": "recsys_bert.stages.tune",
}

# torch and faiss each bring an OpenMP pool. Idle threads of the one must not spin on the other's cores for long; but
# where many small operations follow one another, as in a recurrent neck or a CRF, threads that sleep at once make a
# training four times slower. So they spin for a moment. Read when the first of the two is imported: it has to be here.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, for completion."""
    return sorted(__all__)
