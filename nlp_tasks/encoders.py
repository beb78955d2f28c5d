"""A text encoder and its tokenizer in one folder: ours, or a Hugging Face checkpoint."""

import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from nlp_tasks.artefacts import find_files
from nlp_tasks.config import PARTS, TEXT_ENCODER, TokenizerConfig
from nlp_tasks.pooling import transformer_folder
from nlp_tasks.tokenization import Tokenizer
from nlp_tasks.tokenizer_files import TOKENIZER_FILES
from nlp_tasks.word_vectors.files import read_vectors
from nlp_tasks.word_vectors.start import start_rows
from recsys_bert.checksums import write_checksums
from recsys_bert.encoder.config import Attention, EncoderConfig
from recsys_bert.encoder.embeddings import is_zero_initialised
from recsys_bert.encoder.hugging_face.load import check_family, load_checkpoint, load_with_head, read_checkpoint_config
from recsys_bert.encoder.masked_head import MaskedTokenHead
from recsys_bert.encoder.model import FORMAT, Encoder
from recsys_bert.encoder.parts import Options
from recsys_bert.errors import InputError
from recsys_bert.files import fingerprint, read_json

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.ckpt")


def make_text_encoder(
    init: Path | None,
    settings: EncoderConfig,
    tokenizer: TokenizerConfig,
    texts: list[str],
    layers: Sequence[int] = (),
    *,
    attention: Attention | None = None,
) -> tuple[Encoder, Tokenizer]:
    """Load an encoder and its tokenizer, or build them: random weights, a tokenizer that is trained or loaded.

    Args:
        init: See ``load_text_encoder``; None builds them.
        settings: The encoder.
        tokenizer: The tokenizer, where it is trained; with ``init``, settings other than the defaults must be its own.
        texts: Training texts.
        layers: Layers of ``init`` to take, from 0; empty takes all.
        attention: Of the encoder; None: that of ``init``, but bidirectional for prefix, which needs one; or of
            ``settings``.

    Raises:
        InputError: Settings that are not those of ``init``; see also ``load_text_encoder``, ``start_rows``.
    """
    if init is not None and tokenizer.vectors is not None:
        raise InputError("tokenizer.vectors starts a new encoder; init brings a trained one. Leave one of them out.")
    if init is not None:
        encoder, loaded = load_text_encoder(init, settings)
        _check_same(tokenizer, loaded, init)
        encoder = encoder if attention is None else with_attention(encoder, attention)
        return some_layers(encoder, layers) if layers else encoder, loaded
    if tokenizer.folder is None:
        trained = Tokenizer.train(texts, tokenizer)
    else:
        trained = Tokenizer.load(_find_tokenizer(tokenizer.folder))
    settings = settings if attention is None else replace(settings, attention=attention)
    encoder = Encoder(replace(settings, vocab_size=trained.size))
    if tokenizer.vectors is not None:
        _start_tokens(encoder, trained, tokenizer.vectors)
    return encoder, trained


def check_named_beside_init(
    init: Path, settings: EncoderConfig, tokenizer: TokenizerConfig, names: frozenset[str]
) -> None:
    """Refuse settings that were named and are not those of ``init``, though they be defaults.

    Args:
        init: See ``load_text_encoder``.
        settings: The encoder.
        tokenizer: The tokenizer.
        names: Settings that were named, as in ``encoder.dim``.

    Raises:
        InputError: One of them is another in ``init``.
    """
    folder = find_encoder(init)
    values = read_json(folder / "config.json")
    if values.pop("format", None) == FORMAT:
        saved = EncoderConfig.from_dict(values)
    else:
        saved = read_checkpoint_config(folder, {})
    saved = replace(saved, **_additions(settings, saved))
    fixed = {field.name for field in fields(EncoderConfig)} - {*PARTS, "layer_options"}
    named = {name.removeprefix("encoder.") for name in names if name.startswith("encoder.")}
    for name in sorted(fixed & named):
        if (value := getattr(settings, name)) != (of_init := getattr(saved, name)):
            shorter = " To read fewer tokens, set length.max_len or task.max_len." if name == "max_len" else ""
            raise InputError(
                f"encoder.{name} is {value}, but init {init} has {of_init}, which cannot be changed.{shorter}"
            )
    if "tokenizer.lowercase" in names and (of_init := Tokenizer.load(folder).lowercase) != tokenizer.lowercase:
        raise InputError(f"tokenizer.lowercase is {tokenizer.lowercase}, but that of init {init} has {of_init}.")
    if "tokenizer.chinese" in names and (of_init := Tokenizer.load(folder).chinese) != tokenizer.chinese:
        raise InputError(f"tokenizer.chinese is {tokenizer.chinese}, but that of init {init} has {of_init}.")


