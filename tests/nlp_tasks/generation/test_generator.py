"""Generators: sequence to sequence and language models."""

import numpy as np
import pytest
import torch

from nlp_tasks import Classifier, Generator, TextEncoder
from nlp_tasks.generation.model import token_metrics
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError

QUICK = {
    "encoder": {"dim": 32, "n_layers": 1, "n_heads": 2, "max_len": 24, "init_std": 0.2},
    "train": {"epochs": 8, "batch_size": 8, "lr": 1e-2, "precision": "fp32", "device": "cpu"},
    "decoding": {"max_length": 8},
}
PHRASES = {"one": "a single thing", "two": "both", "three": "two and one more", "four": "two times two"}
SOURCES = [
    f"{number} {other}" for number in PHRASES for other in ("please", "now", "or more", "now please", "at once")
] * 6
TARGETS = [PHRASES[source.split()[0]] for source in SOURCES]
ONE_EPOCH = QUICK | {"train": QUICK["train"] | {"epochs": 1}}


@pytest.fixture(scope="module")
def speaker():
    return Generator.train(SOURCES, TARGETS, test=(SOURCES[:20], TARGETS[:20]), **QUICK)


@pytest.fixture(scope="module")
def counter():
    return Generator.train(["one two three four"] * 40 + ["four three two one"] * 40, **QUICK)


def test_it_learns_phrases_and_survives_a_file(speaker, tmp_path):
    assert speaker.results["test"]["exact"] > 0.9
    assert speaker.results["test"]["bleu"] > 90
    assert speaker.predict(["one please", "four now"]) == ["a single thing", "two times two"]
    speaker.save(tmp_path / "saved")
    loaded = Generator.load(tmp_path / "saved")
    assert loaded.candidates(SOURCES[:5], n_best=3) == speaker.candidates(SOURCES[:5], n_best=3)
    assert loaded.evaluate(SOURCES[:9], TARGETS[:9]) == speaker.evaluate(SOURCES[:9], TARGETS[:9])


def test_a_language_model_continues_a_prompt(counter):
    assert counter.predict(["one two", "four"], search="greedy") == ["three four", "three two one"]
    assert {one.text for one in counter.candidates([""], search="sample", n_best=20, top_p=0.9)[0]} == {
        "one two three four",
        "four three two one",
    }
    assert counter.results["validation"]["perplexity"] < 1.3  # a coin decides the first of five tokens: 2 ** (1 / 5)


def test_a_text_streams_as_it_is_predicted(speaker, counter):
    assert "".join(speaker.stream("three now")) == "two and one more"
    pieces = list(counter.stream("one"))
    assert "".join(pieces) == "two three four"
    assert len(pieces) > 1


def test_perplexity_is_that_of_a_plain_loop(speaker):
    row = speaker.tokenizer(["one now", "two and one"])
    source, target = (row.ids[start:stop].tolist() for start, stop in zip(row.offsets, row.offsets[1:], strict=False))
    cls, sep = speaker.tokenizer.cls, speaker.tokenizer.sep
    prefix, total = [cls, *source, sep], 0.0
    for n, token in enumerate([*target, sep]):
        tokens = torch.tensor([[*prefix, *target[:n]]])
        segments = torch.tensor([[0] * len(prefix) + [1] * n])
        with torch.no_grad():
            states = speaker.encoder(tokens, segments=segments, prefix=torch.tensor([len(prefix)])).tokens
        logits = states[0, -1] @ speaker.encoder.embeddings.token.weight.T
        total += logits.log_softmax(0)[token].item()
    assert speaker.evaluate(["one now"], ["two and one"])["log_likelihood"] == pytest.approx(total / 4, abs=1e-5)


def test_a_long_text_is_a_row_for_each_piece_and_every_token_is_predicted_once(counter):
    text = " ".join(["one"] * 50)
    table = counter.evaluate([text])
    pieces = [[2, *[counter.tokenizer(["one"]).ids[0]] * 23], [2, *[counter.tokenizer(["one"]).ids[0]] * 23]]
    pieces.append([2, *[counter.tokenizer(["one"]).ids[0]] * 4, 3])
    totals = []
    for piece in pieces:
        tokens = torch.tensor([piece])
        with torch.no_grad():
            logits = counter.encoder(tokens).tokens[0] @ counter.encoder.embeddings.token.weight.T
        totals += logits[:-1].log_softmax(1).gather(1, tokens[0, 1:, None])[:, 0].tolist()
    assert len(totals) == 51
    assert table["log_likelihood"] == pytest.approx(np.mean(totals), abs=1e-5)


def test_an_input_does_not_depend_on_those_beside_it(speaker):
    settings = {"search": "sample", "n_best": 2, "temperature": 3.0, "seed": 4}
    together = [[one.text for one in some] for some in speaker.candidates(SOURCES[:21], **settings)]
    assert together[:7] == [[one.text for one in some] for some in speaker.candidates(SOURCES[:7], **settings)]
    assert len({text for some in together for text in some}) > 12
    assert together[0] != together[20]  # the same source, further down


