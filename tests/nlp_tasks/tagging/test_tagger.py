from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nlp_tasks.tagging.batches import UnitBatches, unit_batch
from nlp_tasks.tagging.config import NerHeadConfig, SentenceLengthConfig
from nlp_tasks.tagging.heads import NER_HEADS
from nlp_tasks.tagging.model import NerLoss, NerModel
from nlp_tasks.tagging.schemes import Entity
from nlp_tasks.tagging.sentences import Sentence, join
from nlp_tasks.tagging.tagger import Tagger, rows_of
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.training.step import to_device


@pytest.fixture
def recogniser(encoder, tokenizer, types):
    def build(head="crf", **settings):
        torch.manual_seed(1)
        config = NerHeadConfig(name=head)
        model = NerModel(encoder, config, len(types), **settings).eval()
        return Tagger(model, tokenizer, types, SentenceLengthConfig(), "words", questions=types), config

    return build


@pytest.mark.parametrize("head", NER_HEADS)
def test_saved_and_loaded_it_says_the_same(recogniser, marked, tmp_path, head):
    before, config = recogniser(head, auxiliary=True)
    sentences = marked(20)
    before.save(tmp_path / "run" / "recogniser", config)
    after = Tagger.load(tmp_path / "run")
    for one, other in zip(
        after.entities(after.inputs(sentences)), before.entities(before.inputs(sentences)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert (after.types, after.length, after.units) == (before.types, before.length, before.units)


@pytest.mark.parametrize("head", NER_HEADS)
def test_answers_stand_in_the_text(recogniser, head):
    made, _ = recogniser(head)
    texts = ["the ball  in\tBonn, of Ada", " ", "a", "of the bank " * 20]
    answers = made.find(texts)
    assert answers[1] == []
    assert sum(map(len, answers)) > 0
    for text, found in zip(texts, answers, strict=True):
        assert [one.start for one in found] == sorted(one.start for one in found)
        for one in found:
            assert text[one.start : one.stop] == one.text == one.text.strip() != ""
            assert one.type in made.types
            assert 0 <= one.score <= 1


@pytest.mark.parametrize("head", NER_HEADS)
def test_sentences_do_not_depend_on_their_company(recogniser, marked, head):
    made, _ = recogniser(head)
    made = replace(made, questions=["bonn", "bank", "ada"])  # of known words, so that no two types score alike
    sentences = marked(12)
    together, scores = made.entities(made.inputs(sentences))
    alone = [made.entities(made.inputs([one])) for one in sentences]
    rows = [np.column_stack([np.full(len(one), n), one[:, 1:]]) for n, (one, _) in enumerate(alone)]
    np.testing.assert_array_equal(together, np.concatenate(rows))
    np.testing.assert_allclose(scores, np.concatenate([score for _, score in alone]), atol=1e-5)


def batch_of(made, sentences, types):
    units = made.inputs(sentences)
    batches = UnitBatches(units, rows_of(sentences, types), batch_size=len(sentences), seed=0)
    return to_device(next(iter(batches(0))), torch.device("cpu"))


def test_windows_change_nothing_for_an_encoder_that_sees_one_position(tokenizer, types, marked, settings):
    """What each unit hears is its own token, however its sentence is cut."""
    torch.manual_seed(0)
    encoder = Encoder(replace(settings, position="none", vocab_size=tokenizer.size))
    encoder.layers = nn.ModuleList()
    model = NerModel(encoder, NerHeadConfig(name="crf", dropout=0.0), len(types)).eval()
    long = [join([word for one in marked(9) for word in one.words()], " ")]
    found = []
    for max_len in (None, 10, 13):
        made = Tagger(model, tokenizer, types, SentenceLengthConfig(max_len=max_len), "words")
        units = made.inputs(long)
        batch = {
            name: torch.from_numpy(v) for name, v in unit_batch(units, units.inputs.first_row, np.arange(1)).items()
        }
        found.append(model(batch))
    assert units.inputs.counts == {"read_in_windows": 1}
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_the_auxiliary_loss_is_weighed_in(recogniser, marked, types):
    made, _ = recogniser(auxiliary=True)
    batch = batch_of(made, marked(6), types)
    model = made.model
    loss = NerLoss(model, 0.7)(batch)
    encoded = model.encode(batch)
    mask, entities = batch["real_units"], batch["entities"]
    main = model.head.loss(model(batch), mask, entities)
    last = model.auxiliary.last.norm(encoded.states[-1]).flatten(0, 1)[batch["places"]]
    raw = model.auxiliary.head.loss(model.auxiliary.head(last), mask, entities)
    torch.testing.assert_close(loss, 0.7 * raw + 0.3 * main)
    loss.backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_other_folders_are_refused(tmp_path, recogniser):
    made, config = recogniser()
    with pytest.raises(InputError, match="holds no encoder"):
        Tagger.load(tmp_path)
    made.save(tmp_path / "recogniser", config)
    task = tmp_path / "recogniser" / "task.json"
    whole = task.read_text()
    task.write_text(whole.replace('"types"', '"kinds"'))
    with pytest.raises(InputError, match=r"task\.json is damaged: 'types'"):
        Tagger.load(tmp_path)
    task.write_text(whole.replace('"task": "recogniser"', '"task": "matcher"'))
    with pytest.raises(InputError, match="holds a 'matcher' model"):
        Tagger.load(tmp_path)


def test_a_row_longer_than_the_encoder_reads(recogniser):
    made, _ = recogniser()
    made.length = SentenceLengthConfig(max_len=64)
    with pytest.raises(InputError, match="this encoder reads 32 tokens at most"):
        made.inputs([join(["a"], " ")])


def test_flat_models_take_the_outermost_entities(recogniser):
    outer, inner = Entity(0, 3, "ORG"), Entity(1, 2, "LOC")
    sentence = join(["a", "b", "c"], " ")
    nested = Sentence(sentence.text, sentence.units, ((outer,), (inner,)))
    np.testing.assert_array_equal(rows_of([sentence, nested], ["LOC", "ORG"]), [[1, 0, 3, 1]])
    np.testing.assert_array_equal(
        rows_of([sentence, nested], ["LOC", "ORG"], nested=True), [[1, 0, 3, 1], [1, 1, 2, 0]]
    )
    assert recogniser()[0].beyond([sentence, nested]) == 1
