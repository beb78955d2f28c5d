"""Export to ONNX: ``model.onnx``, tokenizer and ``about.json``, compared with the model before they are kept."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nlp_tasks.export.exportable import Exportable, save_tokenizer
from nlp_tasks.heads.text_cnn import TextCNN
from recsys_bert.encoder.layers.hstu import HstuLayer
from recsys_bert.errors import InputError
from recsys_bert.files import write_json
from recsys_bert.onnx_files import MOST, check_onnxruntime, open_session, to_onnx


class _Outputs(nn.Module):
    """Model on inputs as transformers' tokenizers make them."""

    def __init__(self, exportable: Exportable) -> None:
        super().__init__()
        self.model, self.encoder = exportable.model, exportable.encoder
        self.pad_row, self.outputs = exportable.tokenizer.pad_row, exportable.outputs

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        tokens, pad = input_ids, self.pad_row
        if pad:
            zero, padding = tokens == 0, tokens == pad
            tokens = tokens.masked_fill(zero, pad).masked_fill(padding, 0)
        assert not isinstance(self.outputs, str)
        return self.outputs(self.encoder(tokens, segments=token_type_ids, mask=attention_mask.bool()))


def check(exportable: Exportable) -> None:
    """Refuse what ONNX cannot hold.

    Raises:
        InputError: The message names every reason; or onnxruntime is not installed.
    """
    check_onnxruntime("export to onnx")
    encoder = exportable.encoder
    reasons = [exportable.outputs] if isinstance(exportable.outputs, str) else []
    if encoder.config.exact_match:
        reasons.append("it has exact-match embeddings (exact_match)")
    if encoder.config.ngrams > 1:
        reasons.append("it has n-gram embeddings (ngrams)")
    if any(isinstance(layer, HstuLayer) for layer in encoder.layers):
        reasons.append("layer is 'hstu'")
    if isinstance(getattr(exportable.model, "head", None), TextCNN):
        reasons.append("head is 'text_cnn'")
    if reasons:
        raise InputError(f"this {exportable.what} cannot be exported to onnx: {'; '.join(reasons)}.")


def write(exportable: Exportable, folder: Path) -> None:
    """Write the folder.

    Raises:
        InputError: The outputs of the file differ from the model's.
    """
    module = _Outputs(exportable).eval()
    inputs = _sample(exportable, rows=2, width=min(8, exportable.max_len))
    file = folder / "model.onnx"
    name = str(exportable.about["output"])
    axes: dict[str, Any] = {one: {0: "batch", 1: "seq"} for one in inputs}
    axes[name] = {0: "batch", 1: "seq"} if exportable.about["per"] == "token" else {0: "batch"}
    file.write_bytes(to_onnx(module, inputs, name, axes))
    largest = _largest_difference(exportable, module, file)
    save_tokenizer(exportable, folder)
    about = {**exportable.about, "inputs": list(inputs), "max_len": exportable.max_len, "largest_difference": largest}
    write_json(folder / "about.json", about)


def _sample(exportable: Exportable, rows: int, width: int) -> dict[str, Tensor]:
    """Random inputs with padding."""
    generator = torch.Generator().manual_seed(rows)
    config, pad = exportable.encoder.config, exportable.tokenizer.pad_row
    lengths = torch.randint(2, width + 1, (rows, 1), generator=generator)
    lengths[0] = width
    mask = (torch.arange(width) < lengths).long()
    tokens = torch.randint(0, config.vocab_size, (rows, width), generator=generator)
    tokens = torch.where(tokens == pad, (pad + 1) % config.vocab_size, tokens)
    inputs = {"input_ids": torch.where(mask.bool(), tokens, pad), "attention_mask": mask}
    if config.n_segments > 1:
        inputs["token_type_ids"] = (torch.arange(width) > width // 2).long() * mask
    return inputs


def _largest_difference(exportable: Exportable, module: nn.Module, file: Path) -> float:
    """Compare the file with the model on inputs of other sizes than those it was traced with."""
    session = open_session(str(file), 1)
    largest = 0.0
    for rows, width in ((1, exportable.max_len), (5, max(2, exportable.max_len // 2))):
        inputs = _sample(exportable, rows, width)
        with torch.no_grad():
            expected = module(*inputs.values()).numpy()
        (actual,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        if exportable.about["per"] == "token":
            real = inputs["attention_mask"].bool().numpy()
            expected, actual = expected[real], actual[real]
        largest = max(largest, float(np.abs(expected - actual).max()))
    if not largest <= MOST:
        raise InputError(
            f"the exported {exportable.what} differs from the model by {largest:.1e}: one of its parts cannot be "
            "exported to onnx."
        )
    return largest
