"""Settings of a CTR model's parts: embeddings, head, tasks, history. No torch in here."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from recsys_bert.ctr.heads import CTR_HEADS
from recsys_bert.ctr.multi_task import MULTI_TASK
from recsys_bert.errors import InputError

HeadOptions = dict[str, bool | int | float | str | list[int]]
"""Options of a head, or of a multi-task part, as a recipe names them."""

DEFAULT_HISTORY_LEN = 50
DEFAULT_ENCODER_LR = 1e-4


@dataclass(frozen=True, kw_only=True)
class CTRModelConfig:
    """Embeddings, head, and how the history enters."""

    head: str = field(default="dcn_v2", metadata={"names": CTR_HEADS})
    """A name in ``CTR_HEADS``, or ``module:Class``."""

    head_options: HeadOptions = field(default_factory=dict)
    """Options of the head."""

    multi_task: str = field(default="shared_bottom", metadata={"names": MULTI_TASK})
    """With several labels: a name in ``MULTI_TASK``, or ``module:Class``; it stands on the head."""

    multi_task_options: HeadOptions = field(default_factory=dict)
    """Options of the multi-task part."""

    task_weights: dict[str, float] = field(default_factory=dict)
    """Weight of each label's loss, by its name in ``columns.labels``; 1 where it is left out."""

    dim: int = 16
    """Width of one field's vector."""

    init_std: float = 0.01
    """Standard deviation of the initial embeddings."""

    item_init: Literal["random", "ppmi", "item2vec", "item2vec_cbow", "glove"] = "random"
    """Initial item embeddings of history and target, without an encoder: random; or from the training events of the
    prepared log, which need no labels: factorised positive pointwise mutual information of neighbours (seconds),
    item2vec or GloVe."""

    wide: Literal["none", "ppmi"] = "none"
    """Linear part beside the head. ppmi: logistic regression over PPMI vectors of target and views, fitted before the
    head, which then learns what it leaves; with few labels most of the model."""

    embedding_l2: float = 0.0
    """Half this times the sum of the squared feature embeddings is added to the mean loss, over the whole table."""

    history_len: int | None = None
    """Last events before the impression that are read; 0 leaves the history out. None: 50 with a prepared log or
    ``columns.history``, 0 without."""

    encoder: Path | None = None
    """Run folder of ``pretrain`` on the same prepared log; None: plain item embeddings."""

    encoder_mode: Literal["frozen", "fine_tuned"] = "frozen"
    """Leave the encoder as it is, or train it with ``encoder_lr``."""

    encoder_lr: float | None = None
    """Learning rate of a fine-tuned encoder; None: 1e-4."""

    def __post_init__(self) -> None:
        if self.dim < 1 or (self.history_len or 0) < 0 or self.init_std <= 0 or self.embedding_l2 < 0:
            raise InputError(
                f"model: dim is {self.dim} (at least 1), history_len {self.history_len} and embedding_l2 "
                f"{self.embedding_l2} (not negative), init_std {self.init_std} (above 0)."
            )
        if bad := {name: weight for name, weight in self.task_weights.items() if not 0 < weight < float("inf")}:
            raise InputError(f"model.task_weights has {bad}; a weight is above 0. Leave a label out of columns.labels.")
        if self.encoder_lr is not None and not self.encoder_lr > 0:
            raise InputError(f"model.encoder_lr is {self.encoder_lr}; it must be above 0. Use encoder_mode = 'frozen'.")
        if self.fine_tuned and self.encoder is None:
            raise InputError(
                "model.encoder_mode is 'fine_tuned', but there is no model.encoder. Name a run of pretrain."
            )
        if not self.fine_tuned and self.encoder_lr is not None:
            raise InputError(
                f"model.encoder_lr is {self.encoder_lr}, but encoder_mode {self.encoder_mode!r} trains no encoder. "
                "Leave it out, or give an encoder and encoder_mode = 'fine_tuned'."
            )
        if self.item_init != "random" and (self.encoder is not None or self.history_len == 0):
            reason = "model.history_len is 0" if self.encoder is None else "items are those of model.encoder"
            raise InputError(
                f"model.item_init is {self.item_init!r}, but {reason}. Leave it out"
                + ("." if self.encoder is None else ", or pretrain the encoder with that item_init.")
            )
        if self.wide != "none" and self.history_len == 0:
            raise InputError(
                f"model.wide is {self.wide!r}, which reads histories, but model.history_len is 0. Leave one out."
            )
        if self.encoder is not None and self.history_len == 0:
            raise InputError("model.encoder reads histories, but model.history_len is 0. Leave one of them out.")

    @property
    def fine_tuned(self) -> bool:
        """True if the encoder is trained."""
        return self.encoder_mode == "fine_tuned"

    def check_dataset(self, has_dataset: bool, history: str | None = None) -> None:
        """Refuse a history without a prepared log or a column, and a column that is not read.

        Args:
            has_dataset: There is a prepared log.
            history: The history column.

        Raises:
            InputError: See above.
        """
        if history is not None and self.history_len == 0:
            raise InputError(
                f"columns.history is {history!r}, but model.history_len is 0, which reads none. Leave one of them out."
            )
        if not has_dataset and history is None and self.history_len:
            raise InputError(
                f"model.history_len is {self.history_len}, but histories come from a prepared log or from "
                "columns.history. Give one, or leave it out."
            )
        for name, default in (("item_init", "random"), ("wide", "none")):
            if not has_dataset and (value := getattr(self, name)) != default:
                raise InputError(
                    f"model.{name} is {value!r}, which reads the training events of a prepared log. Give one, or leave "
                    "it out."
                )
        if not has_dataset and self.encoder is not None:
            raise InputError("model.encoder reads histories, which come from a prepared log. Give one as well.")

    def resolved(self, has_history: bool) -> "CTRModelConfig":
        """Fill in the defaults that depend on the history and on the encoder."""
        default = DEFAULT_HISTORY_LEN if has_history else 0
        lr = DEFAULT_ENCODER_LR if self.fine_tuned and self.encoder_lr is None else self.encoder_lr
        return replace(self, history_len=default if self.history_len is None else self.history_len, encoder_lr=lr)
