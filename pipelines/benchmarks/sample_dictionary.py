"""A dictionary from some of the entities of marked sentences, as if only those were known.

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
    """Write a dictionary of a random part of the entities of the training file."""

    out: Path
    """File of ``entity<TAB>type`` lines."""

    data: AnnotatedFilesConfig = field(default_factory=lambda: RESUME)
    """``train`` is the file of marked sentences."""

    share: float = 0.1
    """Share of the entities that is drawn, in (0, 1]."""

    of: Of = "mentions"
    """mentions: drawn among all marked places, so that what is frequent is likely to be known; entities: among the
    different entities, each as likely as any other."""

    seed: int = 0
    """Of the draw."""

    def __post_init__(self) -> None:
        if self.data.train is None:
            raise InputError("no file of marked sentences is given; name it with --data.train FILE.")
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
    """Draw and write.

    Returns:
        The entries.
    """
    from nlp_tasks.tagging.data import read_annotated

    found = read_annotated(config.data.train or Path(), config.data)
    entries = sample(found.sentences, config.share, config.of, config.seed)
    write(config.out, entries)
    print(f"wrote {len(entries):,} entries to {config.out}", file=sys.stderr)
    return entries


def sample(sentences: "Sequence[Sentence]", share: float, of: Of, seed: int) -> list[tuple[str, str]]:
    """Draw entities with their types; sorted, each pair once, and one at least of every type.

    Those that a line of a dictionary cannot hold are not drawn.

    Raises:
        InputError: There are none.
    """
    import numpy as np

    from nlp_tasks.tagging.pu.dictionary import fits_a_line

    everything = []
    for sentence in sentences:
        for start, stop, kind in sentence.levels[0]:
            first, last = sentence.characters(start, stop)
            if fits_a_line(sentence.text[first:last]) and fits_a_line(kind):
                everything.append((sentence.text[first:last], kind))
    if of == "entities":
        everything = sorted(set(everything))
    if not everything:
        raise InputError(f"none of the {len(sentences):,} sentences has an entity to draw.")
    random = np.random.default_rng(seed)
    drawn = random.choice(len(everything), max(1, round(share * len(everything))), replace=False)
    found = {everything[row] for row in drawn.tolist()}
    for kind in sorted({kind for _, kind in everything} - {kind for _, kind in found}):
        own = sorted({pair for pair in everything if pair[1] == kind})
        found.add(own[int(random.integers(len(own)))])
    return sorted(found)


def write(path: Path, entries: Sequence[tuple[str, str]]) -> None:
    """Write a dictionary, whole or not at all; an entity that was drawn with two types has two lines."""
    from recsys_bert.files import replacing

    with replacing(path) as aside:
        aside.write_text(as_text(entries), encoding="utf-8")


def as_text(entries: Sequence[tuple[str, str]]) -> str:
    """What ``write`` writes."""
    return "".join(f"{entity}\t{kind}\n" for entity, kind in entries)


if __name__ == "__main__":
    from pipelines.support.flags import load_config

    run(load_config(Config, sys.argv[1:], prog="python -m pipelines.benchmarks.sample_dictionary"))
