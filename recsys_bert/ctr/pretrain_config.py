"""Settings of pretraining a CTR model on its fields. No torch in here."""

from dataclasses import dataclass, field

from recsys_bert.ctr.objectives import CTR_OBJECTIVES
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class FieldPretrainConfig:
    """Pretraining on fields, before the labels.

    It reads all training impressions, also those that ``train_fraction`` leaves out.
    """

    objective: str = field(default="none", metadata={"names": CTR_OBJECTIVES})
    """``none``, or a name in ``CTR_OBJECTIVES``, or ``module:Class``: masked_feature or replaced_feature of MAP."""

    options: Options = field(default_factory=dict)
    """Options of the objective, such as masked_feature's mask_prob."""

    epochs: int = 3
    """Passes over the impressions."""

    lr: float | None = None
    """Learning rate; None: train.lr."""

    def __post_init__(self) -> None:
        if self.objective != "none":
            check_name("CTR objective", self.objective, CTR_OBJECTIVES)
        if self.epochs < 1 or (self.lr is not None and not self.lr > 0):
            raise InputError(f"pretrain: epochs is {self.epochs} (at least 1), lr {self.lr} (above 0).")
        named = self.options or self.epochs != type(self).epochs or self.lr is not None
        if self.objective == "none" and named:
            raise InputError("pretrain.objective is none, so that pretrain's options, epochs and lr have no effect.")
