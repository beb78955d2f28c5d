"""Settings of the text front. Plain values: importing this is instant."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from nlp_tasks.heads import TEXT_HEADS
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError

TEXT_ENCODER = EncoderConfig(
    dim=128, n_layers=2, n_heads=4, max_len=128, position="start", n_segments=2, residual_init_scale=1.0
)
"""A small encoder for text from random weights; two segments, so that one pretrained on text serves pairs as well."""


def check_encoder(settings: EncoderConfig, *, pairs: bool) -> None:
    """Refuse settings that the text front takes from the data, or that would mean nothing.

    Args:
        settings: The encoder.
        pairs: Whether the task reads two texts at once.

    Raises:
        InputError: One is set.
    """
    for name in ("vocab_size", "features", "causal", "times", "time_gaps"):
        if getattr(settings, name) != getattr(TEXT_ENCODER, name):
            raise InputError(f"encoder.{name} follows from the data, or means nothing for texts; leave it out.")
    if settings.exact_match and not pairs:
        raise InputError(
            "encoder.exact_match is about two texts that are read together, but this reads one; leave it out."
        )


@dataclass(frozen=True, kw_only=True)
class FilesConfig:
    """Which files are read, and how."""

    train: Path | None = None
    """File of training examples."""

    validation: Path | None = None
    """File of validation examples, which choose epoch and thresholds; None holds out ``validation_share``."""

    test: Path | None = None
    """File of test examples; looked at once, after training."""

    validation_share: float = 0.1
    """Share of the training examples that is held out at random where there is no validation file."""

    format: Literal["auto", "tsv", "csv", "jsonl", "label_text"] = "auto"
    """How files are read; ``auto`` goes by their ending. tsv knows no quotes; label_text is ``label text`` with a blank
    between, as SST-2 comes."""

    columns: tuple[str, ...] = ()
    """Names of the columns of a tsv or csv file without a header line, in order."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """What a line that cannot be used does: stop with its number, or drop out and be counted."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise InputError(f"data.validation_share is {self.validation_share}; it must lie between 0 and 1.")


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """The tokenizer, where no checkpoint brings one: trained on the user's text, or taken from a folder."""

    folder: Path | None = None
    """Folder whose tokenizer is taken: Hugging Face BERT, or a run, such as a teacher's; None trains one."""

    kind: Literal["auto", "characters", "wordpiece"] = "auto"
    """Every character a token, or WordPiece (where Chinese characters stand alone as well); ``auto`` takes characters
    for text that is mostly Chinese."""

    vocab_size: int = 8000
    """Tokens at most, the five special ones included."""

    min_count: int = 2
    """Characters, or pairs of pieces, that occur less often get no token of their own."""

    lowercase: bool = True
    """Read A as a, and é as e."""

    vectors: Path | None = None
    """Vectors of words or characters as text, as wide as the encoder, on which its token table starts; None starts it
    at random."""

    def __post_init__(self) -> None:
        if self.folder is not None and replace(self, folder=None, vectors=None) != TokenizerConfig():
            raise InputError("tokenizer.folder brings a trained tokenizer; leave out how one is trained.")
        if self.vocab_size < 6 or self.min_count < 1:
            raise InputError(
                f"tokenizer.vocab_size is {self.vocab_size} (at least 6), min_count {self.min_count} (at least 1)."
            )


