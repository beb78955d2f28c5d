"""Pretrain an encoder on click histories: masked items or next items."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.config import DistillationConfig, MaskingConfig
from recsys_bert.training.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from recsys_bert.clicks.batches import HistoryBatches
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.losses.negatives import NegativeSampler
    from recsys_bert.objectives.distilled import DistilledPrediction
    from recsys_bert.objectives.token_prediction import TokenPrediction
    from recsys_bert.retrieval.encoder_ranker import EncoderRanker


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

    crop: Literal["last", "random", "prefix"] = "last"
    """Which events of a history are shown, encoder.max_len at most: the newest; of a longer one any run; or those up to
    any event, as if the history had ended there. Drawn anew every epoch."""

    validation_users: int = 10_000
    """Users ranked at each validation at most, drawn once; 0 takes all."""

    init: Path | None = None
    """Run whose encoder gives the first weights, as for next-item training after masked training."""

    item_init: Literal["random", "ppmi"] = "random"
    """Where item embeddings start: at random, or so that items which stand near each other in training histories are
    near (positive mutual information, factorised; a matter of seconds). With few events an item it learns sooner and
    better; then fewer epochs do."""

    teacher: Path | None = None
    """Run of `pretrain`, with the same objective and usually a larger encoder, that this one learns from as well."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """The encoder."""

    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """How histories are masked; for the masked objective."""

    loss: LossConfig = field(default_factory=LossConfig)
    """How predictions are scored."""

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """What is taken from the teacher."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """How it is trained."""

    def __post_init__(self) -> None:
        for name in ("vocab_size", "features", "causal"):
            if getattr(self.encoder, name) != getattr(EncoderConfig(), name):
                raise InputError(f"encoder.{name} follows from the data and the objective here; leave it out.")
        if self.train.optimiser.sparse_adam and self.loss.name == "full":
            raise InputError("train.optimiser.sparse_adam is for sampled losses; loss.name 'full' reads all items.")
        if self.init and self.item_init != "random":
            raise InputError(f"item embeddings come from {self.init} here; leave out item_init, or leave out init.")
        if self.distillation != DistillationConfig() and self.teacher is None:
            raise InputError("distillation says what is taken from a teacher; give teacher as well.")
        if self.teacher and self.train.auxiliary.weight and self.distillation.soft_weight == 1:
            raise InputError(
                "train.auxiliary.weight adds to the loss of true targets; distillation.soft_weight 1 drops it."
            )


def run(config: Config) -> dict[str, Any]:
    """Train, keep the best epoch's weights, and write ``out/encoder``.

    Returns:
        Best validation figure, epochs, seconds, parameters.
    """
    from recsys_bert.clicks.dataset import open_dataset
    from recsys_bert.files import replacing
    from recsys_bert.retrieval.encoder_ranker import EncoderRanker
    from recsys_bert.retrieval.validation import validation
    from recsys_bert.stages.results import finish
    from recsys_bert.training.adversarial import check_table
    from recsys_bert.training.loop import fit
    from recsys_bert.training.run_folder import begin, is_first_process
    from recsys_bert.user_encoder.checkpoint import save_encoder
    from recsys_bert.user_encoder.unchanged import check_log_unchanged

    dataset = open_dataset(config.data)
    prediction, model, batches = build(config, dataset)
    ranker = EncoderRanker(prediction, config.objective, precision=config.train.precision)
    validate = validation(
        dataset,
        lambda _: ranker,
        users=config.validation_users,
        seed=config.train.seed,
        monitor=config.train.monitor,
    )
    miner = _miner(config, dataset, model, ranker, batches)
    check_table(model, config.train)
    begin(config.out, config)
    check_log_unchanged(config.out, dataset, config.init, config.teacher)
    summary = fit(
        model,
        batches,
        config.train,
        config.out,
        validate=validate,
        before_step=miner,
        label=f"pretraining ({config.objective} items)",
    )
    if is_first_process():
        with replacing(config.out / "encoder") as aside:
            save_encoder(aside, prediction, config.objective, dataset)
    parameters = sum(parameter.numel() for parameter in prediction.parameters())
    return finish(config.out / "encoder", summary, config.train.monitor, parameters, batches.n_skipped)


def build(
    config: Config, dataset: "ClickDataset"
) -> "tuple[TokenPrediction, TokenPrediction | DistilledPrediction, HistoryBatches]":
    """Make what is trained, from freshly seeded weights, and the batches it is trained on.

    Returns:
        The prediction; what ``fit`` trains, which is the prediction or wraps it; the batches.

    Raises:
        InputError: The settings do not suit the data, init or the teacher.
    """
    import torch

    from recsys_bert.losses.negatives import NegativeSampler
    from recsys_bert.objectives.distilled import DistilledPrediction
    from recsys_bert.objectives.token_prediction import TokenPrediction
    from recsys_bert.user_encoder.checkpoint import check_times, feature_configs

    vocabulary = dataset.vocabulary
    encoder_config = replace(
        config.encoder,
        vocab_size=vocabulary.size,
        causal=config.objective == "next",
        features=feature_configs(dataset, config.features),
    )
    check_times(dataset, encoder_config)
    torch.manual_seed(config.train.seed)
    encoder = _encoder(config, encoder_config, dataset)
    sampler = NegativeSampler(vocabulary.counts, vocabulary.first_item, config.loss.negatives)
    sampled = config.loss.name != "full"
    prediction = TokenPrediction(
        encoder,
        config.loss,
        first_row=vocabulary.first_item,
        counts=vocabulary.counts,
        n_users=dataset.histories.n_users,
        features={name: dataset.item_features[name] for name in config.features},
        auxiliary=config.train.auxiliary.weight or None,
    )
    model: TokenPrediction | DistilledPrediction = prediction
    times = encoder_config.needs_times
    if config.teacher:
        teacher = _teacher(config, config.teacher, dataset)
        model = DistilledPrediction(prediction, teacher, config.distillation)
        times = times or teacher.encoder.config.needs_times
    return prediction, model, _batches(config, dataset, sampler if sampled else None, times)


def _encoder(config: Config, encoder_config: EncoderConfig, dataset: "ClickDataset") -> Any:
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.user_encoder.checkpoint import load_encoder, take_weights
    from recsys_bert.user_encoder.item_init import init_items

    encoder = Encoder(encoder_config)
    init_items(encoder, dataset, config.item_init)
    if config.init:
        given = load_encoder(config.init, dataset)[0]
        free = (
            "causal",
            "dropout",
            "init_std",
            "residual_init_scale",
            "position_init",
        )  # they change no weight that is taken
        if replace(given.config, **{name: getattr(encoder_config, name) for name in free}) != encoder_config:
            raise InputError(
                f"init {config.init} has another encoder than this recipe: {given.config} against {encoder_config}. "
                "Give both the same [encoder] settings."
            )
        take_weights(encoder, given, config.init)
    return encoder


def _teacher(config: Config, run: Path, dataset: "ClickDataset") -> "TokenPrediction":
    from recsys_bert.retrieval.encoder_ranker import EncoderRanker
    from recsys_bert.retrieval.load import load_ranker

    ranker = load_ranker(run, dataset)
    if not isinstance(ranker, EncoderRanker):
        raise InputError(f"teacher {run} is a run of train-retrieval; a teacher comes from pretrain.")
    if ranker.objective != config.objective:
        raise InputError(
            f"teacher {run} predicts {ranker.objective} items, this run {config.objective} ones; give both the same "
            "objective."
        )
    if (longest := ranker.prediction.encoder.config.max_len) < config.encoder.max_len:
        raise InputError(
            f"teacher {run} reads {longest} events at most, this run {config.encoder.max_len}; set encoder.max_len to "
            f"{longest} or less."
        )
    return ranker.prediction


def _miner(
    config: Config, dataset: "ClickDataset", model: Any, ranker: "EncoderRanker", batches: "HistoryBatches"
) -> "Callable[[int], None] | None":
    import math

    from recsys_bert.retrieval.index_config import IndexConfig
    from recsys_bert.retrieval.negatives import HardNegativeMiner

    item_loss = ranker.prediction.item_loss
    if not item_loss.mines:
        return None
    n_steps = config.train.epochs * math.ceil(batches.steps / config.train.accumulate)
    return HardNegativeMiner(model, item_loss, ranker, dataset, IndexConfig(), n_steps)


def _batches(
    config: Config, dataset: "ClickDataset", sampler: "NegativeSampler | None", times: bool
) -> "HistoryBatches":
    from recsys_bert.clicks.batches import HistoryBatches, known_times, next_item
    from recsys_bert.clicks.vocabulary import MASK
    from recsys_bert.objectives.masking import choose_positions, corrupt

    vocabulary = dataset.vocabulary

    def make(shown: Any, random: Any) -> dict[str, Any]:
        if config.objective == "next":
            batch = next_item(shown.items, shown.lengths, vocabulary.first_item, shown.times)
        else:
            chosen = choose_positions(shown.lengths, shown.items.shape[1], config.masking, random)
            # unknown items stand for many: they are context, never an answer
            chosen &= shown.items >= vocabulary.first_item
            masked = corrupt(
                shown.items,
                chosen,
                mask_token=MASK,
                random_from=vocabulary.first_item,
                random_to=vocabulary.size,
                config=config.masking,
                random=random,
            )
            batch = {"tokens": masked.tokens, "positions": masked.positions, "targets": masked.targets}
            batch["n_targets"] = len(masked.targets)
            if shown.times is not None:
                batch["times"] = known_times(shown.times, chosen)
        if sampler is not None:
            batch["users"] = shown.users
            sampler.add_to(batch, shown.items, random)
        return batch

    return HistoryBatches(
        dataset.histories,
        make,
        batch_size=config.train.batch_size,
        length=config.encoder.max_len + (1 if config.objective == "next" else 0),
        crop=config.crop,
        times=times,
        seed=config.train.seed,
    )
