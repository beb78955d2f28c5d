"""pretrain end to end: what it writes, that a killed run goes on exactly, what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

import recsys_bert as rb
from nlp_tasks.config import TokenizerConfig
from nlp_tasks.text_encoder import TextEncoder
from nlp_tasks.tokenization import Tokenizer
from pipelines import prepare, pretrain
from pipelines.cli import main
from pipelines.pretrain import Config
from recsys_bert.checksums import write_checksums
from recsys_bert.clicks.dataset import open_dataset
from recsys_bert.clicks.prepare.config import LogConfig, SplitConfig
from recsys_bert.clicks.queries import Queries
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.item_texts.vector_files import vectors_for_log
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.objectives.token_prediction import TokenPrediction
from recsys_bert.retrieval.load import open_run
from recsys_bert.settings import write_config
from recsys_bert.stages.prepare import prepare as prepare_log
from recsys_bert.user_encoder.checkpoint import PretrainedEncoder, load_encoder, save_encoder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(simulated, quick, tmp_path):
    small = EncoderConfig(dim=16, n_layers=1, max_len=20)
    out = tmp_path / "run"
    return Config(data=simulated.folder, out=out, objective="masked", encoder=small, train=quick())


def lines(run):
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in entries]


def weights(run):
    return load_file(run / "encoder" / "model.safetensors")


def plain_ndcg(simulated, ranker):
    """NDCG@10 of the validation events, user by user."""
    queries, ndcg = Queries.of(simulated, "validation"), []
    scores = ranker.user_vectors(queries) @ ranker.item_vectors().T
    for i, row in enumerate(scores):
        row[simulated.histories.items[queries.start[i] : queries.stop[i]]] = -np.inf
        row[: ranker.first_item] = -np.inf
        target = simulated.histories.items[queries.stop[i]]
        known = ranker.first_item <= target < len(row)
        rank = (row > row[target]).sum() if known else 99
        ndcg.append(1 / np.log2(rank + 2) if rank < 10 else 0.0)
    return np.mean(ndcg)


@pytest.mark.parametrize(("objective", "fall"), [("masked", 0.02), ("next_item", 0.2)])  # masks learn popularity first
def test_a_run_learns_and_keeps_its_best_epoch(simulated, config, quick, objective, fall):
    results = pretrain.run(replace(config, objective=objective, train=quick(epochs=12, patience=2, lr=0.02)))
    written = {"checkpoints", "config.toml", "data.json", "encoder", "metrics.jsonl", "trained_on.json"}
    assert set(os.listdir(config.out)) == written | {"checksums.sha256"}
    metrics = [line["ndcg@10"] for line in lines(config.out) if "ndcg@10" in line]
    assert results["best"] == max(metrics)
    assert results["best_epoch"] == metrics.index(max(metrics)) + 1
    ranker = open_run(config.out, simulated)
    assert ranker.precision == config.train.precision == "fp32"
    assert plain_ndcg(simulated, ranker) == pytest.approx(results["best"], abs=1e-6)
    losses = [line["loss"] for line in lines(config.out) if "loss" in line]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - fall


def wait_for_step(run, process, step):
    """Wait until the run has a checkpoint of ``step`` or later."""
    while process.poll() is None:
        steps = [int(path.name[5:]) for path in run.glob("checkpoints/step-*") if path.name[5:].isdigit()]
        if steps and max(steps) >= step:
            return
        time.sleep(0.005)
    raise AssertionError(f"the process ended before step {step}: {process.stderr.read()}")


@pytest.mark.slow
@pytest.mark.timeout(300)  # two processes that import torch, on a machine that may be busy
def test_a_process_killed_at_random_goes_on_to_the_same_curve_and_weights(config, quick, tmp_path):
    """SIGKILL at a random step, then Ctrl-C at a later one, then to the end."""
    config = replace(
        config,
        loss=LossConfig(name="sampled", negatives=NegativesConfig(uniform=20)),
        encoder=replace(config.encoder, dropout=0.2),
        objective_options={"span_prob": 0.3},
        train=quick(epochs=15, accumulate=2, checkpoint_steps=1, log_steps=5),
    )
    whole = replace(config, out=tmp_path / "whole")
    torch.manual_seed(7)  # nothing may hang on the state that a process starts with
    pretrain.run(whole)
    write_config(config, tmp_path / "recipe.toml")
    step = 0
    for sent, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)):
        step += int(np.random.default_rng().integers(2, 12))
        command = [sys.executable, "-m", "pipelines.cli", "pretrain", str(tmp_path / "recipe.toml")]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            wait_for_step(config.out, process, step)
            process.send_signal(sent)
            stderr = process.communicate()[1]
        assert process.returncode == code, stderr
        assert not (config.out / "encoder").exists()
        last = lines_step(config.out)
        assert last < 60, "the run was over before it was stopped"
    assert "stopped." in stderr
    assert "going on where it stopped" in stderr
    pretrain.run(config)
    assert lines(config.out) == lines(whole.out)
    assert all(torch.equal(value, weights(whole.out)[name]) for name, value in weights(config.out).items())


def lines_step(run):
    (last,) = sorted(run.glob("checkpoints/step-*"), key=lambda path: int(path.name[5:]))[-1:]
    return int(last.name[5:])


def test_a_finished_run_called_again_ends_at_once_with_the_same_files(config, files):
    pretrain.run(config)
    before = files(config.out)
    written = (config.out / "checkpoints" / "best.safetensors").stat().st_mtime_ns
    pretrain.run(config)
    assert files(config.out) == before
    assert (config.out / "checkpoints" / "best.safetensors").stat().st_mtime_ns == written  # nothing was trained


def test_other_settings_in_the_same_folder_are_refused_by_name(config, quick, files):
    pretrain.run(config)
    before = files(config.out)
    with pytest.raises(InputError, match=r"train\.lr was 0\.005, now 0\.01, encoder\.dim|encoder\.dim .*train\.lr"):
        pretrain.run(replace(config, train=quick(lr=0.01), encoder=replace(config.encoder, dim=32)))
    assert files(config.out) == before


def test_a_log_prepared_anew_stops_a_run_that_goes_on(simulated, config, quick, tmp_path, files):
    data = tmp_path / "data"
    shutil.copytree(simulated.folder, data)
    mine = replace(config, data=data)
    pretrain.run(mine)
    before = files(config.out)
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["filters"][0]["events_in"] += 1
    (data / "manifest.json").write_text(json.dumps(manifest))
    write_checksums(data)
    with pytest.raises(InputError, match=r"data is not what .* was begun with"):
        pretrain.run(mine)
    assert files(config.out) == before


def test_a_side_table_prepared_anew_stops_a_run_that_goes_on(simulated, config, tmp_path, files):
    data = tmp_path / "data"
    shutil.copytree(simulated.folder, data)
    mine = replace(config, data=data, features=("category",))
    pretrain.run(mine)
    pretrain.run(mine)  # nothing was changed
    before = files(config.out)
    codes = np.load(data / "item_features" / "0.npy")
    np.save(data / "item_features" / "0.npy", np.concatenate([codes[:3], codes[3:][::-1]]))  # the same values elsewhere
    write_checksums(data)
    with pytest.raises(InputError, match=r"item_features is not what .* was begun with"):
        pretrain.run(mine)
    assert files(config.out) == before


@pytest.mark.slow
@pytest.mark.parametrize("role", ["init", "teacher"])
def test_a_run_that_was_begun_with_another_stops_when_that_is_made_anew(config, quick, tmp_path, files, role):
    other = tmp_path / "other"
    pretrain.run(replace(config, out=other))
    mine = replace(config, **{role: other})
    pretrain.run(mine)
    before = files(config.out)
    shutil.rmtree(other)
    pretrain.run(replace(config, out=other, train=replace(config.train, seed=5)))
    with pytest.raises(InputError, match=r"other is not what .* was begun with"):
        pretrain.run(mine)
    assert files(config.out) == before


def test_next_item_training_starts_from_masked_weights(config, quick, tmp_path):
    pretrain.run(config)
    train = quick(epochs=1, lr=1e-12)
    still = replace(config, init=config.out, objective="next_item", out=tmp_path / "next", train=train)
    pretrain.run(still)
    masked, resumed = weights(config.out), weights(still.out)
    assert all(torch.allclose(resumed[name], value, atol=1e-6) for name, value in masked.items())
    assert Encoder.load(still.out / "encoder").config.causal


N, K, CALIBRATION = 80, 30, 0.75


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "first"),
    [
        (LossConfig(name="sampled", negatives=NegativesConfig(uniform=K)), np.log(1 + K)),
        (
            LossConfig(name="gbce", negatives=NegativesConfig(uniform=K)),
            np.log(2) * (K + 1 + CALIBRATION * (K / (N - 1) - 1)) / (K + 1),
        ),
        (
            LossConfig(
                name="sampled",
                negatives=NegativesConfig(uniform=K, popularity_power=1.0),
                similarity="cosine",
                temperature=0.5,
            ),
            None,
        ),
    ],
    ids=["uniform", "gbce", "popular"],
)
def test_sampled_losses_start_where_the_formula_says_and_fall(simulated, config, quick, loss, first):
    """All scores are about 0 at first; gBCE's power is 1 + t (rate - 1)."""
    assert abs(simulated.vocabulary.n_items - N) <= 2
    pretrain.run(replace(config, objective="next_item", loss=loss, train=quick(epochs=5, lr=0.02, log_steps=1)))
    losses = [line["loss"] for line in lines(config.out) if "loss" in line]
    if first is not None:
        assert losses[0] == pytest.approx(first, rel=0.03)
    assert np.mean(losses[-5:]) < losses[0] - 0.02


