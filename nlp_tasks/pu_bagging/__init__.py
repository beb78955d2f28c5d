"""PU bagging: score unlabelled texts where some positives are known and no negatives."""
