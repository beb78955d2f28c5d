"""Tokenizer files of Hugging Face folders, read as ``transformers.AutoTokenizer`` reads them."""

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from nlp_tasks.tokenizer_patterns import check_patterns
from recsys_bert.errors import InputError
from recsys_bert.files import read_json

TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""All files that a tokenizer is read from; one of the first three must be there."""

CHARACTERS = "chinese"
"""Entry of ``tokenizer_config.json``: ``simplified`` where ``tokenizer.json`` begins with a table of characters."""

_NAMES = {  # names of BERT and of RoBERTa, where the folder says nothing
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
APPENDED_PADDING = "<|pad|>"
"""Token of padding that is added to the tokenizer of a language model, which has none."""

_RESERVED = {name for names in _NAMES.values() for name in names}
_BERT_CLASSES = ("Bert", "DistilBert", "Electra", "Ernie", "MPNet")
_BERT_TYPES = ("bert", "distilbert", "electra", "ernie", "mpnet")
_ADDED = ("content", "single_word", "lstrip", "rstrip", "normalized")


@dataclass(frozen=True)
class SpecialTokens:
    """Special tokens by their role."""

    pad: str = "[PAD]"
    unk: str = "[UNK]"
    cls: str = "[CLS]"
    sep: str = "[SEP]"
    mask: str = "[MASK]"

    @property
    def names(self) -> tuple[str, ...]:
        """All five."""
        return tuple(astuple(self))


@dataclass(frozen=True)
class TokenizerParts:
    """A tokenizer as a folder holds it."""

    backend: tokenizers.Tokenizer
    """The tokenizer; markers added to it are found in texts."""

    special: SpecialTokens
    """Its special tokens."""

    markers: frozenset[str]
    """Other special tokens, such as entity markers."""

    settings: Mapping[str, Any]
    """``tokenizer_config.json``."""

    characters: Mapping[int, str] = field(default_factory=dict)
    """Characters to read for others, as ``str.translate`` takes them; see ``simplified_characters``."""


def read_tokenizer(folder: Path) -> TokenizerParts:
    """Read the tokenizer of a folder.

    Args:
        folder: Holds ``tokenizer.json``; or ``vocab.txt`` (WordPiece); or ``vocab.json`` and ``merges.txt`` (byte-level
            BPE); each with or without the other ``TOKENIZER_FILES``.

    Raises:
        InputError: None of them is there, or one is damaged.
    """
    settings = _settings(folder)
    file = next((folder / name for name in TOKENIZER_FILES[:3] if (folder / name).is_file()), None)
    if file is None:
        raise InputError(f"{folder} holds no tokenizer.json, vocab.txt or vocab.json{_other_tokenizer(folder)}.")
    try:
        if file.name == "tokenizer.json":
            values = read_json(file)
            check_patterns(values, file)
            characters = _take_characters(values) if settings.get(CHARACTERS) else {}
            special = _special_tokens(settings, _vocabulary(values))
            markers = _unmark(values, special)
            backend = tokenizers.Tokenizer.from_str(json.dumps(values))  # what was checked
            _apply_settings(backend, settings, folder)
        elif settings.get(CHARACTERS):
            raise InputError(
                f"{folder} reads Traditional Chinese characters as Simplified ones, by a table in its tokenizer.json, "
                "which is missing. Copy that file too."
            )
        else:
            characters = {}
            backend = _wordpiece(file, settings) if file.name == "vocab.txt" else _byte_bpe(file, settings)
            special, markers = _special_tokens(settings, backend.get_vocab()), frozenset()
            backend.add_special_tokens([name for name in special.names if backend.token_to_id(name) is not None])
        if special.pad == APPENDED_PADDING and backend.token_to_id(special.pad) is None:
            backend.add_special_tokens([special.pad])
        added, more = _added_tokens(folder, settings, special)
        _add(backend, added, folder)
    except InputError:
        raise
    except Exception as error:  # tokenizers raises bare Exception
        raise InputError(f"{file} cannot be read: {error}. It may be damaged; fetch it again.") from error
    return TokenizerParts(backend, special, markers | more, settings, characters)


def put_characters(values: dict[str, Any], characters: Mapping[int, str]) -> None:
    """Make characters to read for others the first steps of a ``tokenizer.json``, so that other programs do it too.

    Such steps are slow, hence ``read_tokenizer`` takes them out again, and ``Tokenizer`` translates texts before.
    """
    steps = [
        {"type": "Replace", "pattern": {"String": chr(code)}, "content": letter} for code, letter in characters.items()
    ]
    rest = [values["normalizer"]] if values.get("normalizer") else []
    values["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": steps}, *rest]}


def _take_characters(values: dict[str, Any]) -> dict[int, str]:
    """Take out what ``put_characters`` put in."""
    first, *rest = values["normalizer"]["normalizers"]
    values["normalizer"] = rest[0] if rest else None
    return {ord(step["pattern"]["String"]): step["content"] for step in first["normalizers"]}


def _other_tokenizer(folder: Path) -> str:
    models_there = [path.name for path in sorted(folder.glob("*.model"))]
    if not models_there:
        return ""
    return (
        f", but {models_there[0]} of SentencePiece, which is read through tokenizer.json only. Write one with "
        "transformers and sentencepiece: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
    )


def _settings(folder: Path) -> dict[str, Any]:
    """``tokenizer_config.json``, completed by ``special_tokens_map.json`` where it is of old form."""
    merged: dict[str, Any] = {}
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        values = read_json(folder / name) if (folder / name).is_file() else {}
        if not isinstance(values, dict):
            raise InputError(f"{folder / name} is a {type(values).__name__}, not an object; it may be damaged.")
        if name == "tokenizer_config.json" or "added_tokens_decoder" not in merged:
            merged |= values
    return merged


def _content(token: Any) -> str | None:
    """Text of a token that is written as such or as an object."""
    value = token.get("content") if isinstance(token, dict) else token
    return value if isinstance(value, str) else None


def _vocabulary(values: Any) -> set[str]:
    """All tokens of a ``tokenizer.json``."""
    vocabulary = values["model"]["vocab"]
    tokens = vocabulary if isinstance(vocabulary, dict) else [token[0] for token in vocabulary]
    return {*tokens, *(token["content"] for token in values.get("added_tokens", ()))}


def _special_tokens(settings: Mapping[str, Any], vocabulary: Any) -> SpecialTokens:
    """Special tokens as the settings name them, else those of BERT or RoBERTa, whichever occur.

    GPT-2 has but one, which ends a text; it has every role but padding, for which one is added.
    """
    named = {role: _content(settings.get(f"{role}_token")) for role in _NAMES}
    end = _content(settings.get("eos_token"))
    if end is not None and named["pad"] in (None, end) and not any(name in vocabulary for name in _NAMES["mask"]):
        named = {
            role: APPENDED_PADDING if role == "pad" else end for role in _NAMES
        }  # of a language model: one token has all roles
    usual = {role: next((name for name in names if name in vocabulary), names[0]) for role, names in _NAMES.items()}
    return SpecialTokens(**{one.name: named[one.name] or usual[one.name] for one in fields(SpecialTokens)})


def _unmark(values: dict[str, Any], special: SpecialTokens) -> frozenset[str]:
    """Let special tokens without one of the five roles be found in texts: those are what they were added for."""
    own = {*special.names, *_RESERVED}
    others = [token for token in values.get("added_tokens", ()) if token["special"] and token["content"] not in own]
    for token in others:
        token["special"] = False
    return frozenset(token["content"] for token in others)


def _apply_settings(backend: tokenizers.Tokenizer, settings: Mapping[str, Any], folder: Path) -> None:
    """Settings of ``tokenizer_config.json`` win over ``tokenizer.json`` for BERT's and RoBERTa's own classes."""
    name = str(settings.get("tokenizer_class") or "").removesuffix("Fast").removesuffix("Tokenizer")
    kind = _model_type(folder) if not name else ""
    if isinstance(backend.model, models.WordPiece) and (name in _BERT_CLASSES or kind in _BERT_TYPES):
        backend.normalizer = _bert_normalizer(settings)
    if isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel) and (name == "Roberta" or kind == "roberta"):
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(settings.get("add_prefix_space")))
        backend.normalizer = None


def _model_type(folder: Path) -> str:
    values = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    return str(values.get("model_type")) if isinstance(values, dict) else ""


def _bert_normalizer(settings: Mapping[str, Any]) -> normalizers.BertNormalizer:
    return normalizers.BertNormalizer(
        lowercase=bool(settings.get("do_lower_case", True)),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
    )


def _wordpiece(file: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """A folder of BERT's first years: one token a line, and perhaps how text was normalised."""
    rows = {token: row for row, token in enumerate(file.read_text(encoding="utf-8").split("\n")) if token}
    special = _special_tokens(settings, rows)
    backend = tokenizers.Tokenizer(models.WordPiece(rows, unk_token=special.unk, max_input_chars_per_word=100))
    backend.normalizer = _bert_normalizer(settings)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend


