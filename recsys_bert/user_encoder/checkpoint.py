"""Save and load a pretrained encoder with what ranking needs: vocabulary, objective, loss."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.encoder.config import EncoderConfig, FeatureConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.settings import check_settings, fill

Objective = Literal["masked", "next"]


def feature_configs(dataset: "ClickDataset", names: tuple[str, ...]) -> tuple[FeatureConfig, ...]:
    """Describe the item features that an encoder is to read.

    Raises:
        InputError: There is no such feature.
    """
    known = dataset.item_features
    for name in names:
        if name not in known:
            raise InputError(
                f"the prepared log has no item feature {name!r}; it has {', '.join(sorted(known)) or 'none'}. "
                "Give `prepare` a side table of items, or leave the feature out."
            )
    return tuple(
        FeatureConfig(name=name, size=max(2, dataset.item_feature_sizes[name]), multi=known[name].shape[1] > 1)
        for name in names
    )


def check_times(dataset: "ClickDataset", config: EncoderConfig) -> None:
    """Refuse a log that cannot say when events happened for an encoder that reads it.

    Raises:
        InputError: The log has no times.
    """
    if config.needs_times and not dataset.has_times:
        raise InputError(
            f"encoder.times and encoder.time_gaps read when events happened, but {dataset.folder} has no times. "
            "Leave them out, or prepare a log with a time column."
        )


def save_encoder(folder: Path, prediction: TokenPrediction, objective: Objective, dataset: "ClickDataset") -> None:
    """Write a pretrained encoder with what it takes to rank with it: vocabulary, objective and loss."""
    prediction.encoder.save(folder)
    dataset.vocabulary.save(folder / "vocabulary.parquet")
    about = {"objective": objective, "loss": asdict(prediction.loss), "prepared": dataset.fingerprint}
    write_json(folder / "objective.json", about)


def load_encoder(run: Path, dataset: "ClickDataset") -> tuple[Encoder, Objective, LossConfig]:
    """Load ``run/encoder`` and check that its rows mean the same items as the prepared log's.

    Raises:
        InputError: No encoder there, a damaged one, or one of another vocabulary or other features.
    """
    folder = run / "encoder"
    if not (folder / "config.json").exists():
        raise InputError(
            f"{run} holds no pretrained encoder ({folder / 'config.json'} is missing). Run pretrain first."
        )
    objective = read_json(folder / "objective.json")
    dataset.check_same(objective["prepared"])
    encoder = Encoder.load(folder)
    check_times(dataset, encoder.config)
    wanted = encoder.config.features
    if feature_configs(dataset, tuple(feature.name for feature in wanted)) != wanted:
        raise InputError(f"the item features of {dataset.folder} are not those that {folder} was trained with.")
    loss = fill(LossConfig, check_settings(LossConfig, objective["loss"], f"{folder / 'objective.json'}, loss"))
    return encoder, objective["objective"], loss


def take_weights(encoder: "Encoder", given: "Encoder", source: Path) -> None:
    """Start ``encoder`` from the weights of ``given``, which differs at most in being causal or not.

    Raises:
        InputError: Being causal changes what weights it has.
    """
    try:
        encoder.load_state_dict(given.state_dict())
    except RuntimeError as error:
        raise InputError(
            f"the encoder of {source} cannot become {'causal' if encoder.config.causal else 'bidirectional'}: its "
            f"{given.config.neck} neck has other weights then. Pretrain with the other objective, or with another neck."
        ) from error
