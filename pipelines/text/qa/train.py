"""Train a reader on questions about passages, choose its threshold, and keep what it takes to answer new ones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig, check_encoder
from nlp_tasks.qa.config import ReadingConfig, ReadingFilesConfig
from pipelines.text.fine_tuning import check_distillation, check_files
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.training.config import ScheduleConfig, TrainConfig

if TYPE_CHECKING:
    from torch import nn

    from nlp_tasks.qa.data import ReadingSet
    from nlp_tasks.qa.inputs import Labels, Windows
    from nlp_tasks.qa.question_answerer import Reader, ReadingLoss

_TRAIN = TrainConfig(epochs=5, batch_size=32, schedule=ScheduleConfig(name="linear"), patience=2, monitor="f1")
_MONITORS = ("f1", "em")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a reader on questions about passages."""

    out: Path
    """Run folder; a run that was stopped there goes on."""

    data: ReadingFilesConfig = field(default_factory=ReadingFilesConfig)
    """The files."""

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

    task: ReadingConfig = field(default_factory=ReadingConfig)
    """Windows, length of answers, questions without an answer."""

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """What is taken from the teacher."""

    train: TrainConfig = _TRAIN
    """How it is trained; a batch is of windows. The epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        check_files(self.data)
        check_encoder(self.encoder, pairs=True)
        check_distillation(self.teacher, self.distillation)
        if self.train.monitor not in _MONITORS:
            raise InputError(f"train.monitor is {self.train.monitor!r}; this task validates {', '.join(_MONITORS)}.")


def run(config: Config) -> dict[str, Any]:
    """Train, choose the threshold on validation, look at the test once, and write ``reader`` and ``metrics.json``.

    Returns:
        What ``metrics.json`` says.
    """
    import torch

    from nlp_tasks.encoders import make_text_encoder
    from nlp_tasks.qa.model import SpanModel
    from nlp_tasks.qa.question_answerer import Reader, ReadingLoss, reading_batches
    from nlp_tasks.tokenization import mostly_chinese
    from pipelines.text.fine_tuning import check_sources, tell, tell_training, train
    from recsys_bert.files import write_json
    from recsys_bert.training.adversarial import check_table
    from recsys_bert.training.run_folder import begin, is_first_process

    task, sets = config.task, _read(config)
    passages = sets["train"].passages
    torch.manual_seed(config.train.seed)
    known = [*passages, *(question.text for question in sets["train"].questions)]
    encoder, tokenizer = make_text_encoder(config.init, config.encoder, config.tokenizer, known)
    language = task.language if task.language != "auto" else "chinese" if mostly_chinese(passages) else "english"
    model = SpanModel(encoder, task.dropout, auxiliary=config.train.auxiliary.weight > 0)
    reader = Reader(model, tokenizer, task, language)
    sets["train"], shown, labels = _labelled(config, reader, sets["train"])
    windows = {name: reader.windows(made) for name, made in sets.items() if name != "train"}
    size, seed = config.train.batch_size, config.train.seed
    batches = reading_batches(shown, labels, sets["train"], task.empty_windows, size, seed)
    trained = _with_teacher(config, ReadingLoss(model, config.train.auxiliary.weight), reader)
    check_table(trained, config.train)
    begin(config.out, config)  # after everything that bad input can stop
    files = [made.path for made in sets.values()]
    check_sources(config.out, files, config.init, config.tokenizer, config.teacher)

    def metrics(split: str) -> dict[str, Any]:
        return reader.metrics(windows[split], sets[split].questions, tune=split == "validation")

    results = train(
        trained, model, batches, config.train, config.out, lambda: metrics("validation"), "training the reader"
    )
    for split in windows:
        results[split] = metrics(split)
        tell(results[split], split)
    results |= {"language": language, "threshold": reader.threshold}
    results["examples"] = {name: len(made) for name, made in sets.items()}
    results["counted"] = _counted(sets, windows | {"train": shown}, labels)
    if is_first_process():
        reader.save(config.out / "reader")
        write_json(config.out / "metrics.json", results)
        tell_training(results, config.out / "reader")
    return results


def _read(config: Config) -> "dict[str, ReadingSet]":
    """``train``, ``validation`` (passages held out of the training file where it has no own) and, if given, ``test``.

    Raises:
        InputError: See ``read_set``; or a threshold is to be chosen on questions that all have an answer.
    """
    from nlp_tasks.qa.data import hold_out_passages, read_set, unusable

    files, no_answer = config.data, config.task.no_answer
    paths = {"train": files.train, "validation": files.validation, "test": files.test}
    sets = {name: read_set(path, files) for name, path in paths.items() if path is not None}
    if "validation" not in sets:
        both = hold_out_passages(sets["train"], files.validation_share, config.train.seed)
        sets["train"], sets["validation"] = both
    for name, made in sets.items():
        sets[name] = made.without(unusable(made, train=name == "train", no_answer=no_answer), files.bad_rows)
    if no_answer and len({bool(question.answers) for question in sets["validation"].questions}) < 2:
        raise InputError(
            f"task.no_answer is set, but of the {len(sets['validation']):,} validation questions all have an answer, "
            "or none has one: no threshold can be chosen. Give a validation file that has both."
        )
    return {name: sets[name] for name in paths if name in sets}


def _labelled(config: Config, reader: "Reader", made: "ReadingSet") -> "tuple[ReadingSet, Windows, Labels]":
    """Windows and labels of the training questions; those without a label are refused, or left out and counted."""
    from nlp_tasks.qa.inputs import label

    windows = reader.windows(made)
    labels = label(windows, made.questions, config.task)
    if not any(labels.reasons):
        return made, windows, labels
    made = made.without(labels.reasons, config.data.bad_rows)
    windows = reader.windows(made)
    return made, windows, label(windows, made.questions, config.task)


def _with_teacher(config: Config, loss: "ReadingLoss", student: "Reader") -> "nn.Module":
    """The module that is trained: the loss itself, or with what the teacher adds to it."""
    from nlp_tasks.distilled import DistilledTask, check_teacher
    from nlp_tasks.qa.question_answerer import Reader

    if config.teacher is None:
        return loss
    teacher = Reader.load(config.teacher)
    check_teacher(student.model, student.tokenizer, teacher.model, teacher.tokenizer, student.max_len)
    return DistilledTask(loss, teacher.model, config.distillation)


def _counted(
    sets: "dict[str, ReadingSet]", windows: "dict[str, Windows]", labels: "Labels"
) -> dict[str, dict[str, int]]:
    """What was left out, corrected, shortened or read in windows, by split."""
    found = {name: {**made.left_out, **made.counts, **windows[name].counts} for name, made in sets.items()}
    found["train"] |= labels.counts
    return {name: counts for name, counts in found.items() if counts}
