"""Settings that text tasks share. Plain values: importing this is instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from nlp_tasks.encodings import check_encoding
from nlp_tasks.heads import TEXT_HEADS
from nlp_tasks.normalisation import ChineseCharacters
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError

TEXT_ENCODER = EncoderConfig(
    dim=128, n_layers=2, n_heads=4, max_len=128, position="start", n_segments=2, residual_init_scale=1.0
)
"""A small encoder for text from random weights; two segments, so that one pretrained on text serves pairs as well."""

_SIZE_NAMES = ("encoder.dim", "encoder.n_layers", "encoder.n_heads", "train.batch_size")

SIZES: Mapping[str, Mapping[str, Any]] = {
    size: dict(zip(_SIZE_NAMES, values, strict=True))
    for size, values in {"tiny": (32, 1, 1, 32), "small": (128, 2, 4, 64), "base": (256, 4, 4, 32)}.items()
}
"""Presets of settings that go together: encoders of text with a batch size that suits them."""

PARTS = (
    "fusion",
    "fusion_options",
    "neck",
    "neck_options",
    "residual",
    "dropout",
    "layer_drop",
    "gradient_checkpointing",
)
"""Settings that are the recipe's even where the weights come from a checkpoint; all others are the checkpoint's."""


DERIVED = ("vocab_size", "features", "attention", "times", "time_gaps")
"""Encoder settings that follow from the texts and the task, or have no effect on texts."""


def check_encoder(settings: EncoderConfig, *, pairs: bool) -> None:
    """Refuse settings that follow from the data or have no effect on texts.

    Args:
        settings: The encoder.
        pairs: True where the task reads two texts at once.

    Raises:
        InputError: One is set.
    """
    for name in DERIVED:
        if getattr(settings, name) != getattr(TEXT_ENCODER, name):
            raise InputError(f"encoder.{name} follows from the data or has no effect on texts; leave it out.")
    if settings.exact_match and not pairs:
        raise InputError(
            "encoder.exact_match compares two texts that are read together, but this reads one; leave it out."
        )


@dataclass(frozen=True, kw_only=True)
class FilesConfig:
    """Files of examples and their format."""

    train: Path | None = None
    """File of training examples."""

    validation: Path | None = None
    """File of validation examples, which pick epoch and thresholds; None holds out ``validation_share``."""

    test: Path | None = None
    """File of test examples; evaluated once, after training."""

    validation_share: float = 0.1
    """Share of the training examples that is held out at random where there is no validation file."""

    format: Literal["auto", "tsv", "csv", "jsonl", "json", "parquet", "lines", "label_text", "folders"] = "auto"
    """Format; ``auto`` goes by the ending, behind which .gz or .bz2 may stand. tsv has no quotes; json is JSON lines or
    one list; lines are texts without labels; label_text is ``label text`` with a blank between, as SST-2; folders are
    called after labels and hold one text a file, as IMDb."""

    encoding: str = "utf-8"
    """Encoding of text files, such as gb18030 or latin-1."""

    columns: tuple[str, ...] = ()
    """Names of the columns of a tsv or csv file without a header line, in order."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Policy for unusable lines: stop with the number of the first, or drop and count them."""

    def __post_init__(self) -> None:
        check_encoding(self.encoding, "data.encoding")
        if not 0 < self.validation_share < 1:
            raise InputError(f"data.validation_share is {self.validation_share}; it must lie between 0 and 1.")


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Tokenizer, where no checkpoint brings one: trained on the training texts, or loaded from a folder."""

    folder: Path | None = None
    """Folder of a tokenizer to load: a Hugging Face folder, or a run, such as a teacher's; None trains one."""

    kind: Literal["auto", "characters", "wordpiece"] = "auto"
    """Every character a token, or WordPiece (Chinese characters are single tokens there too); ``auto``: characters for
    mostly Chinese text."""

    vocab_size: int = 8000
    """Tokens at most, the five special ones included."""

    min_count: int = 2
    """Characters, or pairs of pieces, that occur less often get no token of their own."""

    lowercase: bool = True
    """Read A as a, and é as e."""

    chinese: ChineseCharacters = "as_written"
    """``simplified`` reads every Traditional Chinese character as the Simplified one, in training and ever after, by
    OpenCC's table (extra `text`); positions are those of the text as it came."""

    vectors: Path | None = None
    """Word or character vectors as text, as wide as the encoder, that initialise its token table; None: random."""

    def __post_init__(self) -> None:
        # lowercase has another default in generation; check_named_encoder sees whether it is named
        if self.folder is not None and replace(self, folder=None, vectors=None, lowercase=True) != TokenizerConfig():
            raise InputError("tokenizer.folder is a trained tokenizer; leave out the settings that train one.")
        if self.vocab_size < 6 or self.min_count < 1:
            raise InputError(
                f"tokenizer.vocab_size is {self.vocab_size} (at least 6), min_count {self.min_count} (at least 1)."
            )


