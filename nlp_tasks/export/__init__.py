"""Export of trained models to transformers, sentence-transformers and ONNX; one target a file."""
