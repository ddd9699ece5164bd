"""Position embeddings: what they are made of, and how far they reach."""

from math import cos, prod, sin

import pytest
import torch
from small import small_batch, small_config, small_model

from reformer.model.positions import AxialPositions, build_positions
from reformer.model.reformer_lm import ReformerLM
from reformer.settings import SettingError


@pytest.mark.parametrize("length", range(1, 16))
def test_an_axial_position_is_its_row_beside_its_column_at_any_length_up_to_the_product(length):
    positions = AxialPositions([3, 5], [2, 4])
    for weight in positions.parameters():
        torch.nn.init.normal_(weight)
    expected = [torch.cat([positions.rows[i // 5], positions.columns[i % 5]]) for i in range(length)]
    assert torch.equal(positions(length), torch.stack(expected))


def test_the_gradient_of_an_axial_row_sums_over_its_positions():
    positions = AxialPositions([3, 5], [1, 1])
    for weight in positions.parameters():
        torch.nn.init.zeros_(weight)
    positions(12).sum().backward()
    assert positions.rows.grad.flatten().tolist() == [5, 5, 2]
    assert positions.columns.grad.flatten().tolist() == [3, 3, 2, 2, 2]


@pytest.mark.parametrize("max_seq_len", [*range(1, 40), 1021, 12288, 65536])
def test_inferred_axial_factors_reach_the_length_and_are_of_like_size(max_seq_len):
    positions = build_positions(small_config(max_seq_len=max_seq_len))
    shape = len(positions.rows), len(positions.columns)
    assert prod(shape) >= max_seq_len
    assert max(shape) <= 4 * min(shape) + 1
    assert positions(max_seq_len).shape == (max_seq_len, 10)


def test_given_axial_factors_and_widths_are_taken():
    positions = build_positions(small_config(axial_pos_shape=[7, 6], axial_pos_dims=[3, 7]))
    assert positions.rows.shape == (7, 3)
    assert positions.columns.shape == (6, 7)


@pytest.mark.parametrize("shape", [[5, 7], [3, 4, 5], [-8, -8]])
def test_axial_factors_that_do_not_reach_are_refused(shape):
    with pytest.raises(SettingError, match=r"^axial_pos_shape must be two factors .* max_seq_len = 40"):
        small_config(axial_pos_shape=shape)


@pytest.mark.parametrize("dims", [[5, 6], [2, 3, 5], [-1, 11]])
def test_axial_widths_that_do_not_fill_the_model_are_refused(dims):
    with pytest.raises(SettingError, match=r"^axial_pos_dims must be two widths .* d_model = 10"):
        small_config(axial_pos_dims=dims)


def test_learned_positions_are_one_row_each():
    positions = build_positions(small_config(positions="learned"))
    assert positions.weight.shape == (40, 10)
    torch.nn.init.normal_(positions.weight)
    assert torch.equal(positions(13), positions.weight[:13])


@pytest.mark.parametrize("d_model", [10, 7])
def test_sinusoids_start_by_their_formula_and_are_trained(d_model):
    weight = ReformerLM(small_config(positions="sinusoids", d_model=d_model, max_seq_len=41)).positions.weight
    wave = [sin, cos]
    expected = [[wave[j % 2](i / 10000 ** ((j - j % 2) / d_model)) for j in range(d_model)] for i in range(41)]
    torch.testing.assert_close(weight.detach(), torch.tensor(expected), rtol=0, atol=1e-6)
    assert weight.requires_grad


@pytest.mark.parametrize("positions", ["axial", "learned", "sinusoids"])
def test_a_sequence_longer_than_max_seq_len_is_refused_though_the_table_has_room(positions):
    model = small_model(torch.float32, positions=positions, max_seq_len=37)
    assert model(small_batch(37)[0]).shape == (3, 37, 19)
    with pytest.raises(SettingError, match=r"max_seq_len = 37, got 38"):
        model(small_batch(38)[0])
