import numpy as np
import pytest
import torch

from nlp_tasks.artefacts import record_artefact
from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig
from nlp_tasks.distilled import TaskStudent
from nlp_tasks.qa.config import QAConfig
from nlp_tasks.qa.data import Question, QuestionSet, Reference
from nlp_tasks.qa.inputs import label
from nlp_tasks.qa.model import SpanLoss, SpanModel, read, span_loss
from nlp_tasks.qa.question_answerer import Answer, QuestionAnswerer
from nlp_tasks.qa.training import window_batches
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.checksums import write_checksums
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.objectives.distilled import Distilled

PASSAGES = [
    "　范廷颂， 1919年\t生于 Cafe\u0301 Zürich…\n他在1963年 被任为主教。  New-York 3.14!   ",
    "主教",
    " a goal by the team ; the bank and a stock , the soup and the bread in an oven . " * 3,
]


@pytest.fixture(scope="module")
def answerer(tmp_path_factory):
    tokenizer = Tokenizer.train(PASSAGES, TokenizerConfig(min_count=1))
    torch.manual_seed(5)
    sizes = {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 32, "init_std": 0.5, "vocab_size": tokenizer.size}
    encoder = Encoder(EncoderConfig.from_dict(TEXT_ENCODER.to_dict() | sizes))
    return QuestionAnswerer(SpanModel(encoder, 0.0).eval(), tokenizer, QAConfig(max_answer=9), "chinese")


@pytest.fixture
def examples():
    rows = [(0, "1963年"), (0, "主教"), (2, "goal"), (2, "bread"), (1, "主教")]
    questions = [
        Question(str(n), "什么？", p, (Reference(text, PASSAGES[p].index(text)),), "here")
        for n, (p, text) in enumerate(rows)
    ]
    return QuestionSet("file", PASSAGES, questions)


def test_answers_are_characters_of_the_passage_without_blanks_around(answerer):
    """Over many random weights: exact, stripped, and no longer than allowed."""
    seen = set()
    for seed in range(15):
        torch.manual_seed(seed)
        torch.nn.init.normal_(answerer.model.output.weight, std=3.0)
        for passage in PASSAGES:
            answer = answerer.predict(["谁生于 New-York？"], [passage])[0]
            assert passage[answer.start : answer.stop] == answer.text
            assert answer.text == answer.text.strip() != ""
            assert len(answerer.tokenizer([answer.text.replace("…", "")]).ids) <= 9  # NFKC makes three of it
            assert 0 < answer.score <= 1
            seen.add(answer.text)
    assert len(seen) > 10


def test_an_accent_by_itself_stays_on_its_letter(answerer, monkeypatch):
    passage = PASSAGES[0]
    windows = answerer.windows_of(answerer.passages([passage]), ["什么？"], np.array([0]))
    spans, word = windows.passages.tokens.spans, passage.index("Cafe")
    first, last = (int(np.flatnonzero(spans[:, side] == word + shift)[0]) for side, shift in ((0, 0), (1, 4)))
    row = int(np.flatnonzero((windows.first <= first) & (last < windows.first + windows.width))[0])
    shift = int(windows.inputs.second[row] - windows.first[row])

    def reads(model, windows, max_answer):
        scores = np.full(len(windows.question), -5.0)
        scores[row] = -1.0
        return scores, np.full(len(scores), shift + first), np.full(len(scores), shift + last)

    monkeypatch.setattr("nlp_tasks.qa.question_answerer.read", reads)
    assert answerer.best_answers(windows)[0].text == "Cafe\u0301"


def test_the_best_window_answers(answerer):
    answer = answerer.predict(["什么？"], [PASSAGES[2]])[0]
    windows = answerer.windows_of(answerer.passages([PASSAGES[2]]), ["什么？"], np.array([0]))
    assert len(windows.question) > 3
    assert answer.score == pytest.approx(np.exp(read(answerer.model, windows, 9)[0].max()))


def test_questions_in_any_order_and_number(answerer):
    assert answerer.predict([], []) == []
    one = answerer.predict(["什么？", "谁？"], [PASSAGES[0], PASSAGES[2]])
    other = answerer.predict(["谁？", "什么？"], [PASSAGES[2], PASSAGES[0]])
    assert [(a.start, a.stop) for a in one] == [(a.start, a.stop) for a in reversed(other)]
    assert answerer.predict(["什么？", "谁？"], ["\u200b", "主教"])[0] is None  # nothing that the tokenizer reads
    with pytest.raises(InputError, match=r"questions\[1\] is empty"):
        answerer.predict(["什么？", " "], ["a", "b"])
    with pytest.raises(InputError, match=r"passages\[0\] is empty"):
        answerer.predict(["什么？"], ["\n"])


