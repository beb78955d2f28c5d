"""compare on texts: what a grid gives, that it goes on where it stopped, what it refuses before any training."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from nlp_tasks.batches import TextBatches
from nlp_tasks.classification.classifier import Classifier
from pipelines.cli import main
from pipelines.text.classify import train
from recsys_bert.files import read_json

TINY = """
[data]
train = "{folder}/train.tsv"
validation = "{folder}/validation.tsv"
test = "{folder}/test.tsv"

[encoder]
dim = 8
n_layers = 1
n_heads = 2
max_len = 16
dropout = 0.1

[tokenizer]
min_count = 1

[train]
epochs = 2
batch_size = 32
lr = 1e-2
device = "cpu"
precision = "fp32"
"""


@pytest.fixture
def recipe(topic_files, tmp_path):
    topic_files((96, 30, 40))
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.format(folder=tmp_path))
    return path


@pytest.fixture
def compare(recipe, tmp_path):
    """Run ``compare text classify train`` with some flags; the exit status."""

    def call(*flags, command="text classify train", out="out"):
        return main(["compare", *command.split(), str(recipe), "--out", str(tmp_path / out), *flags])

    return call


def without_times(results):
    text = json.dumps(results)
    timed = {
        f'"seconds": {json.dumps(entry["seconds"])}'
        for configuration in results["configurations"]
        for entry in [configuration, *configuration["runs"]]
    }
    for one in timed:
        text = text.replace(one, '"seconds": 0')
    return json.loads(text)


GRID = ["--grid", "encoder.fusion=last,scalar_mix", "--grid", "encoder.neck=none,bigru", "--seeds", "2"]


def test_every_configuration_is_trained_as_its_command_trains_it(compare, recipe, tmp_path, capsys):
    assert compare(*GRID, "--skip", "encoder.neck=bigru encoder.fusion=last", "--json") == 0
    printed = capsys.readouterr()
    results = json.loads(printed.out)
    assert results == read_json(tmp_path / "out" / "compare.json")
    names = ["fusion=last neck=none", "fusion=scalar_mix neck=none", "fusion=scalar_mix neck=bigru"]
    assert [configuration["name"] for configuration in results["configurations"]] == names
    assert [one["configuration"] for one in results["comparisons"]] == names[1:]
    assert (results["metric"], results["examples"], results["failed"]) == ("accuracy", 40, [])
    assert (tmp_path / "out" / "compare.html").stat().st_size > 10_000
    assert (tmp_path / "out" / "compare.png").stat().st_size > 10_000
    assert "Highest mean accuracy" in printed.err

    alone = ["--encoder.fusion", "scalar_mix", "--encoder.neck", "bigru", "--train.seed", "1"]
    assert main(["text", "classify", "train", str(recipe), "--out", str(tmp_path / "alone"), *alone]) == 0
    expected, configuration = read_json(tmp_path / "alone" / "metrics.json"), results["configurations"][2]
    run = configuration["runs"][1]
    assert run["metrics"] == {name: expected["test"][name] for name in ("accuracy", "macro_f1")}
    assert {name: run[name] for name in ("parameters", "best_epoch", "epochs")} == {
        name: expected[name] for name in ("parameters", "best_epoch", "epochs")
    }
    lines = [json.loads(line) for line in (tmp_path / "alone" / "metrics.jsonl").read_text().splitlines()]
    assert run["curve"] == [[line["epoch"], line["accuracy"]] for line in lines if "accuracy" in line]
    assert configuration["metrics"]["accuracy"]["mean"] == pytest.approx(
        np.mean([one["metrics"]["accuracy"] for one in configuration["runs"]])
    )
    difference = (
        configuration["metrics"]["accuracy"]["mean"] - results["configurations"][0]["metrics"]["accuracy"]["mean"]
    )
    assert results["comparisons"][1]["difference"] == pytest.approx(difference)

    folder = tmp_path / "out" / "runs" / "fusion=scalar_mix,neck=bigru" / "seed-1"
    texts, labels = zip(
        *[line.split("\t") for line in (tmp_path / "test.tsv").read_text().splitlines()[1:]], strict=True
    )
    predicted = Classifier.load(folder).predict(list(texts))
    with np.load(folder / "test.npz") as arrays:
        assert arrays["accuracy"].tolist() == [a == b for a, b in zip(predicted, labels, strict=True)]
        assert arrays["accuracy"].mean() == accuracy_score(labels, predicted)
    assert not (folder / "checkpoints").exists()


class Killed(BaseException):
    """Nothing catches it."""


@pytest.mark.slow
def test_a_killed_comparison_goes_on(compare, tmp_path, monkeypatch, capsys):
    flags = ["--grid", "encoder.fusion=last,scalar_mix", "--seeds", "2"]
    assert compare(*flags, out="straight") == 0
    honest, count = TextBatches.batch, 0

    def dies_at_the_17th(self, examples):
        nonlocal count
        count += 1
        if count == 17:  # 2 epochs of 3 batches a run: in the second epoch of the third one
            raise Killed
        return honest(self, examples)

    with monkeypatch.context() as patch:
        patch.setattr(TextBatches, "batch", dies_at_the_17th)
        with pytest.raises(Killed):
            compare(*flags, out="killed")
    finished = sorted((tmp_path / "killed").rglob("test.json"))
    assert len(finished) == 2
    before = {path: path.stat().st_mtime_ns for path in finished}
    assert len(list((tmp_path / "killed").rglob("step-3"))) == 1

    n_batches = 0

    def counted(self, examples):
        nonlocal n_batches
        n_batches += 1
        return honest(self, examples)

    monkeypatch.setattr(TextBatches, "batch", counted)
    capsys.readouterr()
    assert compare(*flags, out="killed") == 0
    assert "2 of 4 runs are there already" in capsys.readouterr().err
    assert n_batches == 3 + 1 * 6
    assert {path: path.stat().st_mtime_ns for path in finished} == before
    straight, killed = (read_json(tmp_path / name / "compare.json") for name in ("straight", "killed"))
    for results in (straight, killed):
        results["config"].pop("out")
        for configuration in results["configurations"]:
            configuration.pop("folder")
    assert without_times(killed) == without_times(straight)


@pytest.mark.slow
def test_a_grid_may_grow_and_what_is_there_is_taken(compare, tmp_path):
    assert compare("--grid", "encoder.fusion=last,pool", "--seeds", "1") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out" / "runs").rglob("*") if path.is_file()}
    assert compare("--grid", "encoder.fusion=pool,token_mix,last", "--seeds", "2") == 0
    assert {path: path.read_bytes() for path in before} == before
    names = [configuration["name"] for configuration in read_json(tmp_path / "out" / "compare.json")["configurations"]]
    assert names == ["fusion=pool", "fusion=token_mix", "fusion=last"]
    assert len(list((tmp_path / "out" / "runs").rglob("test.json"))) == 6


def test_finished_runs_of_other_settings_or_another_test_are_refused(compare, tmp_path, capsys):
    flags = ["--grid", "encoder.fusion=last,pool", "--seeds", "1"]
    assert compare(*flags) == 0
    assert compare(*flags, "--grid", "train.lr=0.5") == 2
    assert "holds a run with other settings (train.lr was " in capsys.readouterr().err
    test = tmp_path / "test.tsv"
    test.write_text(test.read_text() + "a ball and a goal\tsport\n")
    assert compare(*flags) == 2
    assert "was evaluated on another test than the one that is there now" in capsys.readouterr().err


@pytest.mark.slow
def test_configurations_trained_on_other_data_are_not_compared(compare, tmp_path, capsys):
    assert compare("--grid", "encoder.fusion=last,pool", "--seeds", "1") == 0
    (tmp_path / "train.tsv").write_text((tmp_path / "train.tsv").read_text() + "a ball and a goal\tsport\n")
    assert compare("--grid", "encoder.fusion=last,token_mix", "--seeds", "1") == 0
    (failed,) = read_json(tmp_path / "out" / "compare.json")["failed"]
    assert failed["run"] == "fusion=token_mix, seed 0"
    assert "train.tsv was changed between" in failed["why"]
    assert compare("--grid", "encoder.fusion=last,token_mix", "--seeds", "1") == 2
    assert "Delete the one that is outdated" in capsys.readouterr().err


def test_a_run_that_fails_does_not_stop_the_others(compare, tmp_path, capsys):
    flags = ["--grid", "train.lr=1e-2,1e38", "--seeds", "2"]
    assert compare(*flags) == 0
    printed = capsys.readouterr()
    results = read_json(tmp_path / "out" / "compare.json")
    assert [configuration["seeds"] for configuration in results["configurations"]] == [[0, 1], []]
    assert [one["run"] for one in results["failed"]] == ["lr=1e+38, seed 0", "lr=1e+38, seed 1"]
    assert "Failed: lr=1e+38, seed 0: the loss is" in printed.out
    assert results["comparisons"] == []
    assert compare("--grid", "train.lr=1e38", "--seeds", "1", out="all") == 2
    assert "every run failed:\nthe recipe, seed 0: the loss is" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_breaks_does_not_stop_the_others(compare, tmp_path, monkeypatch, capsys):
    honest = train.run

    def breaks(config):
        if config.train.seed == 1:
            raise MemoryError("no room")
        return honest(config)

    monkeypatch.setattr(train, "run", breaks)
    assert compare("--grid", "train.epochs=1", "--seeds", "2") == 0
    assert "Traceback" in capsys.readouterr().err
    results = read_json(tmp_path / "out" / "compare.json")
    assert results["failed"] == [{"run": "the recipe, seed 1", "why": "MemoryError: no room"}]
    assert results["configurations"][0]["seeds"] == [0]
    monkeypatch.setattr(train, "run", honest)
    assert compare("--grid", "train.epochs=1", "--seeds", "2") == 0
    assert read_json(tmp_path / "out" / "compare.json")["configurations"][0]["seeds"] == [0, 1]


def test_places_that_cannot_be_written_and_torchrun_are_refused(compare, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    assert compare("--seeds", "1", out="file/out") == 2
    assert "cannot write" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert compare("--seeds", "1") == 2
    assert "start it without torchrun" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "messages"),
    [
        (["--grid", "encoder.fusoin=last"], ["'encoder.fusoin'; did you mean 'encoder.fusion'?"]),
        (["--grid", "encoder.fusion=last,first"], ["fusion=first: no fusion is called 'first'", "Known: last,"]),
        (["--grid", "encoder.dim=8,wide"], ["dim=wide:", "encoder.dim = 'wide': Input should be a valid integer"]),
        (
            ["--grid", "encoder.residual=add,sum"],
            ["encoder.residual = 'sum': Input should be 'add', 'concat' or 'none'"],
        ),
        (
            ["--grid", "encoder.n_layers=0,1", "--grid", "encoder.neck=none,bigru"],
            ["error: n_layers=0 neck=none: n_layers is 0, so that nothing would look beyond one position"],
        ),
        (
            ["--grid", "encoder.neck=cnn,bigru", "--grid", "encoder.neck_options.channels=4"],
            ["error: neck=bigru: neck 'bigru' has no option 'channels'; its options: hidden."],
        ),
        (["--grid", "encoder.n_heads=2,3"], ["n_heads=3: dim 8 is not divisible by n_heads 3"]),
        (["--grid", "encoder.fusion"], ["is no setting with values; write it as encoder.fusion=last,scalar_mix"]),
        (["--grid", "train.seed=0,1"], ["train.seed cannot be in the grid; the comparison sets it for every run."]),
        (["--grid", "out=a,b"], ["out cannot be in the grid"]),
        (["--grid", "data.test=None"], ["runs are compared on a test file"]),
        (["--grid", "data.test=nowhere.tsv"], ["the test file nowhere.tsv does not exist"]),
        (["--grid", "data.train=nowhere.tsv"], ["nowhere.tsv cannot be read: No such file"]),
        (
            ["--grid", "train.adversarial.table=head,embeddings.token", "--grid", "train.adversarial.method=fgm"],
            ["=head: "],
        ),
        (["--seeds", "0"], ["seeds is 0; each configuration is trained at least once"]),
        (["--target-share", "1.5"], ["target_share is 1.5; it must lie in (0, 1]"]),
    ],
)
def test_a_grid_that_cannot_be_trained_is_refused_at_once(compare, tmp_path, capsys, flags, messages):
    assert compare(*flags) == 2
    expected = capsys.readouterr().err
    for message in messages:
        assert message in expected
    assert not (tmp_path / "out").exists()


def test_configurations_with_another_test_cannot_be_compared(compare, tmp_path, capsys):
    (tmp_path / "other.tsv").write_text("text\tlabel\na ball\tsport\n")
    assert compare("--grid", f"data.test={tmp_path}/test.tsv,{tmp_path}/other.tsv") == 2
    assert "configurations are compared on the same examples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["text", "classify", "trian", "r.toml"], "'text classify trian'; did you mean 'text classify train'?"),
        (["prepare", "r.toml"], "no command that can be compared is called 'prepare'"),
        (
            ["pretrain"],
            "name the training command and its recipe, as in `compare text classify train recipe.toml`",
        ),
        ([], "got 'nothing'"),
        (["pretrain", "nowhere.toml"], "the recipe nowhere.toml cannot be read"),
    ],
)
def test_what_is_trained_has_to_be_said(tmp_path, capsys, words, message):
    assert main(["compare", *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_comparison_may_be_a_recipe_itself(recipe, tmp_path):
    own = tmp_path / "grid.toml"
    own.write_text(
        f'command = ["text", "classify", "train", "{recipe}"]\ngrid = ["encoder.neck=none,cnn"]\nseeds = 1\n'
        f'out = "{tmp_path}/out"\n'
    )
    assert main(["compare", str(own), "--grid", "encoder.fusion=last,pool"]) == 0
    assert len(read_json(tmp_path / "out" / "compare.json")["configurations"]) == 4


PAIRS = """
[data]
train = "{folder}/pairs.tsv"
test = "{folder}/asked.tsv"

