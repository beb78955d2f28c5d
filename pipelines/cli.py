"""The command line: ``recsys-bert <command> [recipe.toml] [--flags]``.

A pipeline module is imported only when its command is called, and nothing heavy is imported here.
"""

import contextlib
import errno
import importlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines import leave_working_folder
from pipelines.support.flags import load_config
from pipelines.support.outputs import check_writable
from recsys_bert.encoder.parts import allowing_parts, parts_in
from recsys_bert.errors import InputError, unknown_name
from recsys_bert.full_disk import full_disk
from recsys_bert.item_texts.opening import opening_text_encoders
from recsys_bert.settings import is_resolved
from recsys_bert.terminal import printable, printable_output
from recsys_bert.version import __version__

ALLOW_PARTS = "--allow-parts"
"""Flag of every command: saved runs may name parts from outside, whose code then runs."""

_NAMES_AND_MODES = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)

COMMANDS = {  # in the order in which one uses them
    "demo": ("pipelines.demo", "the whole path on a small simulated log, with a report"),
    "download": ("pipelines.download", "fetch a public data set and prepare it"),
    "simulate": ("pipelines.simulate", "write a click log whose best possible recommender is known"),
    "prepare": ("pipelines.prepare", "turn any click log into a folder of histories and vocabulary"),
    "append": ("pipelines.append", "append today's events to a prepared folder"),
    "item-vectors": ("pipelines.item_vectors", "turn the words of items into vectors: TF-IDF, words, an encoder"),
    "pretrain": ("pipelines.pretrain", "train an encoder on masked or next items"),
    "train-retrieval": ("pipelines.train_retrieval", "train two towers and index the items"),
    "index": ("pipelines.index", "index a run's item vectors for fast search"),
    "put-items": ("pipelines.put_items", "put items into an index by their text, or remove some, at once"),
    "fuse": ("pipelines.fuse", "score fusion: average runs, add co-occurrence counts and recency"),
    "recommend": ("pipelines.recommend", "print or write the best items for users or for given histories"),
    "similar": ("pipelines.similar", "print the items nearest to given items, or the users nearest to given users"),
    "score": ("pipelines.score", "score given pairs of users and items"),
    "export-vectors": ("pipelines.export_vectors", "write the vectors of items and users with their ids"),
    "export": ("pipelines.export", "export the user side of towers or an encoder to ONNX"),
    "map": ("pipelines.map", "write a map of a run's items as one HTML file"),
    "attention": ("pipelines.attention", "write a page that shows what happens inside a run, for histories or texts"),
    "store load": ("pipelines.store_load", "put a run's items into a vector store: FAISS, Milvus, PostgreSQL …"),
    "store search": ("pipelines.store_search", "search a store by items, words or both, under filters"),
    "train-ctr": ("pipelines.train_ctr", "train a click-through-rate model on impressions"),
    "predict-ctr": ("pipelines.predict_ctr", "score new impressions with a trained CTR model"),
    "evaluate": ("pipelines.evaluate", "rank the full catalogue, compare with baselines, write a report"),
    "backtest": ("pipelines.backtest", "several time cuts: train before each, evaluate until the next"),
    "compare": ("pipelines.compare", "train every configuration of a grid with several seeds, and test them"),
    "tune": ("pipelines.tune", "search for the settings of a recipe with the best validation"),
    "serve": ("pipelines.serve", "answer over HTTP from trained runs, or as MCP tools"),
    "text pretrain": ("pipelines.text.pretrain", "pretrain a text encoder on plain text"),
    "text vectors train": ("pipelines.text.vectors.train", "train word vectors on plain text"),
    "text classify train": ("pipelines.text.classify.train", "train a text classifier"),
    "text classify evaluate": ("pipelines.text.classify.evaluate", "evaluate a classifier, overall and per class"),
    "text classify predict": ("pipelines.text.classify.predict", "classify new texts"),
    "text classify pu": ("pipelines.text.classify.pu", "score unlabelled texts by known positives (PU bagging)"),
    "text match train": ("pipelines.text.match.train", "train a bi-encoder or cross-encoder on pairs of texts"),
    "text match evaluate": ("pipelines.text.match.evaluate", "evaluate a matcher on pairs"),
    "text match predict": ("pipelines.text.match.predict", "similarity of new pairs"),
    "text match index": ("pipelines.text.match.index", "index texts by a bi-encoder's vectors"),
    "text match search": ("pipelines.text.match.search", "find the indexed texts nearest to new ones"),
    "text embed train": ("pipelines.text.embed.train", "train sentence vectors on texts, pairs or graded pairs"),
    "text embed evaluate": ("pipelines.text.embed.evaluate", "evaluate sentence vectors on pairs"),
    "text embed encode": ("pipelines.text.embed.encode", "write the vectors of texts"),
    "text embed post-process": (
        "pipelines.text.embed.post_process",
        "fit whitening, a flow or mean removal on vectors",
    ),
    "text embed distil": ("pipelines.text.embed.distil", "distil an encoder into a table of static token vectors"),
    "text qa train": ("pipelines.text.qa.train", "train a question answerer (answers are spans of passages)"),
    "text qa evaluate": ("pipelines.text.qa.evaluate", "evaluate a question answerer: EM, F1, also over all passages"),
    "text qa predict": ("pipelines.text.qa.predict", "answer questions about given passages"),
    "text qa search": ("pipelines.text.qa.search", "answer questions from many paragraphs (BM25, then reading)"),
    "text tag train": ("pipelines.text.tag.train", "train a tagger (named entity recognition)"),
    "text tag evaluate": ("pipelines.text.tag.evaluate", "evaluate a tagger: F1 of exact entities"),
    "text tag predict": ("pipelines.text.tag.predict", "find the entities of new texts"),
    "text generate train": ("pipelines.text.generate.train", "train a generator of text, or a language model"),
    "text generate evaluate": (
        "pipelines.text.generate.evaluate",
        "evaluate a generator: perplexity, BLEU, ROUGE",
    ),
    "text generate predict": ("pipelines.text.generate.predict", "generate texts from sources or prompts"),
    "text export": ("pipelines.text.export", "export a text run to transformers, sentence-transformers or ONNX"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Command and its arguments; those of the process where None.

    Returns:
        The exit status: 0, 2 for bad input, 130 after Ctrl-C or SIGTERM, 141 where the reader of the output went away.
    """
    leave_working_folder()
    argv = list(sys.argv[1:] if argv is None else argv)
    allowed, argv = ALLOW_PARTS in argv, [word for word in argv if word != ALLOW_PARTS]
    try:
        with (
            _sigterm_as_ctrl_c(),
            parts_in(*_recipe_folders(argv), Path.cwd()),
            allowing_parts(allowed),
            opening_text_encoders(_open_text_encoder),
        ):
            _dispatch(argv)
        sys.stdout.flush()
    except InputError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return 141
    except OSError as error:
        if (reason := full_disk(error)) is not None:
            print(f"error: the output cannot be written: {reason}.", file=sys.stderr)
        elif error.errno in _NAMES_AND_MODES and error.filename is not None:
            what = os.fsdecode(error.filename) if not isinstance(error.filename, int) else "a file"
            print(printable(f"error: {what} cannot be opened: {error.strerror}."), file=sys.stderr)
        else:
            raise
        return 2
    return 0


def _open_text_encoder(folder: Path) -> Any:
    from pipelines.support.text_sources import text_source

    return text_source("encoder", folder)


def _recipe_folders(argv: Sequence[str]) -> Iterator[Path]:
    """Folders of the recipes, from which they may name parts; a run's own folder is none, as strangers fill it too."""
    for word in itertools.takewhile(lambda word: not word.startswith("-"), argv):
        if word.endswith(".toml"):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                if not is_resolved(Path(word)):
                    yield Path(word).absolute().parent


@contextlib.contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does: temporary files are removed, a training writes a checkpoint.

    Not where the process is one of several: ``torchrun`` ends them so when one has failed, and a step that needs all of
    them would never be finished.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or "RANK" in os.environ or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(on_ctrl_c):  # ignored, as in a shell's background
            raise KeyboardInterrupt
        on_ctrl_c(signal.SIGINT, frame)

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _dispatch(argv: list[str]) -> None:
    words = list(itertools.takewhile(lambda word: not word.startswith("-") and not word.endswith(".toml"), argv))
    words = words[: max(name.count(" ") + 1 for name in COMMANDS)]
    n_words = next((n for n in range(len(words), 0, -1) if " ".join(words[:n]) in COMMANDS), 0)
    if argv[:1] == ["--version"]:
        print(f"recsys-bert {__version__}")
    elif n_words:
        module = importlib.import_module(COMMANDS[" ".join(words[:n_words])][0])
        config = load_config(module.Config, argv[n_words:], prog=" ".join(["recsys-bert", *words[:n_words]]))
        if getattr(config, "out", None) is not None:
            check_writable(config.out)  # before any work
        with printable_output():
            module.run(config)
    elif words in ([], ["help"]) or _below(words):
        print(_overview(words if _below(words) else []))
    else:
        raise unknown_name("command", " ".join(words), COMMANDS)


def _below(words: Sequence[str]) -> list[str]:
    """Commands of a group: those that begin with the words and go on."""
    return [name for name in COMMANDS if words and name.startswith(" ".join(words) + " ")]


def _overview(group: Sequence[str] = ()) -> str:
    names = _below(group) or list(COMMANDS)
    width = max(map(len, names))
    commands = "\n".join(f"  {name:<{width}}  {COMMANDS[name][1]}" for name in names)
    return (
        f"usage: recsys-bert {' '.join([*group, '<command>'])} [recipe.toml] [--flags]\n\nCommands:\n{commands}\n\n"
        "`recsys-bert <command> --help` shows the settings that matter, --help-all every one. A recipe is a TOML file\n"
        "of the same settings; flags win over it. --allow-parts, in every command, lets a saved run name parts from\n"
        "outside (module:Class), whose code then runs: for runs of people you trust."
    )


if __name__ == "__main__":
    sys.exit(main())
