"""Train word vectors on plain text, and write them in word2vec's text format."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nlp_tasks.word_vectors.config import VectorTextConfig
from recsys_bert.errors import InputError
from recsys_bert.static_embeddings.config import GloveConfig, Word2VecConfig

if TYPE_CHECKING:
    from recsys_bert.static_embeddings.glove import Glove
    from recsys_bert.static_embeddings.sequences import Sequences
    from recsys_bert.static_embeddings.word2vec import Word2Vec


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train word vectors on plain text."""

    out: Path
    """Run folder; a run that was stopped there goes on after its last whole epoch."""

    text: VectorTextConfig = field(default_factory=VectorTextConfig)
    """The text, and what its words are."""

    method: Literal["word2vec", "glove"] = "word2vec"
    """word2vec: skip-gram or CBOW with negative sampling; glove: fitted to how often words stand near each other."""

    word2vec: Word2VecConfig = field(default_factory=Word2VecConfig)
    """How word2vec is trained."""

    glove: GloveConfig = field(default_factory=GloveConfig)
    """How GloVe is trained."""

    def __post_init__(self) -> None:
        if not self.text.files:
            raise InputError("no text is given; name files with --text.files FILE ….")
        other = "glove" if self.method == "word2vec" else "word2vec"
        if getattr(self, other) != type(getattr(self, other))():
            raise InputError(f"method is {self.method!r}, but {other} is set as well. Leave it out, or change method.")


def run(config: Config) -> dict[str, Any]:
    """Train, and write ``vectors.txt`` and ``metrics.json``.

    Returns:
        What ``metrics.json`` says.
    """
    import sys

    from nlp_tasks.config import CorpusConfig
    from nlp_tasks.pretraining.corpus import read_documents
    from nlp_tasks.word_vectors.files import write_vectors
    from nlp_tasks.word_vectors.train import cut_words
    from recsys_bert.files import write_json
    from recsys_bert.static_embeddings.fit import fit_vectors
    from recsys_bert.training.metrics_file import MetricsFile
    from recsys_bert.training.run_folder import begin, check_files_unchanged

    text = config.text
    how = CorpusConfig(format=text.format, columns=text.columns, texts=text.texts, bad_rows=text.bad_rows)
    read = {path: read_documents(path, how, flags="text") for path in text.files}
    cut = cut_words([document for documents, _ in read.values() for document in documents], text)
    model = _model(config, cut.sequences)
    begin(config.out, config)  # after everything that bad input can stop
    check_files_unchanged(config.out, list(text.files))

    def note(epoch: int, loss: float) -> None:
        log = MetricsFile(config.out / "metrics.jsonl", lines=epoch - 1, is_main=True)
        log.write({"epoch": epoch, "loss": loss})

    seconds = fit_vectors(model, config.out / "checkpoints" / "state.safetensors", note)
    write_vectors(config.out / "vectors.txt", cut.words, model.vectors)
    left_out = {str(path): reasons for path, (_, reasons) in read.items() if reasons}
    results = {"counted": cut.counted, "left_out": left_out, "seconds": round(seconds, 1)}
    write_json(config.out / "metrics.json", results)
    print(_told(cut.counted, text.min_count), file=sys.stderr)
    print(f"wrote {config.out / 'vectors.txt'} in {results['seconds']:.0f} s", file=sys.stderr)
    return results


def _model(config: Config, sequences: "Sequences") -> "Word2Vec | Glove":
    from recsys_bert.static_embeddings.glove import Glove
    from recsys_bert.static_embeddings.word2vec import Word2Vec

    return Word2Vec(sequences, config.word2vec) if config.method == "word2vec" else Glove(sequences, config.glove)


def _told(counted: dict[str, int], min_count: int) -> str:
    kept = f"{counted['words']:,} words that occur {counted['occurrences']:,} times in {counted['texts']:,} texts"
    rare = f"{counted['words_too_rare']:,} words ({counted['occurrences_too_rare']:,} occurrences)"
    alone = f"{counted['texts_without_neighbours']:,} texts have fewer than two words left"
    return f"{kept}; left out: {rare} with fewer than {min_count} occurrences; {alone}"
