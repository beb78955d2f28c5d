"""Positive-unlabelled (PU) learning: risks, class priors, bagging."""
