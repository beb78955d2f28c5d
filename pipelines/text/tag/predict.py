"""Predict the entities of new texts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.support.outputs import check_out, check_place
from pipelines.text.answers import check_one_source
from pipelines.text.tag.files import NewSentencesConfig
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.tagging.data import AnnotatedSentences
    from nlp_tasks.tagging.tagger import Tagger


@dataclass(frozen=True, kw_only=True)
class Config:
    """Predict the entities of new texts, and print or write them."""

    run: Path
    """Run folder of `text tag train`."""

    texts: tuple[str, ...] = ()
    """Texts, each in quotes."""

    file: Path | None = None
    """File with texts, instead: one a line, whatever the model was trained on, but for .jsonl, .json, .parquet, and
    .conll and its like, of which only the words are read."""

    read: NewSentencesConfig = field(default_factory=NewSentencesConfig)
    """Its format."""

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
    """Predict, and print or write.

    Returns:
        Counts: texts, entities, texts left out.
    """
    import sys

    from nlp_tasks.tagging.tagger import Tagger
    from pipelines.text.answers import show
    from pipelines.text.tag.display import print_texts, write_page

    tagger = Tagger.load(config.run)
    data = _read(config, tagger)
    predictions = [
        [entity for entity in entities if entity.score >= config.min_score]
        for entities in tagger.predict_sentences(data.sentences)
    ]
    texts = [sentence.text for sentence in data.sentences]
    tagged = list(zip(data.lines, texts, predictions, strict=True))
    summary = {
        "run": str(config.run),
        "texts": len(tagged),
        "entities": sum(map(len, predictions)),
        "left_out": data.left_out,
    }
    if config.html is not None:
        write_page(config.html, tagged, tagger.types, f"Entities predicted by {config.run.name}")
        print(f"the page is {config.html}", file=sys.stderr)
    if config.json or config.out is not None:
        rows = [{"line": line, "text": text, "entities": [_row(one) for one in ents]} for line, text, ents in tagged]
        return show(rows, summary, config.out, config.json)
    print_texts(tagged, tagger.types)
    return summary


def _read(config: Config, tagger: "Tagger") -> "AnnotatedSentences":
    from nlp_tasks.tagging.data import AnnotatedSentences
    from nlp_tasks.tagging.files import read_annotated
    from nlp_tasks.tagging.sentences import split_words
    from pipelines.text.answers import trained_settings
    from pipelines.text.tag import train

    if config.file is None:
        sentences = [split_words(text, tagger.granularity) for text in config.texts]
        lines = list(range(1, len(sentences) + 1))
        return AnnotatedSentences(Path("command line"), lines, sentences, tagger.granularity)
    trained = trained_settings(train.Config, config.run).data
    files = config.read.like(trained, tagger, config.file, entities=False)
    return read_annotated(config.file, files, entities=False, flags="read")


def _row(entity: Any) -> dict[str, Any]:
    return {
        "text": entity.text,
        "type": entity.type,
        "start": entity.start,
        "end": entity.stop,
        "score": entity.score,
    }
