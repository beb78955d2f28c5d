"""Train word vectors on plain text: word2vec (https://arxiv.org/abs/1310.4546) or GloVe (https://aclanthology.org/D14-1162)."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from nlp_tasks.examples import text_list
from nlp_tasks.word_vectors.config import WordVectorsConfig
from nlp_tasks.word_vectors.files import VECTORS_FILE, WordVectors, write_vectors
from nlp_tasks.word_vectors.vocabulary import encode_texts
from recsys_bert.checksums import write_checksums
from recsys_bert.files import write_json
from recsys_bert.settings import make_config
from recsys_bert.static_embeddings.fit import fit_vectors
from recsys_bert.static_embeddings.glove import Glove
from recsys_bert.static_embeddings.sequences import Sequences
from recsys_bert.static_embeddings.word2vec import Word2Vec
from recsys_bert.training.metrics_file import MetricsFile
from recsys_bert.training.run_folder import begin, check_unchanged, run_folder


def train_word_vectors(
    texts: Iterable[str],
    *,
    out: Path | str | None = None,
    config: WordVectorsConfig | None = None,
    **settings: Any,
) -> WordVectors:
    """Train word vectors.

    Args:
        texts: Texts; contexts do not cross their borders.
        out: Run folder; a stopped run there is resumed. None: a temporary one, removed afterwards.
        config: All settings as one object.
        **settings: Settings by name, in place of ``config``: ``word2vec={"dim": 50}``.

    Raises:
        InputError: No word occurs ``min_count`` times, settings do not fit, or ``out`` holds another run.
    """
    settled = make_config(WordVectorsConfig, config, settings)
    listed = text_list(texts)
    digest = sha256("\0".join(listed).encode()).hexdigest()
    with run_folder(out) as folder:
        vectors, _ = fit_word_vectors(listed, folder, settled, {Path("texts"): digest})
    return vectors


def fit_word_vectors(
    texts: Sequence[str], out: Path, config: WordVectorsConfig, sources: Mapping[Path, str], **record: Any
) -> tuple[WordVectors, dict[str, Any]]:
    """Train in a run folder, and write ``vectors.txt`` and ``metrics.json``.

    Args:
        texts: The texts.
        out: Run folder; a stopped run there is resumed.
        config: All settings, which become ``config.toml``.
        sources: Fingerprints of everything that is read, by path.
        record: Further entries of ``metrics.json``.

    Returns:
        The vectors, and the contents of ``metrics.json``.
    """
    encoded = encode_texts(texts, config)
    model = _model(config, encoded.sequences)
    with begin(out, config):  # after everything that bad input can stop
        check_unchanged(out, dict(sources))

        def write_loss(epoch: int, loss: float) -> None:
            log = MetricsFile(out / "metrics.jsonl", lines=epoch - 1, is_main=True)
            log.write({"epoch": epoch, "loss": loss})

        seconds = fit_vectors(model, out / "checkpoints" / "state.safetensors", write_loss)
        vectors = WordVectors(encoded.words, model.vectors)
        write_vectors(out / VECTORS_FILE, vectors.words, vectors.table)
        write_checksums(out, VECTORS_FILE, "metrics.jsonl")
        results = {"counted": encoded.counted, **record, "seconds": round(seconds, 1)}
        write_json(out / "metrics.json", results, sealed=True)
    print(_summary(encoded.counted, config.min_count), file=sys.stderr)
    return vectors, results


def _model(config: WordVectorsConfig, sequences: Sequences) -> Word2Vec | Glove:
    return Word2Vec(sequences, config.word2vec) if config.method == "word2vec" else Glove(sequences, config.glove)


def _summary(counted: dict[str, int], min_count: int) -> str:
    known = f"{counted['words']:,} words that occur {counted['occurrences']:,} times in {counted['texts']:,} texts"
    rare = f"{counted['words_too_rare']:,} words ({counted['occurrences_too_rare']:,} occurrences)"
    alone = f"{counted['texts_without_neighbours']:,} texts have fewer than two words left"
    return f"{known}; left out: {rare} with fewer than {min_count} occurrences; {alone}"
