"""Pooling of an encoder's states into a text's vector: our file, or those of sentence-transformers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from nlp_tasks.config import HeadConfig, LengthConfig
from nlp_tasks.heads import TEXT_HEADS
from nlp_tasks.model import TextModel
from recsys_bert.encoder.hugging_face.files import read_weights
from recsys_bert.encoder.model import Encoder
from recsys_bert.encoder.parts import build, check_allowed
from recsys_bert.encoder.weights import load_weights
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

_FILE, _WEIGHTS, _MODULES = "pooling.json", "pooling.safetensors", "modules.json"
_HEADS = {"mean": "mean", "cls": "first", "max": "max"}
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Their older settings → their newer ones."""

_KINDS = ("bert", "roberta", "distilbert", "mpnet", "electra", "albert", "camembert", "xlm-roberta")


@dataclass(frozen=True)
class Pooling:
    """Head that pools a text's states into its vector."""

    head: HeadConfig = field(default_factory=lambda: HeadConfig(name="mean", dropout=0.0))
    """Head without an output layer."""

    weights: Mapping[str, Tensor] | None = field(default_factory=dict)
    """Weights of the head, if it has any; None: untrained ones."""

    normalise: bool = False
    """Divide vectors by their length."""

    length: LengthConfig = field(default_factory=LengthConfig)
    """Treatment of long texts."""

    def model(self, encoder: Encoder) -> TextModel:
        """Build the model of vectors on an encoder.

        Raises:
            InputError: The head's weights are of another width.
        """
        model = TextModel(encoder, self.head, 0, self.length.pool)
        if self.weights is None:
            return model.eval()
        try:
            model.head.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise InputError(f"the pooling does not fit the encoder: {error}") from error
        return model.eval()

    def save(self, folder: Path) -> None:
        """Write ``pooling.json`` and, if there are weights, ``pooling.safetensors``."""
        values = asdict(self)
        del values["weights"]
        write_json(folder / _FILE, values)
        if self.weights:
            save_file({name: value.cpu().contiguous() for name, value in self.weights.items()}, folder / _WEIGHTS)

    @classmethod
    def load(cls, folder: Path, dim: int) -> "Pooling | None":
        """Load what ``save`` wrote; None if there is nothing.

        Raises:
            InputError: It is damaged.
        """
        if not (folder / _FILE).is_file():
            return None
        try:
            values = read_json(folder / _FILE)
            head, length = HeadConfig(**values.pop("head")), LengthConfig(**values.pop("length"))
            if ":" in head.name:
                check_allowed("head", head.name, folder / _FILE)
            pooling = cls(head=head, length=length, **values)
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{folder / _FILE} is damaged: {error}.") from error
        if not (folder / _WEIGHTS).is_file():
            return pooling
        built: nn.Module = build("head", head.name, TEXT_HEADS, dim, options=head.options)
        load_weights(built, folder / _WEIGHTS)
        return cls(**{**vars(pooling), "weights": built.state_dict()})


def is_sentence_transformer(folder: Path) -> bool:
    """True for a folder of sentence-transformers."""
    return (folder / _MODULES).is_file()


def transformer_folder(folder: Path) -> Path:
    """Folder of the encoder in a sentence-transformers folder; ``folder`` itself if it is none."""
    if not (folder / _MODULES).is_file():
        return folder
    return _modules(folder)[0][1]


def read_sentence_transformer(folder: Path, max_len: int) -> Pooling | None:
    """Read how a sentence-transformers folder makes vectors of an encoder's states.

    Args:
        folder: The folder; None is returned if it has no ``modules.json``.
        max_len: Longest input of the encoder.

    Raises:
        InputError: Modules or settings that have no counterpart, or damaged files.
    """
    if not (folder / _MODULES).is_file():
        return None
    modules = _modules(folder)
    kinds = [kind for kind, _ in modules]
    rest = [kind for kind in kinds[2:] if kind != "Normalize"]
    if kinds[1:2] != ["Pooling"] or rest not in ([], ["Dense"]) or "Normalize" in kinds[:-1]:
        raise InputError(
            f"{folder} has the modules {', '.join(kinds)}; Transformer, Pooling and, after it, one Dense and Normalize "
            "can be loaded."
        )
    pooling = _pooling(read_json(modules[1][1] / "config.json"), folder)
    head, weights = HeadConfig(name=pooling, dropout=0.0), dict[str, Tensor]()
    if rest:
        head, weights = _dense(modules[2][1], pooling)
    length = LengthConfig(max_len=_longest(folder, max_len), head_share=1.0)
    return Pooling(head=head, weights=weights, normalise=kinds[-1] == "Normalize", length=length)


