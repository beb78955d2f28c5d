"""Second losses on histories: vectors of two views of one are close, those of other histories far; one paper a file.

They are added to the loss of any objective; see ``recsys_bert.objectives.contrast.contrast`` for the contract.
"""

CONTRASTS = {
    "simcse": "recsys_bert.objectives.contrast.simcse:SimCSE",
    "cl4srec": "recsys_bert.objectives.contrast.cl4srec:CL4SRec",
    "duorec": "recsys_bert.objectives.contrast.duorec:DuoRec",
}
"""Second losses of ``pretrain`` by name."""
