"""A tiny encoder, a tokenizer, and texts whose class is told by a few words."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder

TOPICS = {"sport": "ball goal team match", "money": "bank stock price fund", "food": "soup bread salt oven"}
FILLER = ["the", "a", "of", "and", "to", "in", "on", "with", "for", "by"]


def topic_texts(n: int, seed: int = 0, length: int = 8) -> tuple[list[str], list[str]]:
    """Texts of filler with two words of their topic, and the topics."""
    random = np.random.default_rng(seed)
    labels = random.choice(sorted(TOPICS), n).tolist()
    texts = []
    for label in labels:
        words = [*random.choice(FILLER, length - 2), *random.choice(TOPICS[label].split(), 2)]
        texts.append(" ".join(random.permutation(words)))
    return texts, labels


@pytest.fixture
def topics() -> Callable[..., tuple[list[str], list[str]]]:
    return topic_texts


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(topic_texts(200)[0], TokenizerConfig(vocab_size=400, min_count=1))


@pytest.fixture
def settings() -> EncoderConfig:
    """A tiny text encoder's settings, to go into a recipe."""
    sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 32, "init_std": 0.3, "dropout": 0.0}
    return EncoderConfig.from_dict(TEXT_ENCODER.to_dict() | sizes)


@pytest.fixture
def encoder(settings: EncoderConfig, tokenizer: Tokenizer) -> Encoder:
    torch.manual_seed(3)
    return Encoder(EncoderConfig.from_dict(settings.to_dict() | {"vocab_size": tokenizer.size})).eval()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of given bytes or lines."""

    def make(name: str, content: bytes | str) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make
