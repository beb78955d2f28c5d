"""A text encoder and its tokenizer in one folder: ours, or a Hugging Face BERT."""

import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from nlp_tasks.config import TEXT_ENCODER, TokenizerConfig
from nlp_tasks.tokenization import SPECIAL, Tokenizer
from nlp_tasks.word_vectors.files import read_vectors
from nlp_tasks.word_vectors.start import start_rows
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.embeddings import is_zero_initialised
from recsys_bert.encoder.hf_bert import load_bert
from recsys_bert.encoder.model import FORMAT, Encoder
from recsys_bert.encoder.parts import Options
from recsys_bert.errors import InputError
from recsys_bert.files import read_json

PARTS = (
    "fusion",
    "fusion_options",
    "neck",
    "neck_options",
    "residual",
    "dropout",
    "layer_drop",
    "gradient_checkpointing",
)
"""Settings that are the recipe's even where the weights come from a checkpoint; all others are the checkpoint's."""

_WEIGHTS = ("*.safetensors", "pytorch_model.bin")
_TOKENIZER = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
_FOLDERS = ("", "encoder", "classifier", "matcher", "tagger", "reader")  # where a run folder keeps an encoder


def make_text_encoder(
    init: Path | None,
    settings: EncoderConfig,
    tokenizer: TokenizerConfig,
    texts: list[str],
    layers: Sequence[int] = (),
) -> tuple[Encoder, Tokenizer]:
    """Load an encoder and its tokenizer, or start afresh: random weights, a tokenizer that is learned or given.

    Args:
        init: See ``load_text_encoder``; None starts afresh.
        settings: The encoder.
        tokenizer: The tokenizer, where it is trained; with ``init``, what its tokenizer must be as far as that is said.
        texts: Training texts.
        layers: Layers of ``init`` that are taken, from 0; empty takes all.

    Raises:
        InputError: Settings that are not those of ``init``; see also ``load_text_encoder``, ``start_rows``.
    """
    if init is not None and tokenizer.vectors is not None:
        raise InputError("tokenizer.vectors starts a new encoder; init brings a trained one. Leave one of them out.")
    if init is not None:
        encoder, made = load_text_encoder(init, settings)
        _check_same(tokenizer, made, init)
        return some_layers(encoder, layers) if layers else encoder, made
    if tokenizer.folder is None:
        made = Tokenizer.train(texts, tokenizer)
    else:
        made = Tokenizer.load(_find_tokenizer(tokenizer.folder))
    encoder = Encoder(replace(settings, vocab_size=made.size))
    if tokenizer.vectors is not None:
        _start_tokens(encoder, made, tokenizer.vectors)
    return encoder, made


def _check_same(asked: TokenizerConfig, made: Tokenizer, init: Path) -> None:
    """Refuse settings of a tokenizer where ``init`` brings another one, or cannot tell how its own was trained."""
    there = {
        "kind": asked.kind == made.kind,
        "vocab_size": asked.vocab_size >= made.size,
        "lowercase": asked.lowercase == made.lowercase,
    }
    default = TokenizerConfig()
    given = [one.name for one in fields(default) if getattr(asked, one.name) != getattr(default, one.name)]
    if wrong := [name for name in given if not there.get(name, False)]:
        told = ", ".join(f"tokenizer.{name} {getattr(asked, name)}" for name in wrong)
        letters = "small letters" if made.lowercase else "letters as they are"
        raise InputError(
            f"{init} brings its own tokenizer ({made.kind}, {made.size:,} tokens, {letters}), and {told} would change "
            f"nothing about it. Leave it out, or set its default: {', '.join(str(getattr(default, n)) for n in wrong)}."
        )


def _start_tokens(encoder: Encoder, tokenizer: Tokenizer, path: Path) -> None:
    """Start the token table on word vectors; ``##x`` is the character x, a longer piece is no word."""
    tokens = [
        "" if token in SPECIAL or (token.startswith("##") and len(token) != 3) else token.removeprefix("##")
        for token in tokenizer.tokens(range(tokenizer.size))
    ]
    table = encoder.embeddings.token
    setting = "encoder.dim" if encoder.config.embedding_dim is None else "encoder.embedding_dim"
    wanted = {*tokens, *(token.lower() for token in tokens)}  # a word without a vector takes that in small letters
    started = start_rows(table, tokens, read_vectors(path, wanted), setting)
    print(f"{started:,} of {len(tokens):,} tokens start on vectors of {path}", file=sys.stderr)


def load_text_encoder(folder: Path, settings: EncoderConfig = TEXT_ENCODER) -> tuple[Encoder, Tokenizer]:
    """Load an encoder and its tokenizer.

    Fusion, neck and what is done in training (``PARTS``) follow ``settings``; a part that the checkpoint does not have
    starts afresh. Vectors of runs and of shared runs start at 0, so that ``settings`` can add them to a checkpoint that
    has none. Sizes and layers follow the checkpoint, but for layer options that ``settings`` names, such as
    ``attention_dropout``.

    Args:
        folder: Run of ``text pretrain`` or of a text task, its encoder folder, or a Hugging Face BERT folder.
        settings: The encoder as a recipe has it.

    Raises:
        InputError: No such folder, damaged files, sizes in ``settings`` that are not the checkpoint's, or a tokenizer
            that does not fit the encoder.
    """
    folder = find_encoder(folder)
    parts = {name: getattr(settings, name) for name in PARTS}
    if read_json(folder / "config.json").get("format") == FORMAT:
        given = Encoder.load(folder)
        parts |= _additions(settings, given.config)
        encoder = _with_parts(folder, given, parts, settings.layer_options)
    else:
        parts |= _additions(settings, TEXT_ENCODER)
        encoder = load_bert(folder, parts | {"layer_options": settings.layer_options})
    for name in (field.name for field in fields(EncoderConfig) if field.name not in (*PARTS, "layer_options")):
        asked, is_there = getattr(settings, name), getattr(encoder.config, name)
        if asked not in (is_there, getattr(TEXT_ENCODER, name)):
            raise InputError(f"encoder.{name} is {asked}, but {folder} has {is_there}, which cannot be changed.")
    tokenizer = Tokenizer.load(folder)
    if tokenizer.size > encoder.config.vocab_size:
        raise InputError(
            f"the tokenizer of {folder} has {tokenizer.size:,} tokens, the encoder's table has "
            f"{encoder.config.vocab_size:,} rows: they do not belong together. Put the encoder's own tokenizer there."
        )
    return encoder, tokenizer


