from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nlp_tasks.artefacts import record_artefact
from nlp_tasks.tagging.batches import WordBatches, word_batch
from nlp_tasks.tagging.config import SentenceLengthConfig, TaggingHeadConfig
from nlp_tasks.tagging.heads import TAGGING_HEADS
from nlp_tasks.tagging.model import TaggingLoss, TaggingModel
from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import Sentence, join_words
from nlp_tasks.tagging.tagger import Tagger, rows_of
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.training.step import to_device


@pytest.fixture
def make_tagger(encoder, tokenizer, types):
    def build(head="crf", **settings):
        torch.manual_seed(1)
        config = TaggingHeadConfig(name=head)
        model = TaggingModel(encoder, config, len(types), **settings).eval()
        return Tagger(model, tokenizer, types, SentenceLengthConfig(), "words", queries=types), config

    return build


@pytest.mark.parametrize("head", TAGGING_HEADS)
def test_saved_and_loaded_it_predicts_the_same(make_tagger, marked, tmp_path, head):
    before, config = make_tagger(head, auxiliary=True)
    sentences = marked(20)
    before.save(record_artefact(tmp_path / "run", "tagger"), config)
    after = Tagger.load(tmp_path / "run")
    for one, other in zip(
        after.predict_spans(after.inputs(sentences)), before.predict_spans(before.inputs(sentences)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert (after.types, after.length, after.granularity) == (before.types, before.length, before.granularity)


@pytest.mark.parametrize("head", TAGGING_HEADS)
def test_answers_stand_in_the_text(make_tagger, head):
    tagger, _ = make_tagger(head)
    texts = ["the ball  in\tBonn, of Ada", " ", "a", "of the bank " * 20]
    answers = tagger.predict(texts)
    assert answers[1] == []
    assert sum(map(len, answers)) > 0
    for text, entities in zip(texts, answers, strict=True):
        assert [one.start for one in entities] == sorted(one.start for one in entities)
        for one in entities:
            assert text[one.start : one.stop] == one.text == one.text.strip() != ""
            assert one.type in tagger.types
            assert 0 <= one.score <= 1


@pytest.mark.parametrize("head", TAGGING_HEADS)
def test_sentences_do_not_depend_on_their_company(make_tagger, marked, head):
    tagger, _ = make_tagger(head)
    tagger = replace(tagger, queries=["bonn", "bank", "ada"])  # of known words, so that no two types score alike
    sentences = marked(12)
    together, scores = tagger.predict_spans(tagger.inputs(sentences))
    alone = [tagger.predict_spans(tagger.inputs([one])) for one in sentences]
    rows = [np.column_stack([np.full(len(one), n), one[:, 1:]]) for n, (one, _) in enumerate(alone)]
    np.testing.assert_array_equal(together, np.concatenate(rows))
    np.testing.assert_allclose(scores, np.concatenate([score for _, score in alone]), atol=1e-5)


def batch_of(tagger, sentences, types):
    words = tagger.inputs(sentences)
    batches = WordBatches(words, rows_of(sentences, types), batch_size=len(sentences), seed=0)
    return to_device(next(iter(batches(0))), torch.device("cpu"))


def test_windows_change_nothing_for_an_encoder_that_sees_one_position(tokenizer, types, marked, settings):
    """A word's vector is that of its own token, however its sentence is cut."""
    torch.manual_seed(0)
    encoder = Encoder(replace(settings, position="none", vocab_size=tokenizer.size))
    encoder.layers = nn.ModuleList()
    model = TaggingModel(encoder, TaggingHeadConfig(name="crf", dropout=0.0), len(types)).eval()
    long = [join_words([word for one in marked(9) for word in one.words()], " ")]
    outputs = []
    for max_len in (None, 10, 13):
        tagger = Tagger(model, tokenizer, types, SentenceLengthConfig(max_len=max_len), "words")
        words = tagger.inputs(long)
        batch = {
            name: torch.from_numpy(v) for name, v in word_batch(words, words.inputs.first_row, np.arange(1)).items()
        }
        outputs.append(model(batch))
    assert words.inputs.counts == {"read_in_windows": 1}
    for other in outputs[1:]:
        torch.testing.assert_close(other, outputs[0])


def test_the_auxiliary_loss_is_weighed_in(make_tagger, marked, types):
    tagger, _ = make_tagger(auxiliary=True)
    batch = batch_of(tagger, marked(6), types)
    model = tagger.model
    loss = TaggingLoss(model, 0.7)(batch)
    encoded = model.encode(batch)
    mask, entities = batch["word_mask"], batch["entities"]
    main = model.head.loss(model(batch), mask, entities)
    last = model.auxiliary.last.norm(encoded.states[-1]).flatten(0, 1)[batch["word_positions"]]
    raw = model.auxiliary.head.loss(model.auxiliary.head(last), mask, entities)
    torch.testing.assert_close(loss, 0.7 * raw + 0.3 * main)
    loss.backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_other_folders_are_refused(tmp_path, make_tagger):
    tagger, config = make_tagger()
    with pytest.raises(InputError, match="holds no encoder"):
        Tagger.load(tmp_path)
    tagger.save(record_artefact(tmp_path, "tagger"), config)
    task = tmp_path / "tagger" / "task.json"
    whole = task.read_text()
    task.write_text(whole.replace('"types"', '"kinds"'))
    with pytest.raises(InputError, match=r"task\.json is damaged: 'types'"):
        Tagger.load(tmp_path)
    task.write_text(whole.replace('"task": "tagger"', '"task": "matcher"'))
    with pytest.raises(InputError, match="holds a matcher, no tagger"):
        Tagger.load(tmp_path)


def test_a_row_longer_than_the_encoder_reads(make_tagger):
    tagger, _ = make_tagger()
    tagger.length = SentenceLengthConfig(max_len=64)
    with pytest.raises(InputError, match="this encoder reads 32 tokens at most"):
        tagger.inputs([join_words(["a"], " ")])


def test_flat_models_take_the_outermost_entities(make_tagger):
    outer, inner = Span(0, 3, "ORG"), Span(1, 2, "LOC")
    sentence = join_words(["a", "b", "c"], " ")
    nested = Sentence(sentence.text, sentence.offsets, ((outer,), (inner,)))
    np.testing.assert_array_equal(rows_of([sentence, nested], ["LOC", "ORG"]), [[1, 0, 3, 1]])
    np.testing.assert_array_equal(
        rows_of([sentence, nested], ["LOC", "ORG"], nested=True), [[1, 0, 3, 1], [1, 1, 2, 0]]
    )
    assert make_tagger()[0].count_inner([sentence, nested]) == 1
