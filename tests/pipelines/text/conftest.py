"""Files of texts whose class is told by a few words, and settings for a training of a second or two."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

TOPICS = {"sport": "ball goal team match", "money": "bank stock price fund", "food": "soup bread salt oven"}
FILLER = ["the", "a", "of", "and", "to", "in", "on", "with", "for", "by"]

TINY = [
    *("--encoder.dim", "16", "--encoder.n-layers", "1", "--encoder.n-heads", "2", "--encoder.max-len", "24"),
    *("--encoder.dropout", "0", "--head.dropout", "0", "--tokenizer.min-count", "1", "--tokenizer.vocab-size", "300"),
    *("--train.device", "cpu", "--train.precision", "fp32", "--train.batch-size", "16", "--train.lr", "1e-2"),
]


def topic_rows(n: int, seed: int) -> list[tuple[str, str]]:
    """Texts of six words of filler and two of their topic, and the topics."""
    random = np.random.default_rng(seed)
    rows = []
    for label in random.choice(sorted(TOPICS), n).tolist():
        words = [*random.choice(FILLER, 6), *random.choice(TOPICS[label].split(), 2)]
        rows.append((" ".join(random.permutation(words)), label))
    return rows


@pytest.fixture
def topic_files(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    """Write ``train``, ``validation`` and ``test`` as tsv files with a header line."""

    def write(sizes: tuple[int, int, int] = (160, 40, 40)) -> dict[str, Path]:
        paths = {}
        for seed, (name, n) in enumerate(zip(("train", "validation", "test"), sizes, strict=True)):
            paths[name] = tmp_path / f"{name}.tsv"
            lines = "".join(f"{text}\t{label}\n" for text, label in topic_rows(n, seed))
            paths[name].write_text("text\tlabel\n" + lines, encoding="utf-8")
        return paths

    return write


@pytest.fixture
def tiny() -> list[str]:
    """Flags of a tiny encoder and a quick training."""
    return list(TINY)
