"""Tokenizer: any Hugging Face BERT one, or one trained on the user's texts."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from nlp_tasks.config import TokenizerConfig
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNK, CLS, SEP, MASK)

_AT_ONCE = 4096  # texts encoded at a time: bounds the memory of the encodings, which are large
_SAMPLE = 2000  # texts by which Chinese text is recognised
_PRIVATE = 0xF0000  # first of 131,068 code points that no text uses
_CHINESE = ((0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2FA1F))


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
    """A BERT tokenizer.

    Special tokens written out in a text ("[SEP]") are read as text, so that no input can forge them.

    Args:
        backend: The tokenizer; padding, truncation and special tokens are handled by this class.

    Raises:
        InputError: It lacks a special token, or padding is not row 0, as the encoder needs it.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        rows = {name: row for name in SPECIAL if (row := backend.token_to_id(name)) is not None}
        if lacking := [name for name in SPECIAL if name not in rows]:
            raise InputError(f"the tokenizer has no {', '.join(lacking)}; a BERT tokenizer has {', '.join(SPECIAL)}.")
        if rows[PAD] != 0:
            raise InputError(f"the tokenizer has {PAD} in row {rows[PAD]}; the encoder needs it in row 0.")
        self.unk, self.cls, self.sep, self.mask = (rows[name] for name in (UNK, CLS, SEP, MASK))

    @property
    def size(self) -> int:
        """Rows that the token table must have."""
        return int(max(self._backend.get_vocab(with_added_tokens=True).values())) + 1

    @property
    def kind(self) -> str:
        """``characters`` where each of its tokens is one, else ``wordpiece``; see ``TokenizerConfig``."""
        tokens = self._backend.get_vocab(with_added_tokens=True).keys() - set(SPECIAL)
        return "characters" if all(len(token.removeprefix("##")) <= 1 for token in tokens) else "wordpiece"

    @property
    def lowercase(self) -> bool | None:
        """True where A is read as a; None where the normalisation is not BERT's, so that this is unknown."""
        normalizer = self._backend.normalizer
        return bool(normalizer.lowercase) if isinstance(normalizer, normalizers.BertNormalizer) else None

    @property
    def first_token(self) -> int:
        """First row that is no special token: rows below it need never be predicted."""
        return min(set(range(len(SPECIAL) + 1)) - {0, self.unk, self.cls, self.sep, self.mask})

    @property
    def continues(self) -> NDArray[np.bool_]:
        """``[size]``, True for a token that goes on with the word of the token before it (``##ing``)."""
        continues = np.zeros(self.size, dtype=bool)
        for token, row in self._backend.get_vocab(with_added_tokens=True).items():
            continues[row] = token.startswith("##")
        return continues

    def __call__(self, texts: Sequence[str], *, spans: bool = False) -> Tokens:
        """Cut texts into tokens.

        Args:
            texts: Any texts; one without a readable character gives no token.
            spans: Return the characters of each token too.
        """
        ids: list[NDArray[np.int32]] = []
        characters: list[NDArray[np.int32]] = []
        counts: list[int] = []
        encode = self._backend.encode_batch if spans else self._backend.encode_batch_fast
        for first in range(0, len(texts), _AT_ONCE):
            for one in encode(list(texts[first : first + _AT_ONCE]), add_special_tokens=False):
                ids.append(np.asarray(one.ids, np.int32))
                counts.append(len(one.ids))
                if spans:
                    characters.append(np.asarray(one.offsets, np.int32).reshape(-1, 2))
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return Tokens(
            np.concatenate([np.empty(0, np.int32), *ids]),
            offsets,
            np.concatenate([np.empty((0, 2), np.int32), *characters]) if spans else None,
        )

    def text(self, ids: Sequence[int]) -> str:
        """Join tokens to a text, special ones left out."""
        return str(self._backend.decode(list(ids)))

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each token as it stands in the vocabulary."""
        return [self._backend.id_to_token(int(row)) or UNK for row in ids]

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json``, ``vocab.txt`` and ``tokenizer_config.json``, which transformers opens as well."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._backend.save(str(folder / "tokenizer.json"))
        by_row = {row: token for token, row in self._backend.get_vocab(with_added_tokens=True).items()}
        lines = [by_row.get(row, f"[unused-{row}]") for row in range(self.size)]
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in lines), encoding="utf-8")
        normalizer = self._backend.normalizer
        settings: dict[str, Any] = {"tokenizer_class": "BertTokenizer"}
        if isinstance(normalizer, normalizers.BertNormalizer):
            settings["do_lower_case"] = bool(normalizer.lowercase)
            settings["strip_accents"] = normalizer.strip_accents
            settings["tokenize_chinese_chars"] = bool(normalizer.handle_chinese_chars)
        write_json(folder / "tokenizer_config.json", settings)

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Open a Hugging Face BERT folder, or what ``save`` wrote: ``tokenizer.json``, or ``vocab.txt``.

        Raises:
            InputError: Neither is there, one is damaged, or it is no BERT tokenizer.
        """
        folder = Path(folder)
        file = folder / "tokenizer.json"
        try:
            if file.exists():
                return cls(tokenizers.Tokenizer.from_file(str(file)))
            file = folder / "vocab.txt"
            if file.exists():
                return cls(_from_vocabulary(file, folder / "tokenizer_config.json"))
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        except Exception as error:  # tokenizers raises bare Exception
            raise InputError(f"{file} cannot be read: {error}. It may be damaged; fetch it again.") from error
        raise InputError(f"{folder} holds neither tokenizer.json nor vocab.txt, so it has no BERT tokenizer.")

    @classmethod
    def train(cls, texts: Sequence[str], config: TokenizerConfig) -> "Tokenizer":
        """Train a tokenizer; the same texts give the same vocabulary.

        Args:
            texts: Training texts.
            config: The settings.
        """
        kind = config.kind
        if kind == "auto":
            kind = "characters" if mostly_chinese(texts[:_SAMPLE]) else "wordpiece"
        counts = _word_counts(texts, _empty(config.lowercase))
        room = config.vocab_size - len(SPECIAL)
        tokens = _characters(counts, config.min_count, room if kind == "characters" else room // 2)
        if kind == "wordpiece":
            tokens = _pieces(counts, tokens, config.min_count, room)
        return cls(_empty(config.lowercase, {token: row for row, token in enumerate([*SPECIAL, *tokens])}))


def mostly_chinese(texts: Iterable[str]) -> bool:
    """True where at least three in ten of the texts' letters are Chinese characters."""
    letters = [ord(letter) for text in texts for letter in text if letter.isalpha()]
    chinese = sum(any(low <= letter <= high for low, high in _CHINESE) for letter in letters)
    return chinese >= 0.3 * max(1, len(letters))


def _empty(lowercase: bool, vocabulary: dict[str, int] | None = None) -> tokenizers.Tokenizer:
    """BERT's normalisation and pre-tokenisation, with a vocabulary or none yet."""
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary or {}, unk_token=UNK, max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    if vocabulary:
        backend.add_special_tokens([name for name in SPECIAL if name in vocabulary])
    return backend


def _word_counts(texts: Iterable[str], backend: tokenizers.Tokenizer) -> Counter[str]:
    """Count of each pre-token; a Chinese character is one."""
    counts: Counter[str] = Counter()
    for text in texts:
        normal = backend.normalizer.normalize_str(text)
        counts.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal))
    return counts


