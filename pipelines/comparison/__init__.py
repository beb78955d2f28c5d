"""What ``recsys-bert compare`` is made of: the grid, the runs of its cells, what measures them."""
