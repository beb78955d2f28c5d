"""Vectors of words or items from what stands beside them: skip-gram and CBOW with negative sampling, and GloVe.

What a row means is not known here: words of a text and items of a history are rows in sequences alike.
"""
