"""Files of sentences: those of a training, and how one is read that a recogniser was not trained on."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nlp_tasks.tagging.config import FORMATS, AnnotatedFilesConfig, Format
from nlp_tasks.tagging.schemes import SCHEMES

if TYPE_CHECKING:
    from nlp_tasks.tagging.data import Annotated
    from nlp_tasks.tagging.tagger import Tagger


@dataclass(frozen=True, kw_only=True)
class NewSentencesConfig:
    """How a file is read; what is None is as in training."""

    format: Format | None = None
    """As in `train`; None: as in training where a file there has the same ending, else by the ending, or, where that
    says nothing, as in training."""

    scheme: str | None = field(default=None, metadata={"names": SCHEMES})
    """How the tags of a conll file are meant."""

    word_column: int | None = None
    """Column of a conll file with the word, from 0."""

    tag_columns: tuple[int, ...] | None = None
    """Columns of a conll file with tags, the outermost entities first."""

    text_key: str | None = None
    """jsonl: key of the text."""

    entities_key: str | None = None
    """jsonl: key of the entities."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """What a sentence that cannot be used does: stop with its line, or drop out and be counted."""

    def like(self, trained: AnnotatedFilesConfig, recogniser: "Tagger", file: Path) -> AnnotatedFilesConfig:
        """Settings for reading ``file`` as the files that the recogniser was trained on."""
        names = ("scheme", "word_column", "tag_columns", "text_key", "entities_key")
        given: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        kind, ending = trained.format, file.suffix.lower()
        files = (trained.train, trained.validation, trained.test)
        if kind == "auto" or ending not in {path.suffix.lower() for path in files if path is not None}:
            kind = FORMATS.get(ending, kind)
        return replace(
            trained,
            **given,
            format=self.format or kind,
            units=recogniser.units,
            word_separator=recogniser.word_separator,
            bad_rows=self.bad_rows,
        )


def read_files(files: AnnotatedFilesConfig, *, marked: bool = True) -> "dict[str, Annotated]":
    """Read ``train`` and, where they are given, ``validation`` and ``test``, in the units of the training file.

    Args:
        files: The files.
        marked: Whether entities are read of the training file, too.
    """
    from nlp_tasks.tagging.data import read_annotated

    train = read_annotated(files.train or Path(), files, entities=marked)
    like = replace(files, units=train.units, word_separator=train.word_separator)
    paths = {"validation": files.validation, "test": files.test}
    return {"train": train} | {name: read_annotated(path, like) for name, path in paths.items() if path is not None}


def hold_out_sentences(train: "Annotated", files: AnnotatedFilesConfig, seed: int) -> "dict[str, Annotated]":
    """Cut ``train`` into itself and ``validation``, at random."""
    from nlp_tasks.data import hold_out

    kept, held = hold_out(train, files.validation_share, seed)
    return {"train": kept, "validation": held}
