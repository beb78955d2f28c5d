"""Train a recogniser of named entities, measure it, and keep what it takes to find entities in new texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig, check_encoder
from nlp_tasks.tagging.config import AnnotatedFilesConfig, LexiconConfig, NerHeadConfig, SentenceLengthConfig
from nlp_tasks.tagging.pu.config import PUConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.training.config import ScheduleConfig, TrainConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlp_tasks.tagging.batches import UnitBatches
    from nlp_tasks.tagging.data import Annotated
    from nlp_tasks.tagging.inputs import UnitInputs
    from nlp_tasks.tagging.lexicon import Lexicon
    from nlp_tasks.tagging.model import NerLoss
    from nlp_tasks.tagging.tagger import Tagger

_TRAIN = TrainConfig(epochs=20, batch_size=32, schedule=ScheduleConfig(name="linear"), patience=5, monitor="f1")
_MONITORS = ("f1", "macro_f1", "precision", "recall", "exact")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a recogniser on sentences with named entities."""

    out: Path
    """Run folder; a run that was stopped there goes on."""

    data: AnnotatedFilesConfig = field(default_factory=AnnotatedFilesConfig)
    """The files."""

    init: Path | None = None
    """Hugging Face BERT folder, or run of `text pretrain` or of a text task, whose encoder and tokenizer are taken;
    None starts from random weights and trains a tokenizer."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """The tokenizer, where ``init`` brings none."""

    encoder: EncoderConfig = TEXT_ENCODER
    """The encoder; with ``init``, its fusion, neck, residual form, dropout, layer_drop and gradient_checkpointing, and
    what it adds: exact_match, ngrams."""

    length: SentenceLengthConfig = field(default_factory=SentenceLengthConfig)
    """What happens to long sentences."""

    words: LexiconConfig = field(default_factory=LexiconConfig)
    """What the words of a lexicon add."""

    questions: Path | None = None
    """File of ``TYPE<tab>question`` lines, for heads that ask one a type; None asks by the types' names."""

    empty_questions: float = 1.0
    """Share of the questions without an answer that an epoch shows, for heads that ask. Most questions have none: fewer
    make epochs shorter, and answers likelier while they are still being learned."""

    head: NerHeadConfig = field(default_factory=NerHeadConfig)
    """What finds entities."""

    pu: PUConfig = field(default_factory=PUConfig)
    """How a dictionary is learned from, in place of marked entities; needs the head ``binary``."""

    train: TrainConfig = _TRAIN
    """How it is trained; the epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        if self.data.train is None:
            raise InputError("no training file is given; name it with --data.train FILE.")
        check_encoder(self.encoder, pairs=self.head.name not in ("softmax", "crf", "binary"))
        if self.pu.dictionary is not None and self.head.name != "binary":
            raise InputError(
                f"a dictionary is learned by the head 'binary', not by {self.head.name!r}; set head.name = 'binary'."
            )
        if self.pu.dictionary is not None and self.questions is not None:
            raise InputError("questions are for heads that ask; leave them out where a dictionary is learned.")
        if self.pu.dictionary is not None and self.pu.warm_up >= self.train.epochs:
            raise InputError(
                f"pu.warm_up is {self.pu.warm_up}, train.epochs {self.train.epochs}: pu.risk would never be learned "
                "by. Warm up for fewer epochs (0 for none), or train longer."
            )
        if not 0 < self.empty_questions <= 1:
            raise InputError(f"empty_questions is {self.empty_questions}; it must lie in (0, 1].")
        if self.train.monitor not in _MONITORS:
            raise InputError(f"train.monitor is {self.train.monitor!r}; this task validates {', '.join(_MONITORS)}.")


def run(config: Config) -> dict[str, Any]:
    """Train, look at the test once, and write ``recogniser`` and ``metrics.json``.

    Returns:
        What ``metrics.json`` says.
    """
    from nlp_tasks.tagging.mrc import read_questions
    from pipelines.text.tag import unlabelled
    from pipelines.text.tag.files import hold_out_sentences, read_files

    if config.pu.dictionary is not None:
        return unlabelled.run(config)
    found = read_files(config.data)
    nested = config.head.options.get("nested") is True
    types = _types(found["train"], nested)
    questions = read_questions(config.questions, types)
    found = known(found, types, nested, config.data.bad_rows)
    if "validation" not in found:  # only now: a rare type may fall into one part alone
        found |= hold_out_sentences(found["train"], config.data, config.train.seed)
    training = prepare(config, found, types, questions)
    begin_run(config)
    results = training.learn(config.out)
    training.write(results)
    return results


@dataclass
class Training:
    """Everything that a training needs, checked."""

    config: Config
    found: "dict[str, Annotated]"
    recogniser: "Tagger"
    inputs: "dict[str, UnitInputs]"
    true: "dict[str, NDArray[np.int64]]"
    loss: "NerLoss"
    batches: "UnitBatches"

    def learn(self, folder: Path, before_step: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Train in a run folder, and measure what is to be measured.

        Args:
            folder: For checkpoints and curves; a training that was stopped there goes on.
            before_step: Called with the number of the optimiser step to come.
        """
        from pipelines.text.fine_tuning import tell, train

        validate = (lambda: self.metrics("validation")) if "validation" in self.found else None
        results = train(
            self.loss,
            self.loss.model,
            self.batches,
            self.config.train,
            folder,
            validate,
            "training the recogniser",
            before_step=before_step,
        )
        for split in ("validation", "test"):
            if split in self.found:
                results[split] = self.metrics(split)
                tell(results[split], split)
        results["examples"] = {name: len(one) for name, one in self.found.items()}
        counts = {name: {**one.left_out, **self.inputs[name].inputs.counts} for name, one in self.found.items()}
        for name, one in self.found.items():
            if beyond := self.recogniser.beyond(one.sentences):
                counts[name]["inner_entities_not_learned"] = beyond
        results["counted"] = {name: some for name, some in counts.items() if some}
        if self.recogniser.lexicon is not None:
            results["lexicon"] = self.recogniser.lexicon.counted
        return results

    def metrics(self, split: str) -> dict[str, Any]:
        """How well the entities of a split are found."""
        found = self.recogniser.entities(self.inputs[split])[0]
        return self.recogniser.score(found, self.true[split], len(self.found[split]))

    def write(self, results: dict[str, Any]) -> None:
        """Keep the recogniser and ``metrics.json``."""
        from pipelines.text.fine_tuning import tell_training
        from recsys_bert.files import write_json
        from recsys_bert.training.run_folder import is_first_process

        if is_first_process():
            out = self.config.out
            self.recogniser.save(out / "recogniser", self.config.head, self.config.words)
            write_json(out / "metrics.json", results)
            tell_training(results, out / "recogniser")


