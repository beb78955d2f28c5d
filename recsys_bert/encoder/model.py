"""The encoder: embeddings → layers → fusion → neck, for clicks and for text alike."""

import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recsys_bert.encoder.attention import AttentionMask
from recsys_bert.encoder.config import EncoderConfig
from recsys_bert.encoder.embeddings import Embeddings, check_rows
from recsys_bert.encoder.exact_match import ExactMatch
from recsys_bert.encoder.fusions import FUSIONS
from recsys_bert.encoder.layers import LAYERS
from recsys_bert.encoder.necks import NECKS
from recsys_bert.encoder.necks.residual import Residual
from recsys_bert.encoder.ngrams import NGrams
from recsys_bert.encoder.parts import build, find
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

FORMAT = "recsys_bert.encoder/1"
"""Stands in ``config.json``, so that a folder of another kind or time is refused."""


@dataclass(frozen=True)
class EncoderOutput:
    """What the encoder says of a batch."""

    states: tuple[Tensor, ...]
    """Embedding output and every layer's output, ``n_layers + 1`` tensors ``[batch, seq, dim]``."""

    tokens: Tensor
    """``[batch, seq, out_dim]``: states, fused, and through the neck. Padding positions hold nothing of use."""

    mask: Tensor
    """bool ``[batch, seq]``, True on positions that are not padding."""


class Encoder(nn.Module):
    """A transformer over rows of an item or word table. Padding is row 0 and on the right.

    Args:
        config: Sizes and part names.

    Raises:
        InputError: A part or one of its options is not known or does not fit.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        distinct = min(1, config.n_layers) if config.share_layers else config.n_layers
        self.layers = nn.ModuleList(_build_layer(config) for _ in range(distinct))
        self.fusion: nn.Module = build(
            "fusion", config.fusion, FUSIONS, config.dim, config.n_layers, options=config.fusion_options
        )
        # Layers that end in a norm need none here; those that do not would let their scale grow into the neck.
        ends_with_norm = len(self.layers) > 0 and getattr(self.layers[0], "ends_with_norm", False)
        self.norm = nn.Identity() if ends_with_norm else nn.LayerNorm(config.dim, eps=config.norm_eps)
        self.neck = _build_neck(config)
        self.out_dim: int = config.dim if self.neck is None else self.neck.out_dim
        table_dim = self.embeddings.token.embedding_dim
        identity = self.out_dim == config.dim and config.embedding_dim is None
        self.output_projection: nn.Module = nn.Identity() if identity else nn.Linear(self.out_dim, table_dim)
        for part in (self.embeddings, self.layers, self.output_projection):
            part.apply(self._initialise)
        if config.position_init == "sinusoidal":
            self.embeddings.place_sinusoids()

    def forward(
        self,
        tokens: Tensor,
        *,
        segments: Tensor | None = None,
        features: dict[str, Tensor] | None = None,
        times: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> EncoderOutput:
        """Encode a batch.

        Args:
            tokens: Rows of the token table, int64 or int32 ``[batch, seq]``, ``seq`` at most ``max_len``.
            segments: Rows of the segment table ``[batch, seq]``; None = segment 0 everywhere.
            features: Side features by name, ``[batch, seq]`` or, multi-valued, ``[batch, seq, width]``.
            times: When each position happened, unix seconds, int64 ``[batch, seq]``, anything on padding; exactly
                where ``config.needs_times``. Only differences are read.
            mask: bool ``[batch, seq]``; None = where ``tokens`` is not 0.

        Raises:
            InputError: Too long, out of range, padding not on the right, or features or times that do not fit.
        """
        x, attention_mask, mask = self._begin(tokens, segments, features, times, mask)
        states, state = [x], None
        for layer in self.layers_in_order():
            if not self._dropped():
                x, state = self._run(layer, x, attention_mask, state)
            states.append(x)
        fused = self.norm(self.fusion(states))
        return EncoderOutput(tuple(states), fused if self.neck is None else self.neck(fused, mask), mask)

    def newest(
        self, tokens: Tensor, lengths: Tensor, *, features: dict[str, Tensor] | None = None, times: Tensor | None = None
    ) -> Tensor:
        """Output at the newest position of each row, ``[batch, out_dim]``; for ranking, not for training.

        It is that of ``forward``; where nothing but the output reads the last layer, that layer is
        computed there alone.

        Args:
            tokens: As ``forward`` has them.
            lengths: Real positions of each row, int64 ``[batch]``, at least 1.
            features: As ``forward`` has them.
            times: As ``forward`` has them.

        Raises:
            InputError: As ``forward`` raises it.
        """
        layers = self.layers_in_order()
        alone = (
            self.config.fusion == "last"
            and self.neck is None
            and layers
            and getattr(layers[-1], "last_position_only", False)
        )
        if self.training or not alone:
            encoded = self(tokens, features=features, times=times).tokens
            newest: Tensor = encoded[torch.arange(len(tokens), device=tokens.device), lengths - 1]
            return newest
        x, attention_mask, _ = self._begin(tokens, None, features, times, None)
        state = None
        for layer in layers[:-1]:
            x, state = layer(x, attention_mask, state)
        last: Tensor = self.norm(layers[-1](x, replace(attention_mask, query_position=lengths - 1), state)[0])
        return last[:, 0]

    def project(self, x: Tensor) -> Tensor:
        """Bring ``[n, out_dim]`` to where ``embeddings.token.weight`` lives, for an output tied to that table.

        Returns:
            ``[n, embedding_dim or dim]``; ``x`` itself where nothing changes the width, an own linear map elsewhere.
        """
        return self.output_projection(x)

    def layers_in_order(self) -> list[nn.Module]:
        """The ``n_layers`` layers as they are run; one layer many times where weights are shared."""
        return list(self.layers) * (self.config.n_layers if self.config.share_layers else 1)

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into ``folder``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in self.state_dict().items()}, folder / "model.safetensors")
        write_json(folder / "config.json", {"format": FORMAT, **self.config.to_dict()})

    @classmethod
    def load(cls, folder: Path) -> "Encoder":
        """Read what ``save`` wrote; the weights are the same to the last bit. In evaluation mode.

        Raises:
            InputError: Not such a folder, or damaged.
        """
        folder = Path(folder)
        values = read_json(folder / "config.json")
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise InputError(f"{folder} holds no encoder of this project (config.json lacks format {FORMAT!r}).")
        encoder = cls(EncoderConfig.from_dict(values))
        load_weights(encoder, folder / "model.safetensors")
        return encoder.eval()

    def _begin(
        self,
        tokens: Tensor,
        segments: Tensor | None,
        features: dict[str, Tensor] | None,
        times: Tensor | None,
        mask: Tensor | None,
    ) -> tuple[Tensor, AttentionMask, Tensor]:
        """What the first layer gets, where it may look, and which positions are real; checked."""
        mask, padded = self._check(tokens, mask)
        self._check_times(tokens, times)
        attention_mask = AttentionMask.of(mask, self.config.causal, padded, times if self.config.times else None)
        return self.embeddings(tokens, mask, segments, features, times), attention_mask, mask

    def _check(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, bool]:
        """Check shape and padding; return ``mask`` and whether anything is padded."""
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= self.config.max_len:
            rule = f"[batch, seq] with seq from 1 to max_len {self.config.max_len}"
            raise InputError(f"tokens have shape {list(tokens.shape)}; they must be {rule}.")
        check_rows("tokens", tokens, self.config.vocab_size, tokens.shape)
        mask = tokens != 0 if mask is None else mask
        if mask.shape != tokens.shape or mask.dtype != torch.bool:
            raise InputError(f"real is {mask.dtype} {list(mask.shape)}; it must be bool {list(tokens.shape)}.")
        if (mask[:, 1:] > mask[:, :-1]).any():
            raise InputError("padding (row 0) stands before a real position; put it on the right.")
        return mask, not bool(mask[:, -1].all())

    def _check_times(self, tokens: Tensor, times: Tensor | None) -> None:
        if times is None and self.config.needs_times:
            raise InputError("this encoder reads when events happened (times or time_gaps), but no times came.")
        if times is not None and not self.config.needs_times:
            raise InputError("times are given, but this encoder reads none; leave them out or set times or time_gaps.")
        if times is not None and (times.shape != tokens.shape or times.dtype != torch.int64):
            raise InputError(f"times are {times.dtype} {list(times.shape)}; they must be int64 {list(tokens.shape)}.")

    def _dropped(self) -> bool:
        """LayerDrop (https://arxiv.org/abs/1909.11556): whole layers, in training only, nothing rescaled."""
        return self.training and self.config.layer_drop > 0 and torch.rand(()).item() < self.config.layer_drop

    def _run(self, layer: nn.Module, x: Tensor, attention_mask: AttentionMask, state: Any) -> tuple[Tensor, Any]:
        if self.config.gradient_checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(layer, x, attention_mask, state, use_reentrant=False)
        return layer(x, attention_mask, state)

    @torch.no_grad()
    def scale_residual_branches(self, factor: float) -> None:
        """Multiply the last map of every attention and feed-forward branch; near 0, layers are near the identity."""
        for module in self.modules():
            if isinstance(last := getattr(module, "output_projection", None), nn.Linear):
                for parameter in last.parameters():
                    parameter.mul_(factor)

    def _initialise(self, module: nn.Module) -> None:
        """Embeddings start at N(0, init_std), row 0 of a padded table at 0; maps as Glorot has them, biases at 0.

        Vectors of runs of tokens, and of shared ones, start at 0, where those that training never shows stay. The last
        map of each branch is scaled down by ``residual_init_scale``: see there.
        """
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.init_std)
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(last := getattr(module, "output_projection", None), nn.Linear):
            with torch.no_grad():
                last.weight.mul_(self.config.residual_init_scale)
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx])
        if isinstance(module, NGrams | ExactMatch):
            nn.init.zeros_(module.table.weight)


