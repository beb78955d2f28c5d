"""Pretraining objectives, for items and tokens alike: inputs, targets, attention, and the query at test time."""

OBJECTIVES = {
    "last_item": "recsys_bert.objectives.last_item:LastItem",
    "masked": "recsys_bert.objectives.masked:Masked",
    "next_item": "recsys_bert.objectives.next_item:NextItem",
    "replaced_token": "recsys_bert.objectives.replaced_token:ReplacedToken",
}
"""Objectives by name; see ``recsys_bert.objectives.objective.Objective`` for the contract."""

SECOND_LOSSES = {
    "next_sentence": "recsys_bert.objectives.segment_pairs:NextSentence",
    "sentence_order": "recsys_bert.objectives.segment_pairs:SentenceOrder",
}
"""Losses on two segments of a text, beside any objective; see ``recsys_bert.objectives.segment_pairs``."""
