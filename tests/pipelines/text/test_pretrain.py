import json

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.support.flags import load_config
from pipelines.text import pretrain
from pipelines.text.classify import train as classify
from recsys_bert.errors import InputError

WORDS = ["ball", "goal", "team", "match", "bank", "stock", "price", "fund", "soup", "bread", "salt", "oven"]


@pytest.fixture
def flags(tmp_path, tiny):
    """Documents of three sentences of one word and filler, so that what is masked can be told by the rest."""
    random, documents = np.random.default_rng(0), []
    for _ in range(150):
        word = random.choice(WORDS)
        documents.append("\n".join(" ".join([word] * random.integers(3, 7)) for _ in range(3)))
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(documents))
    head = tiny.index("--head.dropout")
    own = [*tiny[:head], *tiny[head + 2 :], "--train.schedule.warmup-steps", "10", "--data.format", "blocks"]
    return ["--out", str(tmp_path / "run"), "--data.train", str(path), *own, "--train.epochs", "10"]


def test_masked_words_are_learned_and_the_encoder_goes_on(flags, tmp_path, topic_files, tiny, capsys):
    run = tmp_path / "run"
    assert main(["text", "pretrain", *flags]) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["validation"]["accuracy"] > 0.5  # chance is 1/12
    assert metrics["examples"]["validation"] == 3
    files = topic_files()
    data = [flag for name, path in files.items() for flag in (f"--data.{name}", str(path))]
    recipe = ["--out", str(tmp_path / "second"), *data, *tiny, "--init", str(run), "--train.epochs", "3"]
    recipe += ["--tokenizer.min-count", "2"]
    results = classify.run(load_config(classify.Config, recipe))
    assert results["test"]["accuracy"] > 0.8


def curve(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_numbers(flags, tmp_path, monkeypatch):
    way = ["--second-loss", "sentence_order", "--train.checkpoint-steps", "4", "--train.epochs", "2"]
    way += ["--train.auxiliary.weight", "0.8", "--encoder.fusion", "scalar_mix"]
    way += ["--objective-options", '{"span_prob": 0.3, "ngram_prob": 0.3}']
    straight = load_config(pretrain.Config, [*flags, *way, "--out", str(tmp_path / "straight")])
    pretrain.run(straight)

    from nlp_tasks.pretraining.batches import PretrainingBatches

    honest, count = PretrainingBatches.batch, 0

    def fails_at_the_18th(self, examples, random):
        nonlocal count
        count += 1
        if count == 18:
            raise MemoryError
        return honest(self, examples, random)

    broken = load_config(pretrain.Config, [*flags, *way, "--out", str(tmp_path / "broken")])
    with monkeypatch.context() as patch:
        patch.setattr(PretrainingBatches, "batch", fails_at_the_18th)
        with pytest.raises(MemoryError):
            pretrain.run(broken)
    pretrain.run(broken)
    assert curve(tmp_path / "broken") == curve(tmp_path / "straight")
    name = "encoder/model.safetensors"
    assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--train.optimiser.sparse-adam"], "tokens are scored against all tokens"),
        (["--train.monitor", "pair_accuracy"], "this training validates accuracy, log_likelihood, perplexity"),
        (["--max-len", "99"], r"max_len is 99; this encoder reads 24"),
        (["--second-loss", "sentence_order", "--encoder.n-segments", "0"], r"needs encoder\.n_segments 2"),
        (["--second-loss", "sentence_order", "--objective", "next_item"], "which sees no other one"),
        (["--second-loss-options", '{"weight": 2.0}'], "have no effect without a second_loss"),
        (["--second-loss", "sentence_ordre"], "did you mean 'sentence_order'"),
        (["--data.train"], r"no text is given; name files with --data\.train"),
        (["--objective-options", '{"mask_prob": 0.0}'], r"mask_prob is 0"),
        (["--objective-options", '{"mask_porb": 0.1}'], r"objective 'masked' has no option 'mask_porb'; its options: "),
        (["--objective", "next_item", "--objective-options", '{"mask_prob": 0.1}'], "it has no options"),
        (["--encoder.attention", "causal"], r"encoder\.attention follows from the data"),
        (["--distillation.temperature", "2.0"], "no effect without a teacher"),
    ],
)
def test_settings_that_do_not_fit_leave_nothing_behind(flags, change, message, tmp_path):
    with pytest.raises(InputError, match=message):
        pretrain.run(load_config(pretrain.Config, [*flags, *change]))
    assert not (tmp_path / "run").exists()
