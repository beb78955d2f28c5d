"""Export a text run to transformers, sentence-transformers or ONNX."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Config:
    """Export a text run as a folder that another library opens."""

    run: Path
    """Run folder of `text pretrain` or of a text task, or a Hugging Face or sentence-transformers folder."""

    to: Literal["transformers", "sentence-transformers", "onnx"]
    """Other library: transformers (with the head, if it has one like it), sentence-transformers, or onnxruntime."""

    out: Path
    """Folder to write; it must not be there, or be empty."""


def run(config: Config) -> dict[str, Any]:
    """Load and export.

    Returns:
        The kind of the model.

    Raises:
        InputError: The other side has no such model, or the run cannot be used.
    """
    from nlp_tasks.encoders import find_encoder
    from nlp_tasks.static_vectors import StaticEncoder, is_static
    from pipelines.support.outputs import check_place
    from recsys_bert.errors import InputError
    from recsys_bert.files import read_json

    check_place(config.out, folder=True)
    if is_static(config.run):
        if config.to != "sentence-transformers":
            raise InputError(f"{config.run} holds static vectors, which {config.to} has no model for.")
        StaticEncoder.load(config.run).export(config.out)
        print(f"exported the static vectors of {config.run} to {config.to}: {config.out}", file=sys.stderr)
        return {"kind": "static_vectors", "to": config.to}
    task = find_encoder(config.run) / "task.json"
    kind = str(read_json(task).get("task")) if task.is_file() else "text_encoder"
    model = _load(kind, config.run)
    model.export(config.out, config.to)
    print(f"exported the {kind.replace('_', ' ')} of {config.run} to {config.to}: {config.out}", file=sys.stderr)
    return {"kind": kind, "to": config.to}


def _load(kind: str, folder: Path) -> Any:
    import nlp_tasks
    from nlp_tasks.text_encoder import TextEncoder

    classes = {
        "classifier": "Classifier",
        "matcher": "Matcher",
        "question_answerer": "QuestionAnswerer",
        "tagger": "Tagger",
    }
    return getattr(nlp_tasks, classes[kind]).load(folder) if kind in classes else TextEncoder.load(folder)
