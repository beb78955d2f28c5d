"""Training of a tagger: its settings, its parts, one fit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig, check_encoder
from nlp_tasks.tagging.config import AnnotatedFilesConfig, LexiconConfig, SentenceLengthConfig, TaggingHeadConfig
from nlp_tasks.tagging.pu.config import PUConfig
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.training.config import ScheduleConfig, TrainConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nlp_tasks.tagging.batches import WordBatches
    from nlp_tasks.tagging.data import AnnotatedSentences
    from nlp_tasks.tagging.inputs import WordInputs
    from nlp_tasks.tagging.lexicon.lexicon import Lexicon
    from nlp_tasks.tagging.model import TaggingLoss
    from nlp_tasks.tagging.tagger import Tagger

_TRAIN = TrainConfig(epochs=20, batch_size=32, schedule=ScheduleConfig(name="linear"), patience=5, monitor="f1")
_MONITORS = ("f1", "macro_f1", "precision", "recall", "exact")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Train a tagger (named entity recognition) on annotated sentences."""

    out: Path
    """Run folder; a stopped run there is resumed."""

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
    """Sentences longer than the encoder's input."""

    lexicon: LexiconConfig = field(default_factory=LexiconConfig)
    """Lexicon enhancement."""

    queries: Path | None = None
    """MRC tagging: file of ``TYPE<tab>query`` lines; None takes the types' names as queries."""

    negative_share: float = 1.0
    """MRC tagging: share of the queries without an answer in an epoch, sampled anew each time, in (0, 1]. Most queries
    have none: fewer make epochs shorter and positives less rare."""

    head: TaggingHeadConfig = field(default_factory=TaggingHeadConfig)
    """The tagging head."""

    pu: PUConfig = field(default_factory=PUConfig)
    """Positive-unlabelled learning from a dictionary instead of annotation; needs the head ``binary``."""

    train: TrainConfig = _TRAIN
    """Training; the epoch with the best ``monitor`` on validation is kept."""

    def __post_init__(self) -> None:
        if self.data.train is None:
            raise InputError("no training file is given; name it with --data.train FILE.")
        if self.pu.dictionary is not None and self.queries is not None:
            raise InputError("queries are for MRC tagging; leave them out with pu.dictionary.")
        if self.pu.dictionary is not None and self.pu.warm_up >= self.train.epochs:
            raise InputError(
                f"pu.warm_up is {self.pu.warm_up}, train.epochs {self.train.epochs}: pu.risk would never be used. "
                "Warm up for fewer epochs (0 for none), or train longer."
            )
        if not 0 < self.negative_share <= 1:
            raise InputError(f"negative_share is {self.negative_share}; it must lie in (0, 1].")
        if self.train.monitor not in _MONITORS:
            raise InputError(f"train.monitor is {self.train.monitor!r}; this task validates {', '.join(_MONITORS)}.")


@dataclass
class Training:
    """Parts of a training, checked."""

    config: Config
    splits: "dict[str, AnnotatedSentences]"
    tagger: "Tagger"
    inputs: "dict[str, WordInputs]"
    true: "dict[str, NDArray[np.int64]]"
    loss: "TaggingLoss"
    batches: "WordBatches"

    def fit(self, folder: Path, before_step: Callable[[int], None] | None = None) -> dict[str, Any]:
        """Fit in a run folder, and evaluate every split.

        Args:
            folder: For checkpoints and curves; a stopped training there is resumed.
            before_step: Called with the number of the optimiser step to come.
        """
        from nlp_tasks.training import fit_best, print_metrics

        validate = (lambda: self.metrics("validation")) if "validation" in self.splits else None
        results = fit_best(
            self.loss,
            self.loss.model,
            self.batches,
            self.config.train,
            folder,
            validate,
            "training the tagger",
            before_step=before_step,
        )
        for split in ("validation", "test"):
            if split in self.splits:
                results[split] = self.metrics(split)
                print_metrics(results[split], split)
        results["examples"] = {name: len(one) for name, one in self.splits.items()}
        counts = {name: {**one.left_out, **self.inputs[name].inputs.counts} for name, one in self.splits.items()}
        for name, one in self.splits.items():
            if n_inner := self.tagger.count_inner(one.sentences):
                counts[name]["inner_entities_not_learned"] = n_inner
        results["counted"] = {name: some for name, some in counts.items() if some}
        if self.tagger.lexicon is not None:
            results["lexicon"] = self.tagger.lexicon.counted
        return results

    def metrics(self, split: str) -> dict[str, Any]:
        """Metrics of a split."""
        predicted = self.tagger.predict_spans(self.inputs[split])[0]
        return self.tagger.metrics(predicted, self.true[split], len(self.splits[split]))

    def save(self, results: dict[str, Any]) -> None:
        """Write the tagger and ``metrics.json``."""
        from nlp_tasks.artefacts import record_artefact
        from nlp_tasks.tagging.tagger import TASK
        from nlp_tasks.training import print_summary
        from recsys_bert.files import write_json
        from recsys_bert.training.run_folder import is_first_process

        if is_first_process():
            out = self.config.out
            self.tagger.save(out / TASK, self.config.head, self.config.lexicon)
            write_json(out / "metrics.json", results)
            record_artefact(out, TASK)
            print_summary(results, out / TASK)