def _byte_bpe(file: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    """RoBERTa's byte-level BPE."""
    merges = file.parent / "merges.txt"
    if not merges.is_file():
        raise InputError(f"{file.parent} holds vocab.json but no merges.txt, which its BPE needs.")
    backend = tokenizers.Tokenizer(models.BPE.from_file(str(file), str(merges)))
    prefix = bool(settings.get("add_prefix_space"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    backend.decoder = decoders.ByteLevel()
    special = _special_tokens(settings, backend.get_vocab())
    sep, cls = (backend.token_to_id(name) for name in (special.sep, special.cls))
    if sep is not None and cls is not None:
        backend.post_processor = processors.RobertaProcessing((special.sep, sep), (special.cls, cls), True, prefix)
    return backend


def _added_tokens(
    folder: Path, settings: Mapping[str, Any], special: SpecialTokens
) -> tuple[list[tuple[int | None, AddedToken]], frozenset[str]]:
    """Tokens beside the vocabulary with their rows, where they are known; and names of those that are special."""
    extra = settings.get("additional_special_tokens") or settings.get("extra_special_tokens") or []
    extra = list(extra.values()) if isinstance(extra, dict) else extra
    names = {name for token in extra if (name := _content(token))}
    rows: list[tuple[int | None, dict[str, Any]]] = []
    if isinstance(decoder := settings.get("added_tokens_decoder"), dict):
        rows = [(int(row), token) for row, token in decoder.items()]
    elif (folder / "added_tokens.json").is_file():
        older = read_json(folder / "added_tokens.json")
        rows = [(int(row), {"content": name, "normalized": name not in names}) for name, row in older.items()]
    known = {token["content"] for _, token in rows}
    rows = sorted(rows, key=lambda row: row[0] or 0)
    rows += [(None, token if isinstance(token, dict) else {"content": token}) for token in extra]
    rows = [(row, token) for n, (row, token) in enumerate(rows) if row is not None or token["content"] not in known]
    own = set(special.names)
    added = [
        (row, AddedToken(**{key: token[key] for key in _ADDED if key in token}))
        for row, token in rows
        if token["content"] not in own
    ]
    names |= {token["content"] for _, token in rows if token.get("special")}
    return added, frozenset(names - own)


def _add(backend: tokenizers.Tokenizer, added: list[tuple[int | None, AddedToken]], folder: Path) -> None:
    """Add tokens, each in its row.

    Raises:
        InputError: A row is not the next free one.
    """
    for row, token in added:
        backend.add_tokens([token])
        got = backend.token_to_id(token.content)
        if row is not None and got != row:
            raise InputError(
                f"{folder} has the added token {token.content!r} in row {row}, but it would come to row {got}: the "
                "vocabulary is not the one that it was added to."
            )
