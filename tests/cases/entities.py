"""Bad input to ``text tag``."""

import json
from pathlib import Path

from cases.bad_input import Case, Spoil, append, replaced, truncated, write_bytes, write_text

ENCODER = "--encoder.dim 8 --encoder.n-layers 1 --encoder.n-heads 1 --encoder.max-len 24 --tokenizer.min-count 1"
QUICK = f"{ENCODER} --train.epochs 1 --train.device cpu"
"""Flags of a tiny training, for all text commands."""

_LIKE = "--data.validation-share 0.3"
TRAIN = f"text tag train --out out --data.train named.conll --data.scheme bio {_LIKE} {QUICK}"
_JSON = f"text tag train --out out --data.train named.jsonl {_LIKE} {QUICK}"
_MRC = "--head.name mrc"
_LEXICON = "--lexicon.name soft_lexicon --lexicon.file words.txt"
_PREDICT = "text tag predict --run named"
_EVALUATE = "text tag evaluate --run named --file new.conll"


def _sentence(**cells: object) -> Spoil:
    """Append a JSON line, good except for ``cells``."""
    good = {"text": "Ada saw Rome", "entities": [{"start": 8, "end": 12, "type": "LOC"}]}
    return append("named.jsonl", json.dumps(good | cells) + "\n")


def _letters(*letters: str) -> Spoil:
    """Append a sentence of two words with these letters in their tags."""
    return append("named.conll", "".join(f"Ada\t{letter}-PER\n" for letter in letters) + "\n")


CASES = (
    Case("letters of no scheme", TRAIN.replace("--data.scheme bio", ""), "which no scheme has", _letters("M", "L")),
    Case("unknown scheme of tags", TRAIN.replace("bio", "bmse"), "no tag scheme is called 'bmse'; did you mean 'bmes'"),
    Case("tags of another scheme", TRAIN.replace("bio", "bmes"), "is no tag of bmes", _letters("I")),
    Case("tag of no scheme", TRAIN, "'LOC' is no tag of bio", append("named.conll", "Rome\tLOC\n")),
    Case("missing column of tags", f"{TRAIN} --data.tag-columns 2", "there is no column 2 among 2"),
    Case("word without a tag", TRAIN, "1 columns where the file has 2", append("named.conll", "Rome\n")),
    Case("words that are tags", f"{TRAIN} --data.word-column -1", "are not all different"),
    Case(
        "entities in no UTF-8",
        TRAIN,
        "line 2 of named.conll is not UTF-8",
        write_bytes("named.conll", b"Ada\tB-PER\nR\xf6me\tB-LOC\n"),
    ),
    Case("empty file, entities", TRAIN, "named.conll holds no sentence", write_text("named.conll", "")),
    Case("sentences without an entity", TRAIN, "has an entity", write_text("named.conll", "a\tO\nb\tO\n\n" * 9)),
    Case("plain lines, entities", TRAIN.replace("named.conll", "lines.txt"), "lines of text, which have no entities"),
    Case("file of entities that is not there", TRAIN.replace("named.conll", "gone.conll"), "gone.conll cannot be read"),
    Case("entity outside its text", _JSON, "outside its text", _sentence(entities=[[8, 13, "LOC"]])),
    Case("entity that ends before it begins", _JSON, "outside its text", _sentence(entities=[[8, 8, "LOC"]])),
    Case("half a word", _JSON, "does not begin and end with words", _sentence(entities=[[8, 11, "LOC"]])),
    Case("entity of another form", _JSON, "neither {start, end, type}", _sentence(entities=[{"start": 8}])),
    Case("no list of entities", _JSON, "no list under 'entities'", _sentence(entities=None)),
    Case("entities without a text", _JSON, "no text under 'text'", _sentence(text=" ")),
    Case("entities in no JSON", _JSON, "line 21 of named.jsonl: not JSON", append("named.jsonl", "{text: 1}\n")),
    Case(
        "type that training does not know",
        f"{TRAIN} --data.validation new.conll",
        "entity type 'TIME' does not occur in training",
    ),
    Case("the same, when it is measured", _EVALUATE, "entity type 'TIME' does not occur in training"),
    Case("illegal tags, when it is measured", _EVALUATE, "--read.bad-rows", replaced("new.conll", "\tB-", "\tM-")),
    Case("misspelt head, entities", f"{TRAIN} --head.name crff", "did you mean 'crf'"),
    Case("unknown metric, entities", f"{TRAIN} --train.monitor accuracy", "this task validates f1"),
    Case("sentences longer than the encoder reads", f"{TRAIN} --length.max-len 64", "reads 24 tokens at most"),
    Case(
        "refused long sentence",
        f"{TRAIN} --length.long refuse",
        "sentence 1 has 31 tokens",
        write_text("named.conll", ("Ada\tB-PER\n" + "saw\tO\n" * 30 + "\n") * 9),
    ),
    Case("empty lexicon", f"{TRAIN} {_LEXICON}", "words.txt holds no word", write_text("words.txt", " \n")),
    Case("lexicon that is not there", f"{TRAIN} {_LEXICON}", "words.txt cannot be read"),
    Case("lexicon without a layer", f"{TRAIN} --lexicon.file lines.txt", "lexicon.name"),
    Case(
        "lexicon beside MRC tagging",
        f"{TRAIN} {_MRC} {_LEXICON}",
        "MRC tagging has no lexicon layer",
        write_text("words.txt", "Rome\nAda\n"),
    ),
    Case(
        "type without a query",
        f"{TRAIN} {_MRC} --queries queries.txt",
        "has no query for PER",
        write_text("queries.txt", "LOC\twhich place?\n"),
    ),
    Case(
        "query of another form",
        f"{TRAIN} {_MRC} --queries queries.txt",
        "line 1 of queries.txt is not TYPE<tab>query",
        write_text("queries.txt", "LOC which place?\n"),
    ),
    Case("run of another task, entities", "text tag predict --run classified --texts a", "no tagger"),
    Case("tagger of another task's command", "text classify predict --run named --texts a", "no classifier"),
    Case("damaged tagger", f"{_PREDICT} --texts a", "is damaged", truncated("named/tagger/head.safetensors")),
    Case("nothing to look through", _PREDICT, "give either texts"),
    Case("page where a folder lies", f"{_PREDICT} --texts a --html named", "named is a folder; a file is"),
    Case("report where a file lies, entities", f"{_EVALUATE} --out named.conll", "named.conll is a file; a folder is"),
    Case("empty text to look through", f"{_PREDICT} --texts ' '", "a text is empty"),
    Case("score that is no probability", f"{_PREDICT} --texts a --min-score 2", "scores lie in [0, 1]"),
)


def write_valid(folder: Path) -> None:
    """Write 20 sentences with entities, as columns and as JSON, and one with a type that they do not have."""
    names, cities = ["Ada", "Eve", "Ben"], ["Rome", "Bonn", "Oslo"]
    columns, rows = [], []
    for n in range(20):
        name, city = names[n % 3], cities[n // 3 % 3]
        text, start = f"{name} saw {city}", len(name) + 5
        columns.append(f"{name}\tB-PER\nsaw\tO\n{city}\tB-LOC\n" if n % 2 else f"{name}\tB-PER\n{city}\tB-LOC\n")
        rows.append(json.dumps({"text": text, "entities": [[0, len(name), "PER"], [start, start + 4, "LOC"]]}))
    write_text("named.conll", "\n".join(columns) + "\n")(folder)
    write_text("named.jsonl", "\n".join(rows) + "\n")(folder)
    write_text("new.conll", "Ada\tB-PER\nyesterday\tB-TIME\n")(folder)