def test_item_features_windows_and_spans_reach_the_training(simulated, config):
    spans = {"last_only_prob": 0.2, "span_prob": 0.5}
    encoder = replace(config.encoder, max_len=8)
    results = pretrain.run(
        replace(config, features=("category",), crop="random", objective_options=spans, encoder=encoder)
    )
    ranker = open_run(config.out, simulated)
    assert [feature.name for feature in ranker.pretrained.encoder.config.features] == ["category"]
    assert plain_ndcg(simulated, ranker) == pytest.approx(results["best"], abs=1e-6)


def test_a_run_of_another_command_is_told_from_one_with_other_settings(config):
    config.out.mkdir()
    (config.out / "config.toml").write_text('mood = "good"\n')
    with pytest.raises(InputError, match=r"run holds a run of another command, or its config.toml is damaged"):
        pretrain.run(config)


def test_a_run_with_damaged_settings_is_refused(simulated, config, quick):
    pretrain.run(replace(config, train=quick(epochs=1)))
    (config.out / "config.toml").write_text("train = [")
    with pytest.raises(InputError, match=r"config\.toml is not a TOML file"):
        open_run(config.out, simulated)
    (config.out / "config.toml").unlink()
    assert open_run(config.out, simulated).precision == "auto"


@pytest.mark.parametrize("objective", ["masked", "next_item"])
def test_times_reach_the_training_and_every_later_use(simulated, config, objective):
    timed = replace(config.encoder, layer="hstu", times=True, time_gaps=True)
    pretrain.run(replace(config, objective=objective, encoder=timed))
    ranker = open_run(config.out, simulated)
    assert ranker.precision == config.train.precision == "fp32"
    assert ranker.pretrained.encoder.config.needs_times
    metrics = [line["ndcg@10"] for line in lines(config.out) if "ndcg@10" in line]
    assert plain_ndcg(simulated, ranker) == pytest.approx(max(metrics), abs=1e-6)


