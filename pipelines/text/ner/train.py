"""Train a recogniser of named entities, measure it, and keep what it takes to find entities in new texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig, check_encoder
from nlp_tasks.ner.config import AnnotatedFilesConfig, LexiconConfig, NerHeadConfig, SentenceLengthConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.training.config import TrainConfig

if TYPE_CHECKING:
    from nlp_tasks.ner.data import Annotated
    from nlp_tasks.ner.lexicon import Lexicon

_TRAIN = TrainConfig(epochs=20, batch_size=32, schedule="linear", patience=5, monitor="f1")
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
    """The encoder; with ``init``, its fusion, neck, residual form, dropout, layer_drop and gradient_checkpointing."""

    length: SentenceLengthConfig = field(default_factory=SentenceLengthConfig)
    """What happens to long sentences."""

    words: LexiconConfig = field(default_factory=LexiconConfig)
    """What the words of a lexicon add."""

    questions: Path | None = None
    """File of ``TYPE<tab>question`` lines, for heads that ask one a type; None asks by the types' names."""

    head: NerHeadConfig = field(default_factory=NerHeadConfig)
    """What finds entities."""

    train: TrainConfig = _TRAIN
    """How it is trained; the epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        if self.data.train is None:
            raise InputError("no training file is given; name it with --data.train FILE.")
        check_encoder(self.encoder)
        if self.train.monitor not in _MONITORS:
            raise InputError(f"train.monitor is {self.train.monitor!r}; this task validates {', '.join(_MONITORS)}.")


def run(config: Config) -> dict[str, Any]:
    """Train, look at the test once, and write ``recogniser`` and ``metrics.json``.

    Returns:
        What ``metrics.json`` says.
    """
    import torch

    from nlp_tasks.encoders import make_text_encoder
    from nlp_tasks.ner.asking import asks, read_questions
    from nlp_tasks.ner.batches import UnitBatches
    from nlp_tasks.ner.heads import NER_HEADS
    from nlp_tasks.ner.model import NerLoss, NerModel
    from nlp_tasks.ner.recogniser import Recogniser, word_part
    from pipelines.runs import begin, check_files_unchanged, is_first_process
    from pipelines.text.fine_tuning import tell, tell_training, train
    from recsys_bert.encoder.parts import find
    from recsys_bert.files import write_json
    from recsys_bert.training.adversarial import check_table

    found = _read(config)
    nested = config.head.options.get("nested") is True
    types = _types(found["train"], nested)
    questions = read_questions(config.questions, types)
    found = _known(found, types, nested, config.data.bad_rows)
    torch.manual_seed(config.train.seed)
    # units are tokenized one by one, so the tokenizer learns from text with blanks between them
    texts = [" ".join(sentence.words()) for sentence in found["train"].sentences]
    if asks(find("NER head", config.head.name, NER_HEADS)):  # or all questions might be of unknown tokens alone
        texts += questions * config.tokenizer.min_count
    encoder, tokenizer = make_text_encoder(config.init, config.encoder, config.tokenizer, texts)
    lexicon = _lexicon(config, found["train"])
    words = None if lexicon is None else word_part(config.words, encoder.out_dim, lexicon)
    model = NerModel(encoder, config.head, len(types), words=words, auxiliary=config.train.auxiliary)
    recogniser = Recogniser(model, tokenizer, types, config.length, found["train"].units, lexicon, questions)
    inputs = {name: recogniser.inputs(one.sentences) for name, one in found.items()}
    true = {name: recogniser.true(one.sentences) for name, one in found.items()}
    loss = NerLoss(model, config.train.auxiliary_weight)
    targets = recogniser.targets(true["train"])
    batches = UnitBatches(inputs["train"], targets, batch_size=config.train.batch_size, seed=config.train.seed)
    check_table(loss, config.train)
    begin(config.out, config)  # after everything that bad input can stop
    more = (config.questions, config.words.file, config.words.vectors, *config.words.text)
    check_files_unchanged(config.out, [*(one.path for one in found.values()), *filter(None, more)])

    def figures(split: str) -> dict[str, Any]:
        return recogniser.score(recogniser.entities(inputs[split])[0], true[split], len(found[split]))

    results = train(
        loss, model, batches, config.train, config.out, lambda: figures("validation"), "training the recogniser"
    )
    for split in ("validation", "test"):
        if split in found:
            results[split] = figures(split)
            tell(results[split], split)
    results["examples"] = {name: len(one) for name, one in found.items()}
    counts = {name: {**one.left_out, **inputs[name].inputs.counts} for name, one in found.items()}
    for name, one in found.items():
        if beyond := recogniser.beyond(one.sentences):
            counts[name]["inner_entities_not_learned"] = beyond
    results["counted"] = {name: some for name, some in counts.items() if some}
    if lexicon is not None:
        results["lexicon"] = lexicon.counted
    if is_first_process():
        recogniser.save(config.out / "recogniser", config.head, config.words)
        write_json(config.out / "metrics.json", results)
        tell_training(results, config.out / "recogniser")
    return results


def _read(config: Config) -> "dict[str, Annotated]":
    """Read ``train``, ``validation`` (held out of the training file where it has no own) and, if given, ``test``."""
    from nlp_tasks.data import hold_out
    from nlp_tasks.ner.data import read_annotated

    files = config.data
    paths = {"train": files.train, "validation": files.validation, "test": files.test}
    found = {name: read_annotated(path, files) for name, path in paths.items() if path is not None}
    if "validation" not in found:
        found["train"], found["validation"] = hold_out(found["train"], files.validation_share, config.train.seed)
    return {name: found[name] for name in paths if name in found}


def _lexicon(config: Config, train: "Annotated") -> "Lexicon | None":
    """The lexicon, its words counted in training sentences and plain text, and their vectors."""
    import sys

    from nlp_tasks.ner.data import read_annotated
    from nlp_tasks.ner.lexicon import Lexicon, read_word_vectors, read_words

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


def _types(train: "Annotated", nested: bool) -> list[str]:
    """Types of the training sentences' outermost entities, or of all of them.

    Raises:
        InputError: There are none.
    """
    from nlp_tasks.ner.data import types_of

    types = types_of(train.sentences, nested=nested)
    if not types:
        raise InputError(f"none of the {len(train):,} training sentences of {train.path} has an entity.")
    return types


def _known(found: "dict[str, Annotated]", types: list[str], nested: bool, policy: str) -> "dict[str, Annotated]":
    """Refuse, or leave out and count, held-out sentences with a type that training does not know."""
    from nlp_tasks.ner.data import unseen_types

    return {name: one.without(unseen_types(one.sentences, types, nested=nested), policy) for name, one in found.items()}
