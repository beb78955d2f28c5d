"""Heads against their formulas, written out slowly."""

import itertools

import pytest
import torch

from recsys_bert.ctr.heads.bst import BST
from recsys_bert.ctr.heads.dcn_v2 import CrossLayer, DCNv2
from recsys_bert.ctr.heads.deepfm import DeepFM
from recsys_bert.ctr.heads.din import DIN
from recsys_bert.ctr.heads.final_mlp import BilinearFusion, FinalMLP, Gate
from recsys_bert.ctr.heads.fm import FactorisationMachine, order_sums
from recsys_bert.ctr.heads.lr import LogisticRegression
from recsys_bert.ctr.heads.mlp import EmbeddingMlp
from recsys_bert.ctr.mlp import Dice, Mlp
from recsys_bert.errors import InputError


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(3)


@pytest.fixture
def fields():
    return torch.randn(3, 5, 4)


@pytest.fixture
def nothing():
    return torch.zeros(3, 0, 4), torch.zeros(3, 0, dtype=torch.bool)


def test_order_sums_are_those_over_all_pairs(fields):
    pairs = [sum(row[i] * row[j] for i, j in itertools.combinations(range(5), 2)) for row in fields[:, :, 1:]]
    slow = torch.cat([fields[:, :, :1].sum(1), torch.stack(pairs)], 1)
    torch.testing.assert_close(order_sums(fields), slow)


def test_fm_reads_channel_0_as_weights_and_the_rest_as_factors(fields, nothing):
    head = FactorisationMachine(5, 4)
    head.out.bias.data.fill_(0.5)
    pairs = [sum(row[i] @ row[j] for i, j in itertools.combinations(range(5), 2)) for row in fields[:, :, 1:]]
    slow = 0.5 + fields[:, :, 0].sum(1) + torch.stack(pairs)
    torch.testing.assert_close(head(fields, *nothing), slow)
    with pytest.raises(InputError, match="at least 2"):
        FactorisationMachine(5, 1)


def test_lr_adds_up_weights(nothing):
    head = LogisticRegression(2, 1)
    head.out.bias.data.fill_(0.25)
    weights = torch.tensor([[[1.0], [2.0]], [[-1.0], [0.5]], [[0.0], [0.0]]])
    assert head(weights, *nothing).tolist() == [3.25, -0.25, 0.25]


def test_deepfm_is_the_machine_plus_the_network(fields, nothing):
    head = DeepFM(5, 4, hidden=(6,))
    machine = FactorisationMachine(5, 4)
    machine.out.bias.data = head.out.machine.bias.data.fill_(0.5)
    deep = head.out.deep(torch.relu(head.deep[0](fields.flatten(1)))).squeeze(1)
    torch.testing.assert_close(head(fields, *nothing), machine(fields, *nothing) + deep)
    with pytest.raises(InputError, match="at least 2"):
        DeepFM(5, 1)


def test_a_cross_layer_multiplies_with_the_first_input():
    cross = CrossLayer(2, None)
    cross.mix.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    cross.mix.bias.data = torch.tensor([0.5, -0.5])
    first, x = torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, -1.0]])
    # W x + b = [1 - 2 + .5, 3 - 4 - .5] = [-.5, -1.5]; times first [-1, -4.5]; plus x
    assert cross(first, x).tolist() == [[0.0, -5.5]]


def test_a_low_rank_cross_is_its_full_matrix(fields):
    low, full = CrossLayer(20, 2), CrossLayer(20, None)
    full.mix.weight.data = low.mix[1].weight.data @ low.mix[0].weight.data
    full.mix.bias.data = low.mix[1].bias.data
    flat = fields.flatten(1)
    torch.testing.assert_close(low(flat, flat), full(flat, flat))


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
def test_dcn_structures(structure, fields, nothing):
    head = DCNv2(5, 4, n_cross=1, hidden=(6,), structure=structure)
    flat = fields.flatten(1)
    crossed = flat * head.crosses[0].mix(flat) + flat
    deep = torch.relu(head.deep[0](flat if structure == "parallel" else crossed))
    joined = torch.cat([crossed, deep], 1) if structure == "parallel" else deep
    torch.testing.assert_close(head(fields, *nothing), head.out(joined).squeeze(1))
    with pytest.raises(InputError, match="'parallel' or 'stacked'"):
        DCNv2(5, 4, structure="sideways")


