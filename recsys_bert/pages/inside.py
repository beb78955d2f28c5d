"""Inner values of an encoder as the attention page reads them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from recsys_bert.pages.page import packed


def layer_names(n_layers: int) -> list[str]:
    """Names of the states: the embeddings and every layer."""
    return ["embeddings", *(f"layer {number}" for number in range(1, n_layers + 1))]


def page_case(title: str, tokens: Sequence[str], inspection: Any, nearest: Any = None) -> dict[str, Any]:
    """One text or history.

    Args:
        title: Its name on the page.
        tokens: Its tokens, ``[seq]``; positions after them are left out.
        inspection: ``encoder.inspection.Inspection`` of a batch whose first row it is.
        nearest: Names and scores nearest to each state, or None.
    """
    n = len(tokens)
    layers: list[Any] = []
    for weights in inspection.attention:
        if weights is None:
            layers.append(None)
            continue
        heads = np.asarray(weights[0, :, :n, :n].float().cpu())
        most = heads.reshape(len(heads), -1).max(1).clip(1e-9)
        bytes_ = np.round(heads / most[:, None, None] * 255)
        layers.append({"heads": len(heads), "most": [float(one) for one in most], "weights": packed(bytes_, "uint8")})
    fusion = None if inspection.fusion is None else np.asarray(inspection.fusion[0, :n].float().cpu()).round(4).tolist()
    return {"title": title, "tokens": list(tokens), "attention": layers, "fusion": fusion, "nearest": nearest}
