"""Random labelled texts, annotated sentences, questions and corpora are read whole or refused in words."""

import json
import tempfile
from pathlib import Path

import pytest
from faults.fuzzing import BUDGET, CELLS, WORDS, damage, table_files, write
from hypothesis import event, given
from hypothesis import strategies as st

from nlp_tasks.config import CorpusConfig, FilesConfig
from nlp_tasks.data import read_table
from nlp_tasks.pretraining.corpus import read_documents
from nlp_tasks.qa.config import QuestionFilesConfig
from nlp_tasks.qa.files import read_set
from nlp_tasks.tagging.config import AnnotatedFilesConfig
from nlp_tasks.tagging.files import read_annotated
from recsys_bert.errors import InputError

BAD_ROWS = st.sampled_from(("raise", "drop"))
TAGS = st.sampled_from(("O", "O", "B-PER", "I-PER", "B-LOC", "E-LOC", "S-PER", "PER", "", "B-", "b-per"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | CELLS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELLS, inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(autouse=True)
def quiet(capsys):
    yield
    capsys.readouterr()


@st.composite
def conll_files(draw):
    lines = []
    for _ in range(draw(st.integers(0, 30))):
        row = [draw(WORDS), draw(TAGS)]
        odd = draw(st.integers(0, 19))
        row = [draw(CELLS), row[1]] if odd == 0 else row[:1] if odd == 1 else [] if odd in (2, 3) else row
        lines.append(draw(st.sampled_from("\t "))[:1].join(row))
    name = draw(st.sampled_from(("file.conll", "file.iob2", "file.txt", "file.tsv")))
    return name, draw(damage("\n".join(lines).encode("utf-8", "surrogatepass")))


@st.composite
def json_files(draw, example, name):
    """JSON lines around ``example``, some with other values."""
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        row = draw(example)
        if row and draw(st.integers(0, 5)) == 0:
            row = row | {draw(st.sampled_from(sorted(row))): draw(JSON)}
        lines.append(json.dumps(row))
    return name, draw(damage("\n".join(lines).encode("utf-8", "surrogatepass")))


SPANS = st.lists(
    st.fixed_dictionaries({"start": st.integers(-1, 9), "end": st.integers(-1, 12), "type": WORDS}), max_size=3
)
SENTENCES = st.fixed_dictionaries({"text": CELLS.map(lambda cell: f"the {cell} sat"), "entities": SPANS})
QUESTIONS = st.fixed_dictionaries(
    {"question": CELLS, "context": CELLS.map(lambda cell: f"the {cell} sat"), "answers": st.lists(CELLS, max_size=2)}
)


def read_or_refuse(read, file, *arguments):
    """Result of a reader, None where it refuses the file."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = read(write(Path(folder), file), *arguments)
        except InputError:
            event("refused")
            return None
        event("read")
        return result


@BUDGET
@given(file=table_files({"text": WORDS, "label": WORDS}), bad_rows=BAD_ROWS)
def test_random_labelled_texts(file, bad_rows):
    table = read_or_refuse(read_table, file, FilesConfig(bad_rows=bad_rows), ["text"], "label")
    if table is not None:
        assert len(table) == len(table.texts["text"]) == len(table.labels) > 0
        assert all(text.strip() for text in table.texts["text"])


@BUDGET
@given(file=conll_files(), bad_rows=BAD_ROWS, scheme=st.sampled_from((None, "iob2", "iobes")))
def test_random_columns_of_tags(file, bad_rows, scheme):
    sentences = read_or_refuse(read_annotated, file, AnnotatedFilesConfig(bad_rows=bad_rows, scheme=scheme))
    if sentences is not None:
        for sentence in sentences.sentences:
            assert all(0 <= one.start < one.stop <= len(sentence) for level in sentence.levels for one in level)


SLASHED = st.tuples(WORDS, st.sampled_from(("o", "o", "nr", "B-PER", "", "x/y"))).map("/".join)
MENTIONS = st.tuples(st.just("1"), *[st.integers(-1, 14).map(str)] * 2, WORDS, st.sampled_from(("Gene", "", "O")))
PUBTATOR = st.one_of(
    st.sampled_from(("1|t|the red sat", "1|a|blue was a", "1|a|", "2|t|b", "1\tCID\tD1\tD2", "")),
    MENTIONS.map("\t".join),
)


@st.composite
def line_files(draw, line, names):
    lines = draw(st.lists(st.one_of(*[line] * 12, CELLS), max_size=14))
    return draw(names), draw(damage("\n".join(lines).encode("utf-8", "surrogatepass")))


LINES = line_files(st.lists(SLASHED, max_size=5).map(" ".join), st.just("file.txt")) | line_files(
    PUBTATOR, st.sampled_from(("file.txt", "file.pubtator"))
)
ROWS = {"sentence #": st.sampled_from(("", "", "Sentence: 1", "Sentence: 2")), "word": WORDS, "tag": TAGS}


@BUDGET
@given(file=LINES | table_files(ROWS), bad_rows=BAD_ROWS, entities=st.booleans())
def test_random_documents_slashes_and_rows(file, bad_rows, entities):
    with tempfile.TemporaryDirectory() as folder:
        path, config = write(Path(folder), file), AnnotatedFilesConfig(bad_rows=bad_rows)
        try:
            sentences = read_annotated(path, config, entities=entities).sentences
        except InputError:
            event("refused")
            return
    event("read")
    for sentence in sentences:
        assert all(0 <= one.start < one.stop <= len(sentence) for level in sentence.levels for one in level)


@BUDGET
@given(file=json_files(SENTENCES, "file.jsonl"), bad_rows=BAD_ROWS)
def test_random_spans(file, bad_rows):
    sentences = read_or_refuse(read_annotated, file, AnnotatedFilesConfig(bad_rows=bad_rows))
    assert sentences is None or len(sentences.sentences) > 0


@BUDGET
@given(file=json_files(QUESTIONS, "file.jsonl"), bad_rows=BAD_ROWS)
def test_random_questions(file, bad_rows):
    questions = read_or_refuse(read_set, file, QuestionFilesConfig(bad_rows=bad_rows))
    assert questions is None or len(questions.questions) > 0


DOCUMENTS = st.lists(st.fixed_dictionaries({"paragraphs": st.lists(CELLS, max_size=2)}), max_size=2)
SEARCHED = st.fixed_dictionaries({"question": CELLS, "documents": DOCUMENTS, "answers": st.lists(CELLS, max_size=2)})


@BUDGET
@given(file=json_files(SEARCHED, "file.json"), bad_rows=BAD_ROWS, answers=st.booleans())
def test_random_questions_about_documents(file, bad_rows, answers):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), file)
        try:
            questions = read_set(path, QuestionFilesConfig(bad_rows=bad_rows), answers=answers)
        except InputError:
            return
    for question in questions.questions:
        for answer in question.answers:
            if answer.start is not None and answer.length is None:
                assert questions.passages[question.passage][answer.start : answer.stop] == answer.text


@BUDGET
@given(file=table_files({"text": WORDS}), form=st.sampled_from(("auto", "lines", "blocks", "csv", "squad")))
def test_random_corpora(file, form):
    read = read_or_refuse(read_documents, file, CorpusConfig(format=form))
    assert read is None or all(text.strip() for text in read[0])
