"""Parts of an offline evaluation: models under test, their lists, index comparison, training records."""
