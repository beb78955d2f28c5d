"""Generation of text: from a source text, or as the continuation of a prompt."""
