"""Files of sentences: those of a training, and new ones in the format of the training files."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nlp_tasks.tagging.config import FORMATS, AnnotatedFilesConfig, Format
from nlp_tasks.tagging.schemes import SCHEMES
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.tagging.data import AnnotatedSentences
    from nlp_tasks.tagging.tagger import Tagger


@dataclass(frozen=True, kw_only=True)
class NewSentencesConfig:
    """Format of a file; None means as in training."""

    format: Format | None = None
    """As in `train`; None: as in training where a file there has the same ending, else by the ending if it is known,
    else as in training."""

    scheme: str | None = field(default=None, metadata={"names": SCHEMES})
    """Tag scheme of a conll file."""

    word_column: int | None = None
    """Column of a conll file with the word, from 0."""

    tag_columns: tuple[int, ...] | None = None
    """Columns of a conll file with tags, the outermost entities first."""

    text_key: str | None = None
    """jsonl: key of the text."""

    entities_key: str | None = None
    """jsonl: key of the entities."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Stop at a sentence that cannot be used and name its line, or drop and count such sentences."""

    def like(self, trained: AnnotatedFilesConfig, tagger: "Tagger", file: Path) -> AnnotatedFilesConfig:
        """Settings for reading ``file`` in the format of the training files."""
        names = ("scheme", "word_column", "tag_columns", "text_key", "entities_key")
        changes: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        kind, ending = trained.format, file.suffix.lower()
        files = (trained.train, trained.validation, trained.test)
        if kind == "auto" or ending not in {path.suffix.lower() for path in files if path is not None}:
            kind = FORMATS.get(ending, kind)
        return replace(
            trained,
            **changes,
            format=self.format or kind,
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
    paths = {"validation": files.validation, "test": files.test}
    return {"train": train} | {name: read_annotated(path, like) for name, path in paths.items() if path is not None}
