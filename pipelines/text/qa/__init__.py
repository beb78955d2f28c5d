"""Question answering: train, evaluate, predict, and search many paragraphs for an answer."""
