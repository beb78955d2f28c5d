"""Every command that writes, on tiny files; their artefacts, one kind each."""

import json
import shlex
from pathlib import Path

import numpy as np
import polars as pl
from contracts.text_runs import topic_texts

ENCODER = "--encoder.dim 8 --encoder.n-layers 1 --encoder.n-heads 2 --encoder.max-len"
CLICKS = f"{ENCODER} 8"
TEXTS = f"{ENCODER} 24 --tokenizer.vocab-size 120 --tokenizer.min-count 1"
TRAIN = "--train.epochs 2 --train.batch-size 16 --train.device cpu --train.precision fp32 --train.checkpoint-steps 2"
CTR = (
    "--data prepared --impressions clicks.csv --columns.user user --columns.item item --columns.time time "
    "--features.ids item --features.min-count 1 --model.encoder encoder --model.head din --model.encoder-mode frozen "
    f"--model.dim 4 --model.history-len 6 {TRAIN}"
)
_WRITERS = {  # artefact → the command that writes it, in an order in which they can run
    "prepared": "prepare --events log.parquet --items items.csv --item-features.categorical kind --out prepared",
    "encoder": f"pretrain --data prepared --out encoder {CLICKS} {TRAIN}",
    "towers": f"train-retrieval --data prepared --out towers {CLICKS} {TRAIN}",
    "fusion": "fuse --data prepared --runs encoder towers --out fusion",
    "index": "index --data prepared --run towers --out index",
    "ctr": f"train-ctr --out ctr {CTR}",
    "text_encoder": f"text pretrain --out text_encoder --data.train plain.txt {TEXTS} {TRAIN}",
    "classifier": f"text classify train --out classifier --data.train topics.tsv {TEXTS} {TRAIN}",
    "matcher": f"text match train --out matcher --data.train pairs.tsv --task.form bi {TEXTS} {TRAIN}",
    "text_index": "text match index --run matcher --file pairs.tsv --text first --out text_index",
    "answerer": f"text qa train --out answerer --data.train questions.json {TEXTS} {TRAIN}",
    "tagger": f"text tag train --out tagger --data.train tags.iob2 --data.scheme iob2 {TEXTS} {TRAIN} "
    "--lexicon.name soft_lexicon --lexicon.file words.txt",
    "vectors": "text vectors train --out vectors --text.files plain.txt --min-count 1 --word2vec.dim 4 "
    "--word2vec.epochs 2",
    "embedder": f"text embed train --out embedder --data.train plain.txt --task.loss simcse {TEXTS} {TRAIN}",
    "table": "text embed distil --run embedder --dim 4 --out table",
    "centred": "text embed post-process --run embedder --file plain.txt --name centring --out centred",
    "generator": f"text generate train --out generator --text text --data.train plain.txt {TEXTS} {TRAIN} "
    "--decoding.max-length 6",
    "report": "evaluate --data prepared --runs towers encoder --out report --baselines popular",
}
_READERS = {  # artefact → commands that open it
    "prepared": ["evaluate --data prepared --out out --baselines popular --samples 10"],
    "encoder": [
        "recommend --data prepared --run encoder --users 1",
        "similar --data prepared --run encoder --items 1",
        "evaluate --data prepared --runs encoder --out out --baselines --samples 10",
        "fuse --data prepared --runs encoder --out out",
        "index --data prepared --run encoder --out out",
        f"pretrain --data prepared --init encoder --out out {TRAIN}",
        f"pretrain --data prepared --teacher encoder --out out {CLICKS} {TRAIN}",
        f"train-retrieval --data prepared --init encoder --out out {TRAIN}",
        f"train-ctr --out out {CTR}",
    ],
    "towers": [
        "recommend --data prepared --run towers --index towers/index --users 1",
        "evaluate --data prepared --runs towers --out out --baselines --samples 10",
        "fuse --data prepared --runs towers --out out",
        "index --data prepared --run towers --out out",
    ],
    "fusion": ["recommend --data prepared --run fusion --users 1"],
    "index": ["recommend --data prepared --run towers --index index --users 1"],
    "ctr": ["predict-ctr --run ctr --impressions clicks.csv --out out.parquet"],
    "text_encoder": [
        f"text classify train --out out --data.train topics.tsv --init text_encoder {TRAIN}",
        f"text pretrain --out out --data.train plain.txt --init text_encoder {TRAIN}",
        "text pretrain --out out --data.train plain.txt --teacher text_encoder --tokenizer.folder text_encoder "
        f"{CLICKS} {TRAIN}",
        "text classify pu --positives topics.tsv --unlabelled topics.tsv --features encoder --init text_encoder",
    ],
    "classifier": [
        "text classify predict --run classifier --texts 'a goal'",
        "text classify evaluate --run classifier --file topics.tsv --out out",
        f"text match train --out out --data.train pairs.tsv --init classifier {TRAIN}",
    ],
    "matcher": [
        "text match predict --run matcher --texts 'a goal' 'the bank'",
        "text match evaluate --run matcher --file pairs.tsv",
        "text match index --run matcher --file pairs.tsv --text first --out out",
    ],
    "text_index": ["text match search --run matcher --index text_index --texts 'a goal'"],
    "answerer": [
        "text qa predict --run answerer --questions 'who sang' --passage 'ada sang'",
        "text qa evaluate --run answerer --file questions.json",
        "text qa search --run answerer --files plain.txt --questions 'a goal' --index out",
    ],
    "tagger": [
        "text tag predict --run tagger --texts 'ada sang'",
        "text tag evaluate --run tagger --file tags.iob2 --out out",
    ],
    "embedder": [
        "text embed encode --run embedder --texts 'a goal' --out out.parquet",
        f"text embed train --out out --data.train plain.txt --init embedder {TRAIN}",
    ],
    "table": ["text embed encode --run table --texts 'a goal' --out out.parquet"],
    "centred": ["text embed encode --run centred --texts 'a goal' --out out.parquet"],
    "generator": ["text generate predict --run generator --texts 'a goal'"],
    "vectors": [
        f"text classify train --out out --data.train topics.tsv {TEXTS} {TRAIN} --encoder.dim 4 "
        "--tokenizer.vectors vectors/vectors.txt"
    ],
}
COMMANDS = {name: shlex.split(line) for name, line in _WRITERS.items()}
READERS = {name: [shlex.split(line) for line in lines] for name, lines in _READERS.items()}


