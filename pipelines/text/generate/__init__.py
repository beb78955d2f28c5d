"""Generation of text: train, evaluate, predict."""
