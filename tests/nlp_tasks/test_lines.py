"""Lines of files in any encoding, compressed or not."""

import bz2
import gzip

import pytest

from nlp_tasks.config import CorpusConfig, FilesConfig
from nlp_tasks.data import read_table
from nlp_tasks.encodings import fitting_encodings
from nlp_tasks.lines import read_lines, suffix
from nlp_tasks.pretraining.corpus import read_documents
from nlp_tasks.qa.config import QuestionFilesConfig
from nlp_tasks.qa.files import read_set
from recsys_bert.errors import InputError

SAMPLES = {
    "gb18030": "他在北京大学工作，是一名老师。",
    "big5": "他在臺灣大學工作，是一名老師。",
    "shift_jis": "これはテストです。東京に行きました。",
    "euc_jp": "これはテストです。東京に行きました。",
    "euc_kr": "이것은 시험 문장입니다. 서울에 갔습니다.",
    "cp1251": "Это проверка текста. Москва – столица.",
    "koi8_r": "Это проверка текста. Москва столица.",
    "latin-1": "Der Bürgermeister von Köln grüßt die Straße für alle.",
    "cp1252": "L’été à Paris “coûte” 5 €, déjà vu",
    "utf-16": "Köln",
}
TSV = "text\tlabel\ndie Straße\tx\nÄpfel\ty\n"


@pytest.mark.parametrize("encoding", SAMPLES)
def test_the_encoding_that_fits_is_named_first(encoding):
    assert fitting_encodings(SAMPLES[encoding].encode(encoding))[0] == encoding


def test_bytes_without_meaning_fit_nothing():
    assert fitting_encodings(bytes(range(0x80, 0x100)) * 3) == []


def test_the_message_names_an_encoding_that_reads_the_file(write):
    path = write("a.tsv", TSV.encode("latin-1"))
    with pytest.raises(InputError, match=r"line 2 of .*It fits latin-1.*pass --data\.encoding latin-1\."):
        read_table(path, FilesConfig(), ["text"], "label")
    table = read_table(path, FilesConfig(encoding="latin-1"), ["text"], "label")
    assert table.texts["text"] == ["die Straße", "Äpfel"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "gb18030", "utf-32"])
def test_files_in_other_encodings(write, encoding):
    path = write("a.txt", "他说\u2028好\r\n第二行\n".encode(encoding))
    assert list(read_lines(path, encoding)) == [(1, "他说\u2028好"), (2, "第二行")]


def test_an_encoding_that_does_not_fit_is_refused(write):
    with pytest.raises(InputError, match="is not utf-16 behind line"):
        list(read_lines(write("a.txt", b"abc\xff\xd8\xd8"), "utf-16"))
    with pytest.raises(InputError, match="is not ascii"):
        list(read_lines(write("b.txt", "Köln".encode()), "ascii"))


@pytest.mark.parametrize("encoding", ["utf8x", "hex", "rot13"])
def test_an_unknown_encoding_is_refused_with_the_settings(encoding):
    with pytest.raises(InputError, match=rf"data\.encoding is '{encoding}', which is no encoding"):
        FilesConfig(encoding=encoding)


COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress}


@pytest.mark.parametrize("ending", COMPRESS)
def test_every_reader_takes_compressed_files(write, ending):
    compress = COMPRESS[ending]
    table = read_table(write(f"a.tsv{ending}", compress(TSV.encode())), FilesConfig(), ["text"], "label")
    assert table.labels == [("x",), ("y",)]
    documents, _ = read_documents(write(f"b.txt{ending}", compress(b"one\ntwo\n")), CorpusConfig())
    assert documents == ["one", "two"]
    squad = b'{"data": [{"paragraphs": [{"context": "in Rome", "qas": [{"question": "where?", "answers": []}]}]}]}'
    assert len(read_set(write(f"c.json{ending}", compress(squad)), QuestionFilesConfig())) == 1
    line = b'{"context": "in Rome", "question": "where?", "answers": ["Rome"]}\n'
    assert len(read_set(write(f"d.jsonl{ending}", compress(line)), QuestionFilesConfig())) == 1


def test_a_compressed_file_of_another_name_is_told_so(write):
    with pytest.raises(InputError, match=r"is compressed \(gzip\).*rename it to a\.tsv\.gz"):
        read_table(write("a.tsv", gzip.compress(TSV.encode())), FilesConfig(), ["text"], "label")
    with pytest.raises(InputError, match=r"is compressed \(zip\).*unpack it"):
        list(read_lines(write("a.txt", b"PK\x03\x04....")))


def test_a_damaged_archive_is_refused(write):
    whole = gzip.compress(TSV.encode() * 100)
    with pytest.raises(InputError, match="damaged"):
        list(read_lines(write("a.txt.gz", whole[:40])))
    with pytest.raises(InputError, match="damaged"):
        list(read_lines(write("b.txt.gz", b"not gzip")))


def test_endings_without_the_compression(tmp_path):
    names = ("a.TSV.gz", "a.gz", "b/c.json", "no")
    assert [suffix(tmp_path / name) for name in names] == [".tsv", "", ".json", ""]
