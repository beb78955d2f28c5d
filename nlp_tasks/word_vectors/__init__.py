"""Word vectors: trained on the user's text, written and read as text, and where a table of a model starts."""
