"""The encoder core shared by both fronts: embeddings, layers, fusion of hidden layers, residual necks."""