def prepare(
    config: Config, splits: "dict[str, AnnotatedSentences]", types: list[str], queries: Sequence[str] = ()
) -> Training:
    """Build the model and its data.

    Raises:
        InputError: Settings or data do not fit; nothing is written yet.
    """
    import torch

    from nlp_tasks.encoders import make_text_encoder
    from nlp_tasks.tagging.batches import WordBatches
    from nlp_tasks.tagging.heads import TAGGING_HEADS
    from nlp_tasks.tagging.model import TaggingLoss, TaggingModel
    from nlp_tasks.tagging.mrc import is_mrc
    from nlp_tasks.tagging.tagger import Tagger, lexicon_layer
    from recsys_bert.encoder.parts import find
    from recsys_bert.training.adversarial import check_table

    torch.manual_seed(config.train.seed)
    head = find("tagging head", config.head.name, TAGGING_HEADS)
    check_encoder(config.encoder, pairs=is_mrc(head))
    # words are tokenized one by one, so the tokenizer learns from text with spaces between them
    texts = [" ".join(sentence.words()) for sentence in splits["train"].sentences]
    if is_mrc(head):  # else queries might be of unknown tokens alone
        texts += list(queries) * config.tokenizer.min_count
    elif config.queries is not None or config.negative_share != 1:
        raise InputError(
            f"the head {config.head.name!r} has no queries; leave out queries and negative_share, or set "
            "head.name = 'mrc'."
        )
    encoder, tokenizer = make_text_encoder(config.init, config.encoder, config.tokenizer, texts)
    lexicon = _lexicon(config, splits["train"])
    layer = None if lexicon is None else lexicon_layer(config.lexicon, encoder.out_dim, lexicon)
    model = TaggingModel(encoder, config.head, len(types), lexicon=layer, auxiliary=config.train.auxiliary.weight > 0)
    granularity, word_separator = splits["train"].granularity, splits["train"].word_separator
    tagger = Tagger(model, tokenizer, types, config.length, granularity, lexicon, queries, word_separator)
    inputs = {name: tagger.inputs(one.sentences) for name, one in splits.items()}
    _warn_of_no_match(inputs["train"], splits["train"])
    true = {name: tagger.true_spans(one.sentences) for name, one in splits.items()}
    loss = TaggingLoss(model, config.train.auxiliary.weight)
    batches = WordBatches(
        inputs["train"],
        tagger.targets(true["train"]),
        batch_size=config.train.batch_size,
        seed=config.train.seed,
        negative_share=config.negative_share,
    )
    check_table(loss, config.train)
    return Training(config, splits, tagger, inputs, true, loss, batches)


def begin_run(config: Config) -> None:
    """Begin or resume the run folder; called after everything that bad input can stop."""
    from recsys_bert.training.run_folder import begin

    begin(config.out, config)
    check_begun(config)


def check_begun(config: Config) -> None:
    """Record the files of a run, or check that they are unchanged.

    Raises:
        InputError: See ``check_unchanged``.
    """
    from nlp_tasks.encoders import start_contents
    from recsys_bert.files import fingerprint
    from recsys_bert.training.run_folder import check_unchanged

    data, lexicon = config.data, config.lexicon
    files = (data.train, data.validation, data.test)
    more = (config.queries, config.pu.dictionary, lexicon.file, lexicon.vectors, *lexicon.text)
    contents = {path: fingerprint([path]) for path in (*files, *more) if path}
    check_unchanged(config.out, contents | start_contents(config.init, config.tokenizer))


def _lexicon(config: Config, train: "AnnotatedSentences") -> "Lexicon | None":
    """Lexicon with counts in training sentences and plain text, and with vectors."""
    import sys

    from nlp_tasks.tagging.files import read_annotated
    from nlp_tasks.tagging.lexicon.lexicon import Lexicon, read_word_vectors, read_words

    if config.lexicon.name == "none":
        return None
    words, sentences = read_words(config.lexicon.file, config.lexicon.max_length), list(train.sentences)
    vectors = read_word_vectors(config.lexicon.vectors, words)
    lines = AnnotatedFilesConfig(format="lines", granularity=train.granularity)
    for path in config.lexicon.text:
        sentences += read_annotated(path, lines, entities=False).sentences
    lexicon = Lexicon.count(words, sentences, config.lexicon.min_count, vectors)
    counts = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in lexicon.counted.items())
    print(f"lexicon: {counts}", file=sys.stderr)
    return lexicon


def _warn_of_no_match(inputs: "WordInputs", train: "AnnotatedSentences") -> None:
    """Warn on stderr if no word of the lexicon but single characters occurs in the sentences."""
    import sys

    if inputs.matches is None:
        return
    for sentence, start, stop, _ in inputs.matches.rows.tolist():
        first, last = train.sentences[sentence].characters(start, stop)
        if last - first > 1:
            return
    separator = "a space" if train.word_separator == "space" else "nothing"
    print(
        f"warning: no word of the lexicon that is longer than a character occurs in {train.path}, whose words are "
        f"joined by {separator} (data.word_separator).",
        file=sys.stderr,
    )


def known(
    splits: "dict[str, AnnotatedSentences]", types: list[str], nested: bool, policy: str
) -> "dict[str, AnnotatedSentences]":
    """Refuse, or leave out and count, sentences of a type that does not occur in training."""
    from nlp_tasks.tagging.data import unseen_types

    return {
        name: one.without(unseen_types(one.sentences, types, nested=nested), policy) for name, one in splits.items()
    }
