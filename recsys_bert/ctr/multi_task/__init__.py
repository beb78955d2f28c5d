"""Multi-task models on top of a CTR head, one paper a file.

A part is built as ``Part(n_tasks, dim, *, options)`` and called as ``part(x) -> logits [batch, n_tasks]``: ``x``
``[batch, dim]`` is what the head's ``encode`` gives (``dim`` is its ``out_dim``), and the sigmoid of column t is the
probability that label t is 1 on an impression, clicked or not. Tasks are in the order of ``columns.labels``.

A part whose tasks each presuppose the one before (a purchase the click) says ``chained = True``; labels that contradict
it are refused.
"""

MULTI_TASK = {
    "shared_bottom": "recsys_bert.ctr.multi_task.shared_bottom:SharedBottom",
    "esmm": "recsys_bert.ctr.multi_task.esmm:ESMM",
    "mmoe": "recsys_bert.ctr.multi_task.mmoe:MMoE",
    "ple": "recsys_bert.ctr.multi_task.ple:PLE",
}
