"""Generate new texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_out
from pipelines.text.answers import NewFileConfig, check_one_source, trained_settings
from pipelines.text.generate.decoding import NewDecodingConfig
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Print or write what a generator makes of sources, or how it continues prompts."""

    run: Path
    """Run folder of `text generate train`."""

    texts: tuple[str, ...] = ()
    """Sources or prompts, each in quotes."""

    file: Path | None = None
    """File with sources or prompts, instead."""

    read: NewFileConfig = field(default_factory=NewFileConfig)
    """Format of the file; .txt is read as lines."""

    source: str | None = None
    """Column with the source or prompt; None: as in training."""

    decoding: NewDecodingConfig = field(default_factory=NewDecodingConfig)
    """Decoding, where it is not that of the training."""

    among: Path | None = None
    """File with a text a line, of which one is generated; None: any text."""

    stream: bool = False
    """Print one text piece by piece while it is generated, greedily or by sampling."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_one_source(self.file, self.texts)
        check_out(self.out)
        if self.stream and (len(self.texts) != 1 or self.json or self.out is not None):
            raise InputError("stream prints one text given with --texts; leave out other texts, file, out and json.")


def run(config: Config) -> dict[str, Any]:
    """Generate, and print or write the texts.

    Returns:
        Counts: texts, lines left out, sources shortened.
    """
    from nlp_tasks.generation.decoding import TextDecoder
    from nlp_tasks.generation.generator import Generator
    from nlp_tasks.lines import read_lines
    from pipelines.text.answers import show

    generator = Generator.load(config.run)
    among = None
    if config.among is not None:
        among = [line for _, line in read_lines(config.among) if line.strip()]
    if config.stream:
        return _stream(generator, config, among)
    table = _table(config)
    texts = next(iter(table.texts.values()))
    decoder = TextDecoder(
        generator.encoder, generator.tokenizer, generator.decoding_with(config.decoding.changes), among
    )
    inputs = generator.inputs(texts, decoder.config)
    rows: list[dict[str, Any]] = []
    for line, text, some in zip(table.lines, texts, decoder.generate(inputs), strict=True):
        for rank, one in enumerate(some, 1):
            ranked = {"line": line, "rank": rank, "log_probability": one.log_probability}
            rows.append(ranked | {"text": one.text, "finished": one.finished, "source": text})
    summary = {"run": str(config.run), "texts": len(table), "left_out": table.left_out, "counted": inputs.counts}
    return show(rows, summary, config.out, config.json)


def _table(config: Config) -> Any:
    from nlp_tasks.data import read_table
    from pipelines.text.answers import typed_in
    from pipelines.text.generate import train

    if config.file is None:
        return typed_in(texts=config.texts)
    trained = trained_settings(train.Config, config.run)
    files = train.as_lines(config.read.like(trained.data), config.file, targets=False)
    column = config.source or ("text" if files.format == "lines" else trained.columns[0])
    return read_table(config.file, files, [column], flags="read")


def _stream(generator: Any, config: Config, among: list[str] | None) -> dict[str, Any]:
    from recsys_bert.terminal import printable

    for piece in generator.stream(config.texts[0], among=among, **config.decoding.changes):
        print(printable(piece), end="", flush=True)
    print()
    return {"run": str(config.run), "texts": 1}