def test_a_threshold_is_chosen_where_there_may_be_no_answer(answerer, examples):
    questions = [*examples.questions, *(Question("n", "谁？", p, (), "here") for p in range(3))]
    both = QuestionSet("file", PASSAGES, questions)
    windows = answerer.windows(both)
    always = QuestionAnswerer(answerer.model, answerer.tokenizer, QAConfig(max_answer=9), "chinese")
    assert always.metrics(windows, both, tune=True)["right_without_answer"] == 0
    assert always.threshold is None
    may = QuestionAnswerer(answerer.model, answerer.tokenizer, QAConfig(max_answer=9, no_answer=True), "chinese")
    metrics = may.metrics(windows, both, tune=True)
    assert metrics["f1"] >= always.metrics(windows, both)["f1"]
    scores = [answer.score for answer in may.best_answers(windows)]
    best = may.threshold
    for threshold in [0.0, *(np.array(scores) + 1e-9)]:
        may.threshold = float(threshold)
        assert may.metrics(windows, both)["f1"] <= metrics["f1"] + 1e-9
    may.threshold = best
    assert [answer is None for answer in may.accepted(may.best_answers(windows))] == [score < best for score in scores]
    assert may.accepted([Answer("a", 0, 1, 0.0), None])[1] is None


def test_batches_show_every_window_with_its_label(answerer, examples):
    windows = answerer.windows(examples)
    labels = label(windows, examples.questions, answerer.config)
    batches = window_batches(windows, labels, examples, 1.0, batch_size=4, seed=0)
    rows = [(n, batch) for batch in batches(0) for n in range(len(batch["starts"]))]
    assert len(rows) == len(windows.question)
    answers = {
        answerer.tokenizer.text(batch["tokens"][n, batch["starts"][n] : batch["ends"][n] + 1].tolist())
        for n, batch in rows
        if batch["ends"][n]
    }
    assert {"goal", "bread"} <= answers
    fewer = window_batches(windows, labels, examples, 0.0, batch_size=4, seed=0)
    n_windows = sum(len(batch["starts"]) for batch in fewer(0))
    assert n_windows == labels.counts["windows_with_the_answer"] < len(rows)


def test_the_loss_and_its_parts(answerer, examples, settings):
    windows = answerer.windows(examples)
    labels = label(windows, examples.questions, answerer.config)
    batch = next(iter(window_batches(windows, labels, examples, 1.0, batch_size=6, seed=0)(0)))
    batch = {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in batch.items()}
    model = SpanModel(answerer.model.encoder, 0.0, auxiliary=True).eval()
    encoded = model.encode(batch)
    main, raw = (
        span_loss(logits, batch["starts"], batch["ends"])
        for logits in (model.on_output(encoded), model.on_last_layer(encoded))
    )
    torch.testing.assert_close(SpanLoss(model, 0.3)(batch), 0.7 * main + 0.3 * raw)
    teacher = SpanModel(answerer.model.encoder, 0.0).eval()
    student = SpanModel(Encoder(teacher.encoder.config).eval(), 0.0).eval()
    distilled = Distilled(
        TaskStudent(SpanLoss(student)), teacher, DistillationConfig(soft_weight=1.0, hidden_weight=0.0)
    )
    ours, theirs = ((model(batch) / 2.0).double().softmax(dim=-1) for model in (student, teacher))
    kl = (theirs * (theirs.clamp_min(1e-300).log() - ours.clamp_min(1e-300).log())).sum(dim=-1).mean()
    assert distilled(batch).item() == pytest.approx(4 * kl.item(), rel=1e-4)


def test_saved_and_loaded_it_says_the_same(answerer, tmp_path):
    answerer.threshold = 0.0
    answerer.save(record_artefact(tmp_path, "question_answerer"))
    after = QuestionAnswerer.load(tmp_path)
    assert after.predict(["什么？"] * 3, PASSAGES) == answerer.predict(["什么？"] * 3, PASSAGES)
    assert (after.config, after.language, after.threshold) == (answerer.config, "chinese", 0.0)
    answerer.threshold = None
    about = tmp_path / "question_answerer" / "task.json"
    about.write_text(about.read_text().replace('"language"', '"languages"'))
    write_checksums(about.parent)
    with pytest.raises(InputError, match=r"task\.json is damaged"):
        QuestionAnswerer.load(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_len": 4}, r"task\.max_len is 4"),
        ({"overlap": 1.0}, r"task\.overlap is 1\.0"),
        ({"dropout": -0.1}, "dropout -0.1"),
        ({"max_answer": 0}, "max_answer 0"),
        ({"empty_windows": 2.0}, r"task\.empty_windows is 2\.0"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises(InputError, match=message):
        QAConfig(**settings)


def test_rows_longer_than_the_encoder_reads(answerer):
    long = QuestionAnswerer(answerer.model, answerer.tokenizer, QAConfig(max_len=64), "chinese")
    with pytest.raises(InputError, match=r"task\.max_len is 64; this encoder reads 32 tokens at most"):
        long.predict(["什么？"], ["主教"])
