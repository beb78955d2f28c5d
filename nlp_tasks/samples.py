"""Made-up notices about people, as files for every text task: something to try the commands on in seconds.

    python -m nlp_tasks.samples texts

A few words determine every label, so that an encoder from random weights learns it. Metrics on these files show that a
command works, and no more.
"""

import json
import sys
from pathlib import Path

import numpy as np

from recsys_bert.errors import InputError
from recsys_bert.files import replacing

_WORDS = {
    "first": "Ada Ben Cleo Dara Emil Faye Gus Hana Ivo Jun Kaja Lars Mina Noor Otto Pia Quin Rosa Sven Tara",
    "last": "Abel Brandt Costa Duval Eklund Fischer Greco Horn Ito Jansen Kovac Lund Moreau Novak Okada Perez",
    "city": "Oslo Rome Bonn Porto Lyon Graz Turin Ghent Malaga Tartu Bergen Kyoto Quito Lima Nantes Split",
    "tree": "Alder Birch Cedar Dogwood Elm Fir Ginkgo Hazel",
    "house": "Works Studio Club Bank",
}
_TOPICS = {
    "arts": "painter singer sculptor dancer poet",
    "sport": "runner goalkeeper swimmer rower boxer",
    "trade": "broker grocer banker brewer tailor",
}
_FORMS = (
    "{name} , a {job} from {city} , joined {firm} in {year} .",
    "in {year} {firm} hired {name} , who is a {job} and lives in {city} .",
    "the {job} {name} of {city} has been with {firm} since {year} .",
)
_QUESTIONS = {
    "job": "what is {name} ?",
    "city": "where does {name} live ?",
    "firm": "who hired {name} ?",
    "year": "when did {name} begin ?",
}
_TYPES = {"name": "PER", "city": "LOC", "firm": "ORG"}

Fact = dict[str, str]


def write_samples(folder: Path, n: int = 600, seed: int = 0) -> None:
    """Write ``lines.txt``, ``topics.tsv``, ``pairs.tsv``, ``questions.jsonl`` and ``entities.conll`` into a new folder.

    Args:
        folder: The folder.
        n: Examples of each file.
        seed: Of all choices.

    Raises:
        InputError: The folder is there already.
    """
    if folder.exists():
        raise InputError(f"{folder} exists; name a new folder.")
    random = np.random.default_rng(seed)
    facts = [_fact(random) for _ in range(n)]
    texts = [_notice(fact, random) for fact in facts]
    files = {
        "lines.txt": texts,
        "topics.tsv": ["text\tlabel", *(f"{text}\t{fact['topic']}" for fact, text in zip(facts, texts, strict=True))],
        "pairs.tsv": ["first\tsecond\tlabel", *(_pair(fact, random) for fact in facts)],
        "questions.jsonl": [_question(fact, text, random) for fact, text in zip(facts, texts, strict=True)],
        "entities.conll": [_tagged(fact, text) for fact, text in zip(facts, texts, strict=True)],
    }
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name, lines in files.items():
            (temporary / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _fact(random: np.random.Generator) -> Fact:
    def one(words: str) -> str:
        return str(random.choice(words.split()))

    topic = str(random.choice(sorted(_TOPICS)))
    return {
        "name": f"{one(_WORDS['first'])} {one(_WORDS['last'])}",
        "topic": topic,
        "job": one(_TOPICS[topic]),
        "city": one(_WORDS["city"]),
        "firm": f"{one(_WORDS['tree'])} {one(_WORDS['house'])}",
        "year": str(random.integers(1980, 2020)),
    }


def _notice(fact: Fact, random: np.random.Generator) -> str:
    return str(random.choice(_FORMS)).format(**fact)


def _pair(fact: Fact, random: np.random.Generator) -> str:
    """Two notices: of the same person (1), or of two (0)."""
    same = random.random() < 0.5
    first, second = random.permutation(len(_FORMS))[:2]
    other = fact if same else _fact(random)
    return f"{_FORMS[first].format(**fact)}\t{_FORMS[second].format(**other)}\t{int(same)}"


def _question(fact: Fact, text: str, random: np.random.Generator) -> str:
    key = str(random.choice(sorted(_QUESTIONS)))
    question = _QUESTIONS[key].format(**fact)
    return json.dumps({"question": question, "context": text, "answers": [fact[key]]})


def _tagged(fact: Fact, text: str) -> str:
    """A word and its tag a line, in the scheme bio, and an empty line."""
    tags: dict[str, str] = {}
    for key, kind in _TYPES.items():
        first, *others = fact[key].split()
        tags |= {first: f"B-{kind}", **dict.fromkeys(others, f"I-{kind}")}
    return "".join(f"{word}\t{tags.get(word, 'O')}\n" for word in text.split())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m nlp_tasks.samples FOLDER")
    try:
        write_samples(Path(sys.argv[1]))
    except InputError as wrong:
        sys.exit(f"error: {wrong}")
