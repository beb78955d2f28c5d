"""The encoder: embeddings → layers → fusion → neck, for clicks and for text alike."""

import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recsys_bert.checksums import check_intact, write_checksums
from recsys_bert.encoder.adapter import Adapter
from recsys_bert.encoder.attention import AttentionMask, RelativePositions
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.embeddings import Embeddings, check_rows
from recsys_bert.encoder.exact_match import ExactMatch
from recsys_bert.encoder.fusions import FUSIONS
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.necks import NECKS
from recsys_bert.encoder.necks.residual import Residual
from recsys_bert.encoder.ngrams import NGrams
from recsys_bert.encoder.parts import allowing_parts, build, find, saved_parts
from recsys_bert.encoder.positions import RELATIVE_POSITIONS
from recsys_bert.encoder.saved_sizes import saved_sizes
from recsys_bert.encoder.weights import load_weights
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

FORMAT = "recsys_bert.encoder/3"
"""Format name and version in ``config.json``."""


@dataclass(frozen=True)
class EncoderOutput:
    """Encoder outputs."""

    states: tuple[Tensor, ...]
    """Embedding output and the output of every layer: ``n_layers + 1`` tensors ``[batch, seq, dim]``."""

    tokens: Tensor
    """Fused states after the neck, ``[batch, seq, out_dim]``; undefined on padding."""

    mask: Tensor
    """bool ``[batch, seq]``, True = token, False = padding."""