_WINDOWS = {"overlap": 0.25, "max_windows": 8, "pool": "mean"}  # defaults of LengthConfig that only windows read


@dataclass(frozen=True, kw_only=True)
class LengthConfig:
    """Treatment of texts longer than the encoder reads at once."""

    max_len: int | None = None
    """Tokens read at once, the special ones included; None takes the encoder's max_len."""

    long: Literal["head_tail", "key_sentences", "windows"] = "head_tail"
    """Keep both ends; keep the sentences that TextRank ranks most central; or read overlapping windows and pool their
    vectors."""

    head_share: float = 0.25
    """head_tail: share of the tokens taken from the beginning (1/4 in https://arxiv.org/abs/1905.05583)."""

    overlap: float = 0.25
    """windows: overlap of neighbours as a share of a window, in [0, 1)."""

    max_windows: int = 8
    """windows: at most so many per text; of a longer one, evenly spaced ones are read and the text is counted."""

    pool: Literal["mean", "max"] = "mean"
    """windows: pooling of the vectors of a text's windows."""

    def __post_init__(self) -> None:
        if self.max_len is not None and self.max_len < 8:
            raise InputError(f"length.max_len is {self.max_len}; it must be at least 8.")
        if not 0 <= self.head_share <= 1 or not 0 <= self.overlap < 1:
            raise InputError(
                f"length.head_share is {self.head_share} (in [0, 1]), length.overlap {self.overlap} (in [0, 1))."
            )
        if self.max_windows < 1:
            raise InputError(f"length.max_windows is {self.max_windows}; it must be at least 1.")
        changed = [name for name in ("overlap", "max_windows", "pool") if getattr(self, name) != _WINDOWS[name]]
        if changed and self.long != "windows":
            raise InputError(f"length.{changed[0]} has no effect without windows; set length.long 'windows' too.")


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Head: pools the states of a text into one vector."""

    name: str = field(default="mean", metadata={"names": TEXT_HEADS})
    """Pooling of the states: a name in ``TEXT_HEADS``, or ``module:Class``."""

    options: Options = field(default_factory=dict)
    """Options of the head."""

    dropout: float = 0.1
    """Probability in [0, 1) on the vector, before the output layer."""

    def __post_init__(self) -> None:
        check_name("head", self.name, TEXT_HEADS)
        if not 0 <= self.dropout < 1:
            raise InputError(f"head.dropout is {self.dropout}; it must lie in [0, 1).")


CorpusFormat = Literal["auto", "lines", "blocks", "tsv", "csv", "jsonl", "json", "parquet", "label_text", "squad"]


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Files of plain text for pretraining, and their format."""

    train: tuple[Path, ...] = ()
    """Files of text."""

    validation: Path | None = None
    """File of validation text; None holds out ``validation_share`` of the documents."""

    format: CorpusFormat = "auto"
    """lines: every line is a document; blocks: documents with an empty line between them; squad: the passages of a
    SQuAD file; the rest as in training a task, each text of a row being a document. ``auto`` goes by the ending, and
    takes .txt as lines."""

    encoding: str = "utf-8"
    """Encoding of text files, such as gb18030 or latin-1."""

    columns: tuple[str, ...] = ()
    """Names of the columns of a tsv or csv file without a header line, in order."""

    texts: tuple[str, ...] = ("text",)
    """Columns with texts; for tsv, csv, jsonl and label_text."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """Policy for unusable rows: stop with the number of the first, or drop and count them."""

    def __post_init__(self) -> None:
        check_encoding(self.encoding, "data.encoding")
