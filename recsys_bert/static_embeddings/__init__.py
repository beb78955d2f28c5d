"""Static embeddings of rows in sequences, items and words alike: word2vec (skip-gram, CBOW), GloVe, PPMI."""