def _additions(settings: EncoderConfig, given: EncoderConfig) -> dict[str, Any]:
    """What ``settings`` adds to a checkpoint with the settings ``given``."""
    added: dict[str, Any] = {}
    if settings.exact_match and not given.exact_match:
        added["exact_match"] = settings.exact_match
    if settings.ngrams > 1 and given.ngrams == 1:
        added |= {"ngrams": settings.ngrams, "ngram_rows": settings.ngram_rows}
    return added


def some_layers(given: Encoder, kept: Sequence[int]) -> Encoder:
    """An encoder with some layers of another one, as a student begins with its teacher's in DistilBERT.

    Embeddings and neck come along; a fusion whose weights are counted by layers starts afresh. See
    https://arxiv.org/abs/1910.01108.

    Args:
        given: The other encoder.
        kept: Its layers, from 0, in the order in which they are to stand.

    Raises:
        InputError: There is no such layer, or all layers are one.
    """
    n_layers = given.config.n_layers
    if given.config.share_layers or not all(0 <= layer < n_layers for layer in kept):
        told = "that share their weights" if given.config.share_layers else f"0 to {n_layers - 1}"
        raise InputError(f"init_layers is {list(kept)}; the encoder has layers {told}.")
    encoder = Encoder(replace(given.config, n_layers=len(kept)))
    old, new = given.state_dict(), encoder.state_dict()
    taken = {name: old.get(_layer_name(name, kept)) for name in new}
    fits = {name: value for name, value in taken.items() if value is not None and value.shape == new[name].shape}
    encoder.load_state_dict(new | fits)
    return encoder


def _layer_name(name: str, kept: Sequence[int]) -> str:
    """What a weight is called in the encoder that it comes from."""
    if not name.startswith("layers."):
        return name
    _, number, rest = name.split(".", 2)
    return f"layers.{kept[int(number)]}.{rest}"


def save_text_encoder(folder: Path, encoder: Encoder, tokenizer: Tokenizer) -> None:
    """Write what ``load_text_encoder`` reads."""
    encoder.save(folder)
    tokenizer.save(folder)


def find_encoder(folder: Path) -> Path:
    """The folder with ``config.json``, which may lie inside a run folder.

    Raises:
        InputError: There is none.
    """
    return _find(folder, ("config.json",), "encoder")


def start_files(init: Path | None, tokenizer: TokenizerConfig, teacher: Path | None = None) -> list[Path]:
    """Files from which a training takes weights, tokenizer and word vectors, as far as they are given.

    Args:
        init: See ``load_text_encoder``.
        tokenizer: Its folder and vectors.
        teacher: A run that is learned from.

    Raises:
        InputError: There is no such folder.
    """
    found = [] if tokenizer.vectors is None else [tokenizer.vectors]
    for run in (init, teacher):
        if run is not None:
            found += _files(find_encoder(run), (*_WEIGHTS, *_TOKENIZER))
    if tokenizer.folder is not None:
        found += _files(_find_tokenizer(tokenizer.folder), _TOKENIZER)
    return found


def _files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def _find_tokenizer(folder: Path) -> Path:
    return _find(folder, _TOKENIZER[:2], "tokenizer")


def _find(folder: Path, files: tuple[str, ...], what: str) -> Path:
    for name in _FOLDERS:
        if any((Path(folder) / name / file).is_file() for file in files):
            return Path(folder) / name
    raise InputError(
        f"{folder} holds no {what} ({' or '.join(files)}): give a Hugging Face BERT folder, or the run folder of a "
        "finished text training."
    )


def _with_parts(folder: Path, given: Encoder, parts: dict[str, Any], options: Options) -> Encoder:
    """The same encoder with other parts; those that stay the same keep their weights."""
    options = given.config.layer_options | options
    config = EncoderConfig.from_dict(given.config.to_dict() | parts | {"layer_options": options})
    encoder = Encoder(config)
    old, new = given.state_dict(), encoder.state_dict()
    fresh = tuple(
        kind
        for kind, names in {"fusion.": PARTS[:2], "neck.": PARTS[2:5]}.items()
        if any(getattr(config, name) != getattr(given.config, name) for name in names)
    )
    fits = {name for name, value in old.items() if name in new and value.shape == new[name].shape}
    needed = [name for name in new if name.startswith(("embeddings.", "layers."))]
    if wrong := [name for name in needed if name not in fits and not is_zero_initialised(name)]:
        raise InputError(
            f"{folder} does not fit the settings: it has no {wrong[0]} of shape {list(new[wrong[0]].shape)}."
        )
    encoder.load_state_dict(new | {name: old[name] for name in fits if not name.startswith(fresh)})
    return encoder
