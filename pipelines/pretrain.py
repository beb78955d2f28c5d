"""Pretrain an encoder on click histories: masked items or next items."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.training.config import LossConfig, MaskingConfig, TrainConfig

if TYPE_CHECKING:
    from recsys_bert.clicks.batches import HistoryBatches
    from recsys_bert.clicks.prepared import Prepared
    from recsys_bert.retrieval.negatives import NegativeSampler


@dataclass(frozen=True, kw_only=True)
class Config:
    """Pretrain an encoder on the histories of a prepared click log."""

    data: Path
    """Folder that `prepare` wrote."""

    out: Path
    """Run folder; a run that was stopped there goes on."""

    objective: Literal["masked", "next"] = "masked"
    """Predict masked items from both sides, or every next item from the past alone."""

    features: tuple[str, ...] = ()
    """Item features that are added to every position, by name."""

    window: Literal["newest", "random"] = "newest"
    """Which events of a history longer than encoder.max_len are shown: the newest, or any run, drawn every epoch."""

    validation_users: int = 10_000
    """Users ranked at each validation at most, drawn once; 0 takes all."""

    init: Path | None = None
    """Run whose encoder gives the first weights, as for next-item training after masked training."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """The encoder."""

    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """How histories are masked; for the masked objective."""

    loss: LossConfig = field(default_factory=LossConfig)
    """How predictions are scored."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """How it is trained."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "features", "causal"):
            if getattr(self.encoder, name) != getattr(EncoderConfig(), name):
                raise InputError(f"encoder.{name} follows from the data and the objective here; leave it out.")


def run(config: Config) -> dict[str, Any]:
    """Train, keep the best epoch's weights, and write ``out/encoder``.

    Returns:
        Best validation figure, epochs, seconds, parameters.
    """
    import torch

    from pipelines.runs import begin, finish, is_first_process, validation
    from recsys_bert.clicks.prepared import open_prepared
    from recsys_bert.files import replacing
    from recsys_bert.retrieval.negatives import NegativeSampler
    from recsys_bert.retrieval.vectors import EncoderRanker, feature_configs, save_encoder
    from recsys_bert.training.loop import fit
    from recsys_bert.training.objectives import TokenPrediction

    prepared = open_prepared(config.data)
    vocabulary = prepared.vocabulary
    encoder_config = replace(
        config.encoder,
        vocab_size=vocabulary.size,
        causal=config.objective == "next",
        features=feature_configs(prepared, config.features),
    )
    torch.manual_seed(config.train.seed)
    encoder = _encoder(config, encoder_config, prepared)
    sampler = NegativeSampler(
        vocabulary.counts, first_item=vocabulary.first_item, n=config.loss.negatives, power=config.loss.negative_power
    )
    sampled = config.loss.name != "full"
    prediction = TokenPrediction(
        encoder,
        config.loss,
        first_row=vocabulary.first_item,
        expected_draws=sampler.expected_draws if sampled else None,
        features={name: prepared.item_features[name] for name in config.features},
    )
    batches = _batches(config, prepared, sampler if sampled else None)
    ranker = EncoderRanker(prediction, config.objective)
    validate = validation(
        prepared,
        lambda _: ranker,
        users=config.validation_users,
        seed=config.train.seed,
        monitor=config.train.monitor,
    )
    begin(config.out, config)
    summary = fit(
        prediction,
        batches,
        config.train,
        config.out,
        validate=validate,
        label=f"pretraining ({config.objective} items)",
    )
    if is_first_process():
        with replacing(config.out / "encoder") as aside:
            save_encoder(aside, prediction, config.objective, prepared)
    parameters = sum(parameter.numel() for parameter in prediction.parameters())
    return finish(config.out / "encoder", summary, config.train.monitor, parameters, batches.n_skipped)


def _encoder(config: Config, encoder_config: EncoderConfig, prepared: "Prepared") -> Any:
    from pipelines.runs import take_weights
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.retrieval.vectors import load_encoder

    encoder = Encoder(encoder_config)
    if config.init:
        given = load_encoder(config.init, prepared)[0]
        if replace(given.config, causal=encoder_config.causal, dropout=encoder_config.dropout) != encoder_config:
            raise InputError(
                f"init {config.init} has another encoder than this recipe: {given.config} against {encoder_config}. "
                "Give both the same [encoder] settings."
            )
        take_weights(encoder, given, config.init)
    return encoder


def _batches(config: Config, prepared: "Prepared", sampler: "NegativeSampler | None") -> "HistoryBatches":
    from recsys_bert.clicks.batches import HistoryBatches, next_item
    from recsys_bert.clicks.vocabulary import MASK
    from recsys_bert.training.masking import choose_positions, corrupt

    vocabulary = prepared.vocabulary

    def make(items: Any, lengths: Any, users: Any, random: Any) -> dict[str, Any]:
        if config.objective == "next":
            batch = next_item(items, lengths, vocabulary.first_item)
        else:
            chosen = choose_positions(lengths, items.shape[1], config.masking, random)
            # unknown items stand for many: they are context, never an answer
            chosen &= items >= vocabulary.first_item
            masked = corrupt(
                items,
                chosen,
                mask_token=MASK,
                random_from=vocabulary.first_item,
                random_to=vocabulary.size,
                config=config.masking,
                random=random,
            )
            batch = {"tokens": masked.tokens, "positions": masked.positions, "targets": masked.targets}
            batch["n_targets"] = len(masked.targets)
        if sampler is not None:
            batch["negatives"] = sampler.draw(random, len(items))
        return batch

    return HistoryBatches(
        prepared.histories,
        make,
        batch_size=config.train.batch_size,
        length=config.encoder.max_len + (1 if config.objective == "next" else 0),
        window=config.window,
        seed=config.train.seed,
    )
