"""Parts of a comparison of settings: the grid and its training runs."""