def _check_same(config: TokenizerConfig, tokenizer: Tokenizer, init: Path) -> None:
    """Refuse settings of a tokenizer where that of ``init`` is another one, or does not say how it was trained."""
    same = {
        "kind": config.kind == tokenizer.kind,
        "vocab_size": config.vocab_size >= tokenizer.size,
        "lowercase": config.lowercase == tokenizer.lowercase,
        "chinese": config.chinese == tokenizer.chinese,
    }
    default = TokenizerConfig()
    changed = [one.name for one in fields(default) if getattr(config, one.name) != getattr(default, one.name)]
    if wrong := [name for name in changed if not same.get(name, False)]:
        settings = ", ".join(f"tokenizer.{name} {getattr(config, name)}" for name in wrong)
        letters = "small letters" if tokenizer.lowercase else "letters as they are"
        raise InputError(
            f"{init} brings its own tokenizer ({tokenizer.kind}, {tokenizer.size:,} tokens, {letters}), and {settings} "
            "would change nothing about it. Leave it out, or set its default: "
            f"{', '.join(str(getattr(default, name)) for name in wrong)}."
        )


def _start_tokens(encoder: Encoder, tokenizer: Tokenizer, path: Path) -> None:
    """Start the token table on word vectors; ``##x`` is the character x, a longer piece is no word."""
    tokens = tokenizer.surfaces()
    table = encoder.embeddings.token
    setting = "encoder.dim" if encoder.config.embedding_dim is None else "encoder.embedding_dim"
    words = {*tokens, *(token.lower() for token in tokens)}  # a word without a vector takes that in small letters
    started = start_rows(table, tokens, read_vectors(path, words), setting)
    print(f"{started:,} of {len(tokens):,} tokens start on vectors of {path}", file=sys.stderr)


def load_text_encoder(folder: Path, settings: EncoderConfig = TEXT_ENCODER) -> tuple[Encoder, Tokenizer]:
    """Load an encoder and its tokenizer.

    Fusion, neck and regularisation (``PARTS``) follow ``settings``; a part that the checkpoint lacks is random.
    N-gram and exact-match embeddings start at 0, so that ``settings`` can add them to a checkpoint without. Sizes and
    layers follow the checkpoint, except layer options that ``settings`` names, such as ``attention_dropout``.

    Args:
        folder: Run of ``text pretrain`` or of a text task, its encoder folder, or a Hugging Face folder.
        settings: The encoder as a recipe has it.

    Raises:
        InputError: No such folder, damaged files, sizes in ``settings`` that are not the checkpoint's, or a tokenizer
            that does not fit the encoder.
    """
    folder = find_encoder(folder)
    if read_json(folder / "config.json").get("format") != FORMAT:
        check_family(folder)  # before its tokenizer is missed
    tokenizer = Tokenizer.load(folder)
    parts = {name: getattr(settings, name) for name in PARTS}
    if read_json(folder / "config.json").get("format") == FORMAT:
        saved = without_prefix(Encoder.load(folder))
        parts |= _additions(settings, saved.config)
        encoder = _with_parts(folder, saved, parts, settings.layer_options)
    else:
        parts |= _additions(settings, TEXT_ENCODER)
        options = {"layer_options": settings.layer_options}
        encoder = load_checkpoint(folder, parts | options, tokenizer.pad_row)
    for name in (field.name for field in fields(EncoderConfig) if field.name not in (*PARTS, "layer_options")):
        value, saved_value = getattr(settings, name), getattr(encoder.config, name)
        if value not in (saved_value, getattr(TEXT_ENCODER, name)):
            raise InputError(f"encoder.{name} is {value}, but {folder} has {saved_value}, which cannot be changed.")
    check_size(tokenizer, encoder, folder)
    return encoder, tokenizer


