"""Sample a dictionary from the entities of annotated sentences.

python -m pipelines.benchmarks.sample_dictionary --out runs/resume-dictionary.tsv
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nlp_tasks.tagging.config import AnnotatedFilesConfig
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.tagging.sentences import Sentence

Of = Literal["mentions", "entities"]

RESUME = AnnotatedFilesConfig(train=Path("../shared/data/resume-ner/train.char.bmes"), scheme="bmes", bad_rows="drop")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write a dictionary of a random sample of the training file's entities."""

    out: Path
    """File of ``entity<TAB>type`` lines."""

    data: AnnotatedFilesConfig = field(default_factory=lambda: RESUME)
    """``train`` is the file of annotated sentences."""

    share: float = 0.1
    """Share of the entities in the sample, in (0, 1]."""

    of: Of = "mentions"
    """mentions: sampled among all mentions, which favours frequent entities; entities: among distinct entities,
    uniformly."""

    seed: int = 0
    """Of the sample."""

    def __post_init__(self) -> None:
        if self.data.train is None:
            raise InputError("no file of annotated sentences is given; name it with --data.train FILE.")
        check_share(self.share)
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; it cannot be negative.")


def check_share(share: float) -> None:
    """Check a share of entities.

    Raises:
        InputError: It is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError(f"share is {share}; it must lie in (0, 1], as 0.1 does.")


def run(config: Config) -> list[tuple[str, str]]:
    """Sample and write.

    Returns:
        The entries.
    """
    from nlp_tasks.tagging.files import read_annotated

    data = read_annotated(config.data.train or Path(), config.data)
    entries = sample(data.sentences, config.share, config.of, config.seed)
    write(config.out, entries)
    print(f"wrote {len(entries):,} entries to {config.out}", file=sys.stderr)
    return entries


def sample(sentences: "Sequence[Sentence]", share: float, of: Of, seed: int) -> list[tuple[str, str]]:
    """Sample entities with their types; sorted, each pair once, at least one of every type.

    Those that a line of a dictionary cannot hold are left out.

    Raises:
        InputError: There are none.
    """
    import numpy as np

    from nlp_tasks.tagging.pu.dictionary import fits_a_line

    entities = []
    for sentence in sentences:
        for start, stop, kind in sentence.levels[0]:
            first, last = sentence.characters(start, stop)
            if fits_a_line(sentence.text[first:last]) and fits_a_line(kind):
                entities.append((sentence.text[first:last], kind))
    if of == "entities":
        entities = sorted(set(entities))
    if not entities:
        raise InputError(f"none of the {len(sentences):,} sentences has an entity.")
    random = np.random.default_rng(seed)
    rows = random.choice(len(entities), max(1, round(share * len(entities))), replace=False)
    entries = {entities[row] for row in rows.tolist()}
    for kind in sorted({kind for _, kind in entities} - {kind for _, kind in entries}):
        of_kind = sorted({pair for pair in entities if pair[1] == kind})
        entries.add(of_kind[int(random.integers(len(of_kind)))])
    return sorted(entries)


def write(path: Path, entries: Sequence[tuple[str, str]]) -> None:
    """Write a dictionary atomically; an entity sampled with two types has two lines."""
    from recsys_bert.files import replacing

    with replacing(path) as temporary:
        temporary.write_text(as_text(entries), encoding="utf-8")


def as_text(entries: Sequence[tuple[str, str]]) -> str:
    """Lines of a dictionary file."""
    return "".join(f"{entity}\t{kind}\n" for entity, kind in entries)


if __name__ == "__main__":
    from pipelines.support.flags import load_config

    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.sample_dictionary"))
