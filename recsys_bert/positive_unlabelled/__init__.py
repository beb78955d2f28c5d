"""Learning from positive and unlabelled examples."""
