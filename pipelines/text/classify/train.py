"""Train a classifier of texts, measure it, and keep what it takes to classify new ones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.config import (
    TEXT_ENCODER,
    ClassificationConfig,
    FilesConfig,
    HeadConfig,
    LengthConfig,
    TokenizerConfig,
    check_encoder,
)
from pipelines.text.fine_tuning import check_distillation, check_files
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.training.config import ScheduleConfig, TrainConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from nlp_tasks.batches import TextBatches
    from nlp_tasks.classification.classifier import ClassificationLoss, Classifier
    from nlp_tasks.data import Table
    from nlp_tasks.inputs import Inputs

_TRAIN = TrainConfig(epochs=10, batch_size=64, schedule=ScheduleConfig(name="linear"), patience=3, monitor="accuracy")
_MONITORS = {False: ("accuracy", "macro_f1", "f1", "auc"), True: ("micro_f1", "macro_f1", "exact", "average_precision")}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a classifier on texts with labels."""

    out: Path
    """Run folder; a run that was stopped there goes on."""

    data: FilesConfig = field(default_factory=FilesConfig)
    """The files."""

    text: str = "text"
    """Column with the text."""

    label: str = "label"
    """Column with the label."""

    label_separator: str = ","
    """Cuts a cell into several labels; for multi-label."""

    class_names: Path | None = None
    """File with one name a line, where labels are numbers from 0; None keeps labels as they are."""

    init: Path | None = None
    """Hugging Face BERT folder, or run of `text pretrain` or of another text task, whose encoder and tokenizer are
    taken; None starts from random weights and trains a tokenizer."""

    init_layers: tuple[int, ...] = ()
    """Layers of ``init`` that are taken, from 0; empty takes all. A student may begin with some of its teacher's."""

    teacher: Path | None = None
    """Run of the same task and vocabulary, usually with a larger encoder, that this one learns from as well."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """The tokenizer, where ``init`` brings none."""

    encoder: EncoderConfig = TEXT_ENCODER
    """The encoder; with ``init``, its fusion, neck, residual form, dropout, layer_drop and gradient_checkpointing, and
    what it adds: ngrams."""

    length: LengthConfig = field(default_factory=LengthConfig)
    """What happens to long texts."""

    head: HeadConfig = field(default_factory=HeadConfig)
    """What makes one vector of a text."""

    task: ClassificationConfig = field(default_factory=ClassificationConfig)
    """Loss, weights, thresholds."""

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """What is taken from the teacher."""

    train: TrainConfig = _TRAIN
    """How it is trained; the epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        check_files(self.data)
        check_encoder(self.encoder, pairs=False)
        check_distillation(self.teacher, self.distillation)
        if self.init_layers and self.init is None:
            raise InputError("init_layers says which layers of a checkpoint are taken; give init as well.")
        if self.train.monitor not in (known := _MONITORS[self.task.multi_label]):
            raise InputError(f"train.monitor is {self.train.monitor!r}; this task validates {', '.join(known)}.")


@dataclass(frozen=True)
class Training:
    """What is trained, on what; nothing is written yet."""

    tables: "dict[str, Table]"
    """Examples of every split."""

    inputs: "dict[str, Inputs]"
    """What the encoder reads of them."""

    targets: "dict[str, NDArray[np.int64]]"
    """Numbers of their labels."""

    classifier: "Classifier"
    """Its model is trained."""

    loss: "nn.Module"
    """What ``fit`` minimises."""

    batches: "TextBatches"
    """The training examples."""


