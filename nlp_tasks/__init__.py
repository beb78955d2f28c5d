"""The text front: tokenizers, pretraining on plain text, classification and matching, on the same encoder as clicks."""
