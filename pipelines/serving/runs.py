"""Runs of any kind, opened by name."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.serving.errors import RequestError
from recsys_bert.errors import InputError
from recsys_bert.serving.live_log import LiveLog

RECOMMENDER, CTR = "recommender", "ctr"
CLASSIFIER, ANSWERER, TAGGER, ENCODER = "classifier", "question_answerer", "tagger", "encoder"
GENERATOR = "generator"
BI_ENCODER, CROSS_ENCODER = "bi_encoder", "cross_encoder"
INDEX = "index"
"""Folder of a run's FAISS index."""


@dataclass(frozen=True)
class Run:
    """An opened run.

    Args:
        name: Of requests.
        path: Its folder.
        kind: ``recommender``, ``ctr``, or the kind of a text run.
        model: What it opened to.
    """

    name: str
    path: Path
    kind: str
    model: Any


@dataclass(frozen=True)
class Runs:
    """All opened runs by name, in the order of the command; ``generation`` counts how often they were opened."""

    by_name: Mapping[str, Run]
    generation: int

    def one(self, kinds: Sequence[str], name: str | None) -> Run:
        """Run of one of some kinds: the named one, or the first.

        Raises:
            RequestError: There is none.
        """
        fitting = [run for run in self.by_name.values() if run.kind in kinds]
        if name is None:
            if not fitting:
                raise RequestError(404, f"no run of the kind {' or '.join(kinds)} is served here.")
            return min(fitting, key=lambda run: kinds.index(run.kind))
        run = self.by_name.get(name)
        if run is None or run not in fitting:
            known = ", ".join(run.name for run in fitting) or "none"
            raise RequestError(404, f"no run of that name answers here; those that do: {known}.")
        return run


def named_paths(runs: Sequence[str]) -> dict[str, Path]:
    """Paths by name; ``NAME=PATH`` names a run, else its folder does.

    Raises:
        InputError: No run, two of one name, or a folder that is not there.
    """
    if not runs:
        raise InputError("no run is named; recsys-bert serve RUN [RUN …].")
    paths: dict[str, Path] = {}
    for text in runs:
        name, equals, path = text.partition("=")
        if not equals or os.sep in name or Path(text).is_dir():
            name, path = Path(text).name or Path(text).resolve().name, text
        if not name or not path:
            raise InputError(f"{text!r} names no run; write PATH or NAME=PATH.")
        if name in paths:
            raise InputError(f"two runs are called {name!r}: {paths[name]} and {path}. Name one: other={path}.")
        if not Path(path).is_dir():
            raise InputError(f"there is no run folder {path}.")
        paths[name] = Path(path)
    return paths


def open_runs(
    paths: Mapping[str, Path],
    data: Path | None,
    live: LiveLog,
    generation: int,
    item_vectors: Path | None = None,
    runtime: str = "torch",
    by_index: bool = False,
) -> Runs:
    """Open all runs.

    Args:
        paths: By name.
        data: Prepared log; required by recommenders, and by CTR models that read one.
        live: Events that came after the log.
        generation: Number of this opening.
        item_vectors: Text vectors of the log's items, for words and new items; None: there are none.
        runtime: ``torch`` or ``onnxruntime``, for user vectors.
        by_index: Search runs that have an ``index`` by it.

    Raises:
        InputError: A run that cannot be opened, a recommender without ``data`` or that onnxruntime cannot run, or
            onnxruntime or ``by_index`` without such a run.
    """
    from recsys_bert.clicks.dataset import open_dataset

    paths = {name: path.resolve() for name, path in paths.items()}  # runs name others relative to where they lie
    kinds = {name: run_kind_of(path) for name, path in paths.items()}
    if runtime != "torch" and RECOMMENDER not in kinds.values():
        raise InputError(f"--runtime {runtime} is of recommenders, and none of these runs is one. Leave it out.")
    if by_index and not any((path / INDEX).is_dir() for path in paths.values()):
        raise InputError(f"--search index: none of these runs has a folder {INDEX!r}, as train-retrieval makes it.")
    dataset = None if data is None else open_dataset(data)
    vectors = None
    if dataset is not None and item_vectors is not None:
        from recsys_bert.item_texts.vector_files import load_item_vectors

        vectors = load_item_vectors(item_vectors, dataset)
    runs = {}
    for name, path in paths.items():
        index = path / INDEX if by_index and (path / INDEX).is_dir() else None
        model = _open(kinds[name], path, dataset, live, vectors, runtime, index)
        kind = _MATCHERS[model.form] if kinds[name] == "matcher" else kinds[name]
        runs[name] = Run(name, path, kind, model)
    return Runs(runs, generation)


def run_kind_of(path: Path) -> str:
    """Kind of a run, by its files.

    Raises:
        InputError: A run folder of another kind.
    """
    if (path / "ctr").is_dir():
        return CTR
    record = path / "artefact.json"
    if record.is_file():
        try:
            kind = json.loads(record.read_text(encoding="utf-8")).get("kind")
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{record} cannot be read: {error}.") from error
        if kind not in _TEXT_KINDS:
            raise InputError(f"{path} holds a {kind!r}, which is not served; served are {', '.join(_TEXT_KINDS)}.")
        return str(kind)
    is_checkpoint = (path / "modules.json").is_file() or (path / "config.json").is_file()
    return ENCODER if is_checkpoint else RECOMMENDER


def _open(kind: str, path: Path, dataset: Any, live: LiveLog, vectors: Any, runtime: str, index: Path | None) -> Any:
    if kind == RECOMMENDER:
        from recsys_bert.retrieval.recommender import Recommender
        from recsys_bert.serving.recommending import ServedRecommender

        if dataset is None:
            raise InputError(f"{path} is no text run; a recommender needs its prepared log: --data FOLDER.")
        model = Recommender.load(path, dataset, index, item_vectors=vectors)
        return ServedRecommender(model, live, _user_runtime(runtime))
    if kind == CTR:
        from recsys_bert.ctr.checkpoint import CTRModel

        return CTRModel.load(path, dataset)
    return _TEXT_KINDS[kind](path)


def _user_runtime(runtime: str) -> Any:
    if runtime == "torch":
        return None
    import torch

    from recsys_bert.retrieval.user_side_onnx import OnnxRuntime

    return OnnxRuntime(torch.get_num_threads())


def _classifier(path: Path) -> Any:
    from nlp_tasks.classification.classifier import Classifier

    return Classifier.load(path)


def _matcher(path: Path) -> Any:
    from nlp_tasks.matching.matcher import Matcher

    return Matcher.load(path)


def _answerer(path: Path) -> Any:
    from nlp_tasks.qa.question_answerer import QuestionAnswerer

    return QuestionAnswerer.load(path)


def _tagger(path: Path) -> Any:
    from nlp_tasks.tagging.tagger import Tagger

    return Tagger.load(path)


def _generator(path: Path) -> Any:
    from nlp_tasks.generation.generator import Generator

    return Generator.load(path)


def _encoder(path: Path) -> Any:
    from nlp_tasks.text_encoder import TextEncoder

    return TextEncoder.load(path)


_MATCHERS = {"bi": BI_ENCODER, "cross": CROSS_ENCODER}
_TEXT_KINDS: dict[str, Callable[[Path], Any]] = {
    CLASSIFIER: _classifier,
    "matcher": _matcher,
    ANSWERER: _answerer,
    TAGGER: _tagger,
    GENERATOR: _generator,
    ENCODER: _encoder,
}
