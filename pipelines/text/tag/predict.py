"""Find entities in new texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.support.outputs import check_out, check_place
from pipelines.text.answers import check_one_source
from pipelines.text.tag.files import NewSentencesConfig
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.tagging.data import Annotated
    from nlp_tasks.tagging.tagger import Tagger


@dataclass(frozen=True, kw_only=True)
class Config:
    """Show new texts with their entities, or write them."""

    run: Path
    """Run folder of `text tag train`."""

    texts: tuple[str, ...] = ()
    """Texts, each in quotes."""

    file: Path | None = None
    """File with texts, instead: one a line (.txt), jsonl, or conll, of which only the words are read."""

    read: NewSentencesConfig = field(default_factory=NewSentencesConfig)
    """How it is read."""

    min_score: float = 0.0
    """Leave out entities with a lower score."""

    out: Path | None = None
    """File to write instead of printing; its ending says the format: .parquet, .csv or .jsonl, which `train` reads."""

    html: Path | None = None
    """HTML page to write as well, with entities marked in the texts."""

    json: bool = False
    """Print one JSON object on stdout."""

    def __post_init__(self) -> None:
        check_one_source(self.file, self.texts)
        check_out(self.out)
        check_place(self.html)
        if any(not text.strip() for text in self.texts):
            raise InputError("a text is empty; write something between the quotes.")
        if not 0 <= self.min_score <= 1:
            raise InputError(f"min_score is {self.min_score}; scores lie in [0, 1].")


def run(config: Config) -> dict[str, Any]:
    """Find and show.

    Returns:
        Counts: texts, entities, those left out, sentences read in windows.
    """
    import sys

    from nlp_tasks.tagging.tagger import Tagger
    from pipelines.text.answers import show
    from pipelines.text.tag.display import print_answers, write_page

    recogniser = Tagger.load(config.run)
    new = _read(config, recogniser)
    found = [
        [entity for entity in entities if entity.score >= config.min_score]
        for entities in recogniser.find_in(new.sentences)
    ]
    answers = [(line, one.text, entities) for line, one, entities in zip(new.lines, new.sentences, found, strict=True)]
    told = {
        "run": str(config.run),
        "texts": len(answers),
        "entities": sum(map(len, found)),
        "left_out": new.left_out,
    }
    if config.html is not None:
        write_page(config.html, answers, recogniser.types, f"Entities found by {config.run.name}")
        print(f"the page is {config.html}", file=sys.stderr)
    if config.json or config.out is not None:
        rows = [{"line": line, "text": text, "entities": [_row(one) for one in own]} for line, text, own in answers]
        return show(rows, told, config.out, config.json)
    print_answers(answers, recogniser.types)
    return told


def _read(config: Config, recogniser: "Tagger") -> "Annotated":
    from nlp_tasks.tagging.config import AnnotatedFilesConfig
    from nlp_tasks.tagging.data import Annotated, read_annotated
    from nlp_tasks.tagging.sentences import cut
    from pipelines.text.tag import train
    from recsys_bert.settings import read_config

    if config.file is None:
        sentences = [cut(text, recogniser.units) for text in config.texts]
        return Annotated(Path("command line"), list(range(1, len(sentences) + 1)), sentences, recogniser.units)
    trained: AnnotatedFilesConfig = read_config(train.Config, config.run / "config.toml").data
    how = config.read.like(trained, recogniser, config.file)
    return read_annotated(config.file, how, entities=False, flags="read")


def _row(entity: Any) -> dict[str, Any]:
    return {
        "text": entity.text,
        "type": entity.type,
        "start": entity.start,
        "end": entity.stop,
        "score": entity.score,
    }
