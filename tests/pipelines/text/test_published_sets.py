"""Data sets in the form in which they are published: the plain command trains on them, and its F1 is seqeval's."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.files import read_annotated
from nlp_tasks.tagging.schemes import SCHEMES, Span, write_tags
from nlp_tasks.tagging.tagger import Tagger
from pipelines.cli import main

WORDS = {"LOC": ["bonn", "oslo", "rome"], "PER": ["ada", "bob", "eve"]}
QUICK = ["--encoder.dim", "16", "--encoder.n-layers", "1", "--encoder.n-heads", "2", "--encoder.max-len", "32"]
QUICK += [
    "--train.epochs",
    "10",
    "--train.batch-size",
    "8",
    "--encoder.init-std",
    "0.3",
    "--train.lr",
    "2e-2",
    "--train.device",
    "cpu",
    "--tokenizer.min-count",
    "1",
]


def tagged(n, seed, odd):
    """Sentences of words and tags; with ``odd``, entities that no B begins, as in Weibo."""
    random = np.random.default_rng(seed)
    for _ in range(n):
        words, tags = [], []
        for kind in random.choice(sorted(WORDS), 2):
            size = int(random.integers(1, 3))
            words += ["the", *random.choice(WORDS[kind], size)]
            first = "I" if odd and random.random() < 0.4 else "B"
            tags += ["O", f"{first}-{kind}", *[f"I-{kind}"] * (size - 1)]
        yield words, tags


def columns(rows, line, head=""):
    sentences = (head + "".join(line(n, w, t) for n, (w, t) in enumerate(zip(*row, strict=True), 1)) for row in rows)
    return "\n".join(sentences)


def spans_of(words, tags):
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    return [(kind, int(starts[a]), int(starts[b]) + len(words[b])) for kind, a, b in get_entities(tags)]


def cluener(rows):
    for words, tags in rows:
        text, label = " ".join(words), {}
        for kind, start, stop in spans_of(words, tags):
            label.setdefault(kind, {}).setdefault(text[start:stop], []).append([start, stop - 1])
        yield json.dumps({"text": text, "label": label})


def doccano(rows):
    for words, tags in rows:
        yield json.dumps({"text": " ".join(words), "label": [[a, b, kind] for kind, a, b in spans_of(words, tags)]})


def pubtator(rows):
    for number, (words, tags) in enumerate(rows):
        text = " ".join(words)
        yield f"{number}|t|{text}\n{number}|a|"
        for kind, start, stop in spans_of(words, tags):
            yield f"{number}\t{start}\t{stop}\t{text[start:stop]}\t{kind}\tD1"
        yield ""


def kaggle(rows):
    yield "Sentence #,Word,POS,Tag"
    for number, (words, tags) in enumerate(rows, 1):
        for first, (word, tag) in zip([True, *[False] * len(words)], zip(words, tags, strict=True), strict=False):
            yield f"{f'Sentence: {number}' if first else ''},{word},NN,{tag}"


def slashes(rows):
    for words, tags in rows:
        yield " ".join(f"{word}/{tag}" for word, tag in zip(words, tags, strict=True))


def write_parquet(path, rows):
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    table = pa.Table.from_pylist([{"tokens": w, "ner_tags": [names.index(tag) for tag in t]} for w, t in rows])
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
    info = json.dumps({"info": {"features": {"ner_tags": feature}}})
    pq.write_table(table.replace_schema_metadata({"huggingface": info}), path)


SHAPES = {  # file ending, odd tags, writer of rows
    "conll2003": (".train", False, lambda rows: columns(rows, lambda _, w, t: f"{w} NN B-NP {t}\n")),
    "conll2003 as text": (".txt", False, lambda rows: columns(rows, lambda _, w, t: f"{w} NN B-NP {t}\n")),
    "weibo": ("_2nd_conll.train", True, lambda rows: columns(rows, lambda _, w, t: f"{w}\t{t}\n")),
    "germeval": (".tsv", False, lambda rows: columns(rows, lambda n, w, t: f"{n}\t{w}\t{t}\tO\n", "#\thttp://x [1]\n")),
    "multiconer": (
        ".conll",
        False,
        lambda rows: columns(rows, lambda _, w, t: f"{w} _ _ {t}\n", "# id 1\tdomain=en\n"),
    ),
    "cluener": (".json", False, lambda rows: "\n".join(cluener(rows))),
    "doccano": (".jsonl", False, lambda rows: "\n".join(doccano(rows))),
    "pubtator": (".PubTator.txt", False, lambda rows: "\n".join(pubtator(rows))),
    "kaggle": (".csv", False, lambda rows: "\n".join(kaggle(rows))),
    "word/tag": (".txt", False, lambda rows: "\n".join(slashes(rows))),
    "parquet": (".parquet", False, None),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_plain_command_trains_and_measures_as_seqeval(shape, tmp_path, capsys):
    ending, odd, write = SHAPES[shape]
    parts = {name: list(tagged(n, seed, odd)) for seed, (name, n) in enumerate({"train": 60, "test": 30}.items())}
    files = {name: tmp_path / f"{name}{ending}" for name in parts}
    for name, rows in parts.items():
        if write is None:
            write_parquet(files[name], rows)
        else:
            files[name].write_text(write(rows), encoding="utf-8")
    run = tmp_path / "run"
    data = [word for name in ("train", "test") for word in (f"--data.{name}", str(files[name]))]
    assert main(["text", "tag", "train", "--out", str(run), *data, *QUICK]) == 0
    gold = [tags for _, tags in parts["test"]]
    entities = sum(len(get_entities(tags)) for tags in gold)
    printed = capsys.readouterr().err
    assert f"30 sentences, {entities} entities" in printed
    assert ("which their scheme forbids" in printed) == odd
    assert "left out" not in printed

    tagger = Tagger.load(run)
    test = read_annotated(files["test"], AnnotatedFilesConfig())
    predicted, _ = tagger.predict_spans(tagger.inputs(test.sentences))
    tags = []
    for row, (words, _) in enumerate(parts["test"]):
        spans = [Span(a, b, tagger.types[kind]) for _, a, b, kind in predicted[predicted[:, 0] == row].tolist()]
        tags.append(write_tags(sorted(spans), len(words), SCHEMES["iob2"]))
    results = json.loads((run / "metrics.json").read_text())
    assert results["test"]["f1"] == pytest.approx(f1_score(gold, tags), abs=1e-12)
    assert results["test"]["f1"] > 0.5
