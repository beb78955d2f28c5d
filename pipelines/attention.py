"""Attention of a run, for histories or texts, as one HTML file."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.support.outputs import check_place
from recsys_bert.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Write a page that shows what happens inside a run for histories or texts, without a network.

    Attention by layer and head, weights of the fusion by token, nearest items by layer, and linear probes: what each
    layer knows. Histories need a run of `pretrain` or `train-retrieval` with --data; texts one of a text command.
    """

    run: Path
    """Run folder; for texts also an encoder's or a Hugging Face folder."""

    out: Path
    """HTML file to write."""

    data: Path | None = None
    """Folder that `prepare` wrote and the run was trained on; for histories."""

    users: tuple[str, ...] = ()
    """Users of the log whose histories are shown."""

    history: tuple[str, ...] = ()
    """One history to show in place of users: item ids, oldest first."""

    text: tuple[str, ...] = ()
    """Texts to show; each in quotes."""

    probe: str | None = None
    """Histories: side column of the items that linear probes read from each layer."""

    probe_file: Path | None = None
    """Texts: file with the columns text and label, which linear probes read from each layer."""

    k: int = 5
    """Histories: nearest items shown for each layer."""

    max_len: int = 64
    """Events (the last) or tokens (the first) shown at most."""

    seed: int = 0
    """Of the users or texts that probes learn from."""

    json: bool = False
    """Print counts and the probes' accuracies as JSON on stdout."""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.users, self.history, self.text))) != 1:
            raise InputError("give one of users, history and text, as in --users 42 or --text 'a sentence'.")
        of_histories = {"data": self.data, "probe": self.probe}
        if self.text and any(of_histories.values()):
            name = next(name for name, value in of_histories.items() if value)
            raise InputError(f"{name} is for histories and has no effect on texts; leave it out.")
        if self.text and self.k != Config.k:
            raise InputError(f"k is {self.k}, but texts have no nearest items; leave it out.")
        if not self.text and self.data is None:
            raise InputError("histories need the prepared log of the run: --data prepared.")
        if not self.text and self.probe_file is not None:
            raise InputError("probe_file is for texts and has no effect on histories; use --probe COLUMN.")
        if (self.probe is None and self.probe_file is None) and self.seed:
            raise InputError(f"seed = {self.seed} draws what probes learn from, and there are none; leave it out.")
        if self.out.suffix not in (".html", ".htm"):
            raise InputError(f"out is {self.out}; a page ends in .html.")
        check_place(self.out)


def run(config: Config) -> dict[str, Any]:
    """Look inside and write.

    Returns:
        Counts, and accuracy of each layer's probe.

    Raises:
        InputError: Unknown ids or columns, or a run whose encoder cannot be looked into.
    """
    summary = _texts(config) if config.text else _histories(config)
    print(
        f"{summary['cases']} shown in {config.out} ({config.out.stat().st_size / 2**20:.1f} MiB): "
        f"{summary['layers']} layers of {summary['heads']} heads",
        file=sys.stderr,
    )
    if config.json:
        print(json.dumps(summary))
    return summary


def _histories(config: Config) -> dict[str, Any]:
    from recsys_bert.retrieval.recommender import Recommender
    from recsys_bert.stages.attention import show_attention

    assert config.data is not None
    model = Recommender.load(config.run, config.data)
    return show_attention(
        model,
        config.out,
        users=config.users or None,
        histories=[config.history] if config.history else None,
        k=config.k,
        probe=config.probe,
        max_len=config.max_len,
        seed=config.seed,
    )


def _texts(config: Config) -> dict[str, Any]:
    from nlp_tasks.attention import show_attention
    from nlp_tasks.config import FilesConfig
    from nlp_tasks.data import read_table
    from nlp_tasks.text_encoder import TextEncoder

    encoder, labelled = TextEncoder.load(config.run), None
    if config.probe_file is not None:
        table = read_table(config.probe_file, FilesConfig(), ["text"], "label")
        labelled = (table.texts["text"], [names[0] for names in table.labels or []])
    return show_attention(encoder, config.text, config.out, labelled=labelled, max_len=config.max_len, seed=config.seed)
