"""Tokenizer: any of a Hugging Face encoder, or one trained on the user's texts."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, normalizers, pre_tokenizers

from nlp_tasks.config import TokenizerConfig
from nlp_tasks.long_texts import batches_of_pieces
from nlp_tasks.normalisation import ChineseCharacters, simplified, simplified_characters
from nlp_tasks.tokenizer_files import (
    APPENDED_PADDING,
    CHARACTERS,
    SpecialTokens,
    TokenizerParts,
    put_characters,
    read_tokenizer,
)
from nlp_tasks.tokenizer_training import bert_backend, characters_of, pieces_of, word_counts
from recsys_bert.errors import InputError
from recsys_bert.files import write_json

_AT_ONCE, _CHARACTERS = 4096, 1 << 20  # encoded at a time: bounds the memory of the encodings, which are large
_SAMPLE = 2000  # texts by which Chinese text is recognised
_KINDS = {models.BPE: "bpe", models.Unigram: "unigram", models.WordLevel: "words"}
_NOT_SAVED = ("name_or_path", "tokenizer_file", "special_tokens_map_file", "auto_map", "vocab_file", "merges_file")
_CHINESE = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f]")


@dataclass(frozen=True)
class Tokens:
    """Tokens of many texts, one after the other, special ones left out."""

    ids: NDArray[np.int32]
    """``[total]`` rows of the token table."""

    offsets: NDArray[np.int64]
    """``[n + 1]``: text i has ``ids[offsets[i] : offsets[i + 1]]``."""

    spans: NDArray[np.int32] | None = None
    """``[total, 2]`` first character of each token in its text and one past its last, where requested."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """``[n]`` tokens of each text."""
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1


class Tokenizer:
    """A tokenizer of an encoder.

    Row 0 is padding, as the encoder needs it: where the tokenizer has another token there, the two rows are swapped.
    Special tokens written out in a text ("[SEP]") are read as text, so that no input can forge them; markers that were
    added to the tokenizer are found.

    Args:
        parts: The tokenizer; padding, truncation and special tokens are handled by this class.

    Raises:
        InputError: It lacks a special token, or puts them elsewhere than BERT and RoBERTa do.
    """

    def __init__(self, parts: TokenizerParts) -> None:
        backend, special = parts.backend, parts.special
        backend.no_truncation()
        backend.no_padding()
        self._backend, self._parts = backend, parts
        rows = [backend.token_to_id(name) for name in special.names]
        if lacking := [name for name, row in zip(special.names, rows, strict=True) if row is None]:
            raise InputError(
                f"the tokenizer has no {', '.join(lacking)}; an encoder's has tokens for padding, unknown words, "
                "begin, end and mask."
            )
        self.pad_row = int(rows[0] or 0)
        """Row of padding in the tokenizer's own files."""

        self.unk, self.cls, self.sep, self.mask = (int(row) for row in self._swap(np.array(rows[1:], np.int32)))
        self.separators = self._separators()
        """Separators between two texts: 1 in BERT, 2 in RoBERTa."""

        backend.encode_special_tokens = True
        self._inner, self._begin = self._marks()

    @property
    def size(self) -> int:
        """Rows that the token table must have."""
        return int(max(self._backend.get_vocab(with_added_tokens=True).values())) + 1

    @property
    def appended_padding(self) -> bool:
        """True if padding was added to the tokenizer of a language model, in the row behind all others."""
        return self._parts.special.pad == APPENDED_PADDING and self.pad_row == self.size - 1

    @property
    def kind(self) -> str:
        """``characters`` where each of its tokens is one, ``wordpiece``, ``bpe``, ``unigram`` or ``words``."""
        if not isinstance(self._backend.model, models.WordPiece):
            return _KINDS[type(self._backend.model)]
        tokens = self._backend.get_vocab(with_added_tokens=True).keys() - set(self._parts.special.names)
        return "characters" if all(len(token.removeprefix("##")) <= 1 for token in tokens) else "wordpiece"

    @property
    def lowercase(self) -> bool | None:
        """True where A is read as a; None where the normalisation is not BERT's, so that this is unknown."""
        if self._backend.normalizer is None:
            return False
        of_bert = _bert_normalizer(self._backend)
        return None if of_bert is None else bool(of_bert.lowercase)

    @property
    def chinese(self) -> ChineseCharacters:
        """``simplified`` where Traditional Chinese characters are read as Simplified ones."""
        return "simplified" if self._parts.characters else "as_written"

    def as_read(self, text: str) -> str:
        """Text in the characters that are read, each at its position; see ``TokenizerConfig.chinese``."""
        return simplified(text, self._parts.characters) if self._parts.characters else text

    @property
    def _splits_chinese(self) -> bool:
        """True where every Chinese character is a word of its own."""
        normalizer = self._backend.normalizer
        return isinstance(normalizer, normalizers.BertNormalizer) and bool(normalizer.handle_chinese_chars)

    @property
    def first_token(self) -> int:
        """First row that is no special token: rows below it need never be predicted."""
        special = {0, self.unk, self.cls, self.sep, self.mask}
        return min(set(range(len(special) + 1)) - special)

    @property
    def continues(self) -> NDArray[np.bool_]:
        """``[size]``, True for a token that goes on with the word of the token before it (``##ing``)."""
        continues = np.zeros(self.size, dtype=bool)
        own = {*self._parts.special.names, *self._parts.markers}
        for token, row in self._backend.get_vocab(with_added_tokens=True).items():
            inside = token.startswith(self._inner) if self._inner else bool(self._begin) and token[:1] != self._begin
            continues[row] = inside and token not in own
        return self._swap_table(continues)

    def surfaces(self) -> list[str]:
        """Text of each row's token if that is a word or a character; else "", as for special tokens."""
        special, surfaces = {*self._parts.special.names, *self._parts.markers}, []
        for token, inside in zip(self.tokens(range(self.size)), self.continues.tolist(), strict=True):
            text = token.removeprefix(self._inner) if self._inner else token.removeprefix(self._begin)
            surfaces.append("" if token in special or (inside and len(text) != 1) else text)
        return surfaces

    def _marks(self) -> tuple[str, str]:
        """Prefix of tokens within a word, and prefix of those that begin one; either is empty."""
        if isinstance(self._backend.model, models.WordPiece):
            return str(self._backend.model.continuing_subword_prefix), ""
        splits: Any = self._backend.pre_tokenizer
        written = {} if splits is None else json.loads(splits.__getstate__())
        steps = {step["type"] for step in written.get("pretokenizers", [written]) if "type" in step}
        return "", "Ġ" if "ByteLevel" in steps else "▁" if "Metaspace" in steps else ""

    def _separators(self) -> int:
        """Count the separators between two texts by the tokenizer's own template.

        Raises:
            InputError: It is neither BERT's nor RoBERTa's.
        """
        pair = self._backend.encode("a", "b")
        special = [row for row, is_special in zip(pair.ids, pair.special_tokens_mask, strict=True) if is_special]
        rows = self._swap(np.array(special, np.int32)).tolist()
        if not rows:  # there is no template
            return 1
        for count in (1, 2):
            if rows == [self.cls, *[self.sep] * (count + 1)]:
                return count
        raise InputError(
            f"the tokenizer puts {' '.join(self.tokens(rows))} around two texts; the encoder reads [CLS] a [SEP] b "
            "[SEP], or two separators in between."
        )

    def _swap(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Swap row 0 and the row of padding; the same forth and back."""
        if not self.pad_row:
            return rows
        return np.where(rows == 0, self.pad_row, np.where(rows == self.pad_row, 0, rows)).astype(np.int32)

    def _swap_table(self, table: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return table[self._swap(np.arange(len(table), dtype=np.int32))]

    def __call__(self, texts: Sequence[str], *, spans: bool = False) -> Tokens:
        """Cut texts into tokens.

        Args:
            texts: Any texts; one without a readable character gives no token.
            spans: Return the characters of each token too.
        """
        ids: list[NDArray[np.int32]] = []
        characters: list[NDArray[np.int32]] = []
        counts = np.zeros(len(texts), np.int64)
        encode = self._backend.encode_batch if spans else self._backend.encode_batch_fast
        for batch in batches_of_pieces(texts, count=_AT_ONCE, characters=_CHARACTERS, chinese=self._splits_chinese):
            encodings = encode([self.as_read(piece.content) for piece in batch], add_special_tokens=False)
            for piece, encoding in zip(batch, encodings, strict=True):
                ids.append(np.asarray(encoding.ids, np.int32))
                counts[piece.text] += len(encoding.ids)
                if spans:
                    characters.append(np.asarray(encoding.offsets, np.int32).reshape(-1, 2))
                    if self._begin:
                        _trim(characters[-1], piece.content)
                    characters[-1] += piece.start
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Tokens(
            self._swap(np.concatenate([np.empty(0, np.int32), *ids])),
            offsets,
            np.concatenate([np.empty((0, 2), np.int32), *characters]) if spans else None,
        )

    def with_prefix(self, prefix: str, *, lowercase: bool) -> "Tokenizer":
        """Put a prefix before every text, and read A as a, from now on; returns itself."""
        steps: list[normalizers.Normalizer] = [normalizers.Prepend(prefix)] if prefix else []
        steps += [normalizers.Lowercase()] if lowercase and self.lowercase is not True else []
        if steps:
            steps += [] if self._backend.normalizer is None else [self._backend.normalizer]
            self._backend.normalizer = normalizers.Sequence(steps)
            # their own classes would put BERT's normaliser in its place
            settings = {**self._parts.settings, "tokenizer_class": "PreTrainedTokenizerFast"}
            self._parts = replace(self._parts, settings=settings)
        return self

    def words(self, words: Sequence[str]) -> Tokens:
        """Cut single words into tokens, each as it is within a sentence: with a blank before, where that counts."""
        splits = self._backend.pre_tokenizer
        blank = isinstance(splits, pre_tokenizers.ByteLevel) and not splits.add_prefix_space
        return self([f" {word}" for word in words] if blank else words)

    def text(self, ids: Sequence[int]) -> str:
        """Join tokens to a text, special ones left out."""
        return str(self._backend.decode(self._swap(np.asarray(ids, np.int32)).tolist()))

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each token as it stands in the vocabulary."""
        rows = self._swap(np.asarray(ids, np.int32)).tolist()
        return [self._backend.id_to_token(row) or self._parts.special.unk for row in rows]

    def save(
        self,
        folder: Path,
        max_len: int | None = None,
        more_settings: Mapping[str, Any] | None = None,
        *,
        without_padding: bool = False,
    ) -> None:
        """Write ``tokenizer.json``, ``tokenizer_config.json``, of WordPiece ``vocab.txt``; transformers opens them.

        Args:
            folder: Folder to write.
            max_len: Longest input, as ``model_max_length``; None: what it was, if anything.
            more_settings: Further entries of ``tokenizer_config.json``.
            without_padding: Leave out the token that was added for padding (see ``appended_padding``).
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        values = json.loads(self._backend.to_str())
        for token in values["added_tokens"]:
            token["special"] |= token["content"] in self._parts.markers
        special = self._parts.special
        if without_padding:
            values["added_tokens"] = [one for one in values["added_tokens"] if one["content"] != special.pad]
            special = replace(special, pad=special.sep)
        if self._parts.characters:
            put_characters(values, self._parts.characters)
        (folder / "tokenizer.json").write_text(json.dumps(values, ensure_ascii=False, indent=2), encoding="utf-8")
        if isinstance(self._backend.model, models.WordPiece):
            by_row = {row: token for token, row in self._backend.get_vocab(with_added_tokens=True).items()}
            lines = [by_row.get(row, f"[unused-{row}]") for row in range(self.size)]
            (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in lines), encoding="utf-8")
        settings = {name: value for name, value in self._parts.settings.items() if name not in _NOT_SAVED}
        settings |= {f"{role}_token": name for role, name in vars(special).items()}
        settings |= {} if max_len is None else {"model_max_length": max_len}
        settings |= {CHARACTERS: self.chinese} if self._parts.characters else {}
        settings |= more_settings or {}
        normalizer = _bert_normalizer(self._backend)
        if normalizer is not None:
            settings["do_lower_case"] = bool(normalizer.lowercase)
            settings["strip_accents"] = normalizer.strip_accents
            settings["tokenize_chinese_chars"] = bool(normalizer.handle_chinese_chars)
        is_bert = isinstance(self._backend.model, models.WordPiece) and isinstance(
            self._backend.normalizer, normalizers.BertNormalizer
        )
        settings.setdefault("tokenizer_class", "BertTokenizer" if is_bert else "PreTrainedTokenizerFast")
        write_json(folder / "tokenizer_config.json", settings)

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Open the tokenizer of a Hugging Face folder, or what ``save`` wrote; see ``read_tokenizer``.

        Raises:
            InputError: There is none, one is damaged, or it is none of an encoder.
        """
        parts = read_tokenizer(Path(folder))
        try:
            return cls(parts)
        except InputError as error:
            raise InputError(f"{folder}: {error}") from error

    @classmethod
    def train(cls, texts: Sequence[str], config: TokenizerConfig) -> "Tokenizer":
        """Train a tokenizer; the same texts give the same vocabulary.

        Args:
            texts: Training texts.
            config: The settings.

        Raises:
            InputError: OpenCC is needed and not installed.
        """
        kind = config.kind
        if kind == "auto":
            kind = "characters" if mostly_chinese(texts[:_SAMPLE]) else "wordpiece"
        special, characters = SpecialTokens(), dict[int, str]()
        if config.chinese == "simplified":
            characters = dict(simplified_characters())
            texts = [simplified(text, characters) for text in texts]
        counts = word_counts(texts, bert_backend(config.lowercase))
        room = config.vocab_size - len(special.names)
        tokens = characters_of(counts, config.min_count, room if kind == "characters" else room // 2)
        if kind == "wordpiece":
            tokens = pieces_of(counts, tokens, config.min_count, room)
        rows = {token: row for row, token in enumerate([*special.names, *tokens])}
        return cls(TokenizerParts(bert_backend(config.lowercase, rows), special, frozenset(), {}, characters))


def _bert_normalizer(backend: tokenizers.Tokenizer) -> normalizers.BertNormalizer | None:
    """BERT's normalisation, if it is the only or the last step."""
    normalizer = backend.normalizer
    if isinstance(normalizer, normalizers.Sequence) and len(normalizer):
        normalizer = normalizer[len(normalizer) - 1]
    return normalizer if isinstance(normalizer, normalizers.BertNormalizer) else None


def mostly_chinese(texts: Iterable[str]) -> bool:
    """True where at least three in ten of the texts' letters are Chinese characters."""
    letters = chinese = 0
    for text in texts:
        letters += sum(map(str.isalpha, text))
        chinese += sum(map(str.isalpha, _CHINESE.findall(text)))
    return chinese >= 0.3 * max(1, letters)


def _trim(spans: NDArray[np.int32], text: str) -> None:
    """Take blanks off the beginning of spans, in place: such tokenizers count them to the word behind."""
    for n, (start, stop) in enumerate(spans.tolist()):
        while start < stop and text[start].isspace():
            start += 1
        spans[n, 0] = start
