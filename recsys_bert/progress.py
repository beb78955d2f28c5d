"""Progress with rate and time left: a bar on a terminal, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType


class Progress:
    """Counts work done; shows nothing for work that ends within two seconds.

    Args:
        label: What is being done.
        total: Units in all, or None where that is not known.
        unit: What is counted, as in ``"sequences"``.
        done: Units done before this start (a resumed run).
        every_s: Seconds between plain lines.
    """

    def __init__(
        self, label: str, total: float | None, unit: str = "rows", *, done: float = 0, every_s: float = 10.0
    ) -> None:
        self.label, self.total, self.unit, self.done, self.every_s = label, total, unit, done, every_s
        self._first, self._start = done, time.monotonic()
        self._next = self._start + 2.0
        self._terminal = sys.stderr.isatty()
        self._drawn = False

    def advance(self, n: float = 1, **figures: float | str) -> None:
        """Count ``n`` more units; ``figures`` (say ``loss=2.31``) are shown beside the rate."""
        self.done += n
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (0.2 if self._terminal else self.every_s)
            self._show(now, figures)

    def _show(self, now: float, figures: dict[str, float | str]) -> None:
        rate = (self.done - self._first) / max(now - self._start, 1e-9)
        parts = [f"{self.label}: {self.done:,.0f}"]
        if self.total:
            parts[0] += f" of {self.total:,.0f} {self.unit} ({100 * self.done / self.total:.0f} %)"
            parts.append(f"{_clock((self.total - self.done) / rate)} left" if rate > 0 else "")
        else:
            parts[0] += f" {self.unit}"
        parts.insert(1, f"{rate:,.0f} {self.unit}/s" if rate >= 10 else f"{rate:.2g} {self.unit}/s")
        parts += [
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
        ]
        text = ", ".join(part for part in parts if part)
        if self._terminal:
            sys.stderr.write(f"\r\x1b[2K{text}")
            self._drawn = True
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            sys.stderr.write("\n")
            sys.stderr.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def step(label: str) -> Iterator[None]:
    """Announce one step without a count, and how long it took where that was over two seconds."""
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    if seconds > 2.0:
        sys.stderr.write(f"{label}: {seconds:.1f} s\n")
