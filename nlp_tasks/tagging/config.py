"""Settings of tagging. Plain values: importing this is instant."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig
from nlp_tasks.encodings import check_encoding
from nlp_tasks.fine_tuning import check_named_encoder
from nlp_tasks.tagging.heads import TAGGING_HEADS
from nlp_tasks.tagging.lexicon import LEXICON_LAYERS
from nlp_tasks.tagging.pu.config import PUConfig
from nlp_tasks.tagging.schemes import SCHEMES
from nlp_tasks.tagging.tag_reading import FILE_SCHEMES, find_file_scheme
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError
from recsys_bert.training.config import ScheduleConfig, TrainConfig

Format = Literal["auto", "conll", "slashes", "csv", "jsonl", "json", "parquet", "brat", "pubtator", "lines"]
FORMATS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".ann": "brat", ".csv": "csv"}
"""Format by file ending, for ``auto``; other files are recognised by their contents."""
FORMATS |= {".parquet": "parquet", ".pq": "parquet", ".pubtator": "pubtator"}
FORMATS |= {f".{ending}": "conll" for ending in ("conll", "tsv", "iob", "bioes", *SCHEMES)}

MONITORS = ("f1", "macro_f1", "precision", "recall", "exact")
"""Metrics that pick the best epoch."""

_TRAIN = TrainConfig(epochs=20, batch_size=32, schedule=ScheduleConfig(name="linear"), patience=5, monitor="f1")

Granularity = Literal["auto", "words", "characters"]
WordSeparator = Literal["auto", "space", "none"]


@dataclass(frozen=True, kw_only=True)
class AnnotatedFilesConfig:
    """Files of annotated sentences and their format."""

    train: Path | None = None
    """File of training sentences."""

    validation: Path | None = None
    """File of validation sentences, which pick the epoch; None holds out ``validation_share``."""

    test: Path | None = None
    """File of test sentences; evaluated once, after training."""

    validation_share: float = 0.1
    """Share of the training sentences that is held out at random where there is no validation file."""

    format: Format = "auto"
    """conll: a word and its tags a line, an empty line between sentences; slashes: word/tag with blanks between, a
    sentence a line; csv: a word and its tag a row, or a sentence with lists; jsonl, json, parquet: texts with entities
    in characters, or words with tags; brat: a folder of .ann and .txt; pubtator: titles, abstracts and mentions; lines:
    texts alone, one a line. ``auto`` goes by the ending (behind which .gz or .bz2 may stand), or else by the contents:
    columns have tags and a constant number of cells."""

    encoding: str = "utf-8"
    """Encoding of text files, such as gb18030 or latin-1."""

    scheme: str | None = field(default=None, metadata={"names": FILE_SCHEMES})
    """Tag scheme; None goes by the letters of the tags, or, where they have none, takes io: words of one type in a row
    are one entity. Tags that the scheme forbids where they stand are read as conlleval does, and counted."""

    word_column: int | None = None
    """Column of a conll file with the word, from 0; -1 is the last one; None takes the first that does not number the
    words."""

    tag_columns: tuple[int, ...] | None = None
    """Columns of a conll file with tags, the outermost entities first; several where entities lie within others; None
    takes the last one with tags, and those before it whose types are the same."""

    tag_names: tuple[str, ...] = ()
    """Names of tags that are numbers, from 0, as O B-PER I-PER; a Parquet file of Hugging Face brings them."""

    word_separator: WordSeparator = "auto"
    """Separator of the words of a conll file; ``auto`` takes none where words with Chinese characters are nearly all
    single characters, or where all words are."""

    text_key: str | None = None
    """csv, jsonl, json, parquet: key of the text or of its words; None takes the first of those that are usual."""

    entities_key: str | None = None
    """csv, jsonl, json, parquet: key of the entities or of the words' tags; None takes the first of those that are
    usual."""

    granularity: Granularity = "auto"
    """Split plain text into words, punctuation and single Chinese characters, or into all its characters. ``auto``
    takes characters for mostly Chinese text, and for conll files whose words are single characters."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Stop at a sentence that cannot be used and name its line, or drop and count such sentences."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise InputError(f"data.validation_share is {self.validation_share}; it must lie between 0 and 1.")
        check_encoding(self.encoding, "data.encoding")
        if self.scheme is not None:
            find_file_scheme(self.scheme)
        if self.tag_columns is not None and (not self.tag_columns or (self.word_column or 0) in self.tag_columns):
            raise InputError(
                f"tag_columns is {list(self.tag_columns)} and word_column {self.word_column}; name at least one column "
                "of tags, other than that of the words."
            )


@dataclass(frozen=True, kw_only=True)
class SentenceLengthConfig:
    """Sentences longer than the encoder's input."""

    max_len: int | None = None
    """Tokens of an input, special tokens included; None takes the encoder's max_len."""

    long: Literal["windows", "refuse"] = "windows"
    """windows: overlapping windows, each word's vector taken from the window with the most context around it; refuse:
    an error."""

    overlap: float = 0.25
    """Overlap of neighbouring windows as a share of a window, in [0, 1)."""

    def __post_init__(self) -> None:
        if self.max_len is not None and self.max_len < 8:
            raise InputError(f"length.max_len is {self.max_len}; it must be at least 8.")
        if not 0 <= self.overlap < 1:
            raise InputError(f"length.overlap is {self.overlap}; it must lie in [0, 1).")


