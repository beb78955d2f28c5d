"""Static vectors distilled from an encoder: a table with a vector a token; a text's vector is the mean of its tokens'.

The way of Model2Vec (https://github.com/MinishLab/model2vec): every token is encoded once by itself, the table is
reduced by PCA, and rows are scaled by frequency, a / (a + p) as in SIF (https://openreview.net/forum?id=SyK00v5xx).
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from nlp_tasks.artefacts import artefact_folder
from nlp_tasks.examples import text_list
from nlp_tasks.inputs import assembled
from nlp_tasks.text_encoder import TextEncoder, unit_vectors
from nlp_tasks.tokenization import Tokenizer, Tokens
from recsys_bert.checksums import check_intact
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, replacing, write_json
from recsys_bert.post_processing.fitted import fit_post_processing

_FORMAT = "recsys_bert.static_vectors/1"
_FILE, _TABLE = "static_vectors.json", "static_vectors.safetensors"
_AT_ONCE = 65_536  # texts

Floats = NDArray[np.float32]


class StaticEncoder:
    """Vectors of texts from a table of token vectors; hundreds of times as fast as the encoder that they come from.

    ::

        static = StaticEncoder.distil(TextEncoder.load("runs/words"), texts)
        static.similarity(["the tailor of Rome"], ["the tailor of Oslo"])

    Args:
        tokenizer: Cuts texts into tokens.
        table: ``[tokens, dim]``.
    """

    def __init__(self, tokenizer: Tokenizer, table: Floats) -> None:
        if len(table) != tokenizer.size:
            raise InputError(f"the table has {len(table):,} rows for {tokenizer.size:,} tokens; they do not fit.")
        self.tokenizer, self.table = tokenizer, np.ascontiguousarray(table, np.float32)

    @classmethod
    def distil(
        cls,
        encoder: TextEncoder,
        texts: Sequence[str] | None = None,
        *,
        dim: int | None = 256,
        smoothing: float = 1e-3,
        power: float = 0.0,
    ) -> "StaticEncoder":
        """Distil a table from an encoder.

        Args:
            encoder: The encoder.
            texts: Texts that say how frequent tokens are; None: by the order of the vocabulary (Zipf's law), which
                suits tokenizers whose tokens are sorted by frequency.
            dim: Width after PCA; None, or more than the encoder's: that of the encoder.
            smoothing: a in a / (a + p) of a token with the share p of all tokens; larger: weights are more alike.
            power: Directions of the PCA are divided by their standard deviation to this power; 1 is whitening.

        Raises:
            InputError: ``smoothing`` is not above 0, or ``dim`` is below 1.
        """
        if not smoothing > 0 or (dim is not None and dim < 1):
            raise InputError(f"smoothing is {smoothing} (above 0), dim is {dim} (at least 1).")
        tokenizer = encoder.tokenizer
        rows = np.arange(tokenizer.size)
        single = Tokens(np.where(rows == 0, tokenizer.unk, rows).astype(np.int32), np.arange(tokenizer.size + 1))
        vectors = encoder.encode(assembled(tokenizer, single, rows, {}))  # padding, row 0, cannot be encoded
        width = min(dim or encoder.dim, encoder.dim)
        table = fit_post_processing("whitening", vectors, {"width": width, "power": power})(vectors)
        shares = _shares(tokenizer, texts)
        weights = (smoothing / (smoothing + shares)).astype(np.float32)
        return cls(tokenizer, table * weights[:, None])

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return int(self.table.shape[1])

    @property
    def digest(self) -> str:
        """Hash of table and tokens."""
        return sha256(repr(self.tokenizer.surfaces()).encode() + self.table.tobytes()).hexdigest()

    def encode(self, texts: Sequence[str], *, normalise: bool = False) -> Floats:
        """Vectors ``[n, dim]`` of texts; zeros of a text without tokens.

        Args:
            texts: The texts.
            normalise: Divide vectors by their length.
        """
        texts = text_list(texts)
        parts = [self._means(texts[start : start + _AT_ONCE]) for start in range(0, len(texts), _AT_ONCE)]
        vectors = np.concatenate([np.empty((0, self.dim), np.float32), *parts])
        return unit_vectors(vectors) if normalise else vectors

    def _means(self, texts: Sequence[str]) -> Floats:
        tokens = self.tokenizer(texts)
        ids, offsets = torch.from_numpy(tokens.ids), torch.from_numpy(tokens.offsets[:-1])
        table = torch.from_numpy(self.table)
        means: Floats = torch.nn.functional.embedding_bag(ids.long(), table, offsets, mode="mean").numpy()
        return means

    def counts(self, texts: Sequence[str]) -> dict[str, int]:
        """Nothing: texts of any length are read to their end."""
        return {}

    def similarity(self, texts: Sequence[str], others: Sequence[str] | None = None) -> Floats:
        """Cosines ``[n, m]`` of texts and other texts, or of every two of ``texts``."""
        vectors = self.encode(texts, normalise=True)
        return vectors @ (vectors if others is None else self.encode(others, normalise=True)).T

    def save(self, folder: Path | str) -> None:
        """Write table and tokenizer, all or nothing; ``load`` reads them."""
        with replacing(Path(folder), sealed=True) as temporary:
            temporary.mkdir(parents=True, exist_ok=True)
            self.tokenizer.save(temporary)
            save_file({"table": self.table}, temporary / _TABLE)
            write_json(temporary / _FILE, {"format": _FORMAT, "dim": self.dim})

    @classmethod
    def load(cls, folder: Path | str) -> "StaticEncoder":
        """Load what ``save`` wrote.

        Raises:
            InputError: There is nothing, or it is damaged.
        """
        folder = artefact_folder(Path(folder))
        if not is_static(folder):
            raise InputError(f"{folder} holds no static vectors ({_FILE}); `text embed distil` writes them.")
        check_intact(folder, "distil it again")
        if (form := read_json(folder / _FILE).get("format")) != _FORMAT:
            raise InputError(f"{folder} has the format {form!r}, not {_FORMAT!r}. Distil it again.")
        return cls(Tokenizer.load(folder), load_file(folder / _TABLE)["table"])

    def export(self, folder: Path | str) -> Path:
        """Write a folder that sentence-transformers opens as a StaticEmbedding, with the same vectors.

        Raises:
            InputError: The folder is there and not empty.
        """
        folder = Path(folder)
        if folder.exists() and (folder.is_file() or any(folder.iterdir())):
            raise InputError(f"{folder} is there already and not empty. Choose another folder, or remove it.")
        module = "0_StaticEmbedding"
        with replacing(folder) as temporary:
            (temporary / module).mkdir(parents=True)
            self.tokenizer.save(temporary / module)
            order = np.arange(len(self.table))
            order[[0, self.tokenizer.pad_row]] = self.tokenizer.pad_row, 0  # ours has padding in row 0
            save_file({"embedding.weight": self.table[order]}, temporary / module / "model.safetensors")
            listed = {"idx": 0, "name": "0", "path": module, "type": "sentence_transformers.models.StaticEmbedding"}
            write_json(temporary / "modules.json", [listed])
        return folder

    def __repr__(self) -> str:
        return f"StaticEncoder(dim={self.dim}, tokens={len(self.table):,})"


def is_static(folder: Path) -> bool:
    """True for a folder that ``StaticEncoder.save`` wrote, or a run with one."""
    return (artefact_folder(Path(folder)) / _FILE).is_file()


def load_vectors(folder: Path | str) -> "TextEncoder | StaticEncoder":
    """Load a text encoder or static vectors; see their ``load``."""
    return StaticEncoder.load(folder) if is_static(Path(folder)) else TextEncoder.load(folder)


def _shares(tokenizer: Tokenizer, texts: Sequence[str] | None) -> NDArray[np.float64]:
    """Share of each token among all, ``[tokens]``."""
    if texts is None:
        rank = 1.0 / np.arange(1, tokenizer.size + 1)
        return rank / rank.sum()
    counts = np.bincount(tokenizer(text_list(texts)).ids, minlength=tokenizer.size)
    return counts / max(1, counts.sum())