def without_prefix(encoder: Encoder) -> Encoder:
    """The encoder, with bidirectional attention in place of prefix: a text by itself is all prefix."""
    return with_attention(encoder, "bidirectional") if encoder.config.attention == "prefix" else encoder


def with_attention(encoder: Encoder, attention: Attention) -> Encoder:
    """Copy of an encoder with the same weights and another attention.

    Raises:
        InputError: Its neck has other weights with this attention, or a part cannot have it.
    """
    if encoder.config.attention == attention:
        return encoder
    changed, state = Encoder(replace(encoder.config, attention=attention)), encoder.state_dict()
    if {name: value.shape for name, value in state.items()} != {
        name: value.shape for name, value in changed.state_dict().items()
    }:
        raise InputError(
            f"neck {encoder.config.neck!r} has other weights with {attention} attention; leave out encoder.neck."
        )
    changed.load_state_dict(state)
    return changed.train(encoder.training)


def check_size(tokenizer: Tokenizer, encoder: Encoder, folder: Path) -> None:
    """Refuse a tokenizer with more tokens than the encoder's table has rows."""
    if tokenizer.size > encoder.config.vocab_size:
        raise InputError(
            f"the tokenizer of {folder} has {tokenizer.size:,} tokens, the encoder's table has "
            f"{encoder.config.vocab_size:,} rows: they do not belong together. Put the encoder's own tokenizer there."
        )


def _additions(settings: EncoderConfig, saved: EncoderConfig) -> dict[str, Any]:
    """Input features of ``settings`` that a checkpoint with the settings ``saved`` lacks."""
    added: dict[str, Any] = {}
    if settings.exact_match and not saved.exact_match:
        added["exact_match"] = settings.exact_match
    if settings.ngrams > 1 and saved.ngrams == 1:
        added |= {"ngrams": settings.ngrams, "ngram_rows": settings.ngram_rows}
    return added


def some_layers(source: Encoder, layers: Sequence[int]) -> Encoder:
    """Build an encoder from some layers of another one, as DistilBERT does with its teacher's.

    Embeddings and neck are copied; a fusion whose weights are counted by layers has random weights. See
    https://arxiv.org/abs/1910.01108.

    Args:
        source: The other encoder.
        layers: Its layers, from 0, in the order of the new encoder.

    Raises:
        InputError: There is no such layer, or all layers share their weights.
    """
    n_layers = source.config.n_layers
    if source.config.share_layers or not all(0 <= layer < n_layers for layer in layers):
        known = "that share their weights" if source.config.share_layers else f"0 to {n_layers - 1}"
        raise InputError(f"init_layers is {list(layers)}; the encoder has layers {known}.")
    encoder = Encoder(replace(source.config, n_layers=len(layers)))
    old, new = source.state_dict(), encoder.state_dict()
    copied = {name: old.get(_source_name(name, layers)) for name in new}
    fits = {name: value for name, value in copied.items() if value is not None and value.shape == new[name].shape}
    encoder.load_state_dict(new | fits)
    return encoder


def _source_name(name: str, layers: Sequence[int]) -> str:
    """Name of a weight in the encoder that it is copied from."""
    if not name.startswith("layers."):
        return name
    _, number, rest = name.split(".", 2)
    return f"layers.{layers[int(number)]}.{rest}"


