"""Settings of pretraining on plain text. Plain values: importing this is instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from nlp_tasks.config import PARTS, SIZES, TEXT_ENCODER, TokenizerConfig
from nlp_tasks.fine_tuning import check_named_encoder
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError
from recsys_bert.objectives import OBJECTIVES, SECOND_LOSSES
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.training.config import ScheduleConfig, TrainConfig

TRAIN = TrainConfig(
    epochs=20,
    batch_size=64,
    lr=1e-3,
    schedule=ScheduleConfig(name="linear", warmup_steps=200),
    patience=0,
    monitor="log_likelihood",
)


@dataclass(frozen=True, kw_only=True)
class TextPretrainConfig:
    """Settings of ``nlp_tasks.pretrain``."""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = SIZES

    objective: str = field(default="masked", metadata={"names": OBJECTIVES})
    """Training task: a name in ``OBJECTIVES``, or ``module:Class``."""

    objective_options: Options = field(default_factory=dict)
    """Options of the objective, such as masked's mask_prob; spans and n-grams count ``whole_words``."""

    second_loss: str = field(default="none", metadata={"names": {"none": "", **SECOND_LOSSES}})
    """Loss on pairs of segments, beside the objective's: next_sentence (is the second one another document's),
    sentence_order (are the two swapped), or ``module:Class``. Texts of one sentence have none."""

    second_loss_options: Options = field(default_factory=dict)
    """Options of the second loss: weight, against 1 for the objective."""

    output_head: Literal["auto", "tied", "bert"] = "auto"
    """Output over the token table: the table alone (tied), or behind BERT's masked-token head (a dense layer, an
    activation, a norm, a bias per token), which a checkpoint may bring; auto: that of ``init`` if it has one."""

    whole_words: Literal["none", "tokenizer", "jieba"] = "tokenizer"
    """Words that are masked as a whole: none = single tokens; the tokenizer's, where a Chinese character is a word; or
    the words of Chinese text as jieba cuts it."""

    max_len: int | None = None
    """Longest example in tokens; None = the encoder's max_len."""

    validation_share: float = 0.02
    """Share of the documents that is held out at random if no validation texts are given."""

    init: Path | None = None
    """Hugging Face folder, or run of `text pretrain` or of a text task, whose encoder and tokenizer are loaded;
    None = random weights and a new tokenizer."""

    teacher: Path | None = None
    """Run of `text pretrain` with the same tokenizer, usually of a larger encoder, that is distilled into this one."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """The tokenizer, unless ``init`` brings one."""

    encoder: EncoderConfig = TEXT_ENCODER
    """The encoder; with ``init``, its fusion, neck, residual form, dropout, layer_drop and gradient_checkpointing, and
    what it adds: exact_match, ngrams."""

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """Distillation of the teacher."""

    train: TrainConfig = TRAIN
    """Optimisation; the epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        check_name("objective", self.objective, OBJECTIVES)
        if self.second_loss != "none":
            check_name("second loss", self.second_loss, SECOND_LOSSES)
        elif self.second_loss_options:
            raise InputError("second_loss_options have no effect without a second_loss; name one.")
        if self.encoder.exact_match and self.second_loss == "none":
            raise InputError("encoder.exact_match compares two segments; it has no effect without a second_loss.")
        if not 0 < self.validation_share < 1:
            raise InputError(f"validation_share is {self.validation_share}; it must lie between 0 and 1.")
        if self.max_len is not None and self.max_len < 8:
            raise InputError(f"max_len is {self.max_len}; it must be at least 8.")
        if self.train.optimiser.sparse_adam:
            raise InputError("train.optimiser.sparse_adam is for sampled losses; tokens are scored against all tokens.")
        second = {"train.auxiliary": self.train.auxiliary.weight, "second_loss": self.pairs}
        self.distillation.check_beside(self.teacher, second)

    @property
    def pairs(self) -> bool:
        """True if examples are pairs of segments."""
        return self.second_loss != "none"

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse named settings that have no effect, whatever their value.

        Raises:
            InputError: There is one.
        """
        free = {f"encoder.{name}" for name in (*PARTS, "layer_options", "exact_match", "ngrams", "ngram_rows")}
        overridden = [name for name in names - free if name.startswith(("encoder.", "tokenizer."))]
        overridden += ["size"] if "size" in names else []
        if self.init and overridden:
            raise InputError(f"{min(overridden)} comes from init {self.init}; leave it out, or leave out init.")
        check_named_encoder(self, names)
        self.distillation.check_named_beside(self.teacher, names)