@dataclass(frozen=True, kw_only=True)
class TaggingHeadConfig:
    """The head that predicts entities from word vectors."""

    name: str = field(default="crf", metadata={"names": TAGGING_HEADS})
    """A name in ``TAGGING_HEADS``, or ``module:Class``."""

    options: Options = field(default_factory=dict)
    """Options of the head."""

    dropout: float = 0.1
    """Probability in [0, 1) on the vectors, before the head."""

    def __post_init__(self) -> None:
        check_name("tagging head", self.name, TAGGING_HEADS)
        if not 0 <= self.dropout < 1:
            raise InputError(f"head.dropout is {self.dropout}; it must lie in [0, 1).")


@dataclass(frozen=True, kw_only=True)
class LexiconConfig:
    """Lexicon enhancement: add words of a lexicon to the vectors of characters."""

    name: str = field(default="none", metadata={"names": {"none": "", **LEXICON_LAYERS}})
    """A name in ``LEXICON_LAYERS``, ``none``, or ``module:Class``."""

    options: Options = field(default_factory=dict)
    """Options of the layer."""

    file: Path | None = None
    """The lexicon, one word a line before the first blank; None takes jieba's dictionary (extra `text`)."""

    text: tuple[Path, ...] = ()
    """Files of plain text, one a line, whose words are counted beside those of the training sentences."""

    vectors: Path | None = None
    """Word vectors in text format, as `text vectors train` writes them, that initialise the word embedding; None
    initialises it at random. Their dimension is the layer's option ``width``."""

    min_count: int = 2
    """Words that occur less often there, and have no vector in ``vectors``, share one embedding."""

    max_length: int = 10
    """Longest word of the lexicon in characters."""

    def __post_init__(self) -> None:
        if self.name == "none":
            set_ones = (self.options, self.file, self.text, self.vectors, self.min_count, self.max_length)
            if set_ones != ({}, None, (), None, 2, 10):
                raise InputError("settings of lexicon have no effect while lexicon.name is 'none'; set lexicon.name.")
            return
        check_name("lexicon layer", self.name, LEXICON_LAYERS)
        if self.min_count < 1 or self.max_length < 1:
            raise InputError(
                f"lexicon.min_count is {self.min_count}, lexicon.max_length {self.max_length}; both must be at least 1."
            )


@dataclass(frozen=True, kw_only=True)
class TaggingTrainConfig:
    """Settings of a tagger's training."""

    init: Path | None = None
    """Hugging Face folder, or run of `text pretrain` or of a text task, whose encoder and tokenizer are loaded;
    None starts from random weights and trains a tokenizer."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """Tokenizer, where ``init`` brings none."""

    encoder: EncoderConfig = TEXT_ENCODER
    """Encoder; with ``init``, its fusion, neck, residual form, dropout, layer_drop and gradient_checkpointing, and the
    input features to add: exact_match, ngrams."""

    length: SentenceLengthConfig = field(default_factory=SentenceLengthConfig)
    """Sentences longer than the encoder's input."""

    lexicon: LexiconConfig = field(default_factory=LexiconConfig)
    """Lexicon enhancement."""

    queries: Path | None = None
    """MRC tagging: file of ``TYPE<tab>query`` lines; None takes the types' names as queries."""

    negative_share: float = 1.0
    """MRC tagging: share of the queries without an answer in an epoch, sampled anew each time, in (0, 1]. Most queries
    have none: fewer make epochs shorter and positives less rare."""

    head: TaggingHeadConfig = field(default_factory=TaggingHeadConfig)
    """Tagging head."""

    pu: PUConfig = field(default_factory=PUConfig)
    """Positive-unlabelled learning from a dictionary instead of annotation; needs the head ``binary``."""

    train: TrainConfig = _TRAIN
    """Training loop; the epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        if self.pu.dictionary is not None and self.queries is not None:
            raise InputError("queries are for MRC tagging; leave them out with pu.dictionary.")
        if self.pu.dictionary is not None and self.pu.warm_up >= self.train.epochs:
            raise InputError(
                f"pu.warm_up is {self.pu.warm_up}, train.epochs {self.train.epochs}: pu.risk would never be used. "
                "Warm up for fewer epochs (0 for none), or train longer."
            )
        if not 0 < self.negative_share <= 1:
            raise InputError(f"negative_share is {self.negative_share}; it must lie in (0, 1].")
        if self.train.monitor not in MONITORS:
            raise InputError(f"train.monitor is {self.train.monitor!r}; this task validates {', '.join(MONITORS)}.")

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse named settings of encoder and tokenizer that have no effect, though they be defaults.

        Raises:
            InputError: There is one.
        """
        check_named_encoder(self, names)
