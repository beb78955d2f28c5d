"""The artefact of a run folder: ``artefact.json`` names its kind and the folder within the run that holds it."""

from pathlib import Path

from recsys_bert.checksums import NAME as CHECKSUMS
from recsys_bert.checksums import check_intact
from recsys_bert.errors import InputError
from recsys_bert.files import read_json, write_json

_RECORD = "artefact.json"


def record_artefact(run: Path, kind: str) -> Path:
    """Write the record of a finished run.

    Args:
        run: The run folder.
        kind: Kind of the artefact, such as ``classifier``; also the name of its folder.

    Returns:
        The artefact's folder.
    """
    write_json(Path(run) / _RECORD, {"kind": kind, "folder": kind}, sealed=True)
    return Path(run) / kind


def artefact_folder(folder: Path) -> Path:
    """Folder of a run's artefact; ``folder`` itself where it is no run folder.

    Raises:
        InputError: The record is damaged.
    """
    folder = Path(folder)
    if not (folder / _RECORD).is_file():
        return folder
    try:
        inner = folder / str(read_json(folder / _RECORD, sealed=True)["folder"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder / _RECORD} is damaged. Train the run again.") from error
    if not inner.is_dir():
        raise InputError(
            f"{inner} is missing, though {folder / _RECORD} names it. Put it back, or train the run again."
        )
    return inner


def find_files(folder: Path, names: tuple[str, ...], what: str) -> Path:
    """Folder with at least one of some files: the one given, or that of its artefact.

    Args:
        folder: A run folder, or a folder of files.
        names: File names.
        what: What they hold, for the message.

    Raises:
        InputError: Neither has any.
    """
    artefact = artefact_folder(folder)
    if (artefact / CHECKSUMS).is_file():  # one of ours, no other project's checkpoint
        check_intact(artefact, "train the run again")
    if any((artefact / name).is_file() for name in names):
        return artefact
    raise InputError(
        f"{folder} holds no {what} ({' or '.join(names)}): give a Hugging Face folder, or the run folder of a "
        "finished text training."
    )
