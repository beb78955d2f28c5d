"""Documents: links that lead somewhere, and a front page that stays one."""

import re
import types
from pathlib import Path

import pytest
import torch

from recsys_bert.encoder.attention import AttentionMask

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", "runs", "node_modules"} & set(path.relative_to(ROOT).parts)
)


def headings(document):
    """Anchors of a document, as code hosts make them of its headings."""
    lines = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S).splitlines()
    titles = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.M | re.S)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in headings(target)):
            broken.append(link)
    assert not broken


def test_the_front_page_stays_one():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def first_block(page):
    """Namespace of the first block of Python on a page."""
    code = re.search(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S)[1]
    module = types.ModuleType("page")
    exec(compile(code, str(page), "exec"), vars(module))  # our own documents
    return module


def test_the_layer_of_its_page_runs():
    layer = first_block("recsys_bert/encoder/layers/README.md").ParallelLayer(8, 2, 0.0)
    mask = AttentionMask.of(torch.ones(2, 5, dtype=torch.bool), causal=True)
    assert layer(torch.randn(2, 5, 8), mask, None)[0].shape == (2, 5, 8)


def test_the_head_of_its_page_runs():
    head = first_block("recsys_bert/ctr/heads/README.md").AttentionalFM(4, 8)
    inputs = torch.randn(3, 4, 8), torch.zeros(3, 0, 8), torch.zeros(3, 0, dtype=torch.bool)
    assert head(*inputs).shape == (3,)
    assert head.encode(*inputs).shape == (3, head.out_dim)


def test_the_multi_task_part_of_its_page_runs():
    part = first_block("recsys_bert/ctr/multi_task/README.md").CrossStitch(3, 8)
    assert part(torch.randn(5, 8)).shape == (5, 3)


def test_the_objective_of_its_page_pretrains(side_log, monkeypatch):
    from recsys_bert.objectives import OBJECTIVES
    from recsys_bert.stages.pretrain import pretrain

    monkeypatch.setitem(OBJECTIVES, "masked_end", first_block("recsys_bert/objectives/README.md").MaskedEnd)
    encoder, train = {"dim": 8, "n_layers": 1, "max_len": 10}, {"epochs": 1, "device": "cpu"}
    model = pretrain(side_log, objective="masked_end", objective_options={"n": 2}, encoder=encoder, train=train)
    assert len(model.recommend(users=[0], k=3)) == 3


def test_the_baseline_of_its_page_ranks(side_log):
    from recsys_bert.clicks.queries import Queries

    baseline = first_block("recsys_bert/retrieval/baselines/README.md").Random().fit(side_log)
    assert (baseline.rank(Queries.of(side_log), 5) >= side_log.vocabulary.first_item).all()
