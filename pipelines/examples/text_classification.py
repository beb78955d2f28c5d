"""Text classification: two lists in, labels and probabilities out."""

from nlp_tasks.classification.classifier import Classifier

TEXTS = ["the match ended three to one", "a goal in the last minute", "shares fell on weak earnings"] * 20
LABELS = ["sport", "sport", "business"] * 20


def main() -> list[str] | list[tuple[str, ...]]:
    """Train on sixty short texts; returns the labels of two new ones."""
    classifier = Classifier.train(TEXTS, LABELS, encoder={"dim": 16, "n_layers": 1}, train={"epochs": 8, "lr": 5e-3})
    new = ["the last goal ended the match", "weak shares"]
    labels = classifier.predict(new)
    print(labels, classifier.probabilities(new).round(2).tolist())
    return labels


if __name__ == "__main__":
    main()
