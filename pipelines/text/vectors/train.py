"""Train word vectors on plain text, and write them in word2vec's text format."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from nlp_tasks.config import CorpusFormat
from nlp_tasks.encodings import check_encoding
from nlp_tasks.word_vectors.config import WordVectorsConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TextFilesConfig:
    """Files of plain text."""

    files: tuple[Path, ...] = ()
    """Files of text; contexts do not cross the borders of a text."""

    format: CorpusFormat = "auto"
    """lines: every line is a text; blocks: texts with an empty line between them; squad: the passages of a SQuAD file;
    the rest are rows with texts in columns. ``auto`` goes by the ending, and takes .txt as lines."""

    columns: tuple[str, ...] = ()
    """Names of the columns of a tsv or csv file without a header line, in order."""

    encoding: str = "utf-8"
    """Encoding of text files, such as gb18030 or latin-1."""

    texts: tuple[str, ...] = ("text",)
    """Columns with texts; for tsv, csv, jsonl and label_text."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Policy for unusable rows: stop with the number of the first, or drop and count them."""

    def __post_init__(self) -> None:
        check_encoding(self.encoding, "text.encoding")


@dataclass(frozen=True, kw_only=True)
class Config(WordVectorsConfig):
    """Train word vectors on plain text."""

    MAIN: ClassVar[tuple[str, ...]] = (
        "out",
        "text.files",
        "text.texts",
        "tokenizer",
        "min_count",
        "method",
        "word2vec.model",
        "word2vec.dim",
        "word2vec.window",
        "word2vec.negatives",
        "word2vec.epochs",
        "word2vec.lr",
        "word2vec.seed",
        "glove.dim",
        "glove.window",
        "glove.epochs",
        "glove.lr",
        "glove.seed",
    )

    out: Path
    """Run folder; a stopped run there is resumed after its last epoch."""

    text: TextFilesConfig = field(default_factory=TextFilesConfig)
    """The text."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.text.files:
            raise InputError("no text is given; name files with --text.files FILE ….")


def run(config: Config) -> dict[str, Any]:
    """Train, and write ``vectors.txt`` and ``metrics.json``.

    Returns:
        The contents of ``metrics.json``.
    """
    import sys

    from nlp_tasks.config import CorpusConfig
    from nlp_tasks.pretraining.corpus import read_documents
    from nlp_tasks.word_vectors.train import fit_word_vectors
    from recsys_bert.files import fingerprint

    text = config.text
    corpus = CorpusConfig(**{one.name: getattr(text, one.name) for one in fields(text) if one.name != "files"})
    read = {path: read_documents(path, corpus, flags="text") for path in text.files}
    texts = [document for documents, _ in read.values() for document in documents]
    left_out = {str(path): reasons for path, (_, reasons) in read.items() if reasons}
    sources = {path: fingerprint([path]) for path in text.files}
    _, results = fit_word_vectors(texts, config.out, config, sources, left_out=left_out)
    print(f"wrote {config.out / 'vectors.txt'} in {results['seconds']:.0f} s", file=sys.stderr)
    return results
