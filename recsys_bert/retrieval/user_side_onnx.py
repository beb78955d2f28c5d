"""User sides in ONNX: written as a file, compared with the model, and run by onnxruntime inside any ranker."""

import copy
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from recsys_bert.clicks.queries import Queries
from recsys_bert.errors import InputError
from recsys_bert.onnx_files import MOST, check_onnxruntime, largest_difference, open_session, to_onnx
from recsys_bert.retrieval.ensemble import Ensemble
from recsys_bert.retrieval.extended_ranker import ExtendedRanker
from recsys_bert.retrieval.ranker import AroundRanker, InnerProducts, Ranker
from recsys_bert.retrieval.score_fusion import ScoreFusion
from recsys_bert.retrieval.user_side import NamedInputs, UserSide

OUTPUT = "vectors"
_BATCH = 128
_DAY = 86_400


@runtime_checkable
class Trained(Ranker, Protocol):
    """A ranker whose user side is a module."""

    @property
    def user_side(self) -> UserSide:
        """The user side."""


class OnnxRanker(InnerProducts, AroundRanker):
    """Ranker whose user vectors are computed by onnxruntime, in float32 on the CPU; item vectors are the model's.

    Args:
        ranker: The model.
        side: Its user side.
        session: Of the side's ONNX file.
    """

    def __init__(self, ranker: Ranker, side: UserSide, session: Any) -> None:
        self.ranker, self.side, self.session = ranker, side, session
        self.name, self.first_item = ranker.name, ranker.first_item

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of ``item_vectors()``."""
        return self.ranker.shape

    @property
    def item_length(self) -> float | None:
        """Item length of the model."""
        return self.ranker.item_length

    def item_vectors(self) -> NDArray[np.float32]:
        """``[rows, d]``."""
        return self.ranker.item_vectors()

    def user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """``[n, d]``, in batches of histories of like length.

        Raises:
            InputError: No query, or no times for an encoder that reads them.
        """
        if len(queries) <= 1:
            return run(self.session, self.side.arrays(queries))
        order = np.argsort(queries.stop - queries.start, kind="stable")
        parts = [order[first : first + _BATCH] for first in range(0, len(order), _BATCH)]
        vectors = np.empty((len(queries), self.shape[1]), np.float32)
        for part in parts:
            vectors[part] = run(self.session, self.side.arrays(queries[part]))
        return vectors


def run(session: Any, arrays: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
    """Vectors ``[batch, d]`` of one batch."""
    vectors: NDArray[np.float32] = session.run(None, arrays)[0]
    return vectors


class OnnxRuntime:
    """Rankers with the user side of every trained model in them run by onnxruntime; each is exported once.

    Args:
        threads: Of an operator.

    Raises:
        InputError: onnxruntime is missing or too old.
    """

    def __init__(self, threads: int = 1) -> None:
        check_onnxruntime("--runtime onnxruntime")
        self._threads, self._exported = threads, dict[int, OnnxRanker]()

    def __call__(self, ranker: Ranker) -> Ranker:
        """The same ranker, run by onnxruntime.

        Args:
            ranker: A model, an ensemble or a score fusion, with or without items that were put in.

        Raises:
            InputError: Nothing in the ranker is trained, or a part of a model cannot be exported.
        """
        if not trained_models(ranker):
            raise InputError(
                f"{ranker.name} has no encoder and no towers, so onnxruntime has nothing to run. Leave it out."
            )
        return self._replaced(ranker)

    def _replaced(self, ranker: Ranker) -> Ranker:
        if isinstance(ranker, ScoreFusion | ExtendedRanker):
            twin = copy.copy(ranker)
            twin.ranker = self._replaced(ranker.ranker)
            return twin
        if isinstance(ranker, Ensemble):
            return Ensemble([self._replaced(part) for part in ranker.rankers], ranker.name)
        if not isinstance(ranker, Trained):
            return ranker
        if id(ranker) not in self._exported:
            file, _ = user_side_file(ranker.user_side, ranker.name)
            self._exported[id(ranker)] = OnnxRanker(ranker, ranker.user_side, open_session(file, self._threads))
        return self._exported[id(ranker)]


def trained_models(ranker: Ranker) -> list["Trained"]:
    """Models with a user side of their own in a ranker."""
    if isinstance(ranker, ScoreFusion | ExtendedRanker):
        return trained_models(ranker.ranker)
    if isinstance(ranker, Ensemble):
        return [model for part in ranker.rankers for model in trained_models(part)]
    return [ranker] if isinstance(ranker, Trained) else []


def user_side_file(side: UserSide, name: str) -> tuple[bytes, float]:
    """ONNX file of a user side, and the largest difference of its vectors from the model's on random histories.

    Args:
        side: The user side.
        name: Of the model, for messages.

    Raises:
        InputError: A part has no counterpart in ONNX, or the file's vectors differ.
    """
    inputs = sample(side, [1, min(3, side.max_len)])
    names = list(inputs)
    sequences = {name: {0: "batch", 1: "seq"} for name in names if name not in ("lengths", "users")}
    axes = {**{name: {0: "batch"} for name in names}, **sequences, OUTPUT: {0: "batch"}}
    module = NamedInputs(side, names).eval()
    try:
        file = to_onnx(module, inputs, OUTPUT, axes)
        difference = _compare(module, side, file)
    except InputError as error:
        raise InputError(f"the user side of {name} cannot be exported to ONNX: {error}") from error
    return file, difference


def _compare(module: NamedInputs, side: UserSide, file: bytes) -> float:
    """Largest difference over batches of other sizes than those that it was traced with.

    Raises:
        InputError: It is too large, or onnxruntime refuses the file.
    """
    try:
        session = open_session(file, 1)
        differences = []
        for lengths in ([side.max_len], [1], [2, 1, side.max_len, max(1, side.max_len // 2)]):
            inputs = sample(side, [min(length, side.max_len) for length in lengths])
            with torch.no_grad():
                expected = module(*inputs.values()).float().numpy()
            actual = run(session, {name: value.numpy() for name, value in inputs.items()})
            differences.append(largest_difference(expected, actual))
    except RuntimeError as error:
        raise InputError(f"onnxruntime refuses the file: {str(error).splitlines()[0]}") from error
    if not max(differences) <= MOST:
        raise InputError(f"its vectors differ from the model's by {max(differences):.1e}, because of some part.")
    return max(differences)


def sample(side: UserSide, lengths: Sequence[int]) -> dict[str, torch.Tensor]:
    """Random inputs of histories of some lengths, padded on the right; users of no log."""
    generator = torch.Generator().manual_seed(sum(lengths))
    shape, rows = (len(lengths), max(lengths)), torch.tensor(list(lengths))
    real = torch.arange(shape[1]) < rows[:, None]
    encoder = next(module for module in side.module.modules() if hasattr(module, "last_position"))
    size = int(encoder.config.vocab_size)  # type: ignore[union-attr, arg-type]
    inputs = {"items": torch.randint(min(3, size - 1), size, shape, generator=generator) * real, "lengths": rows}
    if side.reads_users:
        inputs["users"] = torch.full((shape[0],), -1)
    if side.reads_times:
        inputs["times"] = (1_500_000_000 + torch.randint(_DAY, shape, generator=generator).cumsum(1)) * real
    if side.reads_event_types:
        inputs["event_types"] = torch.randint(4, shape, generator=generator) * real
    return inputs