@dataclass(frozen=True, kw_only=True)
class LengthConfig:
    """What happens to text that is longer than the encoder reads at once."""

    max_len: int | None = None
    """Tokens read at once, the special ones included; None takes the encoder's max_len."""

    long: Literal["head_tail", "key_sentences", "windows"] = "head_tail"
    """Keep both ends; keep the sentences that TextRank finds most central; or read all of it in overlapping windows and
    pool what they say."""

    head_share: float = 0.25
    """head_tail: share of the room that the beginning gets (1/4 in https://arxiv.org/abs/1905.05583)."""

    overlap: float = 0.25
    """windows: share of a window that the next one reads again, in [0, 1)."""

    max_windows: int = 8
    """windows: most windows of one text; of a longer one, evenly spread ones are read and the text is counted."""

    pool: Literal["mean", "max"] = "mean"
    """windows: how the vectors of a text's windows become one."""

    def __post_init__(self) -> None:
        if self.max_len is not None and self.max_len < 8:
            raise InputError(f"length.max_len is {self.max_len}; it must be at least 8.")
        if not 0 <= self.head_share <= 1 or not 0 <= self.overlap < 1:
            raise InputError(
                f"length.head_share is {self.head_share} (in [0, 1]), length.overlap {self.overlap} (in [0, 1))."
            )
        if self.max_windows < 1:
            raise InputError(f"length.max_windows is {self.max_windows}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """How the states of a text become one vector."""

    name: str = field(default="mean", metadata={"names": TEXT_HEADS})
    """A name in ``TEXT_HEADS``, or ``module:Class``."""

    options: Options = field(default_factory=dict)
    """Options of the head."""

    dropout: float = 0.1
    """Probability in [0, 1) on the vector, before the output layer."""

    def __post_init__(self) -> None:
        check_name("head", self.name, TEXT_HEADS)
        if not 0 <= self.dropout < 1:
            raise InputError(f"head.dropout is {self.dropout}; it must lie in [0, 1).")


@dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """What a classifier learns."""

    multi_label: bool = False
    """Any number of labels may hold of a text, none included; else exactly one does."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: every class counts alike in all, however rare it is; multi-label: each label's ones as its zeros."""

    weights: dict[str, float] = field(default_factory=dict)
    """Weight of single classes, which multiplies the one above."""

    focal_gamma: float = 0.0
    """How much less an example counts that is already right (focal loss); 0 counts all alike, 2 is usual."""

    label_smoothing: float = 0.0
    """Share of each target that goes to all classes alike, in [0, 1)."""

    down_sample: float = 0.0
    """Training examples of a class at most for each one of the rarest class, drawn anew every epoch; 0 takes all."""

    thresholds: Literal["per_label", "shared", "half"] = "per_label"
    """multi-label: the probability from which on a label holds: the best F1 on validation for each label, or over all
    of them; or one half."""

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise InputError(f"task.label_smoothing is {self.label_smoothing}; it must lie in [0, 1).")
        if self.focal_gamma < 0 or any(weight <= 0 for weight in self.weights.values()):
            raise InputError(
                f"task.focal_gamma is {self.focal_gamma} (not negative), weights {self.weights} (above 0 each)."
            )
        if self.down_sample and (self.down_sample < 1 or self.multi_label):
            raise InputError(
                f"task.down_sample is {self.down_sample}; it is 0, or at least 1 where texts have one label each."
            )


@dataclass(frozen=True, kw_only=True)
class MatchingConfig:
    """How two texts are compared, and what that learns from."""

    form: Literal["cross", "bi"] = "cross"
    """cross: both texts are read together, which is more exact; bi: each by itself, to a vector that can be indexed,
    and vectors are compared by cosine."""

    loss: Literal["labels", "in_batch", "ranking"] = "labels"
    """labels: every pair's own label. For bi also in_batch: a text has to find its match among all texts of the batch;
    and ranking: every match has to have a higher cosine than every other pair of the batch."""

    temperature: float = 0.05
    """Divides cosines; for in_batch and ranking."""

    swap: bool = False
    """Draw anew in every epoch which text of a pair comes first; for cross, whose answer depends on it."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: matches count as much as other pairs in all; for labels."""

    focal_gamma: float = 0.0
    """How much less a pair counts that is already right (focal loss); for labels."""

    label_smoothing: float = 0.0
    """Labels become this much less sure, in [0, 1); for labels."""

    threshold: Literal["accuracy", "f1"] = "accuracy"
    """What the score from which on a pair is a match makes best on validation."""

    def __post_init__(self) -> None:
        if self.form == "cross" and self.loss != "labels":
            raise InputError(f"task.loss {self.loss!r} compares vectors; take task.form 'bi', or task.loss 'labels'.")
        if self.form == "bi" and self.swap:
            raise InputError("task.swap means nothing for task.form 'bi', which reads each text by itself.")
        for name in ("class_weights", "focal_gamma", "label_smoothing"):
            if self.loss != "labels" and getattr(self, name) not in ("none", 0):
                raise InputError(f"task.{name} is {getattr(self, name)!r}, but task.loss {self.loss!r} has no labels.")
        if not self.temperature > 0 or self.focal_gamma < 0 or not 0 <= self.label_smoothing < 1:
            raise InputError(
                f"task.temperature is {self.temperature} (above 0), focal_gamma {self.focal_gamma} (not negative), "
                f"label_smoothing {self.label_smoothing} (in [0, 1))."
            )


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Plain text for pretraining, and how it is read."""

    train: tuple[Path, ...] = ()
    """Files of text."""

    validation: Path | None = None
    """File of text on which predictions are measured; None holds out ``validation_share``."""

    validation_share: float = 0.02
    """Share of the documents that is held out at random where there is no validation file."""

    format: Literal["auto", "lines", "blocks", "tsv", "csv", "jsonl", "label_text", "squad"] = "auto"
    """lines: every line is a document; blocks: documents with an empty line between them; squad: the passages of a
    reading set; the rest as in training a task, each text of a row being a document. ``auto`` goes by the ending, and
    takes .txt as lines."""

    columns: tuple[str, ...] = ()
    """Names of the columns of a tsv or csv file without a header line, in order."""

    texts: tuple[str, ...] = ("text",)
    """Columns with texts; for tsv, csv, jsonl and label_text."""

    bad_rows: Literal["raise", "drop"] = "raise"
    """What a row that cannot be used does: stop with its number, or drop out and be counted."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise InputError(f"data.validation_share is {self.validation_share}; it must lie between 0 and 1.")


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """What an encoder learns from plain text, beside how much of it is masked."""

    unit: Literal["token", "word", "jieba"] = "word"
    """What is masked together: single tokens; the pieces of a word as the tokenizer cuts it, where a Chinese character
    is a word; or the words of Chinese text as jieba cuts it. Spans and n-grams count in these units."""

    pair: Literal["none", "nsp", "sop"] = "none"
    """Second loss: does the second half of an example come from another document (nsp), or are its two halves swapped
    (sop). Texts of one sentence have none."""

    pair_weight: float = 1.0
    """Weight of that loss, against 1 for masked tokens."""

    max_len: int | None = None
    """Longest example in tokens; None takes the encoder's max_len."""

    def __post_init__(self) -> None:
        if not self.pair_weight > 0:
            raise InputError(f"task.pair_weight is {self.pair_weight}; it must be above 0. Take task.pair 'none'.")
        if self.max_len is not None and self.max_len < 8:
            raise InputError(f"task.max_len is {self.max_len}; it must be at least 8.")
