"""Text search: a bi-encoder trained on questions and their answers finds the answer of a new question."""

import numpy as np

from nlp_tasks import Matcher

QUESTIONS = ["how do i reset my password", "where is my parcel", "can i return a shoe", "which card can i pay with"]
ANSWERS = [
    "forgotten password : open settings",
    "parcels : follow the number",
    "returns take 30 days",
    "we take every card",
]


def main() -> list[str]:
    """Train on pairs, then find the answer for new questions; returns their answers."""
    matcher = Matcher.train(
        QUESTIONS * 12,
        ANSWERS * 12,
        encoder={"dim": 16, "n_layers": 1},
        task={"form": "bi", "loss": "in_batch"},
        train={"epochs": 15, "lr": 5e-3, "batch_size": 8, "monitor": "mrr", "patience": 0},
    )
    new = ["reset the password", "where is the parcel"]
    similarity = matcher.encode(new) @ matcher.encode(ANSWERS).T
    answers = [ANSWERS[row] for row in np.argmax(similarity, axis=1)]
    print(answers)
    return answers


if __name__ == "__main__":
    main()
