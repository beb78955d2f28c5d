"""Multi-task parts against their formulas, written out slowly; the loss and the metrics of several labels."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn

from recsys_bert.ctr.data import CTRData
from recsys_bert.ctr.inference import label_metrics
from recsys_bert.ctr.model import CTRLoss
from recsys_bert.ctr.multi_task.esmm import ESMM, chain_logits
from recsys_bert.ctr.multi_task.mmoe import MMoE
from recsys_bert.ctr.multi_task.ple import PLE
from recsys_bert.ctr.multi_task.shared_bottom import SharedBottom
from recsys_bert.errors import InputError

TASKS = ("click", "buy")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(3)


@pytest.fixture
def x():
    return torch.randn(4, 5)


def _tower(part, task, x):
    return part.towers.out[task](part.towers.hidden[task](x)).squeeze(1)


def test_a_shared_bottom_is_one_network_below_all_towers(x):
    part = SharedBottom(2, 5, hidden=(6,), tower=(3,))
    bottom = torch.relu(part.bottom[0](x))
    expected = torch.stack([_tower(part, task, bottom) for task in range(2)], 1)
    torch.testing.assert_close(part(x), expected)


def test_esmm_multiplies_probabilities_along_the_chain(x):
    part = ESMM(3, 5, tower=(3,))
    steps = torch.stack([torch.sigmoid(_tower(part, task, x)) for task in range(3)], 1)
    torch.testing.assert_close(torch.sigmoid(part(x)), steps.cumprod(1))


def test_chains_stay_exact_at_both_ends():
    steps = torch.tensor([[-60.0, -70.0], [30.0, 25.0], [40.0, -40.0], [0.0, 0.0]], dtype=torch.float64)
    p = torch.sigmoid(steps.to(torch.float64))
    rest = torch.sigmoid(-steps)
    product, complement = p.prod(1), rest[:, 0] + p[:, 0] * rest[:, 1]
    torch.testing.assert_close(chain_logits(steps)[:, 1], product.log() - complement.log())
    torch.testing.assert_close(chain_logits(steps)[:, 0], steps[:, 0])


def test_mmoe_mixes_shared_experts_by_the_gate_of_each_task(x):
    part = MMoE(2, 5, n_experts=3, expert=(4,), tower=(2,))
    for row, task in ((row, task) for row in range(4) for task in range(2)):
        gate = torch.softmax(part.gates[task].weight @ x[row], 0)
        experts = [torch.relu(expert[0].weight @ x[row] + expert[0].bias) for expert in part.experts]
        mixed = sum(weight * expert for weight, expert in zip(gate, experts, strict=True))
        torch.testing.assert_close(part(x)[row, task], _tower(part, task, mixed[None])[0])


def test_one_expert_is_a_shared_bottom(x):
    mixture, shared = MMoE(2, 5, n_experts=1, expert=(4,), tower=(2,)), SharedBottom(2, 5, hidden=(4,), tower=(2,))
    shared.bottom.load_state_dict(mixture.experts[0].state_dict())
    shared.towers.load_state_dict(mixture.towers.state_dict())
    torch.testing.assert_close(mixture(x), shared(x))


def test_ple_mixes_own_and_shared_experts_level_by_level(x):
    part = PLE(2, 5, n_levels=2, n_specific=2, n_shared=1, expert=(4,), tower=(2,))
    inputs = [x, x, x]
    for number, level in enumerate(part.levels):
        run = [
            [torch.relu(expert[0](value)) for expert in group]
            for group, value in zip(level.experts, inputs, strict=True)
        ]
        pools = [run[0] + run[2], run[1] + run[2], run[0] + run[1] + run[2]]
        assert len(level.gates) == (3 if number == 0 else 2)
        outputs = []
        for gate, value, pool in zip(level.gates, inputs, pools, strict=False):
            weights = torch.softmax(value @ gate.weight.T, 1)
            assert weights.shape[1] == len(pool)
            outputs.append(sum(weights[:, i : i + 1] * expert for i, expert in enumerate(pool)))
        inputs = outputs
    expected = torch.stack([_tower(part, task, inputs[task]) for task in range(2)], 1)
    torch.testing.assert_close(part(x), expected)


def test_a_task_does_not_read_the_experts_of_another_on_one_level(x):
    part = PLE(2, 5, n_levels=1, expert=(4,))
    part(x)[:, 0].sum().backward()
    other = [value for expert in part.levels[0].experts[1] for value in expert.parameters()]
    assert all(value.grad is None or not value.grad.any() for value in other)
    assert all(value.grad.any() for expert in part.levels[0].experts[2] for value in expert.parameters())


@pytest.mark.parametrize(
    ("part", "options", "message"),
    [
        (MMoE, {"n_experts": 0}, "n_experts is 0"),
        (MMoE, {"expert": ()}, r"expert \[\]"),
        (PLE, {"n_shared": 0}, "n_shared 0"),
        (PLE, {"expert": ()}, r"expert \[\]"),
        (SharedBottom, {"tower": (0,)}, "at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(part, options, message):
    with pytest.raises(InputError, match=message):
        part(2, 5, **options)


class _Logits(nn.Module):
    """Logits that are parameters, to see the gradient of each."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, batch):
        return self.logits


LABEL = torch.tensor([[1.0, float("nan")], [0.0, 0.0], [1.0, 1.0], [float("nan"), 1.0]])
LOGITS = [[0.5, 3.0], [-0.2, 0.4], [1.5, -1.0], [9.0, 0.3]]


def test_the_loss_is_the_weighted_sum_over_known_labels_by_the_batch():
    loss = CTRLoss(_Logits(LOGITS), task_weights=(1.0, 5.0))({"label": LABEL})
    slow = 0.0
    for row, task in ((row, task) for row in range(4) for task in range(2)):
        label, p = LABEL[row, task].item(), torch.sigmoid(torch.tensor(LOGITS[row][task])).item()
        if not np.isnan(label):
            slow += (1.0, 5.0)[task] * -np.log(p if label else 1 - p) / 4
    assert loss.item() == pytest.approx(slow, rel=1e-5)


def test_a_missing_label_has_no_gradient():
    model = _Logits(LOGITS)
    CTRLoss(model)({"label": LABEL}).backward()
    assert (model.logits.grad == 0).tolist() == LABEL.isnan().tolist()


def test_metrics_are_those_of_each_label_where_it_is_known():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (200, 2)).astype(np.float32)
    labels[random.random((200, 2)) < 0.2] = np.nan
    scores, users = random.random((200, 2)), random.integers(0, 9, 200)
    data = CTRData(np.zeros((200, 0), np.int32), np.zeros((200, 0), np.float32), labels, users, *[None] * 4, {})
    metrics = label_metrics(data, scores, TASKS)
    for number, task in enumerate(TASKS):
        known = ~np.isnan(labels[:, number])
        label, score = labels[known, number], scores[known, number]
        assert metrics[f"{task}.auc"] == pytest.approx(roc_auc_score(label, score))
        assert metrics[f"{task}.log_loss"] == pytest.approx(log_loss(label, score))
        assert metrics[f"{task}.impressions"] == known.sum()
        assert f"{task}.gauc" in metrics
        assert f"{task}.calibration_error" in metrics
    for name in ("auc", "log_loss", "gauc", "calibration_error"):
        assert metrics[name] == pytest.approx((metrics[f"click.{name}"] + metrics[f"buy.{name}"]) / 2)
