"""Rank users with RecTools' SASRec: the comparison of ``evaluation_speed``.

    VENV/bin/python pipelines/benchmarks/rectools_recommend.py --log histories.npz

It is not part of the package and needs an environment with rectools[torch] alone. The model is fitted on one batch, for
weights change no speed; then ``recommend`` is timed, once it has run for a few users. Prints one JSON line.
"""

import argparse
import json
import logging
import time
import warnings

warnings.filterwarnings("ignore")
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def main() -> None:
    """Read, fit a little, rank, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", required=True, help="npz with users and items, oldest first")
    for name, value in (("dim", 64), ("n-layers", 2), ("max-len", 200), ("k", 10)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()

    import numpy as np
    import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]
    import torch
    from pytorch_lightning import Trainer  # type: ignore[import-not-found, unused-ignore]
    from rectools.dataset import Dataset  # type: ignore[import-not-found, unused-ignore]
    from rectools.models import SASRecModel  # type: ignore[import-not-found, unused-ignore]

    log = np.load(args.log)
    frame = pd.DataFrame({"user_id": log["users"], "item_id": log["items"], "weight": 1.0})
    frame["datetime"] = pd.to_datetime(np.arange(len(frame)), unit="s")
    dataset, users = Dataset.construct(frame), frame["user_id"].unique()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    model = SASRecModel(
        n_factors=args.dim,
        n_blocks=args.n_layers,
        n_heads=1,
        session_max_len=args.max_len,
        batch_size=128,
        recommend_batch_size=256,
        dataloader_num_workers=0,
        epochs=1,
        get_trainer_func=lambda: Trainer(max_epochs=1, limit_train_batches=1, **quiet),
    )
    model.fit(dataset)
    model.recommend(users[:256], dataset, k=args.k, filter_viewed=True)
    start = time.perf_counter()
    model.recommend(users, dataset, k=args.k, filter_viewed=True)
    seconds = time.perf_counter() - start
    result = {"users_per_s": len(users) / seconds, "users": len(users), "items": int(frame["item_id"].nunique())}
    print(json.dumps(result | {"threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