def _build_layer(config: EncoderConfig) -> nn.Module:
    reads_times = "timed" in inspect.signature(find("layer", config.layer, LAYERS)).parameters
    if config.times and not reads_times:
        raise InputError(
            f"times is set, but layer {config.layer!r} reads no times. Choose one that does, such as 'hstu', or "
            "time_gaps, which every layer can have."
        )
    fixed = {"timed": config.times} if reads_times else {}
    sizes = (config.dim, config.n_heads, config.dropout)
    layer: nn.Module = build("layer", config.layer, LAYERS, *sizes, options=config.layer_options, **fixed)
    return layer


def _build_neck(config: EncoderConfig) -> Residual | None:
    if config.neck == "none":
        return None
    neck = build(
        "neck", config.neck, NECKS, config.dim, config.dropout, options=config.neck_options, causal=config.causal
    )
    return Residual(neck, config.dim, config.residual)


def load_weights(module: nn.Module, file: Path) -> None:
    """Fill ``module`` from a safetensors file that holds exactly its weights.

    Raises:
        InputError: The file is missing, damaged, or of another model.
    """
    try:
        module.load_state_dict(load_file(file))
    except FileNotFoundError as error:
        raise InputError(f"{file} does not exist.") from error
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file} cannot be read: {error}. It may be damaged; make it again.") from error
    except RuntimeError as error:
        raise InputError(f"{file} does not fit its config.json: {error}") from error
