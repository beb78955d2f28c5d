"""Checks of the layers that filter a history as a whole."""

from recsys_bert.errors import InputError


def check_filter(layer: str, causal: bool, filter_weight: float) -> None:
    """Refuse causal attention, and a weight of the filter that is no share.

    Args:
        layer: Name of the layer, for messages.
        causal: As the encoder sets it.
        filter_weight: Option of the layer.

    Raises:
        InputError: Either is so.
    """
    if causal:
        raise InputError(
            f"layer {layer!r} filters a history as a whole and cannot be causal. Train towers with crop 'every', or "
            "pretrain with objective 'masked' or 'last_item'."
        )
    if not 0 <= filter_weight <= 1:
        raise InputError(f"layer_options: filter_weight is {filter_weight}; it must lie in [0, 1].")
