"""Settings of a text encoder that is trained with a model of items. Plain values: importing this is instant."""

from dataclasses import dataclass

from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class TextTrainingConfig:
    """Settings of a text encoder that is trained with the towers."""

    lr: float = 1e-4
    """Learning rate of the text encoder; everything else has train.lr."""

    max_len: int = 32
    """Tokens that are read of a text, special ones included."""

    frozen_layers: int = 0
    """Lower layers that stay as they are, with the token embeddings; 0: all of it is trained."""

    chunk: int = 4096
    """Tokens that are encoded at a time, padding included."""

    checkpointing: bool = False
    """Keep the activations of one chunk at a time, and compute them again for the gradients: memory is bounded by
    ``chunk``, and a step takes a third longer."""

    max_items: int = 0
    """Distinct items that are encoded with gradients in one step, targets first; others take part with their vector of
    the step that encoded them last. 0: all items of the step are encoded."""

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise InputError(
                f"text_training.lr is {self.lr}; it must be above 0. For a frozen encoder, give text a folder of "
                "item-vectors."
            )
        for name, least in (("max_len", 8), ("frozen_layers", 0), ("chunk", 1), ("max_items", 0)):
            if getattr(self, name) < least:
                raise InputError(f"text_training.{name} is {getattr(self, name)}; it must be at least {least}.")