def save_text_encoder(
    folder: Path, encoder: Encoder, tokenizer: Tokenizer, head: MaskedTokenHead | None = None
) -> None:
    """Write what ``load_text_encoder`` and ``load_output_head`` read."""
    encoder.save(folder)
    tokenizer.save(folder)
    if head is not None:
        head.save(folder)
    write_checksums(Path(folder))


def load_output_head(folder: Path, tokenizer: Tokenizer) -> MaskedTokenHead | None:
    """Load the masked-token head beside an encoder; None if there is none.

    Args:
        folder: See ``load_text_encoder``.
        tokenizer: Its tokenizer.
    """
    folder = find_encoder(folder)
    if read_json(folder / "config.json").get("format") == FORMAT:
        return MaskedTokenHead.load(folder)
    return load_with_head(folder, pad_row=tokenizer.pad_row)[1]


def find_encoder(folder: Path) -> Path:
    """Folder with ``config.json``: the one given, or that of a run's artefact.

    Raises:
        InputError: There is none.
    """
    inner = transformer_folder(folder)
    if (inner / "bert_config.json").is_file() and not (inner / "config.json").is_file():
        raise InputError(f"{inner} holds bert_config.json, as BERT's first releases do; call it config.json.")
    return find_files(inner, ("config.json",), "encoder")


def start_files(init: Path | None, tokenizer: TokenizerConfig, teacher: Path | None = None) -> list[Path]:
    """Files from which a training takes weights, tokenizer and word vectors, as far as there are any.

    Args:
        init: See ``load_text_encoder``.
        tokenizer: Its folder and vectors.
        teacher: Run of the teacher.

    Raises:
        InputError: There is no such folder.
    """
    files = [] if tokenizer.vectors is None else [tokenizer.vectors]
    for run in (init, teacher):
        if run is not None:
            files += _files(find_encoder(run), (*_WEIGHTS, *TOKENIZER_FILES))
    if tokenizer.folder is not None:
        files += _files(_find_tokenizer(tokenizer.folder), TOKENIZER_FILES)
    return files


def start_contents(init: Path | None, tokenizer: TokenizerConfig, teacher: Path | None = None) -> dict[Path, str]:
    """Fingerprint of each of ``start_files``.

    A resumed run has its weights, but takes the tokenizer from ``init`` again: with another one, words would have the
    rows of others.
    """
    return {path: fingerprint([path]) for path in start_files(init, tokenizer, teacher)}


def _files(folder: Path, patterns: Sequence[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def _find_tokenizer(folder: Path) -> Path:
    return find_files(transformer_folder(folder), TOKENIZER_FILES[:3], "tokenizer")


def _with_parts(folder: Path, saved: Encoder, parts: dict[str, Any], options: Options) -> Encoder:
    """Copy an encoder with other parts; those that stay the same keep their weights."""
    options = saved.config.layer_options | options
    config = EncoderConfig.from_dict(saved.config.to_dict() | parts | {"layer_options": options})
    encoder = Encoder(config)
    old, new = saved.state_dict(), encoder.state_dict()
    fresh = tuple(
        kind
        for kind, names in {"fusion.": PARTS[:2], "neck.": PARTS[2:5]}.items()
        if any(getattr(config, name) != getattr(saved.config, name) for name in names)
    )
    fits = {name for name, value in old.items() if name in new and value.shape == new[name].shape}
    needed = [name for name in new if name.startswith(("embeddings.", "layers."))]
    if wrong := [name for name in needed if name not in fits and not is_zero_initialised(name)]:
        raise InputError(
            f"{folder} does not fit the settings: it has no {wrong[0]} of shape {list(new[wrong[0]].shape)}."
        )
    encoder.load_state_dict(new | {name: old[name] for name in fits if not name.startswith(fresh)})
    return encoder