def test_times_of_a_log_without_any_are_refused(simulated, config, tmp_path):
    events = str(simulated.folder.parent / "clicks.parquet")
    prepare.run(prepare.Config(events=events, log=LogConfig(time=None), out=tmp_path / "timeless"))
    bad = replace(config, data=tmp_path / "timeless", encoder=replace(config.encoder, time_gaps=True))
    with pytest.raises(InputError, match=r"read when events happened, but .*timeless has no times"):
        pretrain.run(bad)
    assert not config.out.exists()


def test_without_validation_every_epoch_is_run(simulated, config, tmp_path, capsys):
    events = str(simulated.folder.parent / "clicks.parquet")
    prepare.run(prepare.Config(events=events, out=tmp_path / "refit", split=SplitConfig(validation=False)))
    results = pretrain.run(replace(config, data=tmp_path / "refit"))
    assert (results["best"], results["epochs"]) == (None, 2)
    assert "every epoch is run, the last weights are kept" in capsys.readouterr().err


def untrained(folder, simulated, objective="masked", **settings):
    """A run with random weights."""
    small = {"vocab_size": simulated.vocabulary.size, "dim": 16, "n_layers": 1, "max_len": 20}
    encoder = Encoder(EncoderConfig(**{**small, **settings}))
    prediction = TokenPrediction(encoder, LossConfig(), first_row=simulated.vocabulary.first_item)
    save_encoder(folder / "encoder", PretrainedEncoder(prediction, objective), simulated)
    return folder