def test_one_of_given_texts_is_generated(speaker):
    assert speaker.predict(["one now"], among=["both two", "a single single"]) == ["a single single"]


def test_its_encoder_starts_other_tasks(speaker, counter, tmp_path):
    for name, generator in (("speaker", speaker), ("counter", counter)):
        generator.save(tmp_path / name)
        encoder = TextEncoder.load(tmp_path / name)
        assert encoder.encoder.config.attention == ("bidirectional" if name == "speaker" else "causal")
        assert encoder.encode(["one two"]).shape == (1, 32)
    classifier = Classifier.train(SOURCES, TARGETS, init=tmp_path / "speaker", train=ONE_EPOCH["train"])
    assert classifier.model.encoder.config.attention == "bidirectional"
    again = Generator.train(SOURCES, init=tmp_path / "speaker", train=ONE_EPOCH["train"], decoding={"max_length": 8})
    assert again.encoder.config.attention == "causal"


def test_texts_are_generated_in_validation_where_the_monitor_is_of_texts():
    settings = ONE_EPOCH | {"train": ONE_EPOCH["train"] | {"monitor": "chrf"}}
    assert "chrf" in Generator.train(SOURCES, TARGETS, **settings).results["validation"]
    with pytest.raises(InputError, match="monitor is 'chrf'; this task validates log_likelihood, accuracy"):
        Generator.train(SOURCES, **settings)


@pytest.mark.parametrize(
    ("data", "changes", "message"),
    [
        ((["one"], [""]), {}, r"targets\[0\] of the training examples is empty"),
        ((["\u200b one", "\u200b"], ["one", "two"]), {}, "no character that the tokenizer reads"),
        ((["one"], ["one " * 8]), {}, "a target of 9 tokens, decoding.max_length allows 8"),
        ((SOURCES, TARGETS[:3]), {}, "lists of different lengths"),
        ((SOURCES, TARGETS), {"decoding": {"max_length": 22}}, "max_length is 22, but source and target together"),
        ((SOURCES, TARGETS), {"encoder": {"layer": "bsarec"}}, "layer 'bsarec'"),
        ((SOURCES, TARGETS), {"encoder": {"position": "last"}}, "position is 'last'"),
        ((SOURCES, TARGETS), {"encoder": {"neck": "bilstm"}}, "neck|bilstm"),
        ((SOURCES, TARGETS), {"length": {"long": "windows"}}, "length.long 'windows' has no effect"),
        ((SOURCES,), {"length": {"long": "key_sentences"}}, "without targets there are none"),
        ((SOURCES, TARGETS), {"teacher": "runs/x"}, "generation has no distillation"),
        ((SOURCES, TARGETS), {"decoding": {"n_best": 9}}, "n_best is 9, more than beams 4 can give"),
    ],
)
def test_what_cannot_be_trained_says_so(data, changes, message):
    settings = {name: {**ONE_EPOCH[name], **changes.get(name, {})} for name in ONE_EPOCH}
    with pytest.raises(InputError, match=message):
        Generator.train(*data, validation=data, **settings, **{k: v for k, v in changes.items() if k not in settings})


def test_what_cannot_be_generated_says_so(speaker, counter):
    for call, message in (
        (lambda: speaker.predict(["one", " "]), "source 2 is empty"),
        (lambda: speaker.predict(["one"], beems=3), "beems"),
        (lambda: speaker.predict(["one"], temperature=0.5), "temperature is 0.5, but search is 'beam'"),
        (lambda: speaker.predict(["one"], search="sample", top_p=2.0), "top_p is 2.0"),
        (lambda: speaker.predict(["one"], max_length=30), "max_length is 30"),
        (lambda: speaker.predict(["one"], among=[]), "the trie is empty"),
        (lambda: speaker.predict(["one"], among=["one " * 9]), "shortest path has 10 tokens"),
        (lambda: speaker.stream("one", search="beam"), "search 'beam' revises"),
        (lambda: speaker.evaluate(["one"]), "trained on sources and targets; give both"),
        (lambda: counter.evaluate(["one"], ["two"]), "trained on texts alone"),
    ):
        with pytest.raises(InputError, match=message):
            list(call())
    assert speaker.predict([]) == []


def test_prompts_that_are_too_long_are_read_from_the_end(counter):
    prompt = " ".join(["four"] * 30 + ["one", "two"])
    inputs = counter.inputs([prompt, "one"], counter.decoding)
    assert inputs.counts == {"shortened": 1}
    assert inputs.lengths.tolist() == [16, 2]
    assert counter.tokenizer.text(inputs.ids[13:16]) == "four one two"


def test_metrics_leave_no_gradient_and_no_mode(speaker):
    speaker.encoder.train()
    rows = speaker.rows(_table())
    first, second = token_metrics(speaker.encoder, rows), token_metrics(speaker.encoder, rows)
    assert first == second  # no dropout
    assert speaker.encoder.training
    assert isinstance(speaker.encoder.eval(), Encoder)


def _table():
    from nlp_tasks.examples import table_of

    return table_of({"texts": SOURCES[:5], "targets": TARGETS[:5]}, None, "given")
