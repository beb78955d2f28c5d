"""A pretrained encoder with what ranking needs: vocabulary, objective, loss."""

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from recsys_bert.checksums import check_intact, write_checksums
from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.clicks.lineage import EVENT_TYPE, FIRST_VALUE, UNKNOWN_VALUE
from recsys_bert.clicks.vocabulary import MASK, UNKNOWN
from recsys_bert.encoder.config import EncoderConfig, FeatureConfig
from recsys_bert.encoder.model import Encoder, EncoderOutput
from recsys_bert.encoder.parts import Options, saved_parts
from recsys_bert.encoder.times import repeat_last
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json
from recsys_bert.item_texts.text_feature import with_saved_text
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives.objective import Objective, build_objective
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.settings_types import check_settings, fill
from recsys_bert.user_encoder.encode import last_states
from recsys_bert.user_encoder.growth import copy_grown, init_new_items, resolve_new_items
from recsys_bert.user_encoder.item_init import ItemInit
from recsys_bert.user_encoder.trained_text import TrainedText, item_numbers

FORMAT = "recsys_bert.pretrained_encoder/2"
BY_IDS, BY_VECTORS = "ids", "vectors"
"""Items with a learned vector of their own each; or by text vectors alone, see ``text_items``."""


@dataclass(frozen=True)
class PretrainedEncoder:
    """A pretrained encoder, its output over the item table, and the objective, which says how a history is queried."""

    prediction: TokenPrediction
    """Encoder and item loss."""

    objective_name: str
    """Name of the objective, or ``module:Class``."""

    objective_options: Options = field(default_factory=dict)
    """Options of the objective."""

    known: ClickDataset | None = None
    """The log as the encoder knows it; None where it was not loaded for one."""

    items: str = BY_IDS
    """``ids`` or ``vectors``."""

    @cached_property
    def objective(self) -> Objective:
        """The objective itself."""
        return build_objective(self.objective_name, self.objective_options)

    @property
    def encoder(self) -> Encoder:
        """The encoder."""
        return self.prediction.encoder

    @property
    def reads_times(self) -> bool:
        """True if the encoder reads timestamps."""
        return self.encoder.config.needs_times

    @property
    def reads_event_types(self) -> bool:
        """True if the encoder reads event types."""
        return reads_event_types(self.encoder.config)

    @property
    def longest_history(self) -> int:
        """Events of a history at most, which leaves room for a mask if one is appended."""
        return self.encoder.config.max_len - int(self.objective.appends_mask)

    @property
    def reads_empty_histories(self) -> bool:
        """True if a history without events has an output: that of the mask alone."""
        return self.objective.appends_mask

    def append_query(
        self, rows: Tensor, lengths: Tensor, times: Tensor | None = None, event_types: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Histories as they are queried for the next item: with a mask at the end, or as they are.

        Args:
            rows: Item rows ``[batch, seq]``, padded with 0 on the right.
            lengths: Events of each, ``[batch]``.
            times: Unix seconds ``[batch, seq]``, if the encoder reads them; the query takes the last one.
            event_types: Codes of event types ``[batch, seq]``, if the encoder reads them; the query has none.

        Returns:
            Rows, lengths, times and event types; the query is each history's last position.
        """
        if not self.objective.appends_mask:
            return rows, lengths, times, event_types
        rows = torch.nn.functional.pad(rows, (0, 1)).scatter(1, lengths[:, None], MASK)
        times = None if times is None else repeat_last(times, lengths)
        types = None if event_types is None else torch.nn.functional.pad(event_types, (0, 1))
        return rows, lengths + 1, times, types

    def encode(self, rows: Tensor, times: Tensor | None = None, event_types: Tensor | None = None) -> EncoderOutput:
        """Encoder outputs of histories with their queries, ``[batch, seq]``.

        Rows past the encoder's table (items without training events) are read as unknown, with their own features.
        """
        tokens = rows.masked_fill(rows >= self.encoder.config.vocab_size, UNKNOWN)
        features = with_event_types(self.prediction.features(rows), event_types, self.encoder.config)
        encoded: EncoderOutput = self.encoder(tokens, features=features, times=times)
        return encoded

    def encode_last(
        self, rows: Tensor, lengths: Tensor, times: Tensor | None = None, event_types: Tensor | None = None
    ) -> Tensor:
        """Vectors of histories ``[batch, d]`` whose inner product with item vectors is the logit of the next item."""
        rows, lengths, times, event_types = self.append_query(rows, lengths, times, event_types)
        features = with_event_types(self.prediction.features(rows), event_types, self.encoder.config)
        hidden = last_states(self.encoder, rows, lengths, features, times)
        return self.prediction.queries(hidden)


def reads_event_types(config: EncoderConfig) -> bool:
    """True if an encoder reads event types."""
    return any(feature.name == EVENT_TYPE for feature in config.features)


def with_event_types(
    features: dict[str, Tensor] | None, event_types: Tensor | None, config: EncoderConfig
) -> dict[str, Tensor] | None:
    """Features of item rows beside the event types of their positions, if there are any; later ones as unknown."""
    if event_types is None:
        return features
    size = next(feature.size for feature in config.features if feature.name == EVENT_TYPE)
    return {**(features or {}), EVENT_TYPE: event_types.masked_fill(event_types >= size, UNKNOWN_VALUE)}


def feature_configs(dataset: ClickDataset, names: tuple[str, ...]) -> tuple[FeatureConfig, ...]:
    """Features that an encoder reads of every position, as its settings: those of items, and ``event_type``.

    Raises:
        InputError: There is no such feature.
    """
    known = {**dataset.item_features, **dataset.item_dense}
    for name in names:
        if name == EVENT_TYPE and not dataset.event_types:
            raise InputError(
                f"features has {EVENT_TYPE!r}, but the prepared log has no event types. Name their column with "
                "--log.event when preparing it, or leave the feature out."
            )
        if name not in known and name != EVENT_TYPE:
            raise InputError(
                f"the prepared log has no item feature {name!r}; it has {', '.join(sorted(known)) or 'none'}. "
                "Give `prepare` a side table of items, or leave the feature out."
            )
    return tuple(_feature_config(dataset, name) for name in names)


def _feature_config(dataset: ClickDataset, name: str) -> FeatureConfig:
    if name == EVENT_TYPE:
        return FeatureConfig(name=name, size=FIRST_VALUE + len(dataset.event_types))
    if name in dataset.item_dense:
        return FeatureConfig(name=name, width=dataset.item_dense[name].width)
    multi = dataset.item_features[name].shape[1] > 1
    return FeatureConfig(name=name, size=max(2, dataset.item_feature_sizes[name]), multi=multi)


def row_features(dataset: ClickDataset, config: EncoderConfig) -> dict[str, NDArray[Any] | TrainedText]:
    """Codes, or numbers, of each catalogue row of the item features that an encoder reads."""
    names = [feature.name for feature in config.features if feature.name != EVENT_TYPE]
    codes = dataset.item_features
    return {name: codes[name] if name in codes else item_numbers(dataset, name) for name in names}


def check_times(dataset: ClickDataset, config: EncoderConfig) -> None:
    """Refuse a log without times for an encoder that reads them.

    Raises:
        InputError: The log has no times.
    """
    if config.needs_times and not dataset.has_times:
        raise InputError(
            f"encoder.times and encoder.time_gaps read when events happened, but {dataset.folder} has no times. "
            "Leave them out, or prepare a log with a time column."
        )


def save_encoder(folder: Path, pretrained: PretrainedEncoder, dataset: ClickDataset) -> None:
    """Write an encoder with its vocabulary, objective and loss; ``load_encoder`` reads it."""
    pretrained.encoder.save(folder)
    dataset.save_vocabulary(folder)
    settings = {
        "format": FORMAT,
        "objective": pretrained.objective_name,
        "objective_options": pretrained.objective_options,
        "loss": asdict(pretrained.prediction.loss),
        "prepared": dataset.fingerprint,
        "items": pretrained.items,
    }
    write_json(folder / "objective.json", settings)
    write_checksums(folder)


def load_encoder(run: Path, dataset: ClickDataset) -> PretrainedEncoder:
    """Load ``run/encoder``, in evaluation mode, and check that its rows mean the same items as the dataset's.

    For a log whose vocabulary grew from that of the run, the items that came later are read as unknown.

    Raises:
        InputError: No encoder there, a damaged one, or one of another vocabulary, other features or an old format.
    """
    folder, settings = run / "encoder", read_settings(run)
    try:
        dataset = with_saved_text(dataset.known_to(settings["prepared"]), folder)
    except InputError as error:
        advice = "give the item vectors of this log" if settings.get("items") == BY_VECTORS else "pretrain one on text"
        raise InputError(
            f"{error} An encoder of items by text alone goes to any log: {advice} (--item-vectors)."
        ) from error
    encoder = Encoder.load(folder)
    check_times(dataset, encoder.config)
    features = encoder.config.features
    if feature_configs(dataset, tuple(feature.name for feature in features)) != features:
        raise InputError(f"the item features of {dataset.folder} are not those that {folder} was trained with.")
    prediction = TokenPrediction(
        encoder,
        fill(LossConfig, check_settings(LossConfig, settings["loss"], f"{folder / 'objective.json'}, loss")),
        first_row=dataset.vocabulary.first_item,
        features=row_features(dataset, encoder.config),
        unknown=UNKNOWN,
    )
    pretrained = PretrainedEncoder(
        prediction.eval(), settings["objective"], settings["objective_options"], dataset, settings.get("items", BY_IDS)
    )
    with saved_parts(folder):
        _ = pretrained.objective  # looked up now, as long as it is known that the artefact names it
    return pretrained


def read_settings(run: Path) -> dict[str, Any]:
    """Read ``objective.json`` of ``run/encoder``, whose files must be intact.

    Raises:
        InputError: No encoder there, a damaged one, or one of an old format.
    """
    folder = run / "encoder"
    if not (folder / "config.json").exists():
        raise InputError(
            f"{run} holds no pretrained encoder ({folder / 'config.json'} is missing). Run pretrain first."
        )
    settings = read_json(folder / "objective.json")
    if not isinstance(settings, dict) or settings.get("format", 1) != FORMAT:
        version = settings.get("format", 1) if isinstance(settings, dict) else None
        raise InputError(
            f"{folder}/objective.json has format {version!r}; this version reads {FORMAT!r}. Pretrain it again."
        )
    check_intact(folder, "pretrain it again")
    return settings


def grown_encoder(pretrained: PretrainedEncoder, dataset: ClickDataset, source: Path) -> PretrainedEncoder:
    """A trained encoder with rows for all items and feature values of a log; itself where it has them.

    Args:
        pretrained: Loaded for the log.
        dataset: The log.
        source: Run of the encoder.
    """
    known, prediction = pretrained.encoder.config, pretrained.prediction
    config = grown_config(known, dataset)
    if config == known:
        return replace(pretrained, known=dataset)
    item_init = resolve_new_items("auto", dataset, known.vocab_size)
    encoder = grown_from(pretrained.encoder, config, dataset, item_init, source)
    tables = row_features(dataset, encoder.config)
    grown = TokenPrediction(encoder, prediction.loss, first_row=prediction.first_row, features=tables, unknown=UNKNOWN)
    return replace(pretrained, prediction=grown.eval(), known=dataset)


def grown_config(config: EncoderConfig, dataset: ClickDataset) -> EncoderConfig:
    """Settings of a trained encoder with rows for all items and feature values of a log.

    Raises:
        InputError: The log lacks one of its features.
    """
    features = feature_configs(dataset, tuple(feature.name for feature in config.features))
    return replace(config, vocab_size=dataset.vocabulary.size, features=features)


def grown_from(
    trained: Encoder, config: EncoderConfig, dataset: ClickDataset, item_init: ItemInit, source: Path
) -> Encoder:
    """A new encoder with the weights of a trained one; items that this does not know start by ``item_init``.

    Args:
        trained: The trained encoder.
        config: As ``grown_config`` gives it; attention and dropout may be others.
        dataset: The log.
        item_init: See ``init_new_items``.
        source: Run of the trained encoder.

    Raises:
        InputError: See ``take_weights``.
    """
    encoder = Encoder(config)
    take_weights(encoder, trained, source)
    init_new_items(encoder, trained.config.vocab_size, dataset, item_init)
    return encoder


def take_weights(encoder: Encoder, pretrained: Encoder, source: Path) -> None:
    """Start ``encoder`` from the weights of ``pretrained``, whose attention may be another, and its tables smaller.

    Raises:
        InputError: A neck has other weights with the other attention.
    """
    try:
        copy_grown(encoder, pretrained.state_dict())
    except InputError as error:
        attention = encoder.config.attention
        raise InputError(
            f"the encoder of {source} cannot become {attention}: its {pretrained.config.neck} neck has other weights "
            "then. Pretrain with the other objective, or with another neck."
        ) from error
