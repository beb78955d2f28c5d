"""ONNX: write a module as a file, compare the file with the module, open it with onnxruntime."""

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsys_bert.errors import InputError

OPSET = 18
OLDEST = (1, 24)
"""First version of onnxruntime that these files were tried with."""

MOST = 1e-4
"""Largest difference of an output that is accepted; relative to the largest output where that is above 1."""

_LARGEST = 2**31 - 2**20  # bytes of a protobuf file

Axes = Mapping[str, Mapping[int, str]]
"""Names of the dimensions that may vary, by input or output."""


def check_onnxruntime(what: str) -> None:
    """Refuse to go on without onnx and a fit onnxruntime.

    Args:
        what: Sentence's subject, such as ``export to onnx``.

    Raises:
        InputError: One is missing, or onnxruntime is too old.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        missing = error.name or "onnxruntime"
        raise InputError(
            f"{what} needs onnx and onnxruntime, and {missing} is not there: pip install 'recsys-bert[onnx]'."
        ) from error
    version = str(onnxruntime.__version__)
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        least = ".".join(map(str, OLDEST))
        raise InputError(
            f"{what} needs onnxruntime {least} or later, and {version} is installed: pip install -U onnxruntime."
        )


def to_onnx(module: nn.Module, inputs: Mapping[str, Tensor], output: str, axes: Axes) -> bytes:
    """The ONNX file of a module in evaluation mode.

    Args:
        module: Called with the inputs in their order.
        inputs: Sample inputs by name.
        output: Name of the output.
        axes: Dimensions that may vary.

    Raises:
        InputError: It has an operator that ONNX lacks, or is larger than a file of this kind can be.
    """
    tensors = [*module.parameters(), *module.buffers()]
    if (size := sum(tensor.numel() * tensor.element_size() for tensor in tensors)) > _LARGEST:
        raise InputError(f"it has {size / 2**30:.1f} GiB of weights and tables; an ONNX file has 2 GiB at most.")
    file: Any = io.BytesIO()  # which torch takes, other than its annotation says
    with warnings.catch_warnings(), _without_graphs(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer; what is wrong in the file is seen by comparing it
        try:
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                file,
                input_names=list(inputs),
                output_names=[output],
                dynamic_axes={name: dict(one) for name, one in axes.items()},
                opset_version=OPSET,
                dynamo=False,
            )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0].partition("  [Caused")[0]
            raise InputError(f"one of its parts has no counterpart in ONNX: {reason}") from error
    return file.getvalue()


@contextlib.contextmanager
def _without_graphs() -> Iterator[None]:
    """Keep the exporter from printing a graph when it fails: torch 2.13 switches its log on by mistake."""
    native: Any = torch._C
    log, native._jit_onnx_log = native._jit_onnx_log, lambda *_: None
    try:
        yield
    finally:
        native._jit_onnx_log = log


def open_session(model: bytes | str, threads: int) -> Any:
    """An onnxruntime session on the CPU whose threads do not spin while they wait.

    Args:
        model: The file's content, or its path.
        threads: Of an operator.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # errors are raised
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def largest_difference(expected: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Largest difference of two outputs, relative to the largest expected one where that is above 1."""
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    return float(np.abs(expected - actual).max(initial=0.0)) / scale
