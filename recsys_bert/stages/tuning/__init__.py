"""Parts of a search for settings: the space, the study that several processes share, and its trials."""
