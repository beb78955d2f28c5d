"""The one error class for mistakes that a user can mend."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input or a bad setting; the command line prints the message without a traceback.

    The message says what came, what is allowed and what to do.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name that is in no table, with the nearest known one.

    Args:
        kind: What was asked for, as in ``"layer"``.
        name: What came.
        known: What is allowed.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return InputError(f"no {kind} is called {name!r}{hint} Known: {', '.join(known)}.")
