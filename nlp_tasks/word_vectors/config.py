"""Settings of training word vectors. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from typing import Literal

from recsys_bert.errors import InputError
from recsys_bert.static_embeddings.config import GloveConfig, Word2VecConfig


@dataclass(frozen=True, kw_only=True)
class WordVectorsConfig:
    """Settings of training word vectors."""

    tokenizer: Literal["auto", "characters", "jieba", "whitespace"] = "auto"
    """Tokens that get a vector: characters; words as jieba cuts Chinese text (extra `text`); or words between white
    space. ``auto`` takes jieba for mostly Chinese text, else whitespace."""

    lowercase: bool = True
    """Lower-case the text."""

    min_count: int = 5
    """Rarer words get no vector and are left out of all contexts."""

    method: Literal["word2vec", "glove"] = "word2vec"
    """word2vec: skip-gram or CBOW with negative sampling; glove: fitted to co-occurrence counts."""

    word2vec: Word2VecConfig = field(default_factory=Word2VecConfig)
    """Settings of word2vec."""

    glove: GloveConfig = field(default_factory=GloveConfig)
    """Settings of GloVe."""

    def __post_init__(self) -> None:
        if self.min_count < 1:
            raise InputError(f"min_count is {self.min_count}; it must be at least 1.")
        other = "glove" if self.method == "word2vec" else "word2vec"
        if getattr(self, other) != type(getattr(self, other))():
            raise InputError(f"method is {self.method!r}, but {other} is set as well. Leave it out, or change method.")