def test_bilinear_fusion_matches_a_plain_loop():
    fusion = BilinearFusion(6, 4, 2)
    a, b = torch.randn(3, 6), torch.randn(3, 4)
    both = torch.cat([a, b], 1)
    slow = fusion.linear(both).squeeze(1)
    for row, head in itertools.product(range(3), range(2)):
        left, right = a[row, 3 * head : 3 * head + 3], b[row, 2 * head : 2 * head + 2]
        slow[row] = slow[row] + left @ fusion.pairs[head] @ right
    torch.testing.assert_close(fusion(both).squeeze(1), slow)
    with pytest.raises(InputError, match="must divide"):
        BilinearFusion(6, 4, 4)


def test_a_gate_starts_from_its_context_fields_alone(fields):
    gate = Gate(5, 4, context=(2,), hidden=(6,))
    scale = 2 * torch.sigmoid(gate.out(torch.relu(gate.net[0](fields[:, 2]))))
    torch.testing.assert_close(gate(fields), fields.flatten(1) * scale)
    shared = Gate(5, 4, context=(), hidden=(6,))
    torch.testing.assert_close(
        shared(fields) / fields.flatten(1), (shared(fields) / fields.flatten(1))[:1].expand(3, -1)
    )
    with pytest.raises(InputError, match="numbered 0 to 4"):
        Gate(5, 4, context=(5,), hidden=())


def test_final_mlp_without_gates_is_two_networks_and_a_fusion(fields, nothing):
    head = FinalMLP(5, 4, hidden_1=(6,), hidden_2=(4,), gates=False, n_heads=2)
    flat = fields.flatten(1)
    a, b = (torch.relu(stream[0](flat)) for stream in head.streams)
    torch.testing.assert_close(head(fields, *nothing), head.out(torch.cat([a, b], 1)).squeeze(1))


def test_an_mlp_reads_all_fields_side_by_side(fields, nothing):
    head = EmbeddingMlp(5, 4, hidden=(6,))
    deep = torch.relu(head.deep[0](fields.flatten(1)))
    torch.testing.assert_close(head(fields, *nothing), head.out(deep).squeeze(1))


@pytest.mark.parametrize("softmax", [False, True])
def test_din_weighs_real_items_by_the_activation_unit(softmax, fields):
    head = DIN(5, 4, target=1, attention_hidden=(6,), hidden=(), softmax=softmax)
    history = torch.randn(3, 2, 4)
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    interest = torch.zeros(3, 4)
    for row in range(3):
        items, target = history[row][mask[row]], fields[row, 1]
        if not len(items):
            continue
        weights = torch.stack(
            [head.weight(head.attention(torch.cat([k, target, target - k, target * k]))) for k in items]
        )
        weights = weights.softmax(0) if softmax else weights
        interest[row] = (weights * items).sum(0)
    expected = head.out(torch.cat([fields.flatten(1), interest], 1)).squeeze(1)
    torch.testing.assert_close(head(fields, history, mask), expected)


def test_bst_sees_order_but_not_absolute_length(fields):
    head = BST(5, 4, n_heads=2).eval()
    history, mask = torch.randn(3, 4, 4), torch.ones(3, 4, dtype=torch.bool)
    assert (head(fields, history, mask) - head(fields, history.flip(1), mask)).abs().min() > 1e-6
    short = BST(5, 4, n_heads=2, max_len=2).eval()  # positions further back than max_len share one
    swapped = history[:, [1, 0, 2, 3]]
    torch.testing.assert_close(short(fields, history, mask), short(fields, swapped, mask))
    with pytest.raises(InputError, match="do not divide"):
        BST(5, 4, n_heads=3)


@pytest.mark.parametrize("head", [DIN, BST])
def test_a_target_field_must_exist(head):
    with pytest.raises(InputError, match="numbered 0 to 4"):
        head(5, 4, target=5)


def test_dice_follows_its_formula():
    dice = Dice(2)
    dice.alpha.data = torch.tensor([0.1, 0.2])
    x = torch.tensor([[1.0, 2.0], [3.0, -2.0]])
    normal = (x - x.mean(0)) / (x.var(0, correction=0) + dice.norm.eps).sqrt()
    p = torch.sigmoid(normal)
    torch.testing.assert_close(dice(x), p * x + (1 - p) * dice.alpha * x)


def test_an_mlp_says_what_is_wrong_with_its_options():
    for options, message in (
        ({"activation": "gelu"}, "known: dice"),
        ({"dropout": 1.0}, r"\[0, 1\)"),
        ({"hidden": (0,)}, "at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            Mlp(**{"dim": 3, "hidden": (4,)} | options)
