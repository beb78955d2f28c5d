import pytest
import torch

from recsys_bert.errors import InputError

TOKENS = torch.tensor([[3, 4, 5], [6, 0, 0]])
FEATURES = [{"name": "shop", "size": 4}, {"name": "tags.all", "size": 6, "multi": True}]


def test_positions_count_from_the_last_token(make):
    encoder = make()
    token, position = encoder.embeddings.token.weight, encoder.embeddings.position.weight
    states = encoder(TOKENS).states[0]
    torch.testing.assert_close(states[0], token[[3, 4, 5]] + position[[2, 1, 0]])
    torch.testing.assert_close(states[1, 0], token[6] + position[0])


def test_positions_count_from_the_start_or_are_left_out(make):
    encoder = make(position="start")
    token, position = encoder.embeddings.token.weight, encoder.embeddings.position.weight
    torch.testing.assert_close(encoder(TOKENS).states[0][0], token[[3, 4, 5]] + position[:3])
    encoder = make(position="none")
    assert torch.equal(encoder(TOKENS).states[0], encoder.embeddings.token.weight[TOKENS])


def test_segments_are_added_and_are_0_where_none_are_given(make):
    encoder = make(n_segments=2)
    plain = make(n_segments=0)
    plain.load_state_dict(encoder.state_dict(), strict=False)
    rows = torch.tensor([[0, 1, 1], [1, 0, 0]])
    added = encoder(TOKENS, segments=rows).states[0] - plain(TOKENS).states[0]
    torch.testing.assert_close(added, encoder.embeddings.segment.weight[rows])
    assert torch.equal(encoder(TOKENS).tokens, encoder(TOKENS, segments=torch.zeros_like(rows)).tokens)


def test_side_features_are_added_and_many_values_are_averaged_without_zeros(make):
    encoder = make(features=FEATURES, position="none")
    shop, tags = (table.weight for table in encoder.embeddings.features)
    values = {
        "shop": torch.tensor([[1, 0, 3], [2, 0, 0]]),
        "tags.all": torch.tensor([[[1, 2, 0], [0, 0, 0], [5, 0, 0]], [[3, 3, 4], [0, 0, 0], [0, 0, 0]]]),
    }
    got = encoder(TOKENS, features=values).states[0]
    token = encoder.embeddings.token.weight
    torch.testing.assert_close(got[0, 0], token[3] + shop[1] + (tags[1] + tags[2]) / 2)
    torch.testing.assert_close(got[0, 1], token[4])  # value 0 is "none" and adds nothing
    torch.testing.assert_close(got[0, 2], token[5] + shop[3] + tags[5])
    torch.testing.assert_close(got[1, 0], token[6] + shop[2] + (2 * tags[3] + tags[4]) / 3)


def test_value_0_of_a_feature_stays_0_under_training(make):
    encoder = make(features=FEATURES).train()
    values = {"shop": torch.tensor([[1, 0, 3], [2, 0, 0]]), "tags.all": torch.tensor([[[1, 0]] * 3, [[0, 0]] * 3])}
    encoder(TOKENS, features=values).tokens.square().sum().backward()
    for table in (encoder.embeddings.token, *encoder.embeddings.features):
        assert not table.weight[0].any()
        assert not table.weight.grad[0].any()
        assert table.weight.grad.any()


def test_the_factorised_form_maps_narrow_tables_to_the_width(make):
    encoder = make(embedding_dim=3, n_segments=2, features=FEATURES[:1])
    embeddings = encoder.embeddings
    assert {t.weight.shape[1] for t in (embeddings.token, embeddings.position, embeddings.segment)} == {3}
    narrow = embeddings.token.weight[3] + embeddings.position.weight[2] + embeddings.segment.weight[0]
    got = encoder(TOKENS, features={"shop": torch.zeros_like(TOKENS)}).states[0]
    torch.testing.assert_close(got[0, 0], embeddings.projection(narrow))
    assert encoder.project(torch.ones(2, 8)).shape == (2, 3)


def test_embeddings_are_normalised_when_asked(make):
    state = make(embedding_norm=True)(TOKENS).states[0]
    torch.testing.assert_close(state.mean(-1), torch.zeros(2, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(state.var(-1, correction=0), torch.ones(2, 3), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, r"side features are \['shop', 'tags.all'\], got \[\]"),
        ({"shop": TOKENS, "tag": TOKENS}, "got .'shop', 'tag'."),
        (
            {"shop": TOKENS, "tags.all": TOKENS[..., None]},
            "feature 'shop' holds rows from 0 to 6; the table has rows 0 to 3",
        ),
        ({"shop": TOKENS * 0, "tags.all": TOKENS}, r"'tags.all' has shape \[2, 3\]; it must be \[batch, seq, width\]"),
        ({"shop": TOKENS[:, :2], "tags.all": TOKENS[..., None]}, r"'shop' has shape \[2, 2\]; it must be \[2, 3\]"),
        ({"shop": TOKENS * 0, "tags.all": -TOKENS[..., None]}, "'tags.all' holds rows from -6 to 0"),
        ({"shop": TOKENS * 0.5, "tags.all": TOKENS[..., None]}, "'shop' holds torch.float32"),
    ],
)
def test_features_that_do_not_fit_are_refused(make, values: dict[str, torch.Tensor] | None, message: str):
    with pytest.raises(InputError, match=message):
        make(features=FEATURES)(TOKENS, features=values)


def test_segments_that_do_not_fit_are_refused(make):
    with pytest.raises(InputError, match="n_segments is 0"):
        make()(TOKENS, segments=TOKENS * 0)
    with pytest.raises(InputError, match="segments holds rows from 0 to 6; the table has rows 0 to 1"):
        make(n_segments=2)(TOKENS, segments=TOKENS)


def test_sinusoidal_positions_start_with_the_size_and_the_shift_of_sinusoids(make):
    table = make(position_init="sinusoidal", max_len=400, dim=16).embeddings.position.weight.detach()
    assert table.std().item() == pytest.approx(0.5, rel=0.1)
    # the product of two positions depends on their distance alone, which is what random ones lack
    products = table @ table.T
    for distance in (0, 1, 7):
        along = products.diagonal(distance)
        torch.testing.assert_close(along, along[0].expand_as(along), rtol=1e-3, atol=1e-3)
    assert products[5, 5] > products[5, 6] > products[5, 8]
    assert make(position_init="sinusoidal").embeddings.position.weight.requires_grad


def test_an_unknown_way_to_start_positions_is_refused(make):
    with pytest.raises(InputError, match="position_init"):
        make(position_init="sinus")
