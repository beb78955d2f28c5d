"""Settings of training two towers. Plain values: importing this is instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.item_texts.training_config import TextTrainingConfig
from recsys_bert.losses.config import LossConfig
from recsys_bert.retrieval.config import TOWERS_LOSS, TowersConfig
from recsys_bert.retrieval.index_config import IndexConfig
from recsys_bert.stages.encoder_settings import DERIVED, check_not_overridden, check_sparse_adam
from recsys_bert.stages.sizes import SIZES
from recsys_bert.stages.text_feature import TEXT_DIM, check_text, check_text_training, named_with_text
from recsys_bert.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class TrainRetrievalConfig:
    """Settings of training two towers."""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = SIZES

    encoder_lr: float | None = None
    """Learning rate of a pretrained encoder, 0 to freeze it; train.lr when not given."""

    encoder_dropout: float | None = None
    """Dropout of a pretrained encoder from here on; that of pretraining when not given."""

    encoder_residual_scale: float | None = None
    """Factor on the last maps of a pretrained encoder's residual branches. Below 1 its layers start nearer to the
    identity, as those of a new encoder do, and keep their attention; causal training after masked training gains. 1
    when not given."""

    item_init: Literal["auto", "random", "ppmi", "item2vec", "item2vec_cbow", "glove"] = "auto"
    """Initial item embeddings: random, or factorised positive pointwise mutual information of neighbours in training
    histories (seconds), which learns sooner and better; or item2vec (skip-gram, or CBOW) or GloVe vectors, trained on
    the histories. auto = ppmi up to 10 million training events. With init, of the
    items that it does not know: ppmi = the mean of their neighbours' embeddings, weighted so."""

    features: tuple[str, ...] = ()
    """Item features added to every position of a history, numbers and vectors through a linear adapter, and
    ``event_type``, the type of its event; a pretrained encoder brings its own."""

    text: str | None = None
    """Text of items as a dense feature ``text`` of positions and of the item tower: ``tfidf``, ``words``, or a
    folder of `item-vectors`; or ``trained``, by a text encoder that is trained with the towers. Reduced by PCA to
    ``text_dim``. The run keeps what it needs."""

    text_dim: int = TEXT_DIM
    """Width of that feature."""

    id_dropout: float = 0.0
    """Probability of reading an item of a history as unknown in training, with its features alone; above 0 for
    catalogues with new items. Needs ``features`` of items; ``towers.id_dropout`` is of the items that are ranked."""

    target_types: tuple[str, ...] = ()
    """Event types that are predicted, as purchase; events of other types are context alone, also at validation. Empty:
    all types."""

    event_weights: bool = True
    """Multiply the loss of every target by its event's weight; False: all targets count the same."""

    crop: Literal["last", "random", "prefix", "every"] = "last"
    """Crop of a history, encoder.max_len events at most: the last ones, a random window of a longer history, or the
    prefix up to a random event, as if the history had ended there, drawn anew every epoch: one causal pass predicts the
    item after every event. every: each prefix is an example of its own (and counts for one in train.batch_size), read
    both ways, so that positions count from the target and no layer has to be causal; slower."""

    text_training: TextTrainingConfig = field(default_factory=TextTrainingConfig)
    """Training of the text encoder."""

    validation_users: int = 10_000
    """Users ranked at each validation at most, drawn once; 0 takes all."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """User tower's encoder, where none is pretrained."""

    towers: TowersConfig = field(default_factory=TowersConfig)
    """Features of the towers."""

    loss: LossConfig = field(default_factory=lambda: TOWERS_LOSS)
    """Item loss and its negatives."""

    index: IndexConfig = field(default_factory=IndexConfig)
    """Index over the item vectors."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Training."""

    def __post_init__(self) -> None:
        check_sparse_adam(self.train.optimiser, self.loss)
        for name in ("encoder_lr", "encoder_residual_scale"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 or more.")
        check_text(self.text, self.text_dim)
        check_text_training(self.text, self.text_training)
        items = named_with_text(self.towers.item_features, self.text)
        if self.towers.id_dropout and not items:
            raise InputError("towers.id_dropout masks an item's embedding; name towers.item_features, or set it to 0.")
        frozen, optimiser = self.encoder_lr == 0, self.train.optimiser
        if frozen and (optimiser.layer_decay < 1 or optimiser.sparse_adam):
            name = "sparse_adam" if optimiser.sparse_adam else "layer_decay"
            raise InputError(f"train.optimiser.{name} is of the encoder, which encoder_lr 0 freezes. Leave one out.")
        if frozen and not (items or self.towers.user_features):
            raise InputError(
                "encoder_lr is 0, and without towers.item_features or towers.user_features there is nothing else to "
                "train. Name some, or give encoder_lr a value above 0."
            )

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse settings without effect.

        Raises:
            InputError: One of those that were named has none.
        """
        if derived := [name for name in DERIVED if f"encoder.{name}" in names]:
            raise InputError(f"encoder.{derived[0]} follows from the data here; leave it out.")
        if not (self.towers.item_features or self.towers.user_features or self.text):
            for name in ("towers.hidden", "towers.dropout", "towers.adapter"):
                if name in names:
                    raise InputError(f"{name} has no effect: it is of the MLPs over features, and none are named.")


def check_init(config: TrainRetrievalConfig, init: Path | None, names: frozenset[str] = frozenset()) -> None:
    """Refuse settings that a pretrained encoder overrides, or that only one has.

    Args:
        config: The settings.
        init: Run of the pretrained encoder.
        names: Settings that were named, whatever their values.

    Raises:
        InputError: One of them is set.
    """
    check_not_overridden(names, init)
    for name in ("encoder_lr", "encoder_dropout", "encoder_residual_scale"):
        if getattr(config, name) is not None and not init:
            raise InputError(f"{name} is for a pretrained encoder; give init as well.")
