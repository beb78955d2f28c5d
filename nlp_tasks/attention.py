"""Attention of a text encoder as one HTML file: heads, fusion weights and probes per layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, no_grad

from nlp_tasks.config import LengthConfig
from nlp_tasks.examples import text_list
from nlp_tasks.inputs import longest, read_texts
from nlp_tasks.model import on_device
from recsys_bert.encoder.inspection import inspect_encoder
from recsys_bert.errors import InputError
from recsys_bert.pages.inside import layer_names, page_case
from recsys_bert.pages.page import render, write_page

if TYPE_CHECKING:
    from nlp_tasks.text_encoder import TextEncoder

_PROBED = 1_000  # labelled texts at most: a laptop reads them in half a minute


def show_attention(
    encoder: "TextEncoder",
    texts: Sequence[str],
    out: Path | str,
    *,
    labelled: tuple[Sequence[str], Sequence[str]] | None = None,
    max_len: int = 64,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a page that shows what a text encoder does with texts.

    Args:
        encoder: The encoder; of a text task, ``TextEncoder.load`` of its run.
        texts: Texts to look at; of longer ones than ``max_len`` the beginning.
        out: HTML file to write.
        labelled: Texts and their labels, which linear probes read from the mean of each layer's states.
        max_len: Tokens shown at most, special ones included.
        seed: Of the labelled texts that probes learn from.

    Returns:
        Counts: texts, layers, heads; accuracy of each layer's probe.

    Raises:
        InputError: No text, no list of texts, or lists of different lengths.
    """
    data = attention_data(encoder, texts, max_len=max_len)
    data["probe"] = None if labelled is None else _probes(encoder, *labelled, seed)
    write_page(Path(out), render("attention", "Attention of a text encoder", data))
    config, accuracy = encoder.encoder.config, None if labelled is None else data["probe"]["accuracy"]
    return {"cases": len(data["cases"]), "layers": config.n_layers, "heads": config.n_heads, "probes": accuracy}


def attention_data(encoder: "TextEncoder", texts: Sequence[str], *, max_len: int = 64) -> dict[str, Any]:
    """Inner values of a text encoder over texts, as the attention page reads them.

    Args:
        encoder: The encoder.
        texts: Texts to look at.
        max_len: Tokens at most, special ones included; of longer texts the beginning.

    Raises:
        InputError: No text, no list of texts, or too few tokens.
    """
    if not (texts := text_list(texts)):
        raise InputError("give a text to look at.")
    if max_len < 3:
        raise InputError(f"max_len is {max_len}; it must be at least 3, for two special tokens and one of the text.")
    inner, cases = encoder.encoder, []
    missing: tuple[str, ...] = ()
    for text in texts:
        batch = _batch(encoder, text, max_len)
        inspection = inspect_encoder(inner.eval(), **batch)
        ids, missing = batch["tokens"][0].tolist(), inspection.missing
        title = text if len(text) <= 60 else text[:60] + "…"
        cases.append(page_case(title, encoder.tokenizer.tokens(ids), inspection))
    return {
        "cases": cases,
        "layers": layer_names(inner.config.n_layers),
        "missing": list(missing),
        "probe": None,
        "nearest_title": "",
        "nearest_note": "",
    }


def _batch(encoder: "TextEncoder", text: str, max_len: int) -> dict[str, Tensor]:
    """Arguments of the encoder for one text."""
    config = encoder.encoder.config
    length = LengthConfig(max_len=min(max_len, longest(encoder.length, config)), head_share=1.0)
    inputs = read_texts(encoder.tokenizer, [text], None, length, length.max_len or config.max_len)
    batch = on_device(encoder.encoder, inputs.gather(np.zeros(1, np.int64)))
    names = ("tokens", "segments") if config.n_segments > 1 else ("tokens",)
    return {name: batch[name].long() for name in names}


@no_grad()
def _probes(encoder: "TextEncoder", texts: Sequence[str], labels: Sequence[str], seed: int) -> dict[str, Any]:
    from recsys_bert.evaluation.probes import probe_layers

    if len(texts) != len(labels):
        raise InputError(f"{len(texts)} texts and {len(labels)} labels are given; there is one label a text.")
    rows = np.sort(np.random.default_rng(seed).permutation(len(texts))[:_PROBED])
    means, inner = [], encoder.encoder.eval()
    for row in rows.tolist():
        states = inner(**_batch(encoder, texts[row], 128)).states
        means.append(np.stack([state[0].mean(0).float().cpu().numpy() for state in states]))
    by_layer = list(np.stack(means).swapaxes(0, 1)) if means else []
    chosen_labels = np.array(labels, dtype=object)[rows].astype(str)
    result = probe_layers(by_layer, chosen_labels, np.arange(len(rows)), seed)
    return {"label": "the label of a text, from the mean of its tokens' states", **result}