def write_files(folder: Path) -> None:
    """Write the files that ``COMMANDS`` read: a log with items, impressions, and texts of every task."""
    random = np.random.default_rng(0)
    events = [
        (user, int(item), 1_000 * position)
        for user in range(24)
        for position, item in enumerate(random.permutation(20)[: random.integers(4, 12)])
    ]
    names = ["user_id", "item_id", "timestamp"]
    pl.DataFrame(events, schema=names, orient="row").write_parquet(folder / "log.parquet")
    pl.DataFrame({"item_id": range(20), "kind": [f"kind {n % 3}" for n in range(20)]}).write_csv(folder / "items.csv")
    clicks = {"user": random.integers(0, 24, 60), "item": random.integers(0, 20, 60), "time": range(9_000, 9_060)}
    pl.DataFrame({**clicks, "label": random.integers(0, 2, 60)}).write_csv(folder / "clicks.csv")
    texts, topics = topic_texts(40)
    write = {
        "topics.tsv": ["label\ttext", *(f"{topic}\t{text}" for topic, text in zip(topics, texts, strict=True))],
        "plain.txt": texts,
        "pairs.tsv": ["first\tsecond\tlabel"]
        + [f"{a}\t{b}\t{n % 2}" for n, (a, b) in enumerate(zip(texts, texts[1:] + texts[:1], strict=True))],
        "tags.iob2": ["ada B-PER", "sang O", "in O", "oslo B-LOC", "", "the O", "bank O", "of O", "bonn B-LOC", ""] * 6,
        "words.txt": ["oslo", "bonn", "in oslo", "ada"],
    }
    for name, lines in write.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    paragraphs = [
        {
            "context": f"{name} sang in {place} last year.",
            "qas": [{"id": f"{name} {place}", "question": "who sang?", "answers": [{"text": name, "answer_start": 0}]}],
        }
        for name in ("ada", "bob", "carl")
        for place in ("oslo", "bonn", "rome")
    ]
    (folder / "questions.json").write_text(json.dumps({"data": [{"title": "songs", "paragraphs": paragraphs}]}))
