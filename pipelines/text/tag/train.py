"""Train a tagger, evaluate it, and write it."""

from typing import TYPE_CHECKING, Any

from pipelines.text.tag.training import Config, begin_run, known, prepare
from recsys_bert.errors import InputError

if TYPE_CHECKING:
    from nlp_tasks.tagging.data import AnnotatedSentences

__all__ = ["Config", "run"]


def run(config: Config) -> dict[str, Any]:
    """Train, evaluate once on test, and write ``tagger`` and ``metrics.json``.

    Returns:
        The contents of ``metrics.json``.
    """
    from nlp_tasks.tagging.mrc import read_queries
    from pipelines.text.tag import unlabelled
    from pipelines.text.tag.files import hold_out_sentences, read_files

    if config.pu.dictionary is not None:
        return unlabelled.run(config)
    splits = read_files(config.data)
    nested = config.head.options.get("nested") is True
    types = types_in(splits["train"], nested)
    queries = read_queries(config.queries, types)
    splits = known(splits, types, nested, config.data.bad_rows)
    if "validation" not in splits:  # only now: a rare type may fall into one part alone
        splits |= hold_out_sentences(splits["train"], config.data, config.train.seed)
    training = prepare(config, splits, types, queries)
    begin_run(config)
    results = training.fit(config.out)
    training.save(results)
    return results


def types_in(train: "AnnotatedSentences", nested: bool) -> list[str]:
    """Types of the training sentences' entities: the outermost, or all of them.

    Raises:
        InputError: There are none.
    """
    from nlp_tasks.tagging.data import types_of

    types = types_of(train.sentences, nested=nested)
    if not types:
        raise InputError(f"none of the {len(train):,} training sentences of {train.path} has an entity.")
    return types
