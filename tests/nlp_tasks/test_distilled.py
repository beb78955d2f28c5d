from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nlp_tasks.classification.config import ClassificationConfig
from nlp_tasks.classification.model import ClassificationLoss
from nlp_tasks.config import HeadConfig, LengthConfig, TokenizerConfig
from nlp_tasks.distilled import TaskStudent, check_teacher
from nlp_tasks.inputs import read_texts
from nlp_tasks.matching.config import MatchingConfig
from nlp_tasks.matching.model import MatchingLoss
from nlp_tasks.model import TextModel
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.losses.distillation import HiddenStateLoss
from recsys_bert.objectives.config import DistillationConfig
from recsys_bert.objectives.distilled import Distilled

ONES = np.ones(3, np.float32)


@pytest.fixture
def teacher(settings, tokenizer):
    def build(n_outputs):
        torch.manual_seed(9)
        larger = replace(settings, vocab_size=tokenizer.size, dim=24, n_layers=2, dropout=0.3)
        return TextModel(Encoder(larger), HeadConfig(), n_outputs)

    return build


@pytest.fixture
def student(encoder):
    return lambda n_outputs: TextModel(encoder, HeadConfig(dropout=0.0), n_outputs)


@pytest.fixture
def batch(tokenizer, topics):
    texts = topics(4)[0]
    rows = read_texts(tokenizer, texts, None, LengthConfig(), 32).gather(np.arange(4)) | {"owner": np.arange(4)}
    return {name: torch.from_numpy(value) for name, value in rows.items()} | {"labels": torch.tensor([0, 2, 1, 1])}


def kl(ours, theirs, temperature):
    p = (theirs / temperature).softmax(dim=-1)
    return temperature**2 * (p * (p.log() - (ours / temperature).log_softmax(dim=-1))).sum(dim=-1).mean()


def test_the_whole_formula(student, teacher, batch):
    model, larger = student(3), teacher(3)
    loss = ClassificationLoss(model, ClassificationConfig(), ONES)
    config = DistillationConfig(soft_weight=0.3, temperature=3.0, hidden_weight=0.7)
    distilled = Distilled(TaskStudent(loss), larger, config)
    ours, theirs = model.encode(batch), larger.eval().encode(batch)
    assert distilled.states.layers == [(0, 0), (1, 2)]
    hidden = HiddenStateLoss(16, 24, distilled.states.layers)
    hidden.load_state_dict(distilled.states.state_dict())
    expected = 0.7 * F.cross_entropy(model(batch), batch["labels"])
    expected += 0.3 * kl(model(batch), larger(batch), 3.0)
    expected += 0.7 * hidden(ours.states, theirs.states, ours.mask)
    torch.testing.assert_close(distilled(batch), expected)


def test_the_teacher_stays_as_it_was(student, teacher, batch):
    larger = teacher(3)
    distilled = Distilled(
        TaskStudent(ClassificationLoss(student(3), ClassificationConfig(), ONES)), larger, DistillationConfig()
    )
    distilled.train()
    distilled(batch).backward()
    assert not larger.training
    assert all(weight.grad is None for weight in larger.parameters())
    mine = {id(weight) for weight in distilled.parameters()}
    assert not mine & {id(weight) for weight in larger.parameters()}
    assert all(weight.grad is not None for weight in distilled.states.parameters())


def test_labels_are_yes_or_no_each(student, teacher, batch):
    model, larger = student(3), teacher(3).eval()
    loss = ClassificationLoss(model, ClassificationConfig(multi_label=True), ONES)
    only_soft = DistillationConfig(soft_weight=1.0, temperature=1.0, hidden_weight=0.0)
    p, q = larger(batch).sigmoid(), model(batch).sigmoid()
    expected = (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    torch.testing.assert_close(Distilled(TaskStudent(loss), larger, only_soft)(batch), expected)


def test_a_bi_encoder_learns_who_is_near_whom(student, teacher, batch):
    model, larger = student(0), teacher(0).eval()
    loss = MatchingLoss(model, MatchingConfig(form="bi", loss="ranking", temperature=0.5))
    only_soft = DistillationConfig(soft_weight=1.0, temperature=2.0, hidden_weight=0.0)

    def cosines(vectors):
        unit = F.normalize(vectors, dim=1)
        return unit[0::2] @ unit[1::2].T / 0.5

    expected = kl(cosines(model(batch)), cosines(larger(batch)), 2.0)
    torch.testing.assert_close(Distilled(TaskStudent(loss), larger, only_soft)(batch), expected)


def test_a_student_without_layers(settings, tokenizer, teacher, batch):
    light = replace(settings, vocab_size=tokenizer.size, n_layers=0, neck="bilstm", residual="none")
    model = TextModel(Encoder(light), HeadConfig(dropout=0.0), 3)
    distilled = Distilled(
        TaskStudent(ClassificationLoss(model, ClassificationConfig(), ONES)), teacher(3), DistillationConfig()
    )
    distilled(batch).backward()
    assert all(weight.grad is not None for name, weight in model.named_parameters() if "output_projection" not in name)


def test_a_teacher_that_does_not_fit(student, teacher, tokenizer):
    def task(model, tokenizer, max_len=32):
        return SimpleNamespace(model=model, tokenizer=tokenizer, max_len=max_len)

    other = Tokenizer.train(["quite other words"] * 3, TokenizerConfig())
    check_teacher(task(student(3), tokenizer), task(teacher(3), tokenizer))
    with pytest.raises(InputError, match=r"another vocabulary.*tokenizer\.folder"):
        check_teacher(task(student(3), tokenizer), task(teacher(3), other))
    with pytest.raises(InputError, match=r"the student reads 40 tokens, its teacher 32"):
        check_teacher(task(student(3), tokenizer, 40), task(teacher(3), tokenizer))
    with pytest.raises(InputError, match=r"has 3 outputs, its teacher 1"):
        check_teacher(task(student(3), tokenizer), task(teacher(1), tokenizer))