class Encoder(nn.Module):
    """Transformer encoder over rows of an item or word table. Padding is row 0, on the right.

    Args:
        config: Sizes and parts.

    Raises:
        InputError: A part or one of its options is unknown or does not fit.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        distinct = min(1, config.n_layers) if config.share_layers else config.n_layers
        self.layers = nn.ModuleList(_build_layer(config) for _ in range(distinct))
        self.relative = _build_relative(config, self.layers) if config.has_relative_positions else None
        self.fusion: nn.Module = build(
            "fusion", config.fusion, FUSIONS, config.dim, config.n_layers, options=config.fusion_options
        )
        # Layers that end in a norm need none here; without one their scale would grow into the neck.
        ends_with_norm = len(self.layers) > 0 and getattr(self.layers[0], "ends_with_norm", False)
        self.norm = nn.Identity() if ends_with_norm else nn.LayerNorm(config.dim, eps=config.norm_eps)
        if ends_with_norm and not config.embedding_norm and config.norm_eps != EncoderConfig.norm_eps:
            raise InputError(
                f"norm_eps is {config.norm_eps}, but layer {config.layer!r} has a norm at its end and embedding_norm "
                "is off: it has no effect. Set layer_options.norm_eps, or leave it out."
            )
        self.neck = _build_neck(config)
        self.out_dim: int = config.dim if self.neck is None else self.neck.out_dim
        table_dim = self.embeddings.token.embedding_dim
        identity = self.out_dim == config.dim and config.embedding_dim is None
        self.output_projection: nn.Module = nn.Identity() if identity else nn.Linear(self.out_dim, table_dim)
        for part in (self.embeddings, self.layers, self.output_projection):
            part.apply(self._initialise)
        if config.position_init == "sinusoidal":
            self.embeddings.init_sinusoidal()

    def forward(
        self,
        tokens: Tensor,
        *,
        segments: Tensor | None = None,
        features: dict[str, Tensor] | None = None,
        times: Tensor | None = None,
        mask: Tensor | None = None,
        prefix: Tensor | None = None,
    ) -> EncoderOutput:
        """Encode a batch.

        Args:
            tokens: Rows of the token table, int64 or int32 ``[batch, seq]``, ``seq`` at most ``max_len``.
            segments: Rows of the segment table ``[batch, seq]``; None = segment 0 everywhere.
            features: Side features by name, ``[batch, seq]`` or, multi-valued or dense, ``[batch, seq, width]``.
            times: Unix seconds, int64 ``[batch, seq]``, ignored on padding; required iff ``config.needs_times``. Only
                differences count.
            mask: bool ``[batch, seq]``; None = ``tokens != 0``.
            prefix: Positions that see each other both ways at the beginning of each row, int64 ``[batch]``; required
                iff ``config.attention`` is ``prefix``.

        Raises:
            InputError: Tokens too long or out of range, padding not on the right, or wrong features, times or prefix.
        """
        x, attention_mask, mask = self._embed(tokens, segments, features, times, mask, prefix)
        states, state = [x], None
        for layer in self.layers_in_order():
            if not self._skips_layer():
                x, state = self._run_layer(layer, x, attention_mask, state)
            states.append(x)
        fused = self.norm(self.fusion(states))
        return EncoderOutput(tuple(states), fused if self.neck is None else self.neck(fused, mask), mask)

    def last_position(
        self, tokens: Tensor, lengths: Tensor, *, features: dict[str, Tensor] | None = None, times: Tensor | None = None
    ) -> Tensor:
        """Output of ``forward`` at the last token of each row, ``[batch, out_dim]``; for ranking.

        The last layer is computed at that position alone if nothing else reads it.

        Args:
            tokens: See ``forward``.
            lengths: Tokens per row, int64 ``[batch]``, at least 1.
            features: See ``forward``.
            times: See ``forward``.

        Raises:
            InputError: See ``forward``.
        """
        layers = self.layers_in_order()
        last_only = (
            self.config.fusion == "last"
            and self.neck is None
            and layers
            and getattr(layers[-1], "last_position_only", False)
        )
        if self.training or not last_only:
            encoded = self(tokens, features=features, times=times).tokens
            last: Tensor = encoded[torch.arange(tokens.shape[0], device=tokens.device), lengths - 1]
            return last
        x, attention_mask, _ = self._embed(tokens, None, features, times, None)
        state = None
        for layer in layers[:-1]:
            x, state = layer(x, attention_mask, state)
        x, _ = layers[-1](x, replace(attention_mask, query_position=lengths - 1), state)
        output: Tensor = self.norm(x)
        return output[:, 0]

    def project(self, x: Tensor) -> Tensor:
        """Project ``[n, out_dim]`` to the width of ``embeddings.token.weight``, for tied output weights.

        Returns:
            ``[n, embedding_dim or dim]``. Identity if widths match, else a linear projection.
        """
        return self.output_projection(x)

    def layers_in_order(self) -> list[nn.Module]:
        """List the ``n_layers`` layers in order; shared layers repeat."""
        return list(self.layers) * (self.config.n_layers if self.config.share_layers else 1)

    def save(self, folder: Path) -> None:
        """Write ``config.json``, ``model.safetensors`` and their checksums into ``folder``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / "model.safetensors")
        write_json(folder / "config.json", {"format": FORMAT, **self.config.to_dict()})
        write_checksums(folder)

    @classmethod
    def load(cls, folder: Path, *, allow_parts: bool = False) -> "Encoder":
        """Load what ``save`` wrote, bit-exact, in evaluation mode.

        Args:
            folder: The folder.
            allow_parts: Import parts from outside (``module:Class``) that the saved settings name; their code runs.

        Raises:
            InputError: No encoder, one of another format, a damaged one, or one with parts from outside.
        """
        folder = Path(folder)
        values = read_json(folder / "config.json")
        _check_format(values.pop("format", None) if isinstance(values, dict) else None, folder)
        check_intact(folder, "train it again")
        weights = folder / "model.safetensors"
        with allowing_parts(allow_parts), saved_parts(folder), saved_sizes(values, weights):
            encoder = cls(EncoderConfig.from_dict(values))
        load_weights(encoder, weights)
        return encoder.eval()

    def _embed(
        self,
        tokens: Tensor,
        segments: Tensor | None,
        features: dict[str, Tensor] | None,
        times: Tensor | None,
        mask: Tensor | None,
        prefix: Tensor | None = None,
    ) -> tuple[Tensor, AttentionMask, Tensor]:
        """Check the inputs; return embeddings, attention mask and padding mask."""
        mask, padded = self.check_tokens(tokens, mask)
        self._check_times(tokens, times)
        self.check_prefix(mask, prefix)
        read_times = times if self.config.times else None
        attention_mask = AttentionMask.of(mask, self.config.causal, padded, read_times, prefix)
        attention_mask = replace(attention_mask, relative=self.relative)
        return self.embeddings(tokens, mask, segments, features, times), attention_mask, mask

    def check_tokens(self, tokens: Tensor, mask: Tensor | None = None) -> tuple[Tensor, bool]:
        """Check shape, rows and padding, see ``forward``; return the mask, and True if there is padding."""
        if torch.onnx.is_in_onnx_export():  # an exported graph branches on no value
            return tokens != 0 if mask is None else mask, True
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= self.config.max_len:
            rule = f"[batch, seq] with seq from 1 to max_len {self.config.max_len}"
            raise InputError(f"tokens have shape {list(tokens.shape)}; they must be {rule}.")
        check_rows("tokens", tokens, self.config.vocab_size, tokens.shape)
        mask = tokens != 0 if mask is None else mask
        if mask.shape != tokens.shape or mask.dtype != torch.bool:
            raise InputError(f"mask is {mask.dtype} {list(mask.shape)}; it must be bool {list(tokens.shape)}.")
        if (mask[:, 1:] > mask[:, :-1]).any():
            raise InputError("padding (row 0) comes before a token; put it on the right.")
        return mask, not bool(mask[:, -1].all())

    def check_prefix(self, mask: Tensor, prefix: Tensor | None) -> None:
        """Raise ``InputError`` unless there is a prefix just where the attention needs one, within each row's mask."""
        needed = self.config.attention == "prefix"
        if needed != (prefix is not None):
            remedy = "pass the length of each row's prefix" if needed else "leave it out"
            raise InputError(f"attention is {self.config.attention!r}: {remedy} (prefix).")
        if prefix is None:
            return
        if prefix.shape != mask.shape[:1] or prefix.dtype != torch.int64:
            raise InputError(f"prefix is {prefix.dtype} {list(prefix.shape)}; it must be int64 [{len(mask)}].")
        if bool(((prefix < 0) | (prefix > mask.sum(1))).any()):
            raise InputError("prefix is longer than its row or below 0; it counts tokens at the beginning of the row.")

    def _check_times(self, tokens: Tensor, times: Tensor | None) -> None:
        if times is None and self.config.needs_times:
            raise InputError("this encoder reads times (times or time_gaps), but got none; pass times.")
        if times is not None and not self.config.needs_times:
            raise InputError("got times, but this encoder reads none; leave them out, or set times or time_gaps.")
        if times is not None and (times.shape != tokens.shape or times.dtype != torch.int64):
            raise InputError(f"times are {times.dtype} {list(times.shape)}; they must be int64 {list(tokens.shape)}.")

    def _skips_layer(self) -> bool:
        """LayerDrop (https://arxiv.org/abs/1909.11556): skip layers in training, without rescaling."""
        return self.training and self.config.layer_drop > 0 and torch.rand(()).item() < self.config.layer_drop

    def _run_layer(self, layer: nn.Module, x: Tensor, attention_mask: AttentionMask, state: Any) -> tuple[Tensor, Any]:
        if self.config.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(layer, x, attention_mask, state, use_reentrant=False)
        return layer(x, attention_mask, state)

    @torch.no_grad()
    def scale_residual_branches(self, factor: float) -> None:
        """Scale the output projection of every attention and feed-forward branch; near 0, a layer is the identity."""
        for module in self.modules():
            if module is self:  # its own output_projection ends no branch
                continue
            if isinstance(last := getattr(module, "output_projection", None), nn.Linear):
                for parameter in last.parameters():
                    parameter.mul_(factor)

    def _initialise(self, module: nn.Module) -> None:
        """Initialise: embeddings N(0, init_std) with the padding row 0, linear layers Glorot with bias 0.

        Adapters of dense features have a scale of their own. N-gram and exact-match tables start at 0, where rows that
        never occur in training stay. The output projection of
        each branch is scaled by ``residual_init_scale``: see there.
        """
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.init_std)
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(last := getattr(module, "output_projection", None), nn.Linear):
            with torch.no_grad():
                last.weight.mul_(self.config.branch_scale)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx])
        if isinstance(module, NGrams | ExactMatch):
            nn.init.zeros_(module.table.weight)
        if isinstance(module, Adapter):
            module.reset_parameters()


