"""The feed-forward branch, whole and in chunks of positions."""

import pytest
import torch
from small import small_config
from torch.nn.functional import layer_norm, relu

from reformer.model.feed_forward import FeedForward


def feed_forward_and_input(ff_chunk_size=0, length=17):
    torch.manual_seed(0)
    feed_forward = FeedForward(small_config(ff_chunk_size=ff_chunk_size)).double()
    with torch.no_grad():
        for parameter in feed_forward.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return feed_forward, torch.randn(3, length, 10, dtype=torch.float64, requires_grad=True)


def output_and_gradients(feed_forward, x):
    out = feed_forward(x)
    return out, torch.autograd.grad(out.square().sum(), [x, *feed_forward.parameters()])


@pytest.mark.parametrize("ff_chunk_size", [0, 1, 5, 16, 17, 100])
def test_chunks_of_any_size_give_the_formula_and_its_gradients(ff_chunk_size):
    feed_forward, x = feed_forward_and_input(ff_chunk_size)
    out, grads = output_and_gradients(feed_forward, x)

    normed = layer_norm(x, (10,), feed_forward.norm.weight, feed_forward.norm.bias)
    hidden = relu(normed @ feed_forward.to_hidden.weight.T + feed_forward.to_hidden.bias)
    expected = hidden @ feed_forward.to_out.weight.T + feed_forward.to_out.bias
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    expected_grads = torch.autograd.grad(expected.square().sum(), [x, *feed_forward.parameters()])
    torch.testing.assert_close(grads, expected_grads, rtol=0, atol=1e-12)


@pytest.mark.parametrize("ff_chunk_size", [0, 5])
def test_without_gradients_the_output_is_the_same(ff_chunk_size):
    feed_forward, x = feed_forward_and_input(ff_chunk_size)
    with torch.no_grad():
        out = feed_forward(x)
    assert torch.equal(out, feed_forward(x))


def test_chunks_count_positions_not_chunks():
    feed_forward, x = feed_forward_and_input(5)
    assert [part.shape[1] for part in feed_forward.split(x)] == [5, 5, 5, 2]