def _characters(counts: Counter[str], min_count: int, room: int) -> list[str]:
    """Characters, most frequent first; within a word they carry ``##``, so any BERT tokenizer reads them alike."""
    characters: Counter[str] = Counter()
    for word, count in counts.items():
        characters[word[0]] += count
        for letter in word[1:]:
            characters[f"##{letter}"] += count
    return sorted((c for c, n in characters.items() if n >= min_count), key=lambda c: (-characters[c], c))[:room]


def _pieces(counts: Counter[str], characters: list[str], min_count: int, room: int) -> list[str]:
    """Characters, and the longer pieces from merging the most frequent pair again and again.

    The library's own WordPiece trainer breaks ties differently from run to run, because of how it numbers characters
    with ``##``. Here these go in under a letter of their own each, and the BPE trainer, which has an order for ties,
    does the merging.
    """
    inside = {token[2]: chr(_PRIVATE + n) for n, token in enumerate(characters) if token.startswith("##")}
    first = {token for token in characters if len(token) == 1}
    disguised = {
        word[0] + "".join(inside[letter] for letter in word[1:]): count
        for word, count in sorted(counts.items())
        if len(word) > 1 and word[0] in first and all(letter in inside for letter in word[1:])
    }
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    alphabet = sorted(first | set(inside.values()))
    trainer = trainers.BpeTrainer(
        vocab_size=max(0, room - len(characters)) + len(alphabet),
        min_frequency=min_count,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    backend.train_from_iterator((" ".join([word] * count) for word, count in disguised.items()), trainer)
    letters = {disguise: letter for letter, disguise in inside.items()}
    merged = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    plain = (("##" if token[0] in letters else "") + "".join(letters.get(c, c) for c in token) for token, _ in merged)
    return list(dict.fromkeys([*characters, *plain]))[:room]


def _from_vocabulary(vocabulary: Path, settings: Path) -> tokenizers.Tokenizer:
    """A folder of BERT's first years: one token a line, and perhaps how text was normalised."""
    saved: dict[str, Any] = read_json(settings) if settings.exists() else {}
    rows = {token: row for row, token in enumerate(vocabulary.read_text(encoding="utf-8").split("\n")) if token}
    backend = _empty(True, rows)
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=saved.get("do_lower_case", True),
        strip_accents=saved.get("strip_accents"),
        handle_chinese_chars=saved.get("tokenize_chinese_chars", True),
    )
    return backend
