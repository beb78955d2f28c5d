"""Bad input to the commands on clicks."""

import shutil
from pathlib import Path

from cases.bad_input import Case, run_all, truncated, write_text

HEADER = "user_id,item_id,timestamp\n"
TIMES = "prepare --events log.csv --out out"
EVALUATE = "evaluate --data data --runs run"
CLICKS = (
    "train-ctr --impressions log/impressions.parquet --columns.time timestamp --columns.label click --train.epochs 1"
)
LISTS = "train-ctr --impressions shown.jsonl --validation shown.jsonl --out out"
SCORE = "predict-ctr --run ctr --impressions log/impressions.parquet"
TRAIN = "--encoder.dim 8 --encoder.n-layers 1 --encoder.max-len 20 --train.epochs 1"


def _half_a_run(folder: Path) -> None:
    shutil.rmtree(folder / "run" / "encoder")  # a stopped run has checkpoints and no artefact yet
    truncated("run/checkpoints/step-*/model.safetensors")(folder)


_lists = write_text("shown.jsonl", '{"tags": ["a", "b"], "label": 0}\n{"tags": ["b"], "label": 1}\n')

CASES = (
    Case("missing column", TIMES, "has no column 'timestamp'", write_text("log.csv", "user_id,item_id\n1,2\n1,3\n")),
    Case("misnamed column", TIMES, "--log.item", write_text("log.csv", "user_id,movie,timestamp\n1,2,3\n1,3,4\n")),
    Case("empty file", TIMES, "log.csv", write_text("log.csv", "")),
    Case("a header and no event", TIMES, "log.csv", write_text("log.csv", HEADER)),
    Case(
        "every event filtered out",
        "prepare --events log/clicks.parquet --filters.min-user-events 1000 --out out",
        "events is left",
    ),
    Case("time is NaN", TIMES, "timestamp", write_text("log.csv", HEADER + "1,2,3\n1,3,NaN\n1,4,5\n")),
    Case("time is no timestamp", TIMES, "yesterday", write_text("log.csv", HEADER + "1,2,3\n1,3,yesterday\n1,4,5\n")),
    Case("item ids of mixed types", TIMES, "'a'", write_text("log.csv", HEADER + "1,2,3\n1,a,4\n1,4,5\n")),
    Case("not a prepared folder", f"pretrain --data log --out out {TRAIN}", "manifest.json"),
    Case("not a run", "recommend --run log --data data --users 1", "holds no trained ranker"),
    Case("out holds somebody's files", "prepare --events log/clicks.parquet --out log", "was not made by prepare"),
    Case("out holds another run", f"pretrain --data data --out run {TRAIN} --train.lr 0.5", "other settings"),
    Case("vocabulary of another run", "recommend --run run --data other --users 1", "other"),
    Case("the same, as a start", "train-retrieval --data other --init run --out out", "other"),
    Case("a learning rate below 0", "train-retrieval --data data --init run --out out --encoder-lr -1", "0 or more"),
    Case("an index above the catalogue", f"{EVALUATE} --indexes IVF512,Flat --out out", "learns 512 centroids"),
    Case("dim and heads", f"pretrain --data data --out out {TRAIN} --encoder.n-heads 3", "not divisible by n_heads 3"),
    Case(
        "damaged encoder",
        "recommend --run run --data data --users 1",
        "damaged",
        truncated("run/encoder/model.safetensors"),
    ),
    Case("damaged checkpoint", f"pretrain --data data --out run {TRAIN}", "checkpoint", _half_a_run),
    Case(
        "damaged histories", f"pretrain --data data --out out {TRAIN}", "histories", truncated("data/histories.arrow")
    ),
    Case("damaged manifest", f"pretrain --data data --out out {TRAIN}", "manifest", truncated("data/manifest.json")),
    Case("unwritable out, prepare", "prepare --events log/clicks.parquet --out /proc/out", "cannot write"),
    Case("unwritable out, below a file", f"pretrain --data data --out log/clicks.parquet/out {TRAIN}", "cannot"),
    Case("unwritable out, evaluate", f"{EVALUATE} --out /proc/out", "cannot write"),
    Case("unwritable out, recommend", "recommend --run run --data data --users 1 --out /proc/top.csv", "cannot write"),
    Case("unwritable out, similar", "similar --run run --data data --items 12 --out /proc/top.csv", "cannot write"),
    Case("unwritable out, predict-ctr", f"{SCORE} --out /proc/scores.parquet", "cannot write"),
    Case("a folder where a file is to go", f"{SCORE} --out a.parquet", "is a folder", write_text("a.parquet/b", "c")),
    Case("scores in another format", f"{SCORE} --out scores.csv", "must end in .parquet"),
    Case("out is the current folder", "simulate --out .", "Choose a name below it", write_text("truth.json", "{}")),
    Case(
        "misspelt recipe key",
        "pretrain recipe.toml",
        "did you mean 'encoder.n_layers'",
        write_text("recipe.toml", 'data = "data"\nout = "out"\n[encoder]\nn_layer = 3\n'),
    ),
    Case(
        "wrong type in a recipe",
        "pretrain recipe.toml",
        "encoder.dim = 'wide'",
        write_text("recipe.toml", 'data = "data"\nout = "out"\n[encoder]\ndim = "wide"\n'),
    ),
    Case("misspelt flag", f"pretrain --data data --out out {TRAIN} --encoder.n-layer 3", "--encoder.n-layer"),
    Case(
        "no layer to attend to",
        "pretrain --data data --out out --encoder.fusion layer_attention --encoder.n-layers 0 --encoder.neck bilstm",
        "layer_attention needs at least 1",
    ),
    Case("misspelt part", f"pretrain --data data --out out {TRAIN} --encoder.fusion scaler_mix", "did you mean"),
    Case(
        "misspelt option of a part",
        f"pretrain --data data --out out {TRAIN} --encoder.fusion pool --encoder.fusion-options '{{\"last\": 1}}'",
        "no option 'last'",
    ),
    Case("lists as categories", f"{LISTS} --features.categorical tags", "name lists under features.multi", _lists),
    Case("lists as numbers", f"{LISTS} --features.numeric tags", "name lists under features.multi", _lists),
    Case("lists as users", f"{LISTS} --columns.user tags", "are single values", _lists),
    Case(
        "a cut through whole files",
        f"{LISTS} --columns.user user_id --split.test-from 0.9",
        "cut a single table",
        _lists,
    ),
    Case("fine-tuning no encoder", f"{CLICKS} --out out --model.encoder-mode fine_tuned", "no model.encoder"),
    Case("a learning rate for no encoder", f"{CLICKS} --out out --model.encoder-lr 0.1", "trains no encoder"),
    Case("a prepared log for a CTR model without one", f"{SCORE} --data data --out a.parquet", "leave it out"),
    Case("user of another type", "recommend --run run --data data --users nobody", "user ids of this log are integers"),
    Case("unknown items", "recommend --run run --data data --history 'x y z'", "cannot be"),
    Case("a score fusion over a log", "fuse --runs run --data data --out data", "is there and is no score fusion"),
    Case("misspelt command", "pretrian --data data --out out", "did you mean 'pretrain'"),
)


def make_valid(folder: Path) -> None:
    """Write a simulated log, two prepared folders of different vocabularies, a trained run and a CTR model."""
    small = "--items 320 --max-events 60 --mean-events 15 --users"
    lines = (
        f"simulate --out log {small} 120",
        f"simulate --out log2 {small} 60 --seed 1",
        "prepare --events log/clicks.parquet --out data",
        "prepare --events log2/clicks.parquet --out other",
        f"pretrain --data data --out run {TRAIN}",
        f"{CLICKS} --features.categorical device --out ctr",
    )
    run_all(folder, lines)
