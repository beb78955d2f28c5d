"""A CTR model that goes on with new impressions: values, items and users that it knows keep their weights.

New values of a field start at the mean of its values, new items as in ``recsys_bert.user_encoder.growth``; numbers keep
the mean, deviation and buckets of the first training, so that weights mean the same.
"""

from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

import polars as pl
import torch

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.ctr.build import build_module
from recsys_bert.ctr.checkpoint import CTRModel
from recsys_bert.ctr.config import ColumnsConfig, CTRConfig, FeaturesConfig
from recsys_bert.ctr.features import FIRST, Features
from recsys_bert.ctr.history import EncodedItems, PlainItems
from recsys_bert.ctr.items import FIRST_ITEM, ItemVocabulary
from recsys_bert.ctr.model import CTRModule
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.ctr.side import full_layout
from recsys_bert.errors import InputError
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, grown_encoder
from recsys_bert.user_encoder.growth import copy_grown, new_rows, resolve_new_items

T = TypeVar("T", bound=CTRConfig)
ALSO_MAY_DIFFER = ("encoder", "encoder_mode", "encoder_lr", "embedding_l2", "task_weights")
"""Settings of the model that may change from one training to the next."""


def continued_config(config: T, start: CTRConfig, init: object) -> T:
    """Settings of a training that goes on: columns, features and model of the first one.

    Args:
        config: As given.
        start: Of the model that goes on, resolved.
        init: Its run.

    Raises:
        InputError: A setting, other than its default, is another there.
    """
    groups = {}
    for name, kind in (("columns", ColumnsConfig), ("features", FeaturesConfig), ("model", CTRModelConfig)):
        named, before, default = getattr(config, name), getattr(start, name), kind()
        changes = {}
        for setting in (field.name for field in fields(kind)):
            value = getattr(named, setting)
            if value in (getattr(default, setting), getattr(before, setting)):
                continue
            if name != "model" or setting not in ALSO_MAY_DIFFER:
                raise InputError(
                    f"{name}.{setting} is {value!r}, but init {init} has {getattr(before, setting)!r}. Leave it out."
                )
            changes[setting] = value
        groups[name] = replace(before, **changes)
    return replace(config, **groups)


def grown_features(start: Features, today: Features) -> Features:
    """Features of a model with the values of new impressions behind those that it knows.

    Args:
        start: Those of the model.
        today: Fitted on the new training impressions, from the same columns.
    """
    values, layout = {}, []
    for old, new in zip(start.layout.fields, today.layout.fields, strict=True):
        if old.name in start.values:
            values[old.name] = _joined(start.values[old.name], today.values[old.name])
            old = replace(old, size=FIRST + len(values[old.name]), width=max(old.width, new.width))
        layout.append(old)
    items = start.items
    if items is not None and today.items is not None:
        items = ItemVocabulary(_joined(items.ids, today.items.ids))
    return replace(start, layout=replace(start.layout, fields=tuple(layout)), values=values, items=items)


def _joined(known: pl.Series, here: pl.Series) -> pl.Series:
    """Known values, then those that are new."""
    return pl.concat([known, here.filter(~here.is_in(known.implode())).rename(known.name)])


def grown_module(
    start: CTRModel, config: CTRConfig, features: Features, dataset: ClickDataset | None, encoder_run: Path | None
) -> CTRModule:
    """Model of all values, items and users, with the weights of the one that goes on.

    Args:
        start: The model that goes on, loaded for ``dataset``.
        config: Resolved settings.
        features: Grown ones.
        dataset: The prepared log.
        encoder_run: Run of ``pretrain`` whose encoder replaces the model's; None keeps the model's.

    Raises:
        InputError: The log has other side features.
    """
    layout = full_layout(features, config.features, dataset)
    old_layout = full_layout(start.features, config.features, start.dataset)
    names = [[field.name for field in one.fields] for one in (old_layout, layout)]
    if names[0] != names[1]:
        raise InputError(f"the fields are {names[1]}, but the model of init has {names[0]}. Give the same side tables.")
    pretrained = _encoder(start, dataset) if encoder_run is None else None
    module = build_module(config, features, dataset, encoder_run, pretrained)
    state = start.module.state_dict()
    apart = ("table.", "reader.items.", "reader.prediction.", "wide.vectors", "wide.log_views")
    copy_grown(module, state, without=apart)
    with torch.no_grad():
        table, old_table = module.table.weight, start.module.table.weight
        for field, old, new_at, old_at in zip(
            layout.fields, old_layout.fields, layout.offsets, old_layout.offsets, strict=True
        ):
            table[new_at : new_at + old.size] = old_table[old_at : old_at + old.size]
            if field.size > old.size > FIRST:
                mean = old_table[old_at + FIRST : old_at + old.size].mean(0)
                table[new_at + old.size : new_at + field.size] = mean
        reader, old_reader = module.reader, start.module.reader
        if isinstance(reader, PlainItems) and isinstance(old_reader, PlainItems):
            _grow_items(reader.items.weight, old_reader.items.weight, dataset)
        if module.wide is not None and start.module.wide is not None:
            module.wide.place(start.module.wide.view_vectors)  # new items have no vector in that space
    return module


def _encoder(start: CTRModel, dataset: ClickDataset | None) -> PretrainedEncoder | None:
    """The model's encoder, with rows for all items of the log."""
    reader = start.module.reader
    if not isinstance(reader, EncodedItems) or dataset is None:
        return None
    return grown_encoder(reader.pretrained, dataset, Path("init"))


def _grow_items(table: torch.Tensor, known: torch.Tensor, dataset: ClickDataset | None) -> None:
    """Copy the rows of known items; new ones start near their neighbours in the log, or at the mean without one."""
    table[: len(known)] = known
    if len(table) == len(known):
        return
    if dataset is None:
        table[len(known) :] = known[FIRST_ITEM:].mean(0) if len(known) > FIRST_ITEM else 0
    elif resolve_new_items("auto", dataset, len(known)) != "random":
        table[len(known) :] = torch.from_numpy(new_rows(known.cpu().numpy(), dataset))
