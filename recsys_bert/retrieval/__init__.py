"""Finding candidates: two towers, FAISS indexes, and the baselines they have to beat."""