def _build_layer(config: EncoderConfig) -> nn.Module:
    parameters = inspect.signature(find("layer", config.layer, LAYERS)).parameters
    if config.times and "timed" not in parameters:
        raise InputError(
            f"times is set, but layer {config.layer!r} reads no times. Choose one that does, such as 'hstu', or set "
            "time_gaps, which works with every layer."
        )
    causal = config.attention != "bidirectional"
    fixed = {"timed": config.times, "causal": causal, "max_len": config.max_len}
    fixed = {name: value for name, value in fixed.items() if name in parameters}
    sizes = (config.dim, config.n_heads, config.dropout)
    layer: nn.Module = build("layer", config.layer, LAYERS, *sizes, options=config.layer_options, **fixed)
    return layer


def _build_relative(config: EncoderConfig, layers: nn.ModuleList) -> RelativePositions:
    if not all(getattr(layer, "relative_positions", False) for layer in layers):
        raise InputError(
            f"position is {config.position!r}, but layer {config.layer!r} has attention scores of its own, which it "
            "does not reach. Choose another layer, such as 'pre_norm', or position 'last', 'start' or 'none'."
        )
    head_dim = config.dim // config.n_heads
    relative: RelativePositions = build(
        "position", config.position, RELATIVE_POSITIONS, head_dim, config.n_heads, options={}
    )
    return relative


def _build_neck(config: EncoderConfig) -> Residual | None:
    if config.neck == "none":
        return None
    causal = config.attention != "bidirectional"
    neck = build("neck", config.neck, NECKS, config.dim, config.dropout, options=config.neck_options, causal=causal)
    return Residual(neck, config.dim, config.residual)


def _check_format(version: object, folder: Path) -> None:
    kind = FORMAT.split("/")[0]
    if version == FORMAT:
        return
    if isinstance(version, str) and version.startswith(f"{kind}/"):
        raise InputError(
            f"{folder} holds an encoder of format {version!r}, trained by another version; this one reads {FORMAT!r}. "
            "Train it again."
        )
    raise InputError(f"{folder} holds no encoder of this project (config.json lacks format {FORMAT!r}).")
