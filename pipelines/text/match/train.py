"""Train a matcher of pairs of texts, choose its threshold, and keep what it takes to compare new ones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.config import (
    TEXT_ENCODER,
    FilesConfig,
    HeadConfig,
    LengthConfig,
    MatchingConfig,
    TokenizerConfig,
    check_encoder,
)
from pipelines.text.fine_tuning import check_distillation, check_files
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.training.config import ScheduleConfig, TrainConfig

if TYPE_CHECKING:
    from torch import nn

    from nlp_tasks.data import Table
    from nlp_tasks.matching.matcher import Matcher, MatchingLoss

_TRAIN = TrainConfig(epochs=10, batch_size=64, schedule=ScheduleConfig(name="linear"), patience=3, monitor="accuracy")
_BY_LABELS, _BY_SEARCH = ("accuracy", "f1", "auc"), ("hit@1", "hit@10", "mrr")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a matcher on pairs of texts."""

    out: Path
    """Run folder; a run that was stopped there goes on."""

    data: FilesConfig = field(default_factory=FilesConfig)
    """The files."""

    first: str = "first"
    """Column with the first text."""

    second: str = "second"
    """Column with the second text."""

    label: str | None = "label"
    """Column with 1 for a match and 0 for none; None: every pair is a match, for task.loss in_batch."""

    init: Path | None = None
    """Hugging Face BERT folder, or run of `text pretrain` or of another text task, whose encoder and tokenizer are
    taken; None starts from random weights and trains a tokenizer."""

    teacher: Path | None = None
    """Run of the same task and vocabulary, usually with a larger encoder, that this one learns from as well."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """The tokenizer, where ``init`` brings none."""

    encoder: EncoderConfig = TEXT_ENCODER
    """The encoder; with ``init``, its fusion, neck, residual form, dropout, layer_drop and gradient_checkpointing, and
    what it adds: exact_match, ngrams."""

    length: LengthConfig = field(default_factory=LengthConfig)
    """What happens to long texts."""

    head: HeadConfig = field(default_factory=HeadConfig)
    """What makes one vector of a text, or of a pair."""

    task: MatchingConfig = field(default_factory=MatchingConfig)
    """Form, loss, threshold."""

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """What is taken from the teacher."""

    train: TrainConfig = _TRAIN
    """How it is trained; the epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        check_files(self.data)
        check_encoder(self.encoder, pairs=self.task.form == "cross")
        check_distillation(self.teacher, self.distillation)
        if self.label is None and self.task.loss != "in_batch":
            raise InputError(f"task.loss {self.task.loss!r} needs labels; give label, or take in_batch with form bi.")
        known = (*(_BY_LABELS if self.label else ()), *(_BY_SEARCH if self.task.form == "bi" else ()))
        if self.train.monitor not in known:
            raise InputError(f"train.monitor is {self.train.monitor!r}; this task validates {', '.join(known)}.")


def run(config: Config) -> dict[str, Any]:
    """Train, choose the threshold on validation, look at the test once, and write ``matcher`` and ``metrics.json``.

    Returns:
        What ``metrics.json`` says.
    """
    import torch

    from nlp_tasks.encoders import make_text_encoder
    from nlp_tasks.matching.matcher import Matcher, MatchingLoss, check_both_kinds, match_weight, pair_batches, text_ids
    from nlp_tasks.model import TextModel
    from pipelines.text.fine_tuning import check_sources, counted, tell, tell_training, train
    from recsys_bert.files import write_json
    from recsys_bert.training.adversarial import check_table
    from recsys_bert.training.run_folder import begin, is_first_process

    task, tables = config.task, _read(config)
    texts = {name: (table.texts[config.first], table.texts[config.second]) for name, table in tables.items()}
    labels = {name: _labels(table) for name, table in tables.items()}
    if task.loss != "in_batch":
        check_both_kinds(labels["train"])
    torch.manual_seed(config.train.seed)
    encoder, tokenizer = make_text_encoder(
        config.init, config.encoder, config.tokenizer, [text for column in texts["train"] for text in column]
    )
    n_outputs = 1 if task.form == "cross" else 0
    model = TextModel(encoder, config.head, n_outputs, config.length.pool, auxiliary=config.train.auxiliary.weight > 0)
    matcher = Matcher(model, tokenizer, task.form, config.length)
    loss = MatchingLoss(model, task, match_weight(labels["train"], task), config.train.auxiliary.weight)
    batches = pair_batches(matcher, texts["train"], labels["train"], task, config.train.batch_size, config.train.seed)
    inputs = {name: matcher.inputs(*pair) for name, pair in texts.items() if name != "train"}
    trained = _with_teacher(config, loss, matcher)
    check_table(trained, config.train)
    begin(config.out, config)  # after everything that bad input can stop
    files = [table.path for table in tables.values()]
    check_sources(config.out, files, config.init, config.tokenizer, config.teacher)

    def metrics(split: str) -> dict[str, Any]:
        known = labels[split] if config.label else None
        tune = task.threshold if split == "validation" else None
        return matcher.metrics(inputs[split], known, text_ids(*texts[split]), tune)

    results = train(
        trained, model, batches, config.train, config.out, lambda: metrics("validation"), "training the matcher"
    )
    for split in ("validation", "test"):
        if split in tables:
            results[split] = metrics(split)
            tell(results[split], split)
    results["threshold"] = matcher.threshold
    results["examples"] = {name: len(table) for name, table in tables.items()}
    results["counted"] = counted(tables, inputs | {"train": batches.inputs})
    if is_first_process():
        matcher.save(config.out / "matcher", config.head)
        write_json(config.out / "metrics.json", results)
        tell_training(results, config.out / "matcher")
    return results


def _read(config: Config) -> "dict[str, Table]":
    from nlp_tasks.matching.matcher import not_yes_or_no
    from pipelines.text.fine_tuning import read_splits

    tables = read_splits(config.data, [config.first, config.second], config.label, seed=config.train.seed)
    if config.label is None:
        return tables
    policy = config.data.bad_rows
    return {name: table.without(not_yes_or_no(table.labels or []), policy) for name, table in tables.items()}


def _labels(table: "Table") -> Any:
    import numpy as np

    from nlp_tasks.matching.matcher import yes_or_no

    return np.ones(len(table), np.int64) if table.labels is None else yes_or_no(table.labels)


def _with_teacher(config: Config, loss: "MatchingLoss", student: "Matcher") -> "nn.Module":
    """The module that is trained: the loss itself, or with what the teacher adds to it."""
    from nlp_tasks.distilled import DistilledTask, check_teacher
    from nlp_tasks.matching.matcher import Matcher

    if config.teacher is None:
        return loss
    teacher = Matcher.load(config.teacher)
    check_teacher(student.model, student.tokenizer, teacher.model, teacher.tokenizer, student.max_len)
    return DistilledTask(loss, teacher.model, config.distillation)
