"""What every training pipeline does at its start and at its end, and how it validates."""

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_bert.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recsys_bert.clicks.dataset import ClickDataset
    from recsys_bert.clicks.queries import Queries
    from recsys_bert.encoder.model import Encoder
    from recsys_bert.retrieval.ranker import Ranker
    from recsys_bert.training.loop import Summary


def is_first_process() -> bool:
    """Whether this process is the one that writes; under ``torchrun`` there are several."""
    return os.environ.get("RANK", "0") == "0"


class Checked(Exception):
    """Everything that bad input can stop went well; raised by ``begin`` within ``only_checking``."""


_only_checking = ContextVar("only_checking", default=False)


@contextlib.contextmanager
def only_checking() -> Iterator[None]:
    """Let a training pipeline run up to where it would begin to train; there it leaves the block, nothing written.

    Raises:
        InputError: What the pipeline has to say.
    """
    token = _only_checking.set(True)
    try:
        with contextlib.suppress(Checked):
            yield
    finally:
        _only_checking.reset(token)


def begin(out: Path, config: Any) -> None:
    """Create the run folder with its ``config.toml``, or check that the run there is this one, to go on with.

    Raises:
        InputError: Another run lies there, or no folder can be written there.
        Checked: Within ``only_checking``, after those checks.
    """
    from pipelines.support.settings import write_config

    exists = is_first_process() and check_out(out, config)  # the others might see a folder half made
    if _only_checking.get():
        raise Checked
    if not is_first_process():
        return
    if exists:
        print(f"{out} holds this run already: going on where it stopped.", file=sys.stderr)
    else:
        write_config(config, out / "config.toml")


def check_out(out: Path, config: Any) -> bool:
    """Whether ``out`` holds this run already.

    Raises:
        InputError: Another run, or something else, lies there.
    """
    from pipelines.support.settings import read_config

    path = out / "config.toml"
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out names the folder of the run. Choose another.")
    if not path.exists():
        if out.exists() and any(out.iterdir()):
            raise InputError(f"{out} is not empty and holds no run (config.toml is missing). Choose another --out.")
        return False
    try:
        old = read_config(type(config), path)
    except InputError as error:
        said = str(error).splitlines()[0]
        raise InputError(
            f"{out} holds a run of another command, or its config.toml is damaged ({said}) Choose another --out."
        ) from error
    if differing := _differences(old, config):
        raise InputError(
            f"{out} holds a run with other settings ({', '.join(differing)}). Choose another --out, or delete it."
        )
    return True


