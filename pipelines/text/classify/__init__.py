"""Classification of texts: train, evaluate, predict."""