def prepare(config: Config, found: "dict[str, Annotated]", types: list[str], questions: Sequence[str] = ()) -> Training:
    """Make the model and its data.

    Raises:
        InputError: Whatever is wrong with settings or data; nothing is written yet.
    """
    import torch

    from nlp_tasks.encoders import make_text_encoder
    from nlp_tasks.tagging.batches import UnitBatches
    from nlp_tasks.tagging.heads import NER_HEADS
    from nlp_tasks.tagging.model import NerLoss, NerModel
    from nlp_tasks.tagging.mrc import asks
    from nlp_tasks.tagging.tagger import Tagger, word_part
    from recsys_bert.encoder.parts import find
    from recsys_bert.training.adversarial import check_table

    torch.manual_seed(config.train.seed)
    # units are tokenized one by one, so the tokenizer learns from text with blanks between them
    texts = [" ".join(sentence.words()) for sentence in found["train"].sentences]
    if asks(find("NER head", config.head.name, NER_HEADS)):  # or all questions might be of unknown tokens alone
        texts += list(questions) * config.tokenizer.min_count
    elif config.questions is not None or config.empty_questions != 1:
        raise InputError(
            f"the head {config.head.name!r} asks no questions; leave out questions and empty_questions, or set "
            "head.name = 'reading'."
        )
    encoder, tokenizer = make_text_encoder(config.init, config.encoder, config.tokenizer, texts)
    lexicon = _lexicon(config, found["train"])
    words = None if lexicon is None else word_part(config.words, encoder.out_dim, lexicon)
    model = NerModel(encoder, config.head, len(types), words=words, auxiliary=config.train.auxiliary.weight > 0)
    units, word_separator = found["train"].units, found["train"].word_separator
    recogniser = Tagger(model, tokenizer, types, config.length, units, lexicon, questions, word_separator)
    inputs = {name: recogniser.inputs(one.sentences) for name, one in found.items()}
    _tell_of_no_match(inputs["train"], found["train"])
    true = {name: recogniser.true(one.sentences) for name, one in found.items()}
    loss = NerLoss(model, config.train.auxiliary.weight)
    batches = UnitBatches(
        inputs["train"],
        recogniser.targets(true["train"]),
        batch_size=config.train.batch_size,
        seed=config.train.seed,
        empty_share=config.empty_questions,
    )
    check_table(loss, config.train)
    return Training(config, found, recogniser, inputs, true, loss, batches)


