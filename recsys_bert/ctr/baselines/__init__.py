"""CTR baselines, one a file: fitted on the same impressions as the model, and shown beside it.

A baseline is built as ``Baseline(dataset, history_len)``, then ``fit(train, validation)`` and ``probabilities(data)``
``[n]`` on encoded impressions (``recsys_bert.ctr.data.CTRData``) with one label; settings of its own are chosen on
validation. Of several labels, one is fitted for each. It raises ``InputError`` where it lacks what it reads.
"""

CTR_BASELINES = {
    "item_rate": "recsys_bert.ctr.baselines.item_rate:ItemRate",
    "popularity": "recsys_bert.ctr.baselines.popularity:Popularity",
    "ppmi_linear": "recsys_bert.ctr.baselines.ppmi_linear:PPMILinear",
}
