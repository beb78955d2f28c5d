"""Training data of a question answerer: usable questions and batches of windows."""

from collections.abc import Mapping

import numpy as np

from nlp_tasks.batches import TextBatches
from nlp_tasks.qa.config import QAConfig
from nlp_tasks.qa.data import QuestionSet, unusable
from nlp_tasks.qa.inputs import Labels, Windows, some_empty
from recsys_bert.errors import InputError


def usable_parts(parts: Mapping[str, QuestionSet], task: QAConfig) -> dict[str, QuestionSet]:
    """Refuse, or drop and count, questions that cannot be used.

    Raises:
        InputError: There are some; or validation cannot tune a threshold, having questions of one kind alone.
    """
    usable = {
        name: part.without(unusable(part, train=name == "train", no_answer=task.no_answer))
        for name, part in parts.items()
    }
    if task.no_answer and len({bool(question.answers) for question in usable["validation"].questions}) < 2:
        raise InputError(
            f"task.no_answer is set, but of the {len(usable['validation']):,} validation questions all have an answer, "
            "or none has one: no threshold can be tuned. Give validation questions of both kinds."
        )
    return usable


def window_batches(
    windows: Windows, labels: Labels, examples: QuestionSet, share: float, *, batch_size: int, seed: int
) -> TextBatches:
    """Training batches of windows.

    Args:
        windows: Training rows.
        labels: Their labels.
        examples: The questions.
        share: Share of the windows without their answer to sample every epoch; see ``QAConfig.empty_windows``.
        batch_size: Windows per batch.
        seed: Of order and sampling.
    """
    answered = np.array([bool(question.answers) for question in examples.questions])
    choose = None if share == 1 else some_empty(windows, labels, answered, share)
    values = {"starts": labels.starts, "ends": labels.ends}
    return TextBatches(windows.inputs, values, batch_size=batch_size, seed=seed, choose=choose)
