"""A pretrained text encoder: load, encode, similarity."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, autocast, bfloat16, uint8

from nlp_tasks.batches import gather
from nlp_tasks.config import LengthConfig
from nlp_tasks.embedding.config import EmbeddingTrainConfig
from nlp_tasks.embedding.data import embedding_table, graded, pair_table, pair_texts
from nlp_tasks.embedding.training import Pairs, embedding_parts, train_text_encoder, vector_metrics
from nlp_tasks.encoders import check_size, find_encoder, save_text_encoder, without_prefix
from nlp_tasks.examples import Table, text_list
from nlp_tasks.export.exportable import Target, export
from nlp_tasks.export.heads import text_vectors
from nlp_tasks.inputs import Inputs, Ints, longest, read_texts
from nlp_tasks.model import on_device, outputs
from nlp_tasks.pooling import Pooling, prefix_and_case, read_sentence_transformer
from nlp_tasks.tokenization import Tokenizer
from recsys_bert.checksums import write_checksums
from recsys_bert.devices import uses_bf16
from recsys_bert.encoder.hugging_face.load import check_family, load_with_head
from recsys_bert.encoder.masked_head import MaskedTokenHead
from recsys_bert.encoder.model import FORMAT, Encoder
from recsys_bert.encoder.parts import Options, allowing_parts
from recsys_bert.files import read_json
from recsys_bert.post_processing.fitted import PostProcessing, fit_post_processing
from recsys_bert.settings import make_config
from recsys_bert.training.config import Precision

_PROBE = "A naïve probe: ÀB-c 12,5 $ 汉字"  # its tokens say how case, accents and characters are treated


class TextEncoder:
    """Vectors of texts: the mean of the encoder's outputs over a text's tokens, or what a checkpoint pools.

    Args:
        encoder: The encoder.
        tokenizer: Its tokenizer.
        length: Treatment of texts longer than the encoder reads at once; None: that of ``pooling``.
        masked_head: The masked-token head that it was pretrained with, if any.
        pooling: Pooling of the outputs; None: their mean.
        precision: Products in ``bf16``, or where that is native (``auto``): about twice as fast, cosines to 1e-4.
        post_processing: Fitted map of the pooled vectors, before they are normalised; see ``with_post_processing``.
    """

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: Tokenizer,
        length: LengthConfig | None = None,
        masked_head: MaskedTokenHead | None = None,
        pooling: Pooling | None = None,
        precision: Precision = "fp32",
        post_processing: PostProcessing | None = None,
    ) -> None:
        self.encoder, self.tokenizer, self.masked_head = encoder, tokenizer, masked_head
        self.precision, self.post_processing = precision, post_processing
        self.results: dict[str, Any] = {}
        """Metrics and counts of the training, as in ``metrics.json``; empty for a loaded encoder."""
        pooling = pooling or Pooling()
        self.pooling = pooling if length is None else replace(pooling, length=length)
        self.model = self.pooling.model(encoder)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        second: Iterable[str] | None = None,
        scores: Iterable[Any] | None = None,
        *,
        negatives: Iterable[str] | None = None,
        validation: Pairs | float | None = None,
        test: Pairs | None = None,
        out: Path | None = None,
        config: EmbeddingTrainConfig | None = None,
        allow_parts: bool = False,
        **settings: Any,
    ) -> "TextEncoder":
        """Train vectors of texts: on texts alone, on pairs that match, or on graded pairs.

        ::

            TextEncoder.train(texts, init="runs/words")  # SimCSE
            TextEncoder.train(questions, answers)  # in-batch negatives; also negatives=others
            TextEncoder.train(first, second, [0.0, 4.2, 5.0], task={"loss": "cosine"})  # or cosent, the default

        Args:
            texts: Texts, or first text of each pair.
            second: Second text of each pair.
            scores: Grade of each pair: a number, or entailment, neutral, contradiction; None: all match.
            negatives: A text for each pair that is like it and does not match.
            validation: First texts, second texts and, if there are any, scores, which pick the epoch; or the share of
                the training pairs to hold out. None: 0.1 of the pairs; of texts alone none, and the last epoch is kept.
            test: The same lists; evaluated once, after training.
            out: Run folder, as of `text embed train`; a stopped run there is resumed. None: a temporary one.
            config: All settings.
            allow_parts: Import parts from outside (``module:Class``) that the run of ``init`` names; their code runs.
            settings: Or single ones, as in a recipe: ``task={"loss": "cosine"}, train={"epochs": 3}``.

        Raises:
            InputError: Data or settings that do not fit.
        """
        config = make_config(EmbeddingTrainConfig, config, settings)
        train = embedding_table(texts, second, scores, negatives, "training")
        with allowing_parts(allow_parts):
            parts = embedding_parts(train, validation, test, config)
            return train_vectors(parts, config, out)

    def evaluate(
        self, first: Iterable[str], second: Iterable[str], scores: Iterable[Any] | None = None
    ) -> dict[str, Any]:
        """Metrics of the cosines of pairs.

        With scores ``spearman`` and ``pearson``; without, ``hit@1``, ``hit@10`` and ``mrr`` of the second text among
        all of them.

        Args:
            first: First text of each pair.
            second: Second text of each.
            scores: Grade of each pair; None: all match.

        Raises:
            InputError: Lists of different lengths, empty ones, or a label that is no grade.
        """
        table = graded(pair_table(first, second, scores, "given"))
        return vector_metrics(table, self.encode(pair_texts(table))) | {"left_out": table.left_out}

    @property
    def length(self) -> LengthConfig:
        """Treatment of texts longer than the encoder reads at once."""
        return self.pooling.length

    @classmethod
    def load(
        cls, folder: Path | str, length: LengthConfig | None = None, *, allow_parts: bool = False
    ) -> "TextEncoder":
        """Load a run of `text pretrain` or of a text task, its encoder folder, or a Hugging Face folder.

        A folder of sentence-transformers gives its vectors: its pooling, normalisation, prompt and length.

        Args:
            folder: The folder.
            length: Settings for long texts; None: those of the folder, if it has any.
            allow_parts: Import parts from outside (``module:Class``) that saved settings name; their code runs.

        Raises:
            InputError: No such folder, or damaged files.
        """
        whole, folder = Path(folder), find_encoder(Path(folder))
        ours = read_json(folder / "config.json").get("format") == FORMAT
        if not ours:
            check_family(folder)  # before its tokenizer is missed
        tokenizer = Tokenizer.load(folder)
        if ours:
            with allowing_parts(allow_parts):
                encoder, head = without_prefix(Encoder.load(folder)), MaskedTokenHead.load(folder)
                pooling = Pooling.load(folder, encoder.out_dim)
        else:
            encoder, head = load_with_head(folder, pad_row=tokenizer.pad_row)
            pooling = read_sentence_transformer(whole, encoder.config.max_len)
        check_size(tokenizer, encoder, folder)
        prefix, lowercase = prefix_and_case(whole)
        with allowing_parts(allow_parts):
            post_processing = PostProcessing.load(folder) if ours else None
        tokenizer = tokenizer.with_prefix(prefix, lowercase=lowercase)
        return cls(encoder, tokenizer, length, head, pooling, post_processing=post_processing)

    def with_post_processing(
        self, name: str, texts: Sequence[str] | Inputs, options: Options | None = None
    ) -> "TextEncoder":
        """Text encoder with a map of its vectors that is fitted on those of some texts; an earlier one is replaced.

        ::

            encoder.with_post_processing("whitening", texts, {"width": 256}).similarity(["a poet"], ["a singer"])

        Args:
            name: In ``POST_PROCESSING`` (``centring``, ``whitening``, ``flow``), or ``module:Class``.
            texts: Texts like those to be encoded; no labels are needed.
            options: Of the part.

        Raises:
            InputError: An unknown part or option, or fewer texts than it needs.
        """
        parts = (self.encoder, self.tokenizer, None, self.masked_head, self._fitted_pooling(), self.precision)
        plain = TextEncoder(*parts)
        fitted = fit_post_processing(name, plain.pooled(self.inputs(texts)), options or {})
        return TextEncoder(*parts, post_processing=fitted)

    def _fitted_pooling(self) -> Pooling:
        return replace(self.pooling, weights=self.model.head.state_dict())

    def save(self, folder: Path | str) -> None:
        """Write encoder, tokenizer and pooling; ``load`` reads them."""
        save_text_encoder(Path(folder), self.encoder, self.tokenizer, self.masked_head)
        self._fitted_pooling().save(Path(folder))
        if self.post_processing is not None:
            self.post_processing.save(Path(folder))
        write_checksums(Path(folder))

    def export(self, folder: Path | str, to: Target = "transformers") -> Path:
        """Write a folder that transformers, sentence-transformers or onnxruntime opens, with the same outputs.

        Longer texts than ``model_max_length`` are cut to their beginning there, whatever ``length`` does here.

        Args:
            folder: Folder to write; it must not be there, or be empty.
            to: ``transformers`` (with the masked-token head, if there is one), ``sentence-transformers`` or ``onnx``.

        Raises:
            InputError: The other side has no such model; the message names every reason.
        """
        return export(
            text_vectors(
                self.model,
                self.tokenizer,
                longest(self.length, self.encoder.config),
                normalise=self.pooling.normalise,
                masked=self.masked_head,
                post_processing=self.post_processing,
            ),
            folder,
            to,
        )

    @property
    def dim(self) -> int:
        """Width of a vector."""
        return self.model.out_dim if self.post_processing is None else self.post_processing.out_dim

    @property
    def digest(self) -> str:
        """Hash of the weights, tokens and settings: another one for an encoder that gives other vectors."""
        cut = self.tokenizer([_PROBE]).ids.tolist()
        digest = sha256(repr((self.encoder.config, self.pooling, self.tokenizer.surfaces(), cut)).encode())
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(uint8).numpy().data)
        if self.post_processing is not None:
            digest.update(self.post_processing.digest.encode())
        return digest.hexdigest()

    def inputs(self, texts: Sequence[str] | Inputs) -> Inputs:
        """Rows that the encoder reads of texts; those made before pass through."""
        if isinstance(texts, Inputs):
            return texts
        return read_texts(
            self.tokenizer, text_list(texts), None, self.length, longest(self.length, self.encoder.config)
        )

    def counts(self, texts: Sequence[str]) -> dict[str, int]:
        """Number of texts that are shortened or not read to the end, by treatment."""
        return self.inputs(texts).counts

    def copy(self, max_len: int | None = None) -> "TextEncoder":
        """Copy with weights of its own, to be trained; without the masked-token head.

        Args:
            max_len: Tokens read at once at most, the special ones included; None: as here.
        """
        length = self.length
        if max_len is not None:
            length = replace(length, max_len=min(max_len, longest(length, self.encoder.config)))
        pooling = replace(self.pooling, weights=deepcopy(self.model.head.state_dict()))
        return TextEncoder(
            deepcopy(self.encoder), self.tokenizer, length, None, pooling, self.precision, self.post_processing
        )

    def n_tokens(self, inputs: Inputs) -> NDArray[np.int64]:
        """Tokens of each text ``[n]``; of one that is read in windows, as many as its longest window, each."""
        first = inputs.first_row
        longest_row: NDArray[np.int64] = np.maximum.reduceat(inputs.lengths, first[:-1])
        return longest_row * np.diff(first)

    def vectors(self, inputs: Inputs, examples: Ints) -> Tensor:
        """Vectors of some texts of ``inputs`` with gradients, ``[len(examples), dim]``, not normalised."""
        vectors = self.model.vectors(on_device(self.model, gather(inputs, inputs.first_row, examples)))
        return vectors if self.post_processing is None else self.post_processing.part.to(vectors.device)(vectors)

    def encode(self, texts: Sequence[str] | Inputs, *, normalise: bool = False) -> NDArray[np.float32]:
        """Vectors ``[n, dim]`` of texts.

        Args:
            texts: The texts.
            normalise: Divide vectors by their length, also where the pooling does not.
        """
        vectors = self.pooled(self.inputs(texts))
        if self.post_processing is not None:
            vectors = self.post_processing(vectors)
        return unit_vectors(vectors) if normalise or self.pooling.normalise else vectors

    def pooled(self, inputs: Inputs) -> NDArray[np.float32]:
        """Vectors ``[n, width]`` as pooled: before post-processing and normalisation."""
        if not len(inputs):
            return np.empty((0, self.model.out_dim), np.float32)
        device = self.encoder.embeddings.token.weight.device
        model, bf16 = self.model.to(device), uses_bf16(self.precision, device)
        with autocast(device.type, bfloat16, enabled=bf16):
            return outputs(model, inputs, "encoding texts")

    def similarity(self, texts: Sequence[str], others: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Cosines ``[n, m]`` of texts and other texts, or of every two of ``texts``."""
        vectors = unit_vectors(self.encode(texts))
        return vectors @ (vectors if others is None else unit_vectors(self.encode(others))).T

    def tokens(self, texts: Sequence[str]) -> list[list[str]]:
        """Tokens of texts, special ones left out."""
        cut = self.tokenizer(text_list(texts))
        return [
            self.tokenizer.tokens(cut.ids[a:b].tolist()) for a, b in zip(cut.offsets[:-1], cut.offsets[1:], strict=True)
        ]

    def __repr__(self) -> str:
        config = self.encoder.config
        return f"TextEncoder(dim={self.dim}, n_layers={config.n_layers}, vocabulary={config.vocab_size:,})"


def train_vectors(parts: Mapping[str, Table], config: EmbeddingTrainConfig, out: Path | None = None) -> TextEncoder:
    """Train a text encoder on tables; see ``TextEncoder.train`` and ``train_text_encoder``."""

    def make(encoder: Encoder, tokenizer: Tokenizer, pooling: Pooling) -> TextEncoder:
        return TextEncoder(encoder, tokenizer, pooling=pooling)

    return train_text_encoder(make, parts, config, out)


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows divided by their Euclidean norm; rows of zeros stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
