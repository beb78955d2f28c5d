"""Timed training steps of RecTools' SASRec or BERT4Rec: the comparison of ``training_speed``.

    VENV/bin/python pipelines/benchmarks/rectools_train.py --log log.txt --model sasrec --dim 64

It is not part of the package and needs an environment with rectools[torch] alone. The log has one user a line, the
user and then items, oldest first; the last two items are held out, as they are from our training. Time runs from one
step's end to the next, after the first steps, so that starting counts nowhere and the making of batches does. Prints
one JSON line.
"""

import argparse
import json
import logging
import time
import warnings

warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def main() -> None:
    """Read, train for some steps, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", required=True, help="text file: user item item …")
    parser.add_argument("--model", choices=("sasrec", "bert4rec"), required=True)
    defaults = {"dim": 64, "n-layers": 2, "max-len": 200, "batch-size": 128, "start-up": 3, "steps": 20}
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dropout", type=float, default=0.2)
    args = parser.parse_args()

    import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]
    import torch
    from pytorch_lightning import Callback, Trainer  # type: ignore[import-not-found, unused-ignore]
    from rectools.dataset import Dataset  # type: ignore[import-not-found, unused-ignore]
    from rectools.models import BERT4RecModel, SASRecModel  # type: ignore[import-not-found, unused-ignore]

    with open(args.log, encoding="utf-8") as lines:
        histories = [line.split() for line in lines]
    rows = [(user, item, 1.0, position) for user, *items in histories for position, item in enumerate(items[:-2])]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "weight", "datetime"])
    frame["datetime"] = pd.to_datetime(frame["datetime"], unit="s")

    ends: list[float] = []  # of each step; not held by the callback, which RecTools copies with its trainer
    sizes: list[int] = []  # its sequences

    class Clock(Callback):  # type: ignore[misc, unused-ignore]
        def on_train_batch_end(self, _trainer: object, _module: object, _outputs: object, batch: dict, _n: int) -> None:
            ends.append(time.perf_counter())
            sizes.append(len(batch["x"]))

    steps = args.start_up + args.steps
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    model = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel}[args.model](
        n_factors=args.dim,
        n_blocks=args.n_layers,
        n_heads=1,
        dropout_rate=args.dropout,
        session_max_len=args.max_len,
        batch_size=args.batch_size,
        loss="softmax",
        dataloader_num_workers=0,
        epochs=1,
        get_trainer_func=lambda: Trainer(max_epochs=1, limit_train_batches=steps, callbacks=[Clock()], **quiet),
    )
    model.fit(Dataset.construct(frame))
    if len(ends) < steps:
        raise SystemExit(f"the log has {len(ends)} batches; {steps} are needed.")
    seconds = ends[-1] - ends[args.start_up - 1]
    result = {"seq_per_s": sum(sizes[args.start_up :]) / seconds, "seconds": seconds}
    print(json.dumps(result | {"threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
