"""The benchmark of training, on a tiny log, and its count of operations against the formula."""

import json
import subprocess
import sys

import pytest

from pipelines import pretrain
from pipelines.benchmarks import training_speed, training_steps
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.errors import InputError
from recsys_bert.losses.config import LossConfig, NegativesConfig
from recsys_bert.stages.pretrain import build

DIM, LAYERS, NEGATIVES = 16, 2, 8


@pytest.mark.slow
def test_trainings_take_turns_with_a_peer(simulated, tmp_path):
    lines = [json.dumps({"epochs": 1, "seq_per_s": 1}), json.dumps({"seq_per_s": "{dim}"}).replace('"{dim}"', "{dim}")]
    script = tmp_path / "peer.py"
    script.write_text("import sys\nfor line in sys.argv[1:]:\n    print(line)\nprint('done')\n", encoding="utf-8")
    # in a small process of its own: a program's peak counts from that of the process that started it
    command = [sys.executable, "-m", "pipelines.benchmarks.training_speed", "--data", str(simulated.folder)]
    command += ["--out", str(tmp_path / "speed"), "--objectives", "next-full", "--dims", str(DIM)]
    command += ["--precisions", "fp32", "--batch-size", "32", "--steps", "2", "--rounds", "2", "--profile"]
    command += ["--peer", f"{sys.executable} {script} '{lines[0]}' '{lines[1]}'"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    result = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    ours, peer = result["rows"]
    assert peer["rounds"] == [DIM, DIM]  # its last line, with the width filled in
    assert len(ours["rounds"]) == 2
    assert ours["seq_per_s"] == pytest.approx(sum(ours["rounds"]) / 2)
    assert ours["times_peer"] == pytest.approx(ours["seq_per_s"] / DIM)
    assert ours["precision"] == "fp32"
    assert ours["peak_bytes"] > peer["peak_bytes"] > 0
    assert 0 < ours["flops_share"] < 1
    assert sum(one["share"] for one in ours["operators"]) <= 1
    assert "_FullCrossEntropy" in {one["operator"] for one in ours["operators"]}
    assert f"| next-full | {DIM} | fp32 |" in printed
    assert {path.name for path in tmp_path.iterdir()} == {"peer.py", "speed.json", "speed.md"}


@pytest.mark.parametrize("code", ["print('no figure')", "raise SystemExit(3)"])
def test_a_peer_without_a_figure_is_refused(code):
    with pytest.raises(InputError, match=r"seq_per_s|status 3"):
        training_speed._printed([sys.executable, "-c", code])


def test_the_clock_leaves_out_start_up_and_the_ends_of_epochs():
    assert training_steps.timed_steps(5, 4) == [10, 12, 13, 14, 16]
    with pytest.raises(InputError, match="batch size"):
        training_steps.timed_steps(1, 1)


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("loss", ["full", "sampled"])
def test_operations_are_those_of_the_formula(simulated, quick, tmp_path, loss, bf16):
    config = pretrain.Config(
        data=simulated.folder,
        out=tmp_path,
        objective="next_item",
        encoder=EncoderConfig(dim=DIM, n_layers=LAYERS, n_heads=1, max_len=20),
        loss=LossConfig(name=loss, negatives=NegativesConfig(uniform=NEGATIVES)),
        train=quick(),
    )
    training = build(config, simulated)
    model, batches = training.module, training.batches
    batch = next(batches(0, 1))
    rows, seq = batch["tokens"].shape
    layer = 2 * rows * seq * DIM * DIM * (3 + 1 + 4 + 4) + 2 * 2 * rows * seq * seq * DIM
    widest = max((batch["positions"] // seq == row).sum() for row in range(rows))
    scored = {
        "full": len(batch["targets"]) * simulated.vocabulary.n_items,
        "sampled": rows * widest * NEGATIVES,  # padded to the history with most targets
    }
    expected = 3 * (LAYERS * layer + 2 * scored[loss] * DIM)  # a product has two more behind it, for two gradients
    assert training_steps.count_flops(model, batches, [1], bf16=bf16) == expected
