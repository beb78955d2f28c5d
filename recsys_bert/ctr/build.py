"""Build a CTR model from its settings, with fresh weights but for a pretrained encoder's."""

from pathlib import Path

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.ctr.config import CTRConfig
from recsys_bert.ctr.features import Features
from recsys_bert.ctr.history import EncodedItems, PlainItems
from recsys_bert.ctr.model import CTRModule
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.ctr.side import full_layout
from recsys_bert.ctr.views import ViewsPart
from recsys_bert.errors import InputError
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, load_encoder


def build_module(
    config: CTRConfig,
    features: Features,
    dataset: ClickDataset | None,
    encoder_run: Path | None = None,
    pretrained: PretrainedEncoder | None = None,
) -> CTRModule:
    """Build the model.

    Args:
        config: Resolved settings.
        features: Those of the impressions' columns.
        dataset: The prepared log.
        encoder_run: Load the encoder from here instead of ``config.model.encoder``.
        pretrained: The encoder, where it is not to be loaded.

    Raises:
        InputError: The encoder is of another vocabulary or reads too few items, a part is unknown, or a setting has no
            effect.
    """
    layout, model, n_tasks = full_layout(features, config.features, dataset), config.model, len(config.columns.tasks)
    reader: PlainItems | EncodedItems | None = None
    if dataset is not None and model.encoder is not None:
        encoder = load_encoder(encoder_run or model.encoder, dataset) if pretrained is None else pretrained
        reader = _reader(model, encoder)
    elif model.history_len:
        n_items = 0 if features.items is None else features.items.n_rows
        reader = PlainItems(n_items if dataset is None else dataset.vocabulary.size, model.dim, model.init_std)
    if model.embedding_l2 and not layout.fields:
        raise InputError(
            f"model.embedding_l2 is {model.embedding_l2}, but no feature has an embedding here. Leave it out."
        )
    wide = ViewsPart(dataset.vocabulary.size, n_tasks) if dataset is not None and model.wide == "ppmi" else None
    return CTRModule(layout, model, reader, n_tasks, wide)


def _reader(config: CTRModelConfig, pretrained: PretrainedEncoder) -> EncodedItems:
    longest = pretrained.longest_history
    if config.history_len is not None and config.history_len > longest:
        raise InputError(f"model.history_len is {config.history_len}; this encoder reads {longest} items at most.")
    return EncodedItems(pretrained, config.dim, frozen=not config.fine_tuned)
