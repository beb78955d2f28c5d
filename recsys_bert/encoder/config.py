"""Encoder settings; no torch in here."""

from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from recsys_bert.encoder.fusions import FUSIONS
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.necks import NECKS
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.encoder.positions import RELATIVE_POSITIONS
from recsys_bert.errors import InputError, unknown_name

POSITIONS: dict[str, str] = {"last": "", "start": "", "none": "", **RELATIVE_POSITIONS}

Attention = Literal["bidirectional", "causal", "prefix"]


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Side feature of every position."""

    name: str
    """Key of the values in the encoder's ``features``."""

    size: int = 0
    """Number of values including 0 = none, at least 2; 0 for numbers."""

    multi: bool = False
    """True: ``[batch, seq, width]`` values per position, embedded as the mean over those that are not 0."""

    width: int = 0
    """Numbers per position of a dense feature, float ``[batch, seq, width]``, which a linear adapter maps to the
    embedding's width; 0 for categories."""

    def __post_init__(self) -> None:
        """Check name and size."""
        if not self.name:
            raise InputError("a feature has an empty name; set name to the key of its values.")
        if self.width < 0 or (self.width and (self.size or self.multi)):
            raise InputError(
                f"feature {self.name!r}: width is {self.width}, size {self.size}, multi {self.multi}; a dense feature "
                "has a width above 0 and neither of the others."
            )
        if self.width:
            return
        if self.size < 2:
            raise InputError(f"feature {self.name!r}: size is {self.size}; it counts 0 (none) and must be at least 2.")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Encoder: sizes and parts. Row 0 of the token table is padding."""

    vocab_size: int = 2
    """Rows of the token table, special rows included. Set from the data by pipelines."""

    dim: int = 64
    """Hidden width; divisible by ``n_heads`` if there are layers."""

    n_layers: int = 2
    """Number of layers. 0 = embeddings and neck only: with neck = "bilstm" and residual = "none" a plain BiLSTM, a
    light student for distillation; with ngrams and no neck, fastText."""

    n_heads: int = 2
    """Attention heads per layer."""

    max_len: int = 200
    """Longest input, in positions."""

    dropout: float = 0.1
    """Dropout probability in [0, 1) on embeddings and on every residual branch."""

    layer: str = field(default="pre_norm", metadata={"names": LAYERS})
    """Layer type: a name in ``LAYERS``, or ``module:Class``."""

    layer_options: Options = field(default_factory=dict)
    """Options of the layer, the same for all layers."""

    fusion: str = field(default="last", metadata={"names": FUSIONS})
    """Fusion of the hidden layers: a name in ``FUSIONS``, or ``module:Class``."""

    fusion_options: Options = field(default_factory=dict)
    """Options of the fusion."""

    neck: str = field(default="none", metadata={"names": {"none": "", **NECKS}})
    """Neck after the fusion: ``none``, a name in ``NECKS``, or ``module:Class``."""

    neck_options: Options = field(default_factory=dict)
    """Options of the neck."""

    residual: Literal["add", "concat", "none"] = "add"
    """Residual connection of neck f: f(x) + W x, [f(x); x], or f(x)."""

    attention: Attention = "bidirectional"
    """``causal``: no position depends on a later one. ``prefix``: the first positions of a row, such as a source text,
    see each other both ways, the others all of these and what is before them (UniLM,
    https://arxiv.org/abs/1905.03197)."""

    position: str = field(default="last", metadata={"names": POSITIONS})
    """Learned position embeddings, counted back from the last token (``last``) or from the ``start``, or ``none``; or
    relative positions in the attention of every layer: ``rope``, ``alibi``, or ``module:Class``.

    ``last`` tells a position how many tokens follow, in causal mode too, but never which.
    """

    position_init: Literal["normal", "sinusoidal"] = "normal"
    """Initial position embeddings: random, or sinusoids of the same std, in which a step back looks the same from every
    position; both are trained."""

    n_segments: int = 0
    """Segments (token types); 0 = none."""

    ngrams: int = 1
    """Longest n-gram with an embedding, added where it ends: 2 = bigrams, 3 = bigrams and trigrams; 1 = none."""

    ngram_rows: int = 100_000
    """Rows of the n-gram table, into which n-grams are hashed; with ``ngrams`` from 2 on."""

    exact_match: int = 0
    """Longest n-gram of the exact-match feature: every position gets an embedding of the length of the n-gram around it
    that also occurs in the other segment. For two segments, as question and passage; 0 = none, 4 is usually enough."""

    embedding_dim: int | None = None
    """Width of factorised embedding tables, which are then projected to ``dim``; None = ``dim``, not factorised."""

    embedding_norm: bool = False
    """Layer norm on the summed embeddings, as in BERT."""

    features: tuple[FeatureConfig, ...] = ()
    """Side features, each with an embedding table or, of numbers, an adapter; the embeddings are added. Set from the
    data by pipelines."""

    times: bool = False
    """True: layers read the time between positions; for layers that can (``hstu``). "Now" is the last timestamp."""

    time_gaps: bool = False
    """True: add an embedding of the time since the previous position, in logarithmic buckets; for any layer."""

    layer_drop: float = 0.0
    """LayerDrop: probability in [0, 1) of skipping a layer in training."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass instead of storing them."""

    share_layers: bool = False
    """True: all layers share their weights (ALBERT)."""

    init_std: float = 0.02
    """Initial standard deviation of embeddings; linear layers use Glorot initialisation."""

    residual_init_scale: float | None = None
    """Factor on the initial weights of the output projection of attention and feed-forward branches.

    Near 0 a layer starts as the identity (https://arxiv.org/abs/1901.09321), which keeps the item's embedding dominant:
    good for next-item training. Masked training, where the query position is a mask, starts faster from 1. None = 0.01
    with causal or prefix attention, 1 with bidirectional.
    """

    norm_eps: float = 1e-5
    """Epsilon of the norms after embeddings and fusion; layers have an option of this name."""

    def __post_init__(self) -> None:
        """Check what can be checked without building a part."""
        for name, least in (("vocab_size", 2), ("dim", 1), ("n_layers", 0), ("n_heads", 1), ("max_len", 1)):
            _at_least(name, getattr(self, name), least)
        _at_least("n_segments", self.n_segments, 0)
        _at_least("ngrams", self.ngrams, 1)
        _at_least("ngram_rows", self.ngram_rows, 2)
        _at_least("exact_match", self.exact_match, 0)
        if self.exact_match and self.n_segments < 2:
            raise InputError(
                f"exact_match is {self.exact_match}, but n_segments is {self.n_segments}: it compares two segments. "
                "Set n_segments to 2, or leave exact_match out."
            )
        self._check_attention()
        if self.embedding_dim is not None:
            _at_least("embedding_dim", self.embedding_dim, 1)
        if self.n_layers and self.dim % self.n_heads:
            raise InputError(f"dim {self.dim} is not divisible by n_heads {self.n_heads}; change one of them.")
        for name in ("dropout", "layer_drop"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must lie in [0, 1).")
        for name in ("init_std", "residual_init_scale", "norm_eps"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0.")
        self._check_names()
        self._check_unread()

    def _check_attention(self) -> None:
        if self.attention not in get_args(Attention):
            raise unknown_name("attention", self.attention, get_args(Attention))
        if self.attention != "bidirectional" and self.exact_match:
            raise InputError(
                f"attention is {self.attention!r}, but exact_match tells a position of tokens after it. Leave it out."
            )
        if self.attention == "prefix" and self.position == "last":
            raise InputError(
                "attention is 'prefix', but position is 'last', which tells how many tokens follow. Choose 'start', "
                "'rope', 'alibi' or 'none'."
            )

    def _check_names(self) -> None:
        check_name("layer", self.layer, LAYERS)
        check_name("fusion", self.fusion, FUSIONS)
        check_name("neck", self.neck, {"none": "", **NECKS})
        no_context = self.neck == "none" and self.ngrams == 1
        if not self.n_layers and (no_context or self.times):
            lacking = "nothing would look beyond one position" if no_context else "no layer would read times"
            raise InputError(
                f"n_layers is 0, so that {lacking}; name a neck or set ngrams, and leave out times, or have a layer."
            )
        if self.residual not in ("add", "concat", "none"):
            raise unknown_name("residual form", self.residual, ("add", "concat", "none"))
        check_name("position", self.position, POSITIONS)
        if self.has_relative_positions and not self.n_layers:
            raise InputError(
                f"position is {self.position!r}, which is of the layers' attention, but n_layers is 0. Choose 'last', "
                "'start' or 'none', or have a layer."
            )
        if self.position_init not in ("normal", "sinusoidal"):
            raise unknown_name("position_init", self.position_init, ("normal", "sinusoidal"))
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            raise InputError(f"two features share a name: {', '.join(names)}; every feature needs its own.")

    def _check_unread(self) -> None:
        """Refuse settings of parts that this encoder does not have."""
        unread = {
            "neck": ("neck_options", "residual") if self.neck == "none" else (),
            "ngrams": ("ngram_rows",) if self.ngrams == 1 else (),
            "position": () if self.has_position_table else ("position_init",),
            "n_layers": (
                *(("share_layers",) if self.n_layers < 2 else ()),
                *(("layer", "layer_options", "layer_drop") if self.n_layers == 0 else ()),
            ),
        }
        defaults = {f.name: {} if f.default is MISSING else f.default for f in fields(self)}
        for part, names in unread.items():
            for name in names:
                value = getattr(self, name)
                if value != defaults[name]:
                    raise InputError(
                        f"{name} is {value!r}, but {part} is {getattr(self, part)!r}: it has no effect. Leave it out."
                    )

    def check_named(self, names: frozenset[str]) -> None:
        """Refuse settings of layers where there are none, defaults included.

        Raises:
            InputError: One of ``names`` has no effect.
        """
        of_layers = ("layer", "n_heads", "residual_init_scale", "gradient_checkpointing")
        if not self.n_layers and (unread := [name for name in of_layers if name in names]):
            raise InputError(f"{unread[0]} is of the layers, but n_layers is 0: it has no effect. Leave it out.")

    @property
    def has_position_table(self) -> bool:
        """True if positions are embedded."""
        return self.position in ("last", "start")

    @property
    def has_relative_positions(self) -> bool:
        """True if the layers' attention compares positions."""
        return self.position not in ("last", "start", "none")

    @property
    def needs_times(self) -> bool:
        """True if every batch needs times."""
        return self.times or self.time_gaps

    @property
    def causal(self) -> bool:
        """True if no position depends on a later one."""
        return self.attention == "causal"

    @property
    def branch_scale(self) -> float:
        """``residual_init_scale``, or what None stands for."""
        if self.residual_init_scale is not None:
            return self.residual_init_scale
        return 1.0 if self.attention == "bidirectional" else 0.01

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "EncoderConfig":
        """Build a config from the values of ``to_dict``.

        Raises:
            InputError: An unknown key, a missing one, or a value that is not allowed.
        """
        import pydantic  # late: it is slow to import and `--help` needs none of it

        _check_keys("encoder setting", cls, values)
        for feature in values.get("features", ()):
            _check_keys("setting of a feature", FeatureConfig, feature)
        try:
            return pydantic.TypeAdapter(cls).validate_python(values)
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            if isinstance(ours := first.get("ctx", {}).get("error"), InputError):
                raise ours from error
            raise InputError(f"encoder setting {'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def _check_keys(kind: str, config: type, values: Iterable[str]) -> None:
    known = {f.name for f in fields(config)}
    if unknown := sorted(set(values) - known):
        raise unknown_name(kind, unknown[0], known)


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise InputError(f"{name} is {value}; it must be at least {least}.")
