"""A simulated click log: settings, world, click process, impressions, oracle, vectors."""
