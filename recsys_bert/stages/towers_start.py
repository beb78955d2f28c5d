"""Start of two towers: from a new encoder, a pretrained one, or towers that go on; grown to the items of the log."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_bert.encoder.config import Attention, EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.retrieval.config import TowersConfig
from recsys_bert.stages.encoder_settings import check_derived

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.retrieval.two_tower import TwoTower
    from recsys_bert.user_encoder.checkpoint import PretrainedEncoder
    from recsys_bert.user_encoder.item_init import ItemInit


@dataclass(frozen=True)
class Start:
    """Encoder and settings that towers start from.

    Args:
        encoder: User tower's encoder.
        item_init: Start of its items, or of those that the trained model does not know.
        towers: Settings of the towers.
        trained: Towers that go on; None for others.
    """

    encoder: "Encoder"
    item_init: "ItemInit"
    towers: TowersConfig
    trained: "TwoTower | None" = None

    @property
    def features(self) -> tuple[str, ...]:
        """Features of positions, by name."""
        return tuple(feature.name for feature in self.encoder.config.features)

    def copy_mlps(self, model: "TwoTower") -> None:
        """Take over the MLPs over features of towers that go on; their tables may have grown."""
        from recsys_bert.user_encoder.growth import copy_grown

        if self.trained is not None:
            copy_grown(model, self.trained.state_dict(), without=("encoder.", "item_loss.", "last."))


def start_towers(
    dataset: "ClickDataset",
    init: Path | None,
    *,
    encoder: EncoderConfig,
    features: tuple[str, ...],
    item_init: "ItemInit",
    towers: TowersConfig,
    similarity: str,
    dropout: float | None,
    residual_scale: float | None,
    attention: Attention = "causal",
) -> Start:
    """Make the encoder, or load that of ``init``, set its attention and grow it to the items of the log.

    Args:
        dataset: The log.
        init: Run of ``pretrain`` or ``train-retrieval``; None for a new encoder.
        encoder: Settings as named; those of ``init`` count.
        features: Features of positions, likewise.
        item_init: Start of items.
        towers: Settings of the towers, likewise.
        similarity: Of the loss.
        dropout: Dropout of a trained encoder from here on; None keeps it.
        residual_scale: Factor on the branches of a trained encoder; None keeps them.
        attention: Attention, as the training needs it.

    Raises:
        InputError: No such run, one of another vocabulary, or settings that differ from those of ``init``.
    """
    from recsys_bert.retrieval.two_tower import TwoTower
    from recsys_bert.user_encoder.growth import resolve_new_items
    from recsys_bert.user_encoder.item_init import resolve_item_init

    if init is None:
        item_init = resolve_item_init(item_init, dataset)
        return Start(_new_encoder(dataset, encoder, features, item_init, attention), item_init, towers)
    trained = _load(init, dataset)
    item_init = resolve_new_items(item_init, dataset, trained.encoder.config.vocab_size)
    going_on = trained if isinstance(trained, TwoTower) else None
    if going_on is not None:
        towers = _towers(towers, similarity, going_on, init)
    grown = _grown_encoder(dataset, init, trained.encoder, dropout, item_init, attention)
    start = Start(grown, item_init, towers, going_on)
    check_derived(encoder, start.encoder.config, f"init {init} has")
    if features not in ((), start.features):
        raise InputError(f"features are {list(features)}, but init {init} has {list(start.features)}. Leave them out.")
    if residual_scale is not None:
        start.encoder.scale_residual_branches(residual_scale)
    return start


def _load(init: Path, dataset: "ClickDataset") -> "PretrainedEncoder | TwoTower":
    """A pretrained encoder, or towers, each as it was trained."""
    from recsys_bert.retrieval.two_tower_ranker import load_two_tower
    from recsys_bert.user_encoder.checkpoint import load_encoder

    if (init / "two_tower" / "config.json").is_file():
        return load_two_tower(init, dataset).model
    return load_encoder(init, dataset)


def _towers(towers: TowersConfig, similarity: str, trained: "TwoTower", init: Path) -> TowersConfig:
    """Settings of towers that go on, which may not be named otherwise."""
    for name, value in vars(towers).items():
        before = getattr(trained.config, name)
        if value not in (before, getattr(TowersConfig(), name)):
            raise InputError(f"towers.{name} is {value}, but init {init} has {before}. Leave it out.")
    if similarity != (before := trained.item_loss.config.similarity):
        raise InputError(f"loss.similarity is {similarity}, but init {init} has {before}. Give the same.")
    return trained.config


def _new_encoder(
    dataset: "ClickDataset",
    config: EncoderConfig,
    features: tuple[str, ...],
    item_init: "ItemInit",
    attention: Attention,
) -> "Encoder":
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.user_encoder.checkpoint import feature_configs
    from recsys_bert.user_encoder.item_init import init_items

    size, read = dataset.vocabulary.size, feature_configs(dataset, features)
    encoder = Encoder(replace(config, vocab_size=size, attention=attention, features=read))
    check_derived(config, encoder.config, "the data gives")
    init_items(encoder, dataset, item_init)
    return encoder


def _grown_encoder(
    dataset: "ClickDataset",
    init: Path,
    trained: "Encoder",
    dropout: float | None,
    item_init: "ItemInit",
    attention: Attention,
) -> "Encoder":
    from recsys_bert.user_encoder.checkpoint import grown_config, grown_from

    config = replace(grown_config(trained.config, dataset), attention=attention)
    config = config if dropout is None else replace(config, dropout=dropout)
    return grown_from(trained, config, dataset, item_init, init)
