"""Build a CTR model from its settings, with fresh weights but for a pretrained encoder's."""

from pathlib import Path

from recsys_bert.clicks.dataset import ClickDataset
from recsys_bert.ctr.history import EncodedItems, PlainItems
from recsys_bert.ctr.layout import Layout
from recsys_bert.ctr.model import CTRModule
from recsys_bert.ctr.model_config import CTRModelConfig
from recsys_bert.ctr.views import ViewsPart
from recsys_bert.errors import InputError
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, load_encoder


def build_module(
    config: CTRModelConfig,
    layout: Layout,
    dataset: ClickDataset | None,
    encoder_run: Path | None = None,
    n_tasks: int = 1,
    n_items: int = 0,
    pretrained: PretrainedEncoder | None = None,
) -> CTRModule:
    """Build the model.

    Args:
        config: Resolved settings.
        layout: All fields.
        dataset: The prepared log.
        encoder_run: Load the encoder from here instead of ``config.encoder``.
        n_tasks: Labels.
        n_items: Rows of the item table of a history column; 0 without one, or with a prepared log.
        pretrained: The encoder, where it is not to be loaded.

    Raises:
        InputError: The encoder is of another vocabulary or reads too few items, a part is unknown, or a setting has no
            effect.
    """
    reader: PlainItems | EncodedItems | None = None
    if dataset is not None and config.encoder is not None:
        encoder = load_encoder(encoder_run or config.encoder, dataset) if pretrained is None else pretrained
        reader = _reader(config, encoder)
    elif config.history_len:
        n_rows = n_items if dataset is None else dataset.vocabulary.size
        reader = PlainItems(n_rows, config.dim, config.init_std)
    if config.embedding_l2 and not layout.fields:
        raise InputError(
            f"model.embedding_l2 is {config.embedding_l2}, but no feature has an embedding here. Leave it out."
        )
    wide = ViewsPart(dataset.vocabulary.size, n_tasks) if dataset is not None and config.wide == "ppmi" else None
    return CTRModule(layout, config, reader, n_tasks, wide)


def _reader(config: CTRModelConfig, pretrained: PretrainedEncoder) -> EncodedItems:
    longest = pretrained.longest_history
    if config.history_len is not None and config.history_len > longest:
        raise InputError(f"model.history_len is {config.history_len}; this encoder reads {longest} items at most.")
    return EncodedItems(pretrained, config.dim, frozen=not config.fine_tuned)
