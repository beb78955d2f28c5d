"""Settings of text generation. Plain values: importing this is instant."""

from dataclasses import dataclass, field, replace

from nlp_tasks.config import LengthConfig, TokenizerConfig, check_encoder
from nlp_tasks.fine_tuning import FineTuningConfig, check_monitor
from recsys_bert.decoding.config import DecodingConfig
from recsys_bert.errors import InputError
from recsys_bert.training.config import ScheduleConfig, TrainConfig

_TRAIN = TrainConfig(epochs=20, batch_size=32, schedule=ScheduleConfig(name="linear"), patience=3, monitor="auto")

TOKEN_MONITORS = ("log_likelihood", "accuracy")
"""Metrics of the true tokens that pick the best epoch; the first is the default."""

TEXT_MONITORS = ("bleu", "chrf", "rouge_1", "rouge_2", "rouge_l", "exact")
"""Metrics of generated texts that may pick it; validation texts are then generated in every epoch."""


@dataclass(frozen=True, kw_only=True)
class GenerationTrainConfig(FineTuningConfig):
    """Settings of a generator's training."""

    tokenizer: TokenizerConfig = field(default_factory=lambda: TokenizerConfig(lowercase=False))
    """Tokenizer, where ``init`` brings none; capitals are kept, since they are written again."""

    length: LengthConfig = field(default_factory=LengthConfig)
    """Treatment of long sources: head_tail or key_sentences (TextRank). Without targets, ``max_len`` alone counts:
    longer texts are cut into pieces."""

    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    """Decoding; ``max_length`` is also the longest target, so that a source has the rest of ``length.max_len``."""

    train: TrainConfig = _TRAIN
    """Training loop; the epoch with the best ``monitor`` on validation is kept. ``auto`` monitors log_likelihood."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_encoder(self.encoder, pairs=False)
        if self.teacher is not None:
            raise InputError("teacher: generation has no distillation; leave it out.")
        if self.length.long == "windows":
            raise InputError("length.long 'windows' has no effect: a source is read at once. Take 'key_sentences'.")
        if self.train.optimiser.sparse_adam:
            raise InputError("train.optimiser.sparse_adam is for sampled losses; tokens are scored against all tokens.")
        check_monitor(self.train, (*TOKEN_MONITORS, *TEXT_MONITORS))

    @property
    def own_tokenizer(self) -> TokenizerConfig:
        """Settings of the tokenizer; those of ``init`` where nothing else was said."""
        untouched = self.init is not None and self.tokenizer == TokenizerConfig(lowercase=False)
        return TokenizerConfig() if untouched else self.tokenizer


def settled(config: GenerationTrainConfig, *, targets: bool) -> GenerationTrainConfig:
    """Copy with the monitor settled, after refusing settings that are for sources and targets where there are none.

    Args:
        config: The settings.
        targets: False for a language model.

    Raises:
        InputError: There is one.
    """
    check_monitor(config.train, TOKEN_MONITORS if not targets else (*TOKEN_MONITORS, *TEXT_MONITORS))
    if not targets and replace(config.length, max_len=None) != LengthConfig():
        raise InputError("length.long and length.head_share shorten sources; without targets there are none.")
    if config.train.monitor == "auto":
        config = replace(config, train=replace(config.train, monitor=TOKEN_MONITORS[0]))
    return config
