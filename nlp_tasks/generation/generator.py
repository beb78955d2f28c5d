"""Generation of text: sequence to sequence by a prefix mask (UniLM, https://arxiv.org/abs/1905.03197), or plain."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nlp_tasks.batches import TextBatches
from nlp_tasks.checkpoint import open_task, save_parts
from nlp_tasks.config import LengthConfig
from nlp_tasks.encoders import make_text_encoder, start_contents
from nlp_tasks.examples import Table, table_of, text_list
from nlp_tasks.generation.config import TEXT_MONITORS, GenerationTrainConfig, settled
from nlp_tasks.generation.decoding import Generated, TextDecoder
from nlp_tasks.generation.model import GenerationLoss, token_metrics
from nlp_tasks.generation.rows import Rows, pair_rows, prompt_rows, source_room, source_rows, text_rows, unusable
from nlp_tasks.inputs import Inputs, longest
from nlp_tasks.normalisation import normalise
from nlp_tasks.splits import contents, hold_out, parts_of
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.training import TaskTraining, nonempty, train_task
from recsys_bert.decoding.config import OF_SEARCH, DecodingConfig
from recsys_bert.encoder.cached import check_cacheable
from recsys_bert.encoder.config import Attention
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import allowing_parts, saved_parts
from recsys_bert.errors import InputError
from recsys_bert.evaluation.generation import generation_metrics
from recsys_bert.settings import make_config
from recsys_bert.settings_types import check_settings

TASK = "generator"

Texts = Iterable[str]


@dataclass
class Generator:
    """Generator of texts: ``Generator.train(sources, targets).predict(["a source"])``, or a language model."""

    encoder: Encoder
    """With prefix attention for sources and targets, with causal attention for a language model."""

    tokenizer: Tokenizer
    """Its tokenizer."""

    length: LengthConfig
    """Treatment of long sources."""

    decoding: DecodingConfig
    """Decoding, where a call says nothing else."""

    results: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Metrics and counts of the training, as in ``metrics.json``; empty for a loaded generator."""

    @classmethod
    def train(
        cls,
        texts: Texts,
        targets: Texts | None = None,
        *,
        validation: tuple[Texts, ...] | float | None = None,
        test: tuple[Texts, ...] | None = None,
        out: Path | None = None,
        config: GenerationTrainConfig | None = None,
        **settings: Any,
    ) -> "Generator":
        """Train a generator.

        Args:
            texts: Training sources; without targets, the texts of a language model.
            targets: Target of each source.
            validation: The same lists for picking the epoch, or the share of the training examples to hold out; None:
                0.1.
            test: The same lists; evaluated once, after training.
            out: Run folder; a stopped run there is resumed. None: a temporary one.
            config: All settings.
            settings: Or single ones, as in a recipe: ``train={"epochs": 3}``.

        Raises:
            InputError: Data or settings that do not fit.
        """
        config = make_config(GenerationTrainConfig, config, settings)
        train = _table(texts, targets, "training")
        make = _pairs if targets is not None else _texts
        return train_generator(parts_of(train, validation, test, make, config.train.seed, hold_out), config, out)

    @classmethod
    def load(cls, folder: Path, *, allow_parts: bool = False) -> "Generator":
        """Load a run folder of a generator, or a folder that ``save`` wrote.

        Args:
            folder: The folder.
            allow_parts: Import parts from outside (``module:Class``) that saved settings name; their code runs.

        Raises:
            InputError: It holds no generator, or a damaged one.
        """
        folder, about = open_task(Path(folder), TASK)
        try:
            for kind, name in ((LengthConfig, "length"), (DecodingConfig, "decoding")):
                check_settings(kind, about[name], f"{folder}/task.json")
            length, decoding = LengthConfig(**about["length"]), DecodingConfig(**about["decoding"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder}/task.json is damaged: {error}. Train the run again.") from error
        with allowing_parts(allow_parts), saved_parts(folder):
            return cls(Encoder.load(folder), Tokenizer.load(folder), length, decoding)

    def save(self, folder: Path) -> None:
        """Write the generator to ``folder``, all or nothing."""
        about = {"length": asdict(self.length), "decoding": asdict(self.decoding)}
        model = nn.ModuleDict({"encoder": self.encoder})
        save_parts(Path(folder), TASK, model, self.encoder, self.tokenizer, about)

    @property
    def reads_sources(self) -> bool:
        """True for sources and targets, False for a language model."""
        return self.encoder.config.attention == "prefix"

    def predict(self, texts: Texts, *, among: Texts | None = None, **settings: Any) -> list[str]:
        """Best target of each source, or best continuation of each prompt.

        Args:
            texts: Sources; or prompts, which may be empty.
            among: Texts of which one is to be generated; None: any text.
            settings: Those of ``DecodingConfig``, where they are not the generator's, as in ``search="sample"``.

        Raises:
            InputError: An empty source, or settings that do not fit.
        """
        check_settings(DecodingConfig, settings)
        return [some[0].text if some else "" for some in self.candidates(texts, among=among, **settings)]

    def candidates(self, texts: Texts, *, among: Texts | None = None, **settings: Any) -> list[list[Generated]]:
        """``n_best`` targets of each source or continuations of each prompt, the best first; see ``predict``."""
        check_settings(DecodingConfig, settings)
        decoder = self._decoder(settings, among)
        return decoder.generate(self.inputs(text_list(texts), decoder.config))

    def stream(self, text: str, *, among: Texts | None = None, **settings: Any) -> Iterator[str]:
        """One target or continuation piece by piece, while it is generated, greedily or by sampling; see ``predict``.

        Raises:
            InputError: The search is ``beam``, or see ``predict``.
        """
        check_settings(DecodingConfig, settings)
        decoder = self._decoder({"search": "greedy", "n_best": 1} | settings, among)
        return decoder.stream(self.inputs(text_list([text]), decoder.config))

    def evaluate(self, texts: Texts, targets: Texts | None = None, **settings: Any) -> dict[str, Any]:
        """Metrics on examples like those of the training; see ``token_metrics`` and ``generation_metrics``.

        Raises:
            InputError: Lists of different lengths or empty ones, targets that are too long, or settings that do not
                fit.
        """
        check_settings(DecodingConfig, settings)
        config = self.decoding_with(settings)
        if (targets is None) == self.reads_sources:
            what = "sources and targets; give both" if self.reads_sources else "texts alone; leave out the targets"
            raise InputError(f"this generator was trained on {what}.")
        table = usable(self.tokenizer, _table(texts, targets, "given"), config.max_length)
        return self.metrics(table, self.rows(table), config)

    def metrics(self, table: Table, rows: Rows, decoding: DecodingConfig | None = None) -> dict[str, Any]:
        """Metrics on a table and its rows; generated texts are compared where there are targets and a decoding."""
        metrics: dict[str, Any] = token_metrics(self.encoder, rows)
        if self.reads_sources and decoding is not None:
            sources, targets = table.texts.values()
            decoder = TextDecoder(self.encoder, self.tokenizer, decoding)
            generated = [some[0].text for some in decoder.generate(self.inputs(sources, decoding))]
            metrics |= generation_metrics(*([normalise(text) for text in some] for some in (generated, targets)))
        return metrics | {"examples": len(table)}

    def rows(self, table: Table) -> Rows:
        """Rows of examples with their targets."""
        max_len = longest(self.length, self.encoder.config)
        if not self.reads_sources:
            return text_rows(self.tokenizer, next(iter(table.texts.values())), max_len)
        sources, targets = table.texts.values()
        return pair_rows(self.tokenizer, self.inputs(sources, self.decoding), targets)

    def inputs(self, texts: Sequence[str], decoding: DecodingConfig) -> Inputs:
        """Rows of sources, or of prompts, that leave room for what is generated.

        Raises:
            InputError: An empty source.
        """
        max_len = longest(self.length, self.encoder.config)
        room = source_room(max_len, max(decoding.max_length, self.decoding.max_length))
        if not self.reads_sources:
            return prompt_rows(self.tokenizer, texts, room)
        inputs = source_rows(self.tokenizer, texts, self.length, room)
        if (inputs.lengths < 3).any():
            raise InputError(
                f"source {int((inputs.lengths < 3).argmax()) + 1} is empty, or has no character that the tokenizer "
                "reads; leave it out."
            )
        return inputs

    def decoding_with(self, changes: Mapping[str, Any]) -> DecodingConfig:
        """The generator's decoding with changes, without what another search alone reads.

        Raises:
            InputError: An unknown setting, or one that does not fit.
        """
        settings = {one.name: getattr(self.decoding, one.name) for one in fields(DecodingConfig)}
        settings = {name: value for name, value in settings.items() if value != getattr(DecodingConfig, name)}
        if changes.get("search", self.decoding.search) != self.decoding.search:
            dropped = ("n_best", *OF_SEARCH.get(self.decoding.search, ()))
            settings = {name: value for name, value in settings.items() if name not in dropped}
        return make_config(DecodingConfig, None, settings | dict(changes))

    def _decoder(self, changes: Mapping[str, Any], among: Texts | None) -> TextDecoder:
        among = None if among is None else text_list(among, "among")
        return TextDecoder(self.encoder, self.tokenizer, self.decoding_with(changes), among)


def _table(texts: Texts, targets: Texts | None, name: str) -> Table:
    return table_of({"texts": texts} if targets is None else {"texts": texts, "targets": targets}, None, name)


def _pairs(texts: Texts, targets: Texts, name: str) -> Table:
    return _table(texts, targets, name)


def _texts(texts: Texts, name: str) -> Table:
    return _table(texts, None, name)


def usable(tokenizer: Tokenizer, table: Table, max_length: int) -> Table:
    """Table without examples that cannot be used, which are refused or counted."""
    return table.without(unusable(tokenizer, list(table.texts.values()), max_length))


def train_generator(parts: Mapping[str, Table], config: GenerationTrainConfig, out: Path | None = None) -> Generator:
    """Train on tables; see ``Generator.train``.

    Args:
        parts: ``train``, ``validation`` and, where there is one, ``test``; columns of sources and targets, or of texts.
        config: Settings; ``config.toml`` of the run.
        out: Run folder; None: a temporary one.
    """
    config = settled(config, targets=len(parts["train"].texts) == 2)
    generator, training = build_training(parts, config)
    generator.results = train_task(training, config, out)
    return generator


def build_training(parts: Mapping[str, Table], config: GenerationTrainConfig) -> tuple[Generator, TaskTraining]:
    """Build an untrained generator and its training.

    Raises:
        InputError: Data or settings that do not fit.
    """
    attention: Attention = "prefix" if len(parts["train"].texts) == 2 else "causal"
    torch.manual_seed(config.train.seed)
    known = [text for column in parts["train"].texts.values() for text in column]
    encoder, tokenizer = make_text_encoder(
        config.init, config.encoder, config.own_tokenizer, known, attention=attention
    )
    check_cacheable(encoder)
    source_room(longest(config.length, encoder.config), config.decoding.max_length)
    generator = Generator(encoder, tokenizer, config.length, config.decoding)
    parts = {name: usable(tokenizer, table, config.decoding.max_length) for name, table in parts.items()}
    rows = {name: generator.rows(table) for name, table in parts.items()}
    loss = GenerationLoss(encoder, config.train.auxiliary.weight)

    def evaluate(split: str) -> dict[str, Any]:
        generates = split == "test" or config.train.monitor in TEXT_MONITORS
        return generator.metrics(parts[split], rows[split], config.decoding if generates else None)

    def record() -> dict[str, Any]:
        counts = {name: {**table.left_out, **rows[name][0].counts} for name, table in parts.items()}
        return {"examples": {name: len(table) for name, table in parts.items()}, "counted": nonempty(counts)}

    inputs, first = rows["train"]
    training = TaskTraining(
        kind=TASK,
        loss=loss,
        model=loss.prediction,
        batches=TextBatches(
            inputs,
            {"first": first},
            batch_size=config.train.batch_size,
            seed=config.train.seed,
            targets=inputs.lengths - first,
        ),
        sources=contents(parts.values()) | start_contents(config.init, config.tokenizer),
        splits=[name for name in parts if name != "train"],
        evaluate=evaluate,
        record=record,
        save=generator.save,
    )
    return generator, training
