"""CTR models: features, heads, and the history through the pretrained encoder."""
