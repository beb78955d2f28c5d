import numpy as np
import torch

from recsys_bert.objectives.token_prediction import RowFeatures


def test_features_are_looked_up_by_whatever_name():
    tables = {"a.b": np.array([[0], [5]], np.int32), "table_0": np.array([[0, 0], [6, 7]], np.int32)}
    features = RowFeatures(tables)(torch.tensor([[1, 0]]))
    assert {name: rows.tolist() for name, rows in features.items()} == {
        "a.b": [[5, 0]],
        "table_0": [[[6, 7], [0, 0]]],
    }
