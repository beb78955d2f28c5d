from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from nlp_tasks.artefacts import record_artefact
from nlp_tasks.tagging.batches import WordBatches, word_batch
from nlp_tasks.tagging.config import SentenceLengthConfig, TaggingHeadConfig
from nlp_tasks.tagging.entities import entity_rows
from nlp_tasks.tagging.heads import TAGGING_HEADS
from nlp_tasks.tagging.model import TaggingLoss, TaggingModel
from nlp_tasks.tagging.schemes import Span
from nlp_tasks.tagging.sentences import Sentence, join_words
from nlp_tasks.tagging.tagger import Tagger
from recsys_bert.checksums import write_checksums
from recsys_bert.encoder.model import Encoder
from recsys_bert.errors import InputError
from recsys_bert.training.step import to_device


@pytest.fixture
def make_tagger(encoder, tokenizer, types):
    def build(head="crf", **settings):
        torch.manual_seed(1)
        config = TaggingHeadConfig(name=head)
        model = TaggingModel(encoder, config, len(types), **settings).eval()
        return Tagger(model, tokenizer, types, SentenceLengthConfig(), "words", queries=types)

    return build


@pytest.mark.parametrize("head", TAGGING_HEADS)
def test_saved_and_loaded_it_predicts_the_same(make_tagger, marked, tmp_path, head):
    before = make_tagger(head, auxiliary=True)
    sentences = marked(20)
    before.save(record_artefact(tmp_path / "run", "tagger"))
    after = Tagger.load(tmp_path / "run")
    for one, other in zip(
        after.predict_spans(after.inputs(sentences)), before.predict_spans(before.inputs(sentences)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert (after.types, after.length, after.granularity) == (before.types, before.length, before.granularity)


@pytest.mark.parametrize("head", TAGGING_HEADS)
def test_answers_stand_in_the_text(make_tagger, head):
    tagger = make_tagger(head)
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
    tagger = make_tagger(head)
    tagger = replace(tagger, queries=["bonn", "bank", "ada"])  # of known words, so that no two types score alike
    sentences = marked(12)
    together, scores = tagger.predict_spans(tagger.inputs(sentences))
    alone = [tagger.predict_spans(tagger.inputs([one])) for one in sentences]
    rows = [np.column_stack([np.full(len(one), n), one[:, 1:]]) for n, (one, _) in enumerate(alone)]
    np.testing.assert_array_equal(together, np.concatenate(rows))
    np.testing.assert_allclose(scores, np.concatenate([score for _, score in alone]), atol=1e-5)


def batch_of(tagger, sentences, types):
    words = tagger.inputs(sentences)
    batches = WordBatches(words, entity_rows(sentences, types), batch_size=len(sentences), seed=0)
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
    tagger = make_tagger(auxiliary=True)
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
    tagger = make_tagger()
    with pytest.raises(InputError, match="holds no encoder"):
        Tagger.load(tmp_path)
    tagger.save(record_artefact(tmp_path, "tagger"))
    task = tmp_path / "tagger" / "task.json"
    whole = task.read_text()
    task.write_text(whole.replace('"types"', '"kinds"'))
    write_checksums(task.parent)
    with pytest.raises(InputError, match=r"task\.json is damaged: 'types'"):
        Tagger.load(tmp_path)
    task.write_text(whole.replace('"task": "tagger"', '"task": "matcher"'))
    write_checksums(task.parent)
    with pytest.raises(InputError, match="holds a matcher, no tagger"):
        Tagger.load(tmp_path)


def test_a_row_longer_than_the_encoder_reads(make_tagger):
    tagger = make_tagger()
    tagger.length = SentenceLengthConfig(max_len=64)
    with pytest.raises(InputError, match="this encoder reads 32 tokens at most"):
        tagger.inputs([join_words(["a"], " ")])


def test_flat_models_take_the_outermost_entities(make_tagger):
    outer, inner = Span(0, 3, "ORG"), Span(1, 2, "LOC")
    sentence = join_words(["a", "b", "c"], " ")
    nested = Sentence(sentence.text, sentence.offsets, ((outer,), (inner,)))
    np.testing.assert_array_equal(entity_rows([sentence, nested], ["LOC", "ORG"]), [[1, 0, 3, 1]])
    np.testing.assert_array_equal(
        entity_rows([sentence, nested], ["LOC", "ORG"], nested=True), [[1, 0, 3, 1], [1, 1, 2, 0]]
    )
    assert make_tagger().count_inner([sentence, nested]) == 1


WORDS = {"PER": ["ada", "bob", "carl"], "LOC": ["bonn", "oslo", "rome"]}
QUICK = {
    "encoder": {"dim": 16, "n_layers": 1, "n_heads": 2, "max_len": 32, "init_std": 0.3, "dropout": 0.0},
    "tokenizer": {"min_count": 1, "vocab_size": 80},
    "train": {"epochs": 8, "batch_size": 16, "lr": 2e-2, "device": "cpu", "precision": "fp32"},
}


def annotated_texts(n, seed=0):
    random, texts, entities = np.random.default_rng(seed), [], []
    for _ in range(n):
        person, city = (str(random.choice(WORDS[kind])) for kind in ("PER", "LOC"))
        before = " ".join(random.choice(["the", "a", "of"], 2))
        texts.append(f"{before} {person} in {city}")
        first = len(before) + 1
        entities.append([(first, first + len(person), "PER"), (len(texts[-1]) - len(city), len(texts[-1]), "LOC")])
    return texts, entities


def test_train_predict_evaluate_from_python(tmp_path):
    texts, entities = annotated_texts(120)
    test = annotated_texts(30, seed=1)
    tagger = Tagger.train(texts, entities, test=test, out=tmp_path / "run", **QUICK)
    assert tagger.results["test"]["f1"] > 0.9
    assert tagger.evaluate(*test) == tagger.results["test"]
    (prediction,) = tagger.predict(["of the bob in rome"])
    assert [(one.text, one.type, one.start) for one in prediction] == [("bob", "PER", 7), ("rome", "LOC", 14)]
    assert tagger.predict([]) == []
    assert tagger.predict([" ", "the"])[0] == []
    vectors = tagger.encode(["of bob", "the"])
    assert [one.shape for one in vectors] == [(2, 16), (1, 16)]
    loaded = Tagger.load(tmp_path / "run")
    assert loaded.predict(test[0]) == tagger.predict(test[0])
    loaded.save(tmp_path / "copy")
    assert Tagger.load(tmp_path / "copy").predict(test[0]) == tagger.predict(test[0])


def test_words_and_tags_are_the_same_as_texts_and_characters():
    texts, entities = annotated_texts(40)
    words = [text.split() for text in texts]
    tags = [["O", "O", "B-PER", "O", "B-LOC"]] * 40
    settings = {**QUICK, "train": {**QUICK["train"], "epochs": 1}}
    runs = [Tagger.train(texts, entities, **settings), Tagger.train(words, tags, **settings)]
    runs.append(Tagger.train(words, [[(2, 3, "PER"), (4, 5, "LOC")]] * 40, validation=0.1, **settings))
    first, *others = [run.predict(texts) for run in runs]
    assert others == [first, first]
    assert runs[0].predict(words) == first


def test_a_dictionary_in_place_of_entities(tmp_path):
    texts, _ = annotated_texts(60)
    (tmp_path / "names.tsv").write_text("ada\tPER\nbonn\tLOC\n")
    pu = {"dictionary": tmp_path / "names.tsv", "warm_up": 1}
    tagger = Tagger.train(texts, None, head={"name": "binary"}, pu=pu, **QUICK)
    assert tagger.results["pu"]["rounds"][0]["entries"] == 2
    assert ("ada", "PER") in {(one.text, one.type) for one in tagger.predict(["the of ada in rome"])[0]}


@pytest.mark.parametrize(
    ("texts", "entities", "message"),
    [
        ("ada", [], "texts is a single string"),
        (["ada"], None, "give entities, or a dictionary"),
        (["ada"], [], "1 training texts have 0 lists of entities"),
        (["ada saw"], [[(0, 2, "PER")]], r"training text 0: entity \(0, 2, 'PER'\) does not begin and end with words"),
        ([["ada"]], [["B-PER", "O"]], "1 words have 2 tags"),
        ([["ada", "b"]], [["M-PER", "L-PER"]], "which no scheme has together"),
        ([["ada", "b"]], [[0, 1]], "its tags are numbers; give their names"),
        ([["ada", 5]], [["O", "O"]], "its words are no texts"),
        ([" "], [[]], "training text 0: it has no words"),
        (["ada"] * 20, [[]] * 20, "none of the 20 training sentences of the training texts has an entity"),
    ],
)
def test_bad_examples_are_refused(texts, entities, message):
    with pytest.raises(InputError, match=message):
        Tagger.train(texts, entities)
