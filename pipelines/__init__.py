"""Whole programs, one a stage, each readable from top to bottom."""

import os
import sys


def leave_working_folder() -> None:
    """Take the working folder off ``sys.path``: a ``pandas.py`` or ``triton/`` beside the data is no package.

    ``python -m`` puts it there, and so does an empty entry in PYTHONPATH. It stays if PYTHONPATH names it, or if
    our own packages lie in it. Parts that the user names are looked up there
    all the same: see ``recsys_bert.encoder.parts``.
    """
    here, ours = os.path.realpath("."), os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    named = [os.path.realpath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if here not in [os.path.realpath(ours), *named]:
        sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != here]


if os.path.basename((sys.argv or [""])[0]) in ("-m", "recsys-bert"):  # run as a command; nothing else is imported yet
    leave_working_folder()
