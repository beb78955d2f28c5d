"""Training of sentence vectors: SimCSE, hard negatives, CoSENT, cosine regression."""
