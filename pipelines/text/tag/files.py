"""Files of sentences: those of a training, and new ones in the format of the training files."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nlp_tasks.encodings import check_encoding
from nlp_tasks.lines import suffix
from nlp_tasks.tagging.config import FORMATS, AnnotatedFilesConfig, Format
from nlp_tasks.tagging.tag_reading import FILE_SCHEMES
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.tagging.data import AnnotatedSentences
    from nlp_tasks.tagging.tagger import Tagger


@dataclass(frozen=True, kw_only=True)
class NewSentencesConfig:
    """Format of a file; None means as in training."""

    format: Format | None = None
    """As in `train`; None goes by the ending. Without a known one, a file is lines of text for `predict`, and for
    `evaluate` what its contents say."""

    encoding: str | None = None
    """Encoding of a text file, such as gb18030 or latin-1; None: as in training."""

    scheme: str | None = field(default=None, metadata={"names": FILE_SCHEMES})
    """Tag scheme; None: as in training."""

    word_column: int | None = None
    """Column of a conll file with the word, from 0."""

    tag_columns: tuple[int, ...] | None = None
    """Columns of a conll file with tags, the outermost entities first."""

    tag_names: tuple[str, ...] | None = None
    """Names of tags that are numbers, from 0."""

    text_key: str | None = None
    """csv, jsonl, json, parquet: key of the text or of its words."""

    entities_key: str | None = None
    """csv, jsonl, json, parquet: key of the entities or of the words' tags."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Stop at a sentence that cannot be used and name its line, or drop and count such sentences."""

    def __post_init__(self) -> None:
        if self.encoding is not None:
            check_encoding(self.encoding, "read.encoding")

    def like(
        self, trained: AnnotatedFilesConfig, tagger: "Tagger", file: Path, *, entities: bool
    ) -> AnnotatedFilesConfig:
        """Settings for reading ``file`` in the format of the training files.

        Args:
            trained: Settings of the training.
            tagger: The tagger.
            file: The file.
            entities: Its entities are read as well; else text that is no columns, or may be none, is read as lines.
        """
        names = ("encoding", "scheme", "word_column", "tag_columns", "tag_names", "text_key", "entities_key")
        changes: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        kind = self.format
        if kind is None:
            files = [path for path in (trained.train, trained.validation, trained.test) if path is not None]
            same = suffix(file) in map(suffix, files)
            kind = trained.format if entities and same and suffix(file) not in FORMATS else "auto"
        return replace(
            trained,
            **changes,
            format=kind,
            granularity=tagger.granularity,
            word_separator=tagger.word_separator,
            bad_rows=self.bad_rows,
        )


def read_files(files: AnnotatedFilesConfig, *, labelled: bool = True) -> "dict[str, AnnotatedSentences]":
    """Read ``train`` and, if set, ``validation`` and ``test``, in the granularity of the training file.

    Args:
        files: The files.
        labelled: Read the entities of the training file, too.

    Raises:
        InputError: No training file; or see ``read_annotated``.
    """
    from nlp_tasks.tagging.files import read_annotated

    if files.train is None:
        raise InputError("no training file is given; name it with --data.train FILE.")
    train = read_annotated(files.train, files, entities=labelled)
    like = replace(files, granularity=train.granularity, word_separator=train.word_separator)
    if train.columns is not None:
        word, tags = train.columns
        like = replace(like, word_column=word, tag_columns=tags)
    paths = {"validation": files.validation, "test": files.test}
    return {"train": train} | {name: read_annotated(path, like) for name, path in paths.items() if path is not None}