def check_writable(folder: Path) -> None:
    """Make a folder for results, or find out now, not after hours of work, that nothing can be written there.

    Raises:
        InputError: Nothing can.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}. Choose another --out.") from error


def check_log_unchanged(out: Path, dataset: "ClickDataset", *runs: Path | None) -> None:
    """Note which prepared log and other runs a run reads, or check that they are the same when it goes on.

    See ``check_unchanged``.
    """
    weights = {run: weights_fingerprint(run) for run in runs if run is not None}
    check_unchanged(out, {dataset.folder: log_digest(dataset), **feature_digests(dataset), **weights})


def log_digest(dataset: "ClickDataset") -> str:
    """A digest that is equal where a log was prepared from the same events in the same way."""
    manifest = dataset.manifest
    parts = [manifest.fingerprint, manifest.log.get("sha256"), manifest.filters, manifest.split, manifest.counts]
    return sha256(repr(parts).encode()).hexdigest()


def feature_digests(dataset: "ClickDataset") -> dict[Path, str]:
    """A digest of the side features of items and of users, by the folder that holds them; of none where none are.

    The log's own digest knows which values there are, not which item has which.
    """
    found = {}
    for kind, codes in (("item", dataset.item_features), ("user", dataset.user_features)):
        digest = sha256()
        for name, table in codes.items():
            digest.update(f"{name} {table.shape}".encode() + table.tobytes())
        if codes:
            found[dataset.folder / f"{kind}_features"] = digest.hexdigest()
    return found


def weights_fingerprint(run: Path) -> str:
    """Hash of the trained weights of a run of ``pretrain`` or ``train-retrieval``, or of those that are fused."""
    from recsys_bert.files import fingerprint
    from recsys_bert.retrieval.score_fusion import trained_runs

    folders = [one / name for one in trained_runs(run) for name in ("encoder", "two_tower")]
    return fingerprint([path for folder in folders for path in sorted(folder.glob("*.safetensors"))])


def check_files_unchanged(out: Path, files: Sequence[Path]) -> None:
    """Note the contents of the files that a run reads, or check that they are the same when it goes on.

    See ``check_unchanged``.
    """
    from recsys_bert.files import fingerprint

    check_unchanged(out, {path: fingerprint([path]) for path in files})


def check_unchanged(out: Path, contents: dict[Path, str]) -> None:
    """Keep ``out/data.json``: what the run was begun with.

    Args:
        out: The run folder.
        contents: A digest of the contents, by path.

    Raises:
        InputError: Something was changed since the run began.
    """
    from recsys_bert.files import read_json, write_json

    path, now = out / "data.json", {str(path): digest for path, digest in contents.items()}
    if not path.exists():
        if is_first_process():
            write_json(path, now)
        return
    before = read_json(path)
    if changed := [name for name, digest in now.items() if before.get(name, digest) != digest]:
        raise InputError(
            f"{changed[0]} is not what {out} was begun with. Put the old one back, or choose another --out."
        )


def open_run(run: Path, dataset: "ClickDataset") -> "Ranker":
    """Load a run of ``pretrain``, ``train-retrieval`` or ``fuse``; it encodes in the precision that it was trained in.

    Raises:
        InputError: See ``load_ranker``; or its ``config.toml`` is damaged.
    """
    import tomllib

    from recsys_bert.retrieval.load import load_ranker
    from recsys_bert.retrieval.score_fusion import is_score_fusion, load_score_fusion, trained_runs

    if is_score_fusion(run):
        return load_score_fusion(run, [open_run(one, dataset) for one in trained_runs(run)], dataset)
    ranker = load_ranker(run, dataset)
    try:
        trained = tomllib.loads((run / "config.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:  # a folder that was not written by a command
        return ranker
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{run}/config.toml is damaged: {error}. Train the run again.") from error
    ranker.precision = trained.get("train", {}).get("precision", ranker.precision)
    return ranker


def finish(wrote: Path, summary: "Summary", monitor: str, parameters: int, too_short: int) -> dict[str, Any]:
    """Say how a training went, and return it.

    Args:
        wrote: The artefact.
        summary: Of ``fit``.
        monitor: Name of the figure that picked the epoch.
        parameters: How many the model has.
        too_short: Users with too few events to train on.
    """
    if is_first_process():
        best = "not validated" if summary.best is None else f"validation {monitor} {summary.best:.4f}"
        lines = [f"{best}, epoch {summary.best_epoch} of {summary.epochs} kept, {parameters:,} parameters"]
        lines += [f"{too_short:,} users have too few events to train on"] if too_short else []
        print("\n".join([*lines, f"wrote {wrote} in {summary.seconds:.0f} s"]), file=sys.stderr)
    return {
        "best": summary.best,
        "best_epoch": summary.best_epoch,
        "epochs": summary.epochs,
        "seconds": round(summary.seconds, 1),
        "parameters": parameters,
        "users_too_short": too_short,
    }


def _differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    found = []
    for field in dataclasses.fields(new):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after:
            continue
        if dataclasses.is_dataclass(after) and dataclasses.is_dataclass(before):
            found += _differences(before, after, f"{prefix}{field.name}.")
        else:
            found.append(f"{prefix}{field.name} was {before}, now {after}")
    return found


def validation(
    dataset: "ClickDataset", ranker: Callable[[Any], "Ranker"], *, users: int, seed: int, monitor: str, k: int = 10
) -> Callable[[Any], dict[str, float]] | None:
    """Full-ranking recall@k and NDCG@k on the validation events; None where nothing was held out for it.

    Args:
        dataset: The log.
        ranker: Makes a ranker of the module in training.
        users: At most this many, drawn once; 0 takes all.
        seed: Of that draw.
        monitor: The figure that picks the best epoch.
        k: Length of the lists; the whole catalogue where that is smaller.

    Raises:
        InputError: ``monitor`` is none of the figures.
    """
    queries = drawn_queries(dataset, users, seed)
    if not len(queries):
        print("nothing is held out for validation: every epoch is run, the last weights are kept.", file=sys.stderr)
        return None
    depth = min(k, dataset.vocabulary.n_items)
    if monitor not in (known := (f"recall@{k}", f"ndcg@{k}")):
        raise InputError(f"train.monitor is {monitor!r}; this training validates {' and '.join(known)}.")
    targets, first = queries.targets(), dataset.vocabulary.first_item

    def validate(model: Any) -> dict[str, float]:
        return list_metrics(ranker(model).recommend(queries, depth), targets, first, k)

    return validate


def list_metrics(
    ranked: "NDArray[np.int32]", targets: "tuple[NDArray[np.int64], NDArray[np.int32]]", first_item: int, k: int
) -> dict[str, float]:
    """Mean recall and NDCG of lists ``[n, depth]``, called those at ``k`` where the catalogue ends before it, too."""
    import numpy as np

    from recsys_bert.evaluation.ranking import per_user

    n, depth = ranked.shape
    values = per_user(ranked, targets, n, (depth,), first_item)
    return {f"{name}@{k}": float(np.nanmean(values[f"{name}@{depth}"])) for name in ("recall", "ndcg")}


def drawn_queries(dataset: "ClickDataset", users: int, seed: int) -> "Queries":
    """What is asked on validation: of all users, or of ``users`` of them, drawn by ``seed``, where there are more."""
    import numpy as np

    from recsys_bert.clicks.queries import Queries

    queries = Queries.of(dataset, "validation")
    if not 0 < users < len(queries):
        return queries
    return queries[np.sort(np.random.default_rng(seed).choice(len(queries), users, replace=False))]


def take_weights(encoder: "Encoder", given: "Encoder", source: Path) -> None:
    """Start ``encoder`` from the weights of ``given``, which differs at most in being causal or not.

    Raises:
        InputError: Being causal changes what weights it has.
    """
    try:
        encoder.load_state_dict(given.state_dict())
    except RuntimeError as error:
        raise InputError(
            f"the encoder of {source} cannot become {'causal' if encoder.config.causal else 'bidirectional'}: its "
            f"{given.config.neck} neck has other weights then. Pretrain with the other objective, or with another neck."
        ) from error
