"""Patterns of strangers that could hang are refused; those of published tokenizers pass."""

import json

import pytest
import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers

from nlp_tasks.tokenizer_files import read_tokenizer
from nlp_tasks.tokenizer_patterns import MAX_LENGTH, check_patterns
from pipelines.cli import main
from recsys_bert.errors import InputError

WORDS = r"'s|'t|'re|'ve|'m|'ll|'d"
PUBLISHED = {
    "gpt2": WORDS + r"| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "clip": WORDS + r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    "llama3": f"(?i:{WORDS})"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen": f"(?i:{WORDS})"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "possessive": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    rf"(?i:{WORDS})?"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*",
    "xlm_r": r" {2,}",
    "bloom": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "digits from the right": r"\d{1,3}(?=(?:\d{3})*\b)",
    "deepseek": r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+| ?[\p{P}\p{S}]+[\r\n]*|[一-龥぀-ゟ゠-ヿ]+",
    "apart": r"(?:[a-z]|\d)+x",
}
HOSTILE = [
    *(r"(a+)+$", r"(a*)*b", r"([a-z]+)*1", r"(?:(?:a)+)+$", r"(?:a|a)+$", r"(?:a|A)+$", r"(\w|\d)+$", r"(a|aa)+$"),
    *(r"(.|\s)*$", r"(a?){50}b", r"(a|)+b", r"(?=(a+)+$)x", r"(?>x(a+)*)$", r"(?<n>a+)+b", r"(?<=(a+)+)b", r"a{2}+*b"),
    *(r"(a{1,9}){1,9}b", r"(?:a{1,3})+b", r"a{1,3}+b", r"(a+)\1+b", r"\g<0>|x", r"(?x)(?:a+ # ) (", r"(?~a)"),
    *("a*" * 6 + "b", "a?" * 40 + "a" * 40, "(" * 2000 + "a" + ")" * 2000, "a" * (MAX_LENGTH + 1), "a{9999}", "a)"),
    *(r"(a", r"[](a+)+$]", r"(?:\p{L}|[à-ü])+1", r"(?:\x61|a)+1", r"(?:(?:b|a+)x?)+$", r"([ab]|[bc])*d", r"a++*"),
    *(r"(?:\u16a0|\p{Runic})+$", r"(?:[\u16a0-\u16b0]|[\u1690-\u16a9])+$"),
]  # fmt: skip


def wrap(pattern):
    return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": pattern}}]}}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_patterns_pass(name):
    check_patterns(wrap(PUBLISHED[name]), "tokenizer.json")
    pre_tokenizers.Split(Regex(PUBLISHED[name]), "isolated").pre_tokenize_str("It's 12345 words,\n\n  and More…")


@pytest.mark.parametrize("pattern", HOSTILE, ids=lambda pattern: pattern[:20])
def test_patterns_that_can_hang_are_refused(pattern):
    with pytest.raises(InputError, match=r"tokenizer.json splits texts by .* which is not run"):
        check_patterns(wrap(pattern), "tokenizer.json")


@pytest.mark.parametrize("place", ["pre_tokenizer", "normalizer"])
def test_a_tokenizer_that_hangs_is_refused_by_commands(tmp_path, capsys, place):
    backend = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0, "[PAD]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4}))
    if place == "normalizer":
        backend.normalizer = normalizers.Sequence([normalizers.Replace(Regex("(a+)+$"), "b")])
    else:
        backend.pre_tokenizer = pre_tokenizers.Split(Regex("(a+)+$"), "isolated")
    backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="which is not run"):
        read_tokenizer(tmp_path)
    (tmp_path / "x.txt").write_text("a" * 40 + "!\n")
    words = ["--data.train", str(tmp_path / "x.txt"), "--tokenizer.folder", str(tmp_path), "--out", str(tmp_path / "o")]
    assert main(["text", "pretrain", *words]) == 2
    assert "(a+)+$" in capsys.readouterr().err
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    values[place] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(values))
    assert read_tokenizer(tmp_path).backend.encode("a").tokens == ["a"]