[encoder]
dim = 8
n_layers = 1
n_heads = 2
max_len = 32

[tokenizer]
min_count = 1

[train]
epochs = 2
lr = 1e-2
device = "cpu"
precision = "fp32"
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "metric", "metrics"),
    [
        ("", "accuracy", {"accuracy", "f1", "auc"}),
        ("label=None task.form=bi task.loss=in_batch train.monitor=mrr", "mrr", {"mrr", "hit@1", "hit@10"}),
    ],
)
def test_matchers_are_evaluated_pair_by_pair(tmp_path, settings, metric, metrics):
    random, words = np.random.default_rng(0), [f"w{n}" for n in range(30)]
    for name, n in (("pairs", 80), ("asked", 30)):
        rows = [(random.choice(words, 3).tolist(), random.choice(words, 3).tolist(), at % 2) for at in range(n)]
        lines = [f"{' '.join(a)}\t{' '.join(a[::-1] if label else b)}\t{label}\n" for a, b, label in rows]
        (tmp_path / f"{name}.tsv").write_text("first\tsecond\tlabel\n" + "".join(lines))
    (tmp_path / "tiny.toml").write_text(PAIRS.format(folder=tmp_path))
    grid = [part for one in ["encoder.fusion=last,pool", *settings.split()] for part in ("--grid", one)]
    flags = [*grid, "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main(["compare", "text", "match", "train", str(tmp_path / "tiny.toml"), *flags]) == 0
    results = read_json(tmp_path / "out" / "compare.json")
    assert results["metric"] == metric
    for configuration in results["configurations"]:
        folder = tmp_path / "out" / "runs" / configuration["name"] / "seed-0"
        expected = read_json(folder / "metrics.json")["test"]
        assert set(configuration["runs"][0]["metrics"]) == metrics
        assert configuration["runs"][0]["metrics"] == {name: pytest.approx(expected[name]) for name in metrics}
        with np.load(folder / "test.npz") as arrays:
            assert arrays[metric].shape == (30,)


SPANS = """
[data]
train = "{folder}/train.{ending}"
validation = "{folder}/validation.{ending}"
test = "{folder}/test.{ending}"

[encoder]
dim = 8
n_layers = 1
n_heads = 2
max_len = 24

[tokenizer]
min_count = 1

[train]
epochs = 2
batch_size = 16
lr = 1e-2
device = "cpu"
precision = "fp32"
"""


def write_questions(folder):
    for name, n in (("train", 40), ("validation", 12), ("test", 15)):
        rows = [{"id": f"{at}", "question": "which ?", "context": f"see the w{at % 7} there"} for at in range(n)]
        answers = [[{"text": f"w{at % 7}", "start": 8}] for at in range(n)]
        lines = [json.dumps(row | {"answers": entry}) for row, entry in zip(rows, answers, strict=True)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def write_sentences(folder):
    for name, n in (("train", 40), ("validation", 12), ("test", 15)):
        sentences = [f"see O\nn{at % 5} B-NAME\nx{at % 3} {'I-NAME' if at % 2 else 'O'}\n" for at in range(n)]
        (folder / f"{name}.bio").write_text("\n".join(sentences))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "write", "ending", "metric", "metrics"),
    [
        ("qa", write_questions, "jsonl", "f1", {"f1", "em"}),
        ("tag", write_sentences, "bio", "exact", {"exact", "f1", "precision", "recall"}),
    ],
)
def test_spans_are_evaluated_example_by_example(tmp_path, task, write, ending, metric, metrics):
    write(tmp_path)
    (tmp_path / "tiny.toml").write_text(SPANS.format(folder=tmp_path, ending=ending))
    scheme = ["--grid", "data.scheme=bio"] if task == "tag" else []
    flags = ["--grid", "encoder.neck=none,cnn", *scheme, "--seeds", "1", "--out", str(tmp_path / "out")]
    assert main(["compare", "text", task, "train", str(tmp_path / "tiny.toml"), *flags]) == 0
    results = read_json(tmp_path / "out" / "compare.json")
    assert results["metric"] == metric
    for configuration in results["configurations"]:
        folder = tmp_path / "out" / "runs" / configuration["name"] / "seed-0"
        expected = read_json(folder / "metrics.json")["test"]
        assert configuration["runs"][0]["metrics"] == {name: pytest.approx(expected[name]) for name in metrics}
        with np.load(folder / "test.npz") as arrays:
            assert arrays[metric].shape == (15,)
