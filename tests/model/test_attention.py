"""The attention branch: its projections, its pieces, and what it hashes."""

from unittest.mock import patch

import pytest
import torch
from small import small_config
from torch.nn.functional import layer_norm
from twins import attention_twin, sees_all, sees_neighbours

import reformer.model.attention as attention_module
from reformer.model import lsh
from reformer.model.attention import Attention
from reformer.model.attention_kinds import KINDS

LENGTH = 21


def attention_and_input(kind, length=LENGTH, **settings):
    torch.manual_seed(0)
    attention = Attention(small_config(**{"n_heads": 3, "attention": [kind]} | settings), kind).double()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return attention, torch.randn(2, length, 10, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("shared_qk", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("kind", "sees"), [("full", sees_all), ("local", lambda causal: sees_neighbours(8, causal))])
def test_each_head_attends_in_its_own_columns_of_the_projections(kind, sees, causal, shared_qk):
    attention, x = attention_and_input(kind, shared_qk=shared_qk, causal=causal)
    normed = layer_norm(x, (10,), attention.norm.weight, attention.norm.bias)
    expected = torch.zeros_like(x)
    for head in range(3):
        columns = slice(6 * head, 6 * head + 6)
        q, k, v = (
            None if matrix is None else (normed @ matrix.weight[columns].T)[:, None]
            for matrix in (attention.to_q, attention.to_k, attention.to_v)
        )
        expected = expected + attention_twin(q, k, v, sees(causal))[:, 0] @ attention.to_out.weight[:, columns].T
    torch.testing.assert_close(attention(x), expected, rtol=0, atol=1e-12)


def test_every_kind_has_the_same_parameters_and_no_bias():
    """So that weights trained with one kind can be evaluated with another."""
    names = [name for name, _ in attention_and_input("lsh")[0].named_parameters()]
    assert names == ["norm.weight", "norm.bias", "to_q.weight", "to_v.weight", "to_out.weight"]
    for kind in KINDS:
        assert [name for name, _ in attention_and_input(kind)[0].named_parameters()] == names


def test_attention_that_is_off_adds_nothing():
    attention, x = attention_and_input("off")
    assert attention(x).eq(0).all()


@pytest.mark.parametrize("kind", ["full", "local", "lsh"])
@pytest.mark.parametrize("heads_at_a_time", [1, 2])
def test_heads_a_few_at_a_time_give_what_all_at_once_give(monkeypatch, kind, heads_at_a_time):
    attention, x = attention_and_input(kind, n_heads=5)
    padding_mask = torch.arange(LENGTH) < torch.tensor([[LENGTH], [LENGTH - 4]])
    monkeypatch.setattr(attention_module, "MIN_CHUNK_LEN", 7)  # projected in several parts
    found = []
    for size in (1 << 24, heads_at_a_time * x.shape[0] * LENGTH * 6):
        monkeypatch.setattr(attention_module, "MAX_QUERY_ELEMENTS", size)
        assert len(list(attention.summands(x, padding_mask, []))) == (
            1 if size == 1 << 24 else -(-5 // heads_at_a_time)
        )
        torch.manual_seed(4)  # what is hashed with does not follow from how many take turns
        out = attention(x, padding_mask)
        found.append([out, *torch.autograd.grad(out.square().sum(), [x, *attention.parameters()])])
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("piece_size", [1, 1 << 24])
def test_buckets_that_are_given_are_taken_and_nothing_is_drawn(monkeypatch, piece_size):
    monkeypatch.setattr(attention_module, "MAX_QUERY_ELEMENTS", piece_size)
    attention, x = attention_and_input("lsh")
    buckets = []
    first = attention(x, None, buckets)
    assert sum(part.shape[1] for part in buckets) == 3
    before = torch.get_rng_state()
    assert torch.equal(attention(x, None, buckets), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(attention(x), first)


def test_rotations_are_fresh_for_every_call_and_follow_from_the_seed():
    attention, x = attention_and_input("lsh")
    first, second = [], []
    for outs in (first, second):
        torch.manual_seed(3)
        outs += [attention(x) for _ in range(3)]
    assert all(map(torch.equal, first, second))
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[1], first[2])


def test_the_number_of_buckets_follows_from_each_length_unless_it_is_given():
    for n_buckets in (0, 6):
        attention, _ = attention_and_input("lsh", n_buckets=n_buckets)
        for length in (9, 40, 16, 1):
            with patch.object(attention_module, "draw_rotations", wraps=attention_module.draw_rotations) as drawing:
                attention(torch.randn(2, length, 10, dtype=torch.float64))
            assert drawing.call_args.args[1:] == (n_buckets or lsh.count_buckets(length, 8), 3)


@pytest.mark.parametrize(
    "rules",
    [
        {"causal": False},
        {"window": "chunk", "same_bucket_mask": False},
        {"duplicate_correction": False},
        {"chunk_len": 5},
    ],
)
def test_the_rules_of_the_configuration_reach_lsh_attention(rules):
    attention, x = attention_and_input("lsh", **rules)
    padding_mask = torch.arange(LENGTH) < LENGTH - 3
    with patch.object(lsh, "lsh_attention", wraps=lsh.lsh_attention) as attend:
        attention(x, padding_mask.expand(2, -1))
    usual = {"causal": True, "same_bucket_mask": True, "duplicate_correction": True, "chunk_len": 8, "window": "sorted"}
    expected = usual | rules
    given = attend.call_args.kwargs
    assert {name: given[name] for name in expected} == expected
    assert torch.equal(given["padding_mask"], padding_mask.expand(2, -1))
