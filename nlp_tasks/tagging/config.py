"""Settings of named entities. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nlp_tasks.tagging.heads import NER_HEADS
from nlp_tasks.tagging.schemes import SCHEMES, find_scheme
from nlp_tasks.tagging.words import WORD_PARTS
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError

Format = Literal["auto", "conll", "jsonl", "lines"]
FORMATS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "lines"}
"""What ``auto`` makes of a file's ending."""
FORMATS |= {f".{ending}": "conll" for ending in ("conll", "tsv", "iob", "bioes", *SCHEMES)}

Units = Literal["auto", "words", "characters"]
Joint = Literal["auto", "blank", "none"]


@dataclass(frozen=True, kw_only=True)
class AnnotatedFilesConfig:
    """Which files are read, and how."""

    train: Path | None = None
    """File of training sentences."""

    validation: Path | None = None
    """File of validation sentences, which choose the epoch; None holds out ``validation_share``."""

    test: Path | None = None
    """File of test sentences; looked at once, after training."""

    validation_share: float = 0.1
    """Share of the training sentences that is held out at random where there is no validation file."""

    format: Format = "auto"
    """conll: a word and its tags a line, an empty line between sentences; jsonl: texts with entities as
    ``{"start", "end", "type"}`` in characters; lines: texts alone, one a line. ``auto`` goes by the ending: .jsonl,
    .txt as lines, and conll for .conll, .tsv and endings that name a scheme."""

    scheme: str | None = field(default=None, metadata={"names": SCHEMES})
    """How the tags of a conll file are meant; it is not guessed. See ``SCHEMES``."""

    word_column: int = 0
    """Column of a conll file with the word, from 0; -1 is the last one."""

    tag_columns: tuple[int, ...] = (-1,)
    """Columns of a conll file with tags, the outermost entities first; several where entities lie within others."""

    word_separator: Joint = "auto"
    """What stands between the words of a conll file; ``auto`` takes nothing where those with Chinese characters are
    nearly all single ones, or where all words are single characters."""

    text_key: str = "text"
    """jsonl: key of the text."""

    entities_key: str = "entities"
    """jsonl: key of the entities."""

    units: Units = "auto"
    """What plain text is cut into: words, punctuation and Chinese characters, or all its characters. ``auto`` takes
    characters for mostly Chinese text, and for conll files whose words are single characters."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """What a sentence that cannot be used does: stop with its line, or drop out and be counted."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise InputError(f"data.validation_share is {self.validation_share}; it must lie between 0 and 1.")
        if self.scheme is not None:
            find_scheme(self.scheme)
        if not self.tag_columns or self.word_column in self.tag_columns:
            raise InputError(
                f"tag_columns is {list(self.tag_columns)} and word_column {self.word_column}; name at least one column "
                "of tags, other than that of the words."
            )


@dataclass(frozen=True, kw_only=True)
class SentenceLengthConfig:
    """What happens to sentences that are longer than the encoder reads at once."""

    max_len: int | None = None
    """Tokens read at once, the special ones included; None takes the encoder's max_len."""

    long: Literal["windows", "refuse"] = "windows"
    """Read them in overlapping windows, where each unit is heard in the window that shows most around it; or refuse
    them."""

    overlap: float = 0.25
    """Share of a window that the next one reads again, in [0, 1)."""

    def __post_init__(self) -> None:
        if self.max_len is not None and self.max_len < 8:
            raise InputError(f"length.max_len is {self.max_len}; it must be at least 8.")
        if not 0 <= self.overlap < 1:
            raise InputError(f"length.overlap is {self.overlap}; it must lie in [0, 1).")


@dataclass(frozen=True, kw_only=True)
class NerHeadConfig:
    """What finds entities in the vectors of units."""

    name: str = field(default="crf", metadata={"names": NER_HEADS})
    """A name in ``NER_HEADS``, or ``module:Class``."""

    options: Options = field(default_factory=dict)
    """Options of the head."""

    dropout: float = 0.1
    """Probability in [0, 1) on the vectors, before the head."""

    def __post_init__(self) -> None:
        check_name("NER head", self.name, NER_HEADS)
        if not 0 <= self.dropout < 1:
            raise InputError(f"head.dropout is {self.dropout}; it must lie in [0, 1).")


@dataclass(frozen=True, kw_only=True)
class LexiconConfig:
    """What the words of a lexicon add to units; made for text whose units are characters."""

    name: str = field(default="none", metadata={"names": {"none": "", **WORD_PARTS}})
    """A name in ``WORD_PARTS``, ``none``, or ``module:Class``."""

    options: Options = field(default_factory=dict)
    """Options of the part."""

    file: Path | None = None
    """The lexicon, one word a line before the first blank; None takes jieba's dictionary (extra `text`)."""

    text: tuple[Path, ...] = ()
    """Files of plain text, one a line, whose words are counted beside those of the training sentences."""

    vectors: Path | None = None
    """Word vectors as text, such as `text vectors train` writes, on which the table of words starts; None starts it at
    random. They must be as wide as the part's option ``width``."""

    min_count: int = 2
    """Words that occur less often there, and start on no vector, share one."""

    max_length: int = 10
    """Longest word of the lexicon in characters."""

    def __post_init__(self) -> None:
        if self.name == "none":
            set_ones = (self.options, self.file, self.text, self.vectors, self.min_count, self.max_length)
            if set_ones != ({}, None, (), None, 2, 10):
                raise InputError("words says what is taken from a lexicon; name the part as well with words.name.")
            return
        check_name("word part", self.name, WORD_PARTS)
        if self.min_count < 1 or self.max_length < 1:
            raise InputError(
                f"words.min_count is {self.min_count}, words.max_length {self.max_length}; both must be at least 1."
            )
