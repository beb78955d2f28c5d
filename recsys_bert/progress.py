"""Progress with rate, time left and metrics: a bar on a terminal, plain lines elsewhere; 80 columns are enough."""

import contextlib
import functools
import sys
import time
import typing
from collections.abc import Iterator
from types import TracebackType

from recsys_bert.terminal import printable

if typing.TYPE_CHECKING:
    import rich.console
    import rich.progress

PATIENCE_S = 2.0  # work that ends sooner shows nothing
_PLAIN_WIDTH = 80
_BAR_WIDTH = 10


class Progress:
    """Progress display; nothing is shown for work that ends within two seconds.

    Args:
        label: Name of the work.
        total: Number of units; None if unknown.
        unit: Name of the units, as in ``"sequences"``.
        done: Units done before (a resumed run).
        every_s: Seconds between plain lines.
    """

    quiet: typing.ClassVar[bool] = False
    """True: nothing is shown; see ``quietly``."""

    def __init__(
        self, label: str, total: float | None, unit: str = "rows", *, done: float = 0, every_s: float = 10.0
    ) -> None:
        self.label, self.total, self.unit, self.done, self.every_s = printable(label), total, unit, done, every_s
        self._first, self._start = done, time.monotonic()
        self._next = self._start + PATIENCE_S
        self._terminal = sys.stderr.isatty()
        self._bar: rich.progress.Progress | None = None

    def advance(self, n: float = 1, **metrics: float | str) -> None:
        """Count ``n`` more units; ``metrics`` (such as ``loss=2.31``) are shown beside the rate."""
        self.done += n
        now = time.monotonic()
        if now >= self._next and not Progress.quiet:
            self._next = now + (0.2 if self._terminal else self.every_s)
            self._show(now, metrics)

    def note(self, text: str) -> None:
        """Print a line on stderr, above the bar if there is one."""
        if self._bar is not None:
            self._bar.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _text(self, now: float, metrics: dict[str, float | str], width: int) -> str:
        """Join count, rate, time left and metrics; leave out the total, then the rate, where they exceed ``width``."""
        rate = (self.done - self._first) / max(now - self._start, 1e-9)
        speed = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
        values = [
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in metrics.items()
        ]
        if not self.total:
            return ", ".join([f"{self.done:,.0f} {self.unit}", speed, *values])
        share = f"{100 * self.done / self.total:.0f} %"
        left = [f"{_clock(max(self.total - self.done, 0) / rate)} left"] if rate > 0 else []
        count = f"{share} of {self.total:,.0f} {self.unit}"
        texts = [", ".join(parts) for parts in ([count, speed, *left, *values], [share, speed, *left, *values])]
        return next((text for text in texts if len(text) <= width), ", ".join([share, *left, *values]))

    def _show(self, now: float, metrics: dict[str, float | str]) -> None:
        if not self._terminal:
            text = self._text(now, metrics, _PLAIN_WIDTH - len(self.label) - 2)
            print(f"{self.label}: {text}", file=sys.stderr, flush=True)
            return
        if self._bar is None:
            self._bar = _new_bar()
            self._bar.add_task(self.label, total=self.total, text="")
            self._bar.start()
        width = self._bar.console.width - len(self.label) - _BAR_WIDTH - 2
        self._bar.update(self._bar.task_ids[0], completed=self.done, text=self._text(now, metrics, width))

    def __enter__(self) -> "Progress":
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar and print the duration of work that took long enough to be shown."""
        if self._bar is not None:
            self._bar.stop()
        seconds = time.monotonic() - self._start
        if kind is None and seconds > PATIENCE_S and not Progress.quiet:
            print(f"{self.label}: {self.done:,.0f} {self.unit} in {_clock(seconds)}", file=sys.stderr, flush=True)


def _new_bar() -> "rich.progress.Progress":
    from rich.progress import BarColumn, Progress, TextColumn

    text = [TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[text]")]
    return Progress(
        text[0], BarColumn(bar_width=_BAR_WIDTH), text[1], console=_console(), transient=True, redirect_stdout=False
    )


@functools.cache
def _console() -> "rich.console.Console":
    """One console for all bars, so that nested bars are drawn below each other."""
    from rich.console import Console

    return Console(stderr=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Show no progress in the block, as a service wants it: its log is for requests."""
    before, Progress.quiet = Progress.quiet, True
    try:
        yield
    finally:
        Progress.quiet = before


@contextlib.contextmanager
def step(label: str) -> Iterator[None]:
    """Time a step without a count; print its duration if over two seconds."""
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    if seconds > PATIENCE_S:
        print(f"{label}: {seconds:.1f} s", file=sys.stderr, flush=True)
