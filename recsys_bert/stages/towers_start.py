"""Start of two towers: from a new encoder, a pretrained one, or towers that go on; grown to the items of the log."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.retrieval.config import TowersConfig
from recsys_bert.stages.encoder_settings import check_derived

if TYPE_CHECKING:
    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.retrieval.two_tower import TwoTower
    from recsys_bert.user_encoder.checkpoint import PretrainedEncoder
    from recsys_bert.user_encoder.item_init import ItemInit


def load_start(init: Path, dataset: "ClickDataset") -> "PretrainedEncoder | TwoTower":
    """Trained model that towers start from: a pretrained encoder, or towers, each as it was trained.

    Raises:
        InputError: No such run, or its vocabulary is not one that the log's grew from.
    """
    from recsys_bert.retrieval.two_tower_ranker import load_two_tower
    from recsys_bert.user_encoder.checkpoint import load_encoder

    if (init / "two_tower" / "config.json").is_file():
        return load_two_tower(init, dataset).model
    return load_encoder(init, dataset)


def start_towers(
    towers: TowersConfig, similarity: str, trained: "PretrainedEncoder | TwoTower | None", init: Path | None
) -> TowersConfig:
    """Settings of the towers: those of towers that go on, which may not be named otherwise.

    Args:
        towers: As named.
        similarity: Of the loss.
        trained: What the towers start from.
        init: Its run.

    Raises:
        InputError: They are, or the similarity is another one.
    """
    from recsys_bert.retrieval.two_tower import TwoTower

    if not isinstance(trained, TwoTower):
        return towers
    for name, value in vars(towers).items():
        before = getattr(trained.config, name)
        if value not in (before, getattr(TowersConfig(), name)):
            raise InputError(f"towers.{name} is {value}, but init {init} has {before}. Leave it out.")
    if similarity != (before := trained.item_loss.config.similarity):
        raise InputError(f"loss.similarity is {similarity}, but init {init} has {before}. Give the same.")
    return trained.config


def copy_mlps(model: "TwoTower", trained: "TwoTower") -> None:
    """Take over the MLPs over features of trained towers; their tables may have grown."""
    from recsys_bert.user_encoder.growth import copy_grown

    copy_grown(model, trained.state_dict(), without=("encoder.", "item_loss.", "last."))


def new_encoder(
    dataset: "ClickDataset", config: EncoderConfig, features: tuple[str, ...], item_init: "ItemInit"
) -> "Encoder":
    """User tower's encoder with fresh weights.

    Raises:
        InputError: A setting follows from the data, or there is no such feature.
    """
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.user_encoder.checkpoint import feature_configs
    from recsys_bert.user_encoder.item_init import init_items

    size, read = dataset.vocabulary.size, feature_configs(dataset, features)
    encoder = Encoder(replace(config, vocab_size=size, causal=True, features=read))
    check_derived(config, encoder.config, "the data gives")
    init_items(encoder, dataset, item_init)
    return encoder


def grown_encoder(
    dataset: "ClickDataset",
    init: Path,
    trained: "PretrainedEncoder | TwoTower",
    dropout: float | None,
    item_init: "ItemInit",
) -> "Encoder":
    """User tower's encoder from a trained one, made causal and grown to the items of the log.

    Args:
        dataset: The log.
        init: Run of the trained encoder.
        trained: Has it.
        dropout: From here on; None keeps that of the trained encoder.
        item_init: Start of the items that it does not know.

    Raises:
        InputError: A neck has other weights with causal attention.
    """
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.user_encoder.checkpoint import feature_configs, take_weights
    from recsys_bert.user_encoder.growth import init_new_items

    config = trained.encoder.config
    features = feature_configs(dataset, tuple(feature.name for feature in config.features))
    dropout = config.dropout if dropout is None else dropout
    size = dataset.vocabulary.size
    encoder = Encoder(replace(config, vocab_size=size, causal=True, features=features, dropout=dropout))
    take_weights(encoder, trained.encoder, init)
    init_new_items(encoder, config.vocab_size, dataset, item_init)
    return encoder
