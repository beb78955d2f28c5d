"""Progress with rate and time left: a bar on a terminal, plain lines elsewhere."""

import contextlib
import functools
import sys
import time
import typing
from collections.abc import Iterator
from types import TracebackType

if typing.TYPE_CHECKING:
    import rich.console
    import rich.progress

PATIENCE_S = 2.0  # work that ends sooner shows nothing


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
        self._next = self._start + PATIENCE_S
        self._terminal = sys.stderr.isatty()
        self._bar: rich.progress.Progress | None = None

    def advance(self, n: float = 1, **metrics: float | str) -> None:
        """Count ``n`` more units; ``metrics`` (say ``loss=2.31``) are shown beside the rate."""
        self.done += n
        now = time.monotonic()
        if now >= self._next:
            self._next = now + (0.2 if self._terminal else self.every_s)
            self._show(self._text(now, metrics))

    def _text(self, now: float, metrics: dict[str, float | str]) -> str:
        rate = (self.done - self._first) / max(now - self._start, 1e-9)
        count = f"{self.done:,.0f} {self.unit}"
        if self.total:
            count = f"{self.done:,.0f} of {self.total:,.0f} {self.unit} ({100 * self.done / self.total:.0f} %)"
        parts = [count, f"{rate:,.0f} {self.unit}/s" if rate >= 10 else f"{rate:.2g} {self.unit}/s"]
        if self.total and rate > 0:
            parts.append(f"{_clock(max(self.total - self.done, 0) / rate)} left")
        for name, value in metrics.items():
            parts.append(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
        return ", ".join(parts)

    def _show(self, text: str) -> None:
        if not self._terminal:
            print(f"{self.label}: {text}", file=sys.stderr, flush=True)
            return
        if self._bar is None:
            self._bar = _new_bar()
            self._bar.add_task(self.label, total=self.total, text="")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=self.done, text=text)

    def __enter__(self) -> "Progress":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away and say how long the work took, where it took long enough to be shown."""
        if self._bar is not None:
            self._bar.stop()
        seconds = time.monotonic() - self._start
        if kind is None and seconds > PATIENCE_S:
            print(f"{self.label}: {self.done:,.0f} {self.unit} in {_clock(seconds)}", file=sys.stderr, flush=True)


def _new_bar() -> "rich.progress.Progress":
    from rich.progress import BarColumn, Progress, TextColumn

    text = [TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[text]")]
    return Progress(
        text[0], BarColumn(bar_width=24), text[1], console=_console(), transient=True, redirect_stdout=False
    )


@functools.cache
def _console() -> "rich.console.Console":
    """One console for every bar, so that a bar inside another one is drawn below it."""
    from rich.console import Console

    return Console(stderr=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def step(label: str) -> Iterator[None]:
    """Name one step without a count, and how long it took where that was over two seconds."""
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    if seconds > PATIENCE_S:
        print(f"{label}: {seconds:.1f} s", file=sys.stderr, flush=True)
