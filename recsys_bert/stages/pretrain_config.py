"""Settings of pretraining. Plain values: importing this is instant."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError
from recsys_bert.item_texts.training_config import TextTrainingConfig
from recsys_bert.losses.config import LossConfig
from recsys_bert.objectives import OBJECTIVES
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.objectives.contrast import CONTRASTS
from recsys_bert.stages.encoder_settings import DERIVED, check_id_dropout, check_not_overridden, check_sparse_adam
from recsys_bert.stages.sizes import SIZES
from recsys_bert.stages.text_feature import TEXT_DIM, check_text, check_text_training, named_with_text
from recsys_bert.training.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """Settings of ``pretrain``."""

    SIZES: ClassVar[Mapping[str, Mapping[str, Any]]] = SIZES

    objective: str = field(default="next_item", metadata={"names": OBJECTIVES})
    """Training task: a name in ``OBJECTIVES``, or ``module:Class``. next_item predicts every next item from the past
    alone, masked predicts masked items from both sides."""

    objective_options: Options = field(default_factory=dict)
    """Options of the objective, such as masked's mask_prob."""

    second_loss: str = field(default="none", metadata={"names": {"none": "", **CONTRASTS}})
    """Contrastive loss on histories beside the objective's: a name in ``CONTRASTS``, or ``module:Class``. simcse reads
    a history under two dropouts, cl4srec crops, masks or reorders it twice, duorec takes two that lead to one item."""

    second_loss_options: Options = field(default_factory=dict)
    """Options of the second loss: weight, temperature, and the shares of cl4srec."""

    features: tuple[str, ...] = ()
    """Item features that are added to every position, by name, numbers and vectors through a linear adapter, and these
    to the items that are predicted, too; ``event_type`` adds the type of the position's event."""

    text: str | None = None
    """Text of items as a dense feature ``text`` of positions and of what is predicted: ``tfidf``, ``words``, or a
    folder of `item-vectors`; or ``trained``, by a text encoder that is trained with the encoder. Reduced by PCA to
    ``text_dim``. The run keeps what it needs."""

    text_dim: int = TEXT_DIM
    """Width of that feature."""

    id_dropout: float = 0.0
    """Probability of reading an item as unknown in training, in histories and as a target, so that its features alone
    make a vector; above 0 for catalogues with new items. Needs features of items."""

    target_types: tuple[str, ...] = ()
    """Event types that are predicted, as purchase; events of other types are context alone, also at validation. Empty:
    all types."""

    event_weights: bool = True
    """Multiply the loss of every target by its event's weight; False: all targets count the same."""

    crop: Literal["last", "random", "prefix", "every"] = "last"
    """Events of a history longer than encoder.max_len: the last ones, a random run, or those up to a random event, as
    if the history had ended there, drawn anew every epoch. every: each prefix of a history is an example of its own
    (and counts for one in train.batch_size), as objective last_item needs them."""

    text_training: TextTrainingConfig = field(default_factory=TextTrainingConfig)
    """Training of the text encoder."""

    validation_users: int = 10_000
    """Users ranked at each validation at most, drawn once; 0 = all."""

    init: Path | None = None
    """Run of `pretrain` whose encoder is trained on, as for next-item training after masked training, or on a log that
    has grown since; its [encoder] settings are taken over. Its items keep their weights; the optimiser starts anew."""

    encoder_dropout: float | None = None
    """Dropout of the encoder of ``init`` from here on; None = as it was pretrained with."""

    item_init: Literal["auto", "random", "ppmi", "item2vec", "item2vec_cbow", "glove"] = "auto"
    """Initial item embeddings: random, or factorised positive pointwise mutual information of neighbours in training
    histories (seconds), which learns sooner and better; or item2vec (skip-gram, or CBOW) or GloVe vectors, trained on
    the histories. auto = ppmi up to 10 million training events. With init, of the
    items that it does not know: ppmi = the mean of their neighbours' embeddings, weighted so."""

    train_item_vectors: bool = False
    """With item vectors: let training move them, each item by itself; False learns the map from text alone, so that
    the encoder can go to other logs."""

    teacher: Path | None = None
    """Run of `pretrain` with the same objective, usually of a larger encoder, that is distilled into this one."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """The encoder."""

    loss: LossConfig = field(default_factory=LossConfig)
    """Item loss."""

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """Distillation of the teacher."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """Optimisation."""

    def __post_init__(self) -> None:
        check_name("objective", self.objective, OBJECTIVES)
        check_text(self.text, self.text_dim)
        check_text_training(self.text, self.text_training)
        if self.init and self.text is not None:
            raise InputError(f"text is {self.text!r}, but the encoder of init brings its own features; leave it out.")
        check_id_dropout(self.id_dropout, named_with_text(self.features, self.text), self.init)
        check_sparse_adam(self.train.optimiser, self.loss)
        if self.encoder_dropout is not None and not self.init:
            raise InputError("encoder_dropout is for the encoder of init; set encoder.dropout.")
        self._check_second_loss()
        further = {"train.auxiliary": self.train.auxiliary.weight, "second_loss": self.has_second_loss}
        self.distillation.check_beside(self.teacher, further)
        if self.distillation.replaces_targets(self.teacher):
            self.loss.check_only_similarity("distillation.soft_weight 1 drops the loss of true targets")

    @property
    def has_second_loss(self) -> bool:
        """True if there is one."""
        return self.second_loss != "none"

    def _check_second_loss(self) -> None:
        if not self.has_second_loss:
            if self.second_loss_options:
                raise InputError("second_loss_options have no effect without a second_loss; name one.")
            return
        check_name("second loss", self.second_loss, CONTRASTS)
        if self.text == "trained":
            raise InputError(
                f"second_loss {self.second_loss!r} reads histories beside those of a step, whose texts text 'trained' "
                "would have to encode. Take a frozen text, or second_loss 'none'."
            )

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse named settings that have no effect, whatever their value.

        Raises:
            InputError: There is one.
        """
        if self.distillation.replaces_targets(self.teacher):
            named = frozenset(name.removeprefix("loss.") for name in names if name.startswith("loss."))
            self.loss.check_only_similarity("distillation.soft_weight 1 drops the loss of true targets", named)
        if derived := [name for name in DERIVED if f"encoder.{name}" in names]:
            raise InputError(f"encoder.{derived[0]} follows from the data and the objective here; leave it out.")
        check_not_overridden(names, self.init, " Dropout can be changed by encoder_dropout.")
        self.distillation.check_named_beside(self.teacher, names)