def begin_run(config: Config) -> None:
    """Make the run folder, or check that the run there is this one; after everything that bad input can stop."""
    from recsys_bert.training.run_folder import begin

    begin(config.out, config)
    check_begun(config)


def check_begun(config: Config) -> None:
    """Note what a run is trained on, or check that it is the same.

    Raises:
        InputError: See ``check_unchanged``.
    """
    from pipelines.text.fine_tuning import check_sources

    data, words = config.data, config.words
    files = (data.train, data.validation, data.test)
    more = (config.questions, config.pu.dictionary, words.file, words.vectors, *words.text)
    check_sources(config.out, [path for path in (*files, *more) if path], config.init, config.tokenizer)


def _lexicon(config: Config, train: "Annotated") -> "Lexicon | None":
    """The lexicon, its words counted in training sentences and plain text, and their vectors."""
    import sys

    from nlp_tasks.tagging.data import read_annotated
    from nlp_tasks.tagging.lexicon import Lexicon, read_word_vectors, read_words

    if config.words.name == "none":
        return None
    words, sentences = read_words(config.words), list(train.sentences)
    vectors = read_word_vectors(config.words, words)
    lines = AnnotatedFilesConfig(format="lines", units=train.units)
    for path in config.words.text:
        sentences += read_annotated(path, lines, entities=False).sentences
    lexicon = Lexicon.count(words, sentences, config.words.min_count, vectors)
    told = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in lexicon.counted.items())
    print(f"lexicon: {told}", file=sys.stderr)
    return lexicon


def _tell_of_no_match(inputs: "UnitInputs", train: "Annotated") -> None:
    """Say on stderr if a lexicon teaches nothing, for no word of it but single characters stands in the sentences."""
    import sys

    if inputs.words is None:
        return
    for sentence, start, stop, _ in inputs.words.rows.tolist():
        first, last = train.sentences[sentence].characters(start, stop)
        if last - first > 1:
            return
    word_separator = "a blank" if train.word_separator == "blank" else "nothing"
    print(
        f"warning: no word of the lexicon that is longer than a character stands in {train.path}, whose units are "
        f"joined by {word_separator} (data.joint).",
        file=sys.stderr,
    )


def _types(train: "Annotated", nested: bool) -> list[str]:
    """Types of the training sentences' outermost entities, or of all of them.

    Raises:
        InputError: There are none.
    """
    from nlp_tasks.tagging.data import types_of

    types = types_of(train.sentences, nested=nested)
    if not types:
        raise InputError(f"none of the {len(train):,} training sentences of {train.path} has an entity.")
    return types


def known(found: "dict[str, Annotated]", types: list[str], nested: bool, policy: str) -> "dict[str, Annotated]":
    """Refuse, or leave out and count, held-out sentences with a type that training does not know."""
    from nlp_tasks.tagging.data import unseen_types

    return {name: one.without(unseen_types(one.sentences, types, nested=nested), policy) for name, one in found.items()}