def build(config: Config) -> Training:
    """Read the files and make everything that a training takes.

    Raises:
        InputError: Something in the files, in the settings, or between the two does not fit.
    """
    import torch

    from nlp_tasks.batches import TextBatches
    from nlp_tasks.classification.classifier import (
        ClassificationLoss,
        Classifier,
        class_names,
        class_weights,
        down_sampling,
        encode_labels,
        known_labels,
    )
    from nlp_tasks.encoders import make_text_encoder
    from nlp_tasks.model import TextModel
    from recsys_bert.training.adversarial import check_table

    task, tables = config.task, _read(config)
    labels = known_labels(tables["train"].labels or [], task.multi_label)
    if config.train.monitor in ("f1", "auc") and len(labels) != 2:
        raise InputError(f"train.monitor {config.train.monitor!r} is for two labels; there are {len(labels)}.")
    tables = _known(tables, labels, config.data.bad_rows)
    targets = {name: encode_labels(table.labels or [], labels, task.multi_label) for name, table in tables.items()}
    torch.manual_seed(config.train.seed)
    encoder, tokenizer = make_text_encoder(
        config.init, config.encoder, config.tokenizer, tables["train"].texts[config.text], config.init_layers
    )
    model = TextModel(
        encoder, config.head, len(labels), config.length.pool, auxiliary=config.train.auxiliary.weight > 0
    )
    names = class_names(labels, config.class_names)
    classifier = Classifier(model, tokenizer, labels, names, config.length, task.multi_label)
    inputs = {name: classifier.inputs(table.texts[config.text]) for name, table in tables.items()}
    loss = ClassificationLoss(model, task, class_weights(targets["train"], labels, task), config.train.auxiliary.weight)
    batches = TextBatches(
        inputs["train"],
        {"labels": targets["train"]},
        batch_size=config.train.batch_size,
        seed=config.train.seed,
        choose=down_sampling(targets["train"], task.down_sample) if task.down_sample else None,
    )
    trained = _with_teacher(config, loss, classifier)
    check_table(trained, config.train)
    return Training(tables, inputs, targets, classifier, trained, batches)


def run(config: Config) -> dict[str, Any]:
    """Train, choose thresholds on validation, look at the test once, and write ``classifier`` and ``metrics.json``.

    Returns:
        What ``metrics.json`` says.
    """
    from pipelines.text.fine_tuning import check_sources, counted, tell, tell_training, train
    from recsys_bert.files import write_json
    from recsys_bert.training.run_folder import begin, is_first_process

    made = build(config)
    classifier, tables = made.classifier, made.tables
    begin(config.out, config)  # after everything that bad input can stop
    files = [table.path for table in tables.values()]
    check_sources(config.out, files, config.init, config.tokenizer, config.teacher)

    def metrics(split: str) -> dict[str, Any]:
        probabilities = classifier.probabilities(made.inputs[split])
        if classifier.multi_label and split == "validation":
            classifier.tune(probabilities, made.targets[split], config.task.thresholds)
        return classifier.score(probabilities, made.targets[split])

    results = train(
        made.loss,
        classifier.model,
        made.batches,
        config.train,
        config.out,
        lambda: metrics("validation"),
        "training the classifier",
    )
    for split in ("validation", "test"):
        if split in tables:
            results[split] = metrics(split)
            tell(results[split], split)
    results["examples"] = {name: len(table) for name, table in tables.items()}
    results["counted"] = counted(tables, made.inputs)
    if is_first_process():
        classifier.save(config.out / "classifier", config.head)
        write_json(config.out / "metrics.json", results)
        tell_training(results, config.out / "classifier")
    return results


def _read(config: Config) -> "dict[str, Table]":
    from pipelines.text.fine_tuning import read_splits

    separator = config.label_separator if config.task.multi_label else None
    return read_splits(config.data, [config.text], config.label, separator=separator, seed=config.train.seed)


def _known(tables: "dict[str, Table]", labels: list[str], policy: str) -> "dict[str, Table]":
    """Refuse, or leave out and count, held-out examples with a label that training does not know."""
    from nlp_tasks.classification.classifier import unseen

    return {name: table.without(unseen(table.labels or [], labels), policy) for name, table in tables.items()}


def _with_teacher(config: Config, loss: "ClassificationLoss", student: "Classifier") -> "nn.Module":
    """The module that is trained: the loss itself, or with what the teacher adds to it."""
    from nlp_tasks.classification.classifier import Classifier
    from nlp_tasks.distilled import DistilledTask, check_teacher

    if config.teacher is None:
        return loss
    teacher = Classifier.load(config.teacher)
    check_teacher(student.model, student.tokenizer, teacher.model, teacher.tokenizer, student.max_len)
    if (teacher.labels, teacher.multi_label) != (student.labels, student.multi_label):
        raise InputError(f"teacher {config.teacher} knows other labels: {', '.join(teacher.labels)}.")
    return DistilledTask(loss, teacher.model, config.distillation)
