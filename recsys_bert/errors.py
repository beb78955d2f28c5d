"""Error class for mistakes that a user can mend."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input or a bad setting; the command line prints the message without a traceback.

    The message names the value, the rule and the remedy.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for an unknown name, with the closest known one.

    Args:
        kind: Kind of the name, as in ``"layer"``.
        name: The unknown name.
        known: Known names.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    short = name if len(name) <= 100 else name[:100] + "…"
    return InputError(f"no {kind} is called {short!r}{hint} Known: {', '.join(known)}.")
