"""The parts behind ``recsys_bert.clicks.simulate``: settings, world, click process, impressions, oracle, vectors."""
