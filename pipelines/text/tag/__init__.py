"""Named entities: train, evaluate, predict."""
