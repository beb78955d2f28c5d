"""Text tasks on the encoder that clicks share: classify, match, answer, tag, generate, pretrain.

::

    from nlp_tasks import Classifier

    classifier = Classifier.train(["a ball on goal", "the soup", …], ["sport", "food", …])
    classifier.predict(["bread and salt"])

Names are imported on first use, so that importing this is instant.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlp_tasks.classification.classifier import Classifier
    from nlp_tasks.generation.generator import Generator
    from nlp_tasks.matching.matcher import Matcher
    from nlp_tasks.one_call import pipeline
    from nlp_tasks.pretraining.pretrain import pretrain
    from nlp_tasks.pu_bagging.scorer import score_unlabelled
    from nlp_tasks.qa.open_domain import OpenDomainQA
    from nlp_tasks.qa.question_answerer import QuestionAnswerer
    from nlp_tasks.recall.bm25 import BM25
    from nlp_tasks.static_vectors import StaticEncoder
    from nlp_tasks.tagging.tagger import Tagger
    from nlp_tasks.text_encoder import TextEncoder
    from nlp_tasks.word_vectors.train import train_word_vectors

__all__ = [
    "BM25",
    "Classifier",
    "Generator",
    "Matcher",
    "OpenDomainQA",
    "QuestionAnswerer",
    "StaticEncoder",
    "Tagger",
    "TextEncoder",
    "pipeline",
    "pretrain",
    "score_unlabelled",
    "train_word_vectors",
]

_EXPORTS = {
    "Classifier": "nlp_tasks.classification.classifier",
    "Generator": "nlp_tasks.generation.generator",
    "Matcher": "nlp_tasks.matching.matcher",
    "QuestionAnswerer": "nlp_tasks.qa.question_answerer",
    "OpenDomainQA": "nlp_tasks.qa.open_domain",
    "StaticEncoder": "nlp_tasks.static_vectors",
    "Tagger": "nlp_tasks.tagging.tagger",
    "TextEncoder": "nlp_tasks.text_encoder",
    "pipeline": "nlp_tasks.one_call",
    "pretrain": "nlp_tasks.pretraining.pretrain",
    "train_word_vectors": "nlp_tasks.word_vectors.train",
    "score_unlabelled": "nlp_tasks.pu_bagging.scorer",
    "BM25": "nlp_tasks.recall.bm25",
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return __all__