TECHNIQUES = {
    "averaging": {"method": "ema", "first_epoch": 2},
    "adversarial": {"method": "pgd"},
    "auxiliary": {"weight": 0.8},
    "optimiser": {"layer_decay": 0.8},
    "schedule": {"name": "cosine_restarts"},
    "accumulate": 2,
}


@pytest.mark.slow
def test_every_technique_of_training_at_once_goes_on_exactly(simulated, config, quick, tmp_path, monkeypatch):
    """With a teacher that reads times, which its student does not."""
    teacher = untrained(tmp_path / "teacher", simulated, dim=32, n_layers=2, layer="hstu", times=True)
    student = replace(config.encoder, fusion="scalar_mix", neck="bigru", gradient_checkpointing=True)
    config = replace(config, teacher=teacher, encoder=student, train=quick(epochs=3, checkpoint_steps=2, **TECHNIQUES))
    whole = replace(config, out=tmp_path / "whole")
    pretrain.run(whole)
    step = torch.optim.AdamW.step
    steps = []

    def dying(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 8:
            raise RuntimeError("killed")
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr(torch.optim.AdamW, "step", dying)
        pretrain.run(config)
    torch.manual_seed(99)
    pretrain.run(config)
    assert lines(config.out) == lines(whole.out)
    assert all(torch.equal(value, weights(whole.out)[name]) for name, value in weights(config.out).items())
    assert plain_ndcg(simulated, open_run(config.out, simulated)) > 0


@pytest.mark.slow
def test_a_student_comes_nearer_to_its_teacher_than_the_same_encoder_alone(simulated, config, quick, tmp_path):
    teacher = replace(config, out=tmp_path / "teacher", encoder=replace(config.encoder, dim=32, n_layers=2))
    pretrain.run(replace(teacher, train=quick(epochs=10, lr=0.02)))
    quickly = quick(epochs=4, lr=0.02)
    pretrain.run(replace(config, out=tmp_path / "alone", train=quickly))
    only = DistillationConfig(soft_weight=1.0)
    pretrain.run(replace(config, teacher=teacher.out, distillation=only, train=quickly))
    queries = Queries.of(simulated, "validation")

    def log_probabilities(run):
        ranker = open_run(run, simulated)
        logits = torch.from_numpy(ranker.user_vectors(queries) @ ranker.item_vectors().T)[:, ranker.first_item :]
        return logits.log_softmax(dim=1)

    target = log_probabilities(teacher.out).exp()
    apart = {run: -(target * log_probabilities(run)).sum(1).mean().item() for run in (tmp_path / "alone", config.out)}
    assert apart[config.out] < apart[tmp_path / "alone"]


def test_what_cannot_be_trained_is_refused_and_leaves_no_folder(simulated, config, quick, other_vocabulary, tmp_path):
    source = untrained(tmp_path / "given", simulated)
    lstm = untrained(tmp_path / "lstm", simulated, neck="bilstm")
    small = replace(config.encoder, dim=32)
    cases = {
        "trained on the vocabulary": replace(config, data=other_vocabulary, init=source),
        r"encoder\.dim is 32, but init .*given has 16": replace(config, init=source, encoder=small),
        "cannot become causal: its bilstm neck": replace(
            config, init=lstm, objective="next_item", encoder=replace(config.encoder, neck="bilstm")
        ),
        "holds no pretrained encoder": replace(config, init=tmp_path),
        "was pretrained with objective 'masked', this run has 'next_item'": replace(
            config, teacher=source, objective="next_item"
        ),
        "reads 20 events at most, this run 30": replace(
            config, teacher=source, encoder=replace(config.encoder, max_len=30)
        ),
        r"distillation\.layers is \[0, 5\]": replace(
            config, teacher=source, distillation=DistillationConfig(layers=(0, 5))
        ),
        "adversarial.table 'words' is no embedding table here; this model has encoder.embeddings.token": replace(
            config, train=quick(adversarial={"method": "fgm", "table": "words"})
        ),
        "no item feature 'mood'": replace(config, features=("mood",)),
        r"train\.monitor is 'auc'; this training validates recall@10 and ndcg@10": replace(
            config, train=quick(monitor="auc")
        ),
    }
    for message, bad in cases.items():
        with pytest.raises(InputError, match=message):
            pretrain.run(bad)
        assert not config.out.exists(), message


def test_a_folder_that_cannot_be_written_is_told(config, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="is a file"):
        pretrain.run(replace(config, out=tmp_path / "file"))
    with pytest.raises(InputError, match="cannot write"):
        pretrain.run(replace(config, out=tmp_path / "file" / "run"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("not a run")
    with pytest.raises(InputError, match=r"not empty and holds no run"):
        pretrain.run(replace(config, out=tmp_path / "full"))
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]


def test_distillation_without_a_teacher_is_refused(config):
    with pytest.raises(InputError, match="give teacher as well"):
        replace(config, distillation=DistillationConfig(temperature=3.0))


def test_an_auxiliary_loss_beside_soft_targets_alone_is_refused(config, quick, tmp_path):
    with pytest.raises(InputError, match=r"distillation\.soft_weight 1 drops"):
        soft = DistillationConfig(soft_weight=1.0)
        replace(config, teacher=tmp_path, distillation=soft, train=quick(auxiliary={"weight": 0.8}))


def test_sparse_adam_is_refused_where_a_loss_reads_all_rows(config, quick):
    with pytest.raises(InputError, match=r"sparse_adam is for sampled losses; loss\.name 'full' reads all items"):
        replace(config, train=quick(optimiser={"sparse_adam": True}))


def test_settings_that_the_data_decide_are_refused(config):
    with pytest.raises(InputError, match=r"encoder\.attention is .*, but the data and the objective give"):
        pretrain.run(replace(config, encoder=replace(config.encoder, attention="causal")))
    with pytest.raises(InputError, match=r"encoder\.attention follows from the data"):
        config.check_named(frozenset({"encoder.attention"}))


def test_an_encoder_of_texts_goes_from_two_logs_to_a_third_by_commands(tmp_path):
    random = np.random.default_rng(0)
    for name in "abc":
        words = ["red lamp", "blue lamp", "red chair", "blue chair", "green table", "green lamp"]
        words = ["violet sofa", "violet shelf", *words[2:]] if name == "b" else words
        items = pl.DataFrame({"item_id": [f"{name}{n}" for n in range(12)], "title": [words[n % 6] for n in range(12)]})
        items.write_csv(tmp_path / f"{name}.csv")
        n = 240
        events = {"user_id": np.repeat(np.arange(30), 8), "item_id": [f"{name}{i}" for i in random.integers(0, 12, n)]}
        pl.DataFrame({**events, "timestamp": np.arange(n)}).write_csv(tmp_path / f"{name}_events.csv")
        flags = f"--items {tmp_path}/{name}.csv --item-features.text title --out {tmp_path}/{name}"
        assert main(f"prepare --events {tmp_path}/{name}_events.csv {flags}".split()) == 0
    texts = f"item-vectors --data {tmp_path}/a --other-data {tmp_path}/b --out {tmp_path}/texts --dim 6 --reduction svd"
    assert main(texts.split()) == 0
    other = open_dataset(tmp_path / "b")
    assert vectors_for_log(tmp_path / "texts", other)[other.rows(["b0", "b6"])].any(axis=1).all()  # a has no such words
    common = f"--item-vectors {tmp_path}/texts --train.epochs 1 --train.device cpu"
    tiny = "--encoder.dim 8 --encoder.n-layers 1 --encoder.n-heads 1 --encoder.max-len 8"
    first = f"pretrain --data {tmp_path}/a --other-data {tmp_path}/b --out {tmp_path}/both {common} {tiny}"
    assert main(first.split()) == 0
    there = f"pretrain --data {tmp_path}/c --out {tmp_path}/there --init {tmp_path}/both {common}"
    assert main(there.split()) == 0
    log = open_dataset(tmp_path / "c")
    encoder = load_encoder(tmp_path / "there", log)
    assert encoder.items == "vectors"
    table = torch.nn.functional.normalize(encoder.encoder.embeddings.token.weight.detach(), dim=1)
    red = log.rows(["c0", "c6"])  # two ids of the same words
    torch.testing.assert_close(table[red[0]], table[red[1]])


def test_vectors_by_an_encoder_encode_another_log_by_the_same_encoder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["red lamp", "blue lamp", "red chair", "blue chair", "green table"]
    for name in "ab":
        events = {"user_id": np.repeat(range(10), 4), "item_id": [f"{name}{n % 5}" for n in range(40)]}
        items = pl.DataFrame({"item_id": [f"{name}{n}" for n in range(5)], "title": words})
        events = pl.DataFrame({**events, "timestamp": range(40)})
        prepare_log(events, items=items, item_features={"text": ["title"]}, out=tmp_path / name)
    tokenizer = Tokenizer.train(words, TokenizerConfig(min_count=1))
    encoder = Encoder(EncoderConfig(dim=8, n_layers=1, n_heads=1, max_len=8, vocab_size=tokenizer.size))
    TextEncoder(encoder.eval(), tokenizer).save(tmp_path / "encoder")
    flags = f"--by encoder --source {tmp_path}/encoder --dim 4 --out {tmp_path}/texts"
    assert main(f"item-vectors --data {tmp_path}/a {flags}".split()) == 0
    tiny = "--encoder.dim 8 --encoder.n-layers 1 --encoder.n-heads 1 --encoder.max-len 8 --train.epochs 1"
    there = f"pretrain --data {tmp_path}/b --out {tmp_path}/there --train.device cpu {tiny}"
    assert main(f"{there} --item-vectors {tmp_path}/texts".split()) == 2
    assert "give it as source" in capsys.readouterr().err
    assert main(f"{there} --text-encoder {tmp_path}/encoder".split()) == 2
    assert "text_encoder is given, but text is None" in capsys.readouterr().err
    assert main(f"{there} --item-vectors {tmp_path}/texts --text-encoder {tmp_path}/encoder".split()) == 0
    log = open_dataset(tmp_path / "b")
    table = load_encoder(tmp_path / "there", log).encoder.embeddings.token.weight.detach()[log.rows(["b0", "b3"])]
    vectors = rb.item_vectors(tmp_path / "a", by="encoder", source=TextEncoder.load(tmp_path / "encoder"), dim=4)
    expected = torch.from_numpy(vectors.encode(["red lamp", "blue chair"]))
    torch.testing.assert_close(torch.nn.functional.normalize(table, dim=1), expected, atol=1e-4, rtol=1e-3)