def prefix_and_case(folder: Path) -> tuple[str, bool]:
    """Prompt before every text, and True if A is read as a, of a sentence-transformers folder; nothing of others."""
    if not (folder / _MODULES).is_file():
        return "", False
    return _prefix(folder), bool(_transformer_settings(folder).get("do_lower_case"))


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """Kind and folder of each module."""
    try:
        modules = [(str(one["type"]).rpartition(".")[2], str(one["path"])) for one in read_json(folder / _MODULES)]
    except (TypeError, KeyError) as error:
        raise InputError(f"{folder / _MODULES} is damaged: {error}.") from error
    if not modules or modules[0][0] != "Transformer":
        first = modules[0][0] if modules else "nothing"
        raise InputError(f"{folder} begins with the module {first}, which cannot be loaded; Transformer can.")
    if outside := [path for _, path in modules if path and Path(path).name != path]:
        raise InputError(f"{folder / _MODULES} names {outside[0]!r}, which is no folder within.")
    return [(kind, folder / path) for kind, path in modules]


def _pooling(config: Any, folder: Path) -> str:
    if not isinstance(config, dict):
        raise InputError(f"{folder} has a damaged config.json of its Pooling.")
    modes = config.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if config.get(flag)] or "mean"
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in _HEADS:
        raise InputError(
            f"{folder} pools by {' and '.join(map(str, modes))}; one of {', '.join(_HEADS)} can be loaded."
        )
    if config.get("include_prompt") is False and _prefix(folder):
        raise InputError(f"{folder} leaves its prompt out of the pooling (include_prompt), which cannot be loaded.")
    return _HEADS[modes[0]]


def _dense(folder: Path, pooling: str) -> tuple[HeadConfig, dict[str, Tensor]]:
    config = read_json(folder / "config.json")
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2].lower()
    if name not in ("tanh", "identity", "relu", "gelu") or config.get("use_residual"):
        extra = " and a residual connection" if config.get("use_residual") else ""
        raise InputError(f"{folder} is a Dense with the activation {name!r}{extra}, which cannot be loaded.")
    options = {
        "pooling": pooling,
        "width": config["out_features"],
        "bias": config.get("bias", True),
        "activation": name,
    }
    return HeadConfig(name="dense", options=options, dropout=0.0), read_weights(folder)


def _prefix(folder: Path) -> str:
    """Prompt that is put before every text where none is named."""
    file = folder / "config_sentence_transformers.json"
    values = read_json(file) if file.is_file() else {}
    name = values.get("default_prompt_name")
    return str(values.get("prompts", {}).get(name) or "") if name else ""


def _transformer_settings(folder: Path) -> dict[str, Any]:
    transformer = transformer_folder(folder)
    files = [transformer / f"sentence_{kind}_config.json" for kind in _KINDS]
    values: Any = next((read_json(file) for file in files if file.is_file()), {})
    if not isinstance(values, dict):
        raise InputError(f"{transformer} has a damaged sentence_bert_config.json.")
    return values


def _longest(folder: Path, max_len: int) -> int:
    """Tokens read at once; of longer texts they keep the beginning."""
    limits = [_transformer_settings(folder).get("max_seq_length")]
    tokenizer = transformer_folder(folder) / "tokenizer_config.json"
    if not limits[0] and tokenizer.is_file():
        limits = [read_json(tokenizer).get("model_max_length")]
    return min([max_len, *(int(limit) for limit in limits if limit)])
