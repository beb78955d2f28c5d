"""Bad input to the text commands."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
from cases import entities
from cases.bad_input import Case, Spoil, append, replaced, resealed, run_all, truncated, write_bytes, write_text

ENCODER, QUICK = entities.ENCODER, entities.QUICK
CLASSIFY = f"text classify train --out out --data.train train.tsv --data.validation validation.tsv {QUICK}"
MATCH = f"text match train --out out --data.train pairs.tsv {QUICK}"
READ = f"text qa train --out out --data.train questions.jsonl --data.validation-share 0.3 {QUICK}"
PRETRAIN = f"text pretrain --out out --data.train lines.txt {QUICK}"
TRAININGS = (CLASSIFY, MATCH, READ, PRETRAIN, entities.TRAIN)
"""One of each kind, into ``out``."""


def _question(**cells: object) -> Spoil:
    """Add a question, good but for the cells given."""
    good = {"question": "what burns?", "context": "a fire and a rose", "answers": ["fire"]}
    return append("questions.jsonl", json.dumps(good | cells) + "\n")


def _other_tokenizer(folder: Path) -> None:
    """Give the encoder a vocabulary that is longer than its table."""
    (folder / "classified" / "classifier" / "tokenizer.json").unlink()
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{n}" for n in range(500))]
    resealed(write_text("classified/classifier/vocab.txt", "\n".join(tokens)), "classified/classifier")(folder)


def _other_model(folder: Path) -> None:
    shutil.copytree(folder / "classified" / "classifier", folder / "other")
    write_text("other/config.json", '{"model_type": "t5"}')(folder)
    (folder / "other" / "checksums.sha256").unlink()  # others write none


def _label_before_text(folder: Path) -> None:
    """Let a run have been trained on labels before texts, with the checksum of that."""
    path = folder / "classified" / "config.toml"
    first, settings = path.read_text(encoding="utf-8").split("\n", 1)
    first, settings = first.rpartition(", sha256 ")[0], settings.replace('format = "auto"', 'format = "label_text"')
    digest = hashlib.sha256(f"{first}\n{settings}".encode()).hexdigest()
    path.write_text(f"{first}, sha256 {digest}\n{settings}", encoding="utf-8")


def begun(training: str) -> str:
    """The same training, begun with the encoder of ``classified``."""
    return training.replace(ENCODER, "--init classified").replace("--out out", "--out begun")


def _unfinished(folder: Path) -> None:
    shutil.rmtree(folder / "classified" / "classifier")


CASES = (
    Case(
        "broken UTF-8",
        CLASSIFY,
        "line 3 of train.tsv is not UTF-8",
        write_bytes("train.tsv", b"text\tlabel\na\t1\n\xc4\xe3\t0\n"),
    ),
    Case(
        "UTF-16",
        CLASSIFY,
        "It fits utf-16; pass --data.encoding utf-16",
        write_bytes("train.tsv", "text\tlabel\na\t1\n".encode("utf-16")),
    ),
    Case("empty text", CLASSIFY, "text is empty; 1 such lines in all", append("train.tsv", "  \tred\n")),
    Case("no label", CLASSIFY, "label is no label", append("train.tsv", "some text\t\n")),
    Case("too many cells", CLASSIFY, "3 cells where there are 2 columns", append("train.tsv", "a\tb\tred\n")),
    Case("empty file", CLASSIFY, "holds no example", write_text("train.tsv", "")),
    Case("missing file", CLASSIFY.replace("train.tsv", "gone.tsv"), "gone.tsv cannot be read"),
    Case("missing column", f"{CLASSIFY} --text title", "has no column 'title'"),
    Case("no header line", CLASSIFY, "--data.columns", replaced("train.tsv", "text\tlabel\n", "")),
    Case("format that the ending does not tell", CLASSIFY.replace("train.tsv", "lines.txt"), "--data.format"),
    Case(
        "row that is not JSON",
        CLASSIFY.replace("train.tsv", "a.jsonl"),
        "not JSON",
        write_text("a.jsonl", "{text: 1}\n"),
    ),
    Case(
        "open quote in a CSV",
        CLASSIFY.replace("train.tsv", "a.csv"),
        "Mend its quotes",
        write_text("a.csv", 'text,label\n"a,1\n'),
    ),
    Case("no training file", f"text classify train --out out {QUICK}", "--data.train"),
    Case(
        "label that training does not know",
        CLASSIFY,
        "label 'blue' does not occur in training",
        append("validation.tsv", "a sky\tblue\n"),
    ),
    Case("one class only", CLASSIFY, "all are 'red'", replaced("train.tsv", "\tgreen", "\tred")),
    Case("label that has no name", f"{CLASSIFY} --class-names lines.txt", "is no number of a line of lines.txt"),
    Case("figure that is not measured", f"{CLASSIFY} --train.monitor ndcg@10", "this task validates accuracy"),
    Case("misspelt head", f"{CLASSIFY} --head.name maen", "did you mean 'mean'"),
    Case("misspelt option of a head", f"{CLASSIFY} --head.options '{{\"pool\": true}}'", "has no options"),
    Case("rows longer than the encoder reads", f"{CLASSIFY} --length.max-len 64", "reads 24 tokens at most"),
    Case("not a checkpoint", f"{CLASSIFY} --init other", "other holds no encoder", write_text("other/a.txt", "")),
    Case(
        "checkpoint of another kind",
        f"{CLASSIFY} --init other",
        "describes a model of type 't5'",
        _other_model,
    ),
    Case(
        "damaged checkpoint",
        f"{CLASSIFY} --init classified",
        "damaged",
        truncated("classified/classifier/model.safetensors"),
    ),
    Case(
        "sizes that are not the checkpoint's",
        f"{CLASSIFY} --init classified --encoder.dim 16",
        "which cannot be changed",
    ),
    Case(
        "tokenizer that does not fit the encoder",
        CLASSIFY.replace(ENCODER, "") + " --init classified",
        "they do not belong together",
        _other_tokenizer,
    ),
    Case(
        "teacher with another vocabulary",
        f"{CLASSIFY} --teacher classified --tokenizer.vocab-size 9",
        "tokenizer.folder",
    ),
    Case(
        "tokenizer beside a trained one",
        f"{CLASSIFY} --init classified",
        "tokenizer.min_count 1 would change nothing about it",
    ),
    Case(
        "run whose start was made anew",
        begun(CLASSIFY),
        "vocab.txt is not what begun was begun with",
        resealed(append("classified/classifier/vocab.txt", "word\n"), "classified/classifier"),
    ),
    Case(
        "run that is not finished",
        "text classify predict --run classified --texts a",
        "is missing, though",
        _unfinished,
    ),
    Case("run of another task", "text match predict --run classified --texts a b", "no matcher"),
    Case("nothing to classify", "text classify predict --run classified", "give either texts"),
    Case(
        "texts alone, or behind a label as in training",
        "text classify predict --run classified --file lines.txt",
        "--read.format label_text if they do",
        _label_before_text,
    ),
    Case(
        "line that is not JSON, when it is classified",
        "text classify predict --run classified --file a.jsonl",
        "pass --read.bad-rows drop",
        write_text("a.jsonl", "{\n"),
    ),
    Case(
        "line that is not JSON, when it is matched",
        "text match predict --run matched --file a.jsonl",
        "pass --read.bad-rows drop",
        write_text("a.jsonl", "{\n"),
    ),
    Case(
        "output of an unknown kind", "text classify predict --run classified --texts a --out b.xls", "its ending says"
    ),
    Case(
        "unwritable out, before all work",
        "text classify predict --run gone --texts a --out /proc/a.csv",
        "cannot write /proc/a.csv",
    ),
    Case(
        "report where a file lies",
        "text classify evaluate --run classified --file train.tsv --out lines.txt",
        "lines.txt is a file; a folder is to be written there",
    ),
    Case("label that is neither 0 nor 1", MATCH, "label '2' is neither 0 nor 1", append("pairs.tsv", "a\tb\t2\n")),
    Case("matches alone", MATCH, "both kinds are needed", replaced("pairs.tsv", "\t0\n", "\t1\n")),
    Case("vectors of a cross-encoder", f"{MATCH} --task.loss in_batch", "take task.form 'bi'"),
    Case("odd number of texts", "text match predict --run matched --texts a", "they come in pairs"),
    Case(
        "index of other vectors",
        "text match search --run matched --index index --texts a",
        "or with other weights",
        resealed(resealed(replaced("index/index/index.json", '"weights": "', '"weights": "0'), "index/index"), "index"),
    ),
    Case(
        "figures where a folder lies",
        "text match evaluate --run matched --file pairs.tsv --out index",
        "index is a folder; a file is to be written there",
    ),
    Case("not an index", "text match search --run matched --index other --texts a", "holds no indexed texts"),
    Case("answer that is not in its passage", READ, "the answer is not in its passage", _question(answers=["moss"])),
    Case("answer without a character", READ, "an answer is empty", _question(answers=[" "])),
    Case("question without an answer", READ, "task.no_answer is not set", _question(answers=[])),
    Case("empty passage", READ, "line 21 of questions.jsonl: context is empty; 1 such", _question(context=" ")),
    Case("empty question", READ, "question is empty", _question(question="")),
    Case(
        "answer of no characters that a tokenizer reads",
        READ,
        "no token of its own",
        _question(answers=["\u200b"], context="a \u200b b"),
    ),
    Case(
        "answer longer than a window",
        READ,
        "no window holds the whole answer",
        _question(answers=["fire " * 30], context="fire " * 30),
    ),
    Case(
        "questions that are not UTF-8",
        READ,
        "line 1 of questions.jsonl is not UTF-8",
        write_bytes("questions.jsonl", b'{"question": "\xc4\xe3"}\n'),
    ),
    Case("lines read as SQuAD", f"{READ} --data.format squad", "cannot be read as JSON"),
    Case("no answer at all, where there may be none", f"{READ} --task.no-answer", "no threshold can be tuned"),
    Case("windows longer than the encoder reads", f"{READ} --task.max-len 64", "reads 24 tokens at most"),
    Case(
        "tokenizer that does not fit the encoder, reading",
        READ.replace(ENCODER, "") + " --init classified",
        "they do not belong together",
        _other_tokenizer,
    ),
    Case(
        "reading with another task's run",
        "text qa predict --run classified --questions a --passage b",
        "no question answerer",
    ),
    Case(
        "unwritable out, before all work, reading",
        "text qa evaluate --run gone --file gone.jsonl --out lines.txt/found.json",
        "cannot write lines.txt/found.json",
    ),
    Case("question without a passage", "text qa predict --run read --questions a", "--passage"),
    Case("empty question typed in", "text qa predict --run read --questions ' ' --passage b", "a question is empty"),
    Case(
        "search without a word",
        "text qa search --run read --files marks.txt --questions a",
        "has a word to search by",
        write_text("marks.txt", "。。\n!\n"),
    ),
    Case(
        "search in a file without text",
        "text qa search --run read --files lines.txt --questions a",
        "holds no text",
        write_text("lines.txt", " \n"),
    ),
    Case(
        "search in a passage that is no text",
        "text qa search --run read --files a.json --questions a",
        "paragraph 1 of article 1 of a.json: context is no text",
        write_text("a.json", '{"data": [{"paragraphs": [{"context": null, "qas": []}]}]}'),
    ),
    Case(
        "index where something else lies",
        "text qa search --run read --files lines.txt --questions rose --index matched",
        "matched is there and holds no index of paragraphs",
    ),
    Case(
        "more answers than paragraphs read",
        "text qa search --run read --files lines.txt --questions a --k 9",
        "k is 9",
    ),
    Case("what two texts share, of one text", f"{CLASSIFY} --encoder.exact-match 2", "this reads one"),
    Case("what texts share, read one by one", f"{MATCH} --task.form bi --encoder.exact-match 2", "this reads one"),
    Case("no text to pretrain on", PRETRAIN, "holds no text", write_text("lines.txt", "\n \n")),
    Case(
        "pairs of texts of one sentence",
        f"{PRETRAIN} --second-loss sentence_order",
        "needs texts of two sentences or more",
    ),
    Case("reading set of another form", f"{PRETRAIN} --data.format squad", "cannot be read as JSON"),
    Case(
        "encoder that cannot tell segments",
        f"{PRETRAIN} --second-loss next_sentence --encoder.n-segments 0",
        "encoder.n_segments 2",
        write_text("lines.txt", "a. b.\n" * 9),
    ),
    *entities.CASES,
)


def make_valid(folder: Path) -> None:
    """Write texts with labels, pairs, questions, entities and plain lines; train a model of each; index the matcher."""
    random = np.random.default_rng(0)
    words = {"red": ["rose", "blood", "fire"], "green": ["leaf", "grass", "moss"]}
    for name, n in (("train", 40), ("validation", 10)):
        rows = [(" ".join(random.choice(words[label], 3)), label) for label in random.permutation([*words] * (n // 2))]
        write_text(f"{name}.tsv", "text\tlabel\n" + "".join(f"{a}\t{b}\n" for a, b in rows))(folder)
    pairs = [
        (" ".join(random.choice(words["red"], 2)), " ".join(random.choice(words["red"], 2)), n % 2) for n in range(40)
    ]
    write_text("pairs.tsv", "first\tsecond\tlabel\n" + "".join(f"{a}\t{b}\t{c}\n" for a, b, c in pairs))(folder)
    write_text("lines.txt", "".join(f"{a} {b}\n" for a, b, _ in pairs))(folder)
    for n in range(20):
        context = f"a {words['red'][n % 3]} in the {words['green'][n // 3 % 3]} {n}"
        question = {"question": "what is red?", "context": context, "answers": [words["red"][n % 3]]}
        append("questions.jsonl", json.dumps(question) + "\n")(folder)
    entities.write_valid(folder)
    lines = (
        CLASSIFY.replace("--out out", "--out classified"),
        entities.TRAIN.replace("--out out", "--out named"),
        READ.replace("--out out", "--out read"),
        MATCH.replace("--out out", "--out matched") + " --task.form bi",
        begun(CLASSIFY),
        "text match index --run matched --file pairs.tsv --out index",
    )
    run_all(folder, lines)
