"""Export to transformers: encoder, head and tokenizer in a folder that its Auto classes open."""

from pathlib import Path

from nlp_tasks.export.exportable import Exportable, save_tokenizer
from recsys_bert.encoder.hugging_face.save import CheckpointHead, save_checkpoint, unsavable
from recsys_bert.errors import InputError


def check(exportable: Exportable) -> None:
    """Refuse what transformers has no model for.

    Raises:
        InputError: The message names every reason.
    """
    head = exportable.checkpoint
    reasons = unsavable(exportable.encoder, head if isinstance(head, CheckpointHead) else CheckpointHead())
    reasons += [head] if isinstance(head, str) else []
    if reasons:
        raise InputError(f"transformers has no model like this {exportable.what}: {'; '.join(reasons)}.")


def write(exportable: Exportable, folder: Path) -> None:
    """Write the folder."""
    head = exportable.checkpoint
    assert isinstance(head, CheckpointHead)
    save_checkpoint(exportable.encoder, folder, head, exportable.tokenizer.pad_row)
    save_tokenizer(exportable, folder)
