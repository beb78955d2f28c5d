"""The encoder, shared by clicks and text: embeddings, layers, fusion of hidden layers, residual necks."""
