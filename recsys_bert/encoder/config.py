"""Sizes and part names of an encoder; no torch in here."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from recsys_bert.encoder.fusions import FUSIONS
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.necks import NECKS
from recsys_bert.encoder.parts import Options, check_name
from recsys_bert.errors import InputError, unknown_name


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """One named side feature that every position carries."""

    name: str
    """Key under which the values are given to the encoder."""

    size: int
    """Number of values, the 0 that stands for "none" included; at least 2."""

    multi: bool = False
    """True: ``[batch, seq, width]`` values a position, embedded as the mean of those that are not 0."""

    def __post_init__(self) -> None:
        """Check name and size."""
        if not self.name:
            raise InputError("a feature has an empty name; give it the key that its values come under.")
        if self.size < 2:
            raise InputError(f"feature {self.name!r}: size is {self.size}; it counts 0 (none) and must be at least 2.")


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """What an encoder is made of. Row 0 of the token table is padding."""

    vocab_size: int = 2
    """Rows of the token table, special rows included. Pipelines take it from the data."""

    dim: int = 64
    """Width of one position; divisible by ``n_heads``."""

    n_layers: int = 2
    """Number of layers. 0 leaves the embeddings to the neck alone: with neck = "bilstm" and residual = "none" that is a
    plain BiLSTM, a light student for distillation; without a neck, but with ngrams, it is fastText."""

    n_heads: int = 2
    """Attention heads per layer."""

    max_len: int = 200
    """Longest input, in positions."""

    dropout: float = 0.1
    """Probability in [0, 1) on embeddings and on every branch of a layer."""

    layer: str = field(default="pre_norm", metadata={"names": LAYERS})
    """What a layer is: a name in ``LAYERS``, or ``module:Class``."""

    layer_options: Options = field(default_factory=dict)
    """Options of the layer, the same for all layers."""

    fusion: str = field(default="last", metadata={"names": FUSIONS})
    """How the layers' outputs become one: a name in ``FUSIONS``, or ``module:Class``."""

    fusion_options: Options = field(default_factory=dict)
    """Options of the fusion."""

    neck: str = field(default="none", metadata={"names": {"none": "", **NECKS}})
    """What follows the fusion: ``none``, a name in ``NECKS``, or ``module:Class``."""

    neck_options: Options = field(default_factory=dict)
    """Options of the neck."""

    residual: Literal["add", "concat", "none"] = "add"
    """How neck f and its input x meet: f(x) + W x, [f(x); x], or f(x) alone."""

    causal: bool = False
    """True: no position sees a later one."""

    position: Literal["newest", "start", "none"] = "newest"
    """Learned positions counted back from the newest real position, from the start, or none at all.

    With ``newest`` a position knows how many follow it, in causal mode too, though never which.
    """

    position_init: Literal["normal", "sinusoidal"] = "normal"
    """Where positions start: at random like everything else, or on sinusoids of the same size, by which one step back
    looks alike from everywhere; learned from there on."""

    n_segments: int = 0
    """Rows of the segment table; 0 = no segments."""

    ngrams: int = 1
    """Positions of the longest run that has a vector of its own, added where the run ends: 2 has pairs of neighbours, 3
    pairs and triples; 1 has none."""

    ngram_rows: int = 100_000
    """Rows of the table of runs, with ``ngrams`` from 2 on; runs are hashed into them."""

    exact_match: int = 0
    """With two segments, a question and a passage, say: every position has a vector for the length of the run around it
    that stands in the other segment too, up to this length; 0 has none, 4 is enough for most."""

    embedding_dim: int | None = None
    """Width of the embedding tables when factorised (they are then mapped to ``dim``); None = ``dim``, no map."""

    embedding_norm: bool = False
    """Layer norm over the summed embeddings, as BERT has it."""

    features: tuple[FeatureConfig, ...] = ()
    """Side features, each with a table of its own; their embeddings are added. Pipelines take them from the data."""

    times: bool = False
    """True: layers see how much time lies between two positions, by the moments that are given; for layers that read
    times (``hstu``). Differences count back from the newest position, so "now" is the moment of the newest event."""

    time_gaps: bool = False
    """True: the time since the position before is added to every position, as an embedding of its order of magnitude;
    for any layer."""

    layer_drop: float = 0.0
    """Probability in [0, 1) of leaving out a whole layer in training."""

    gradient_checkpointing: bool = False
    """Compute layers again in the backward pass instead of keeping their insides."""

    share_layers: bool = False
    """True: one set of weights serves all layers."""

    init_std: float = 0.02
    """Standard deviation of embeddings at the start; linear maps start as Glorot has them."""

    residual_init_scale: float = 0.01
    """Factor on the starting weights of the map with which attention and feed-forward branches end.

    Near 0 a layer starts as the identity (https://arxiv.org/abs/1901.09321), so that the item's own embedding is not
    drowned: what next-item training wants. Masked training, where the asked position has nothing of its own to say,
    starts faster from 1.
    """

    norm_eps: float = 1e-5
    """Added to the variance in the norms after embeddings and fusion; layers have their own option of this name."""

    def __post_init__(self) -> None:
        """Check everything that can be checked without building a part."""
        for name, least in (("vocab_size", 2), ("dim", 1), ("n_layers", 0), ("n_heads", 1), ("max_len", 1)):
            _at_least(name, getattr(self, name), least)
        _at_least("n_segments", self.n_segments, 0)
        _at_least("ngrams", self.ngrams, 1)
        _at_least("ngram_rows", self.ngram_rows, 2)
        _at_least("exact_match", self.exact_match, 0)
        if self.exact_match and self.n_segments < 2:
            raise InputError(
                f"exact_match is {self.exact_match}, but n_segments {self.n_segments}: there are no two segments that "
                "could share anything. Set n_segments to 2, or leave exact_match out."
            )
        if self.embedding_dim is not None:
            _at_least("embedding_dim", self.embedding_dim, 1)
        if self.dim % self.n_heads:
            raise InputError(f"dim {self.dim} is not divisible by n_heads {self.n_heads}; change one of them.")
        for name in ("dropout", "layer_drop"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must lie in [0, 1).")
        for name in ("init_std", "residual_init_scale", "norm_eps"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0.")
        self._check_names()

    def _check_names(self) -> None:
        check_name("layer", self.layer, LAYERS)
        check_name("fusion", self.fusion, FUSIONS)
        check_name("neck", self.neck, {"none": "", **NECKS})
        if self.neck == "none" and self.neck_options:
            raise InputError(f"neck_options {self.neck_options} are given but neck is 'none'; name a neck.")
        alone = self.neck == "none" and self.ngrams == 1
        if not self.n_layers and (alone or self.times):
            lacking = "nothing would look beyond one position" if alone else "no layer would read times"
            raise InputError(
                f"n_layers is 0, so that {lacking}; name a neck or set ngrams, and leave out times, or have a layer."
            )
        if self.residual not in ("add", "concat", "none"):
            raise unknown_name("residual form", self.residual, ("add", "concat", "none"))
        if self.position not in ("newest", "start", "none"):
            raise unknown_name("position", self.position, ("newest", "start", "none"))
        if self.position_init not in ("normal", "sinusoidal"):
            raise unknown_name("position_init", self.position_init, ("normal", "sinusoidal"))
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            raise InputError(f"two features share a name: {', '.join(names)}; every feature needs its own.")

    @property
    def needs_times(self) -> bool:
        """Whether moments have to be given with every batch."""
        return self.times or self.time_gaps

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "EncoderConfig":
        """Build a config from what ``to_dict`` gave.

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
