"""Logits and losses, whole and in chunks, against PyTorch's cross entropy."""

import pytest
import torch
from small import small_config
from torch.nn.functional import cross_entropy

from reformer.model.loss import Head


def head_and_streams(loss_chunk_size=0, dtype=torch.float64, length=17):
    torch.manual_seed(0)
    head = Head(small_config(loss_chunk_size=loss_chunk_size)).to(dtype)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    y1, y2 = torch.randn(2, 3, length, 10, dtype=dtype).unbind()
    return head, y1.requires_grad_(), y2.requires_grad_(), torch.randint(19, (3, length))


def losses_and_gradients(head, y1, y2, targets, weights):
    nll, correct, _ = head.losses(y1, y2, targets)
    return nll, correct, torch.autograd.grad((nll * weights).sum(), [y1, y2, *head.parameters()])


@pytest.mark.parametrize("loss_chunk_size", [0, 1, 5, 16, 17, 100])
def test_losses_in_chunks_of_any_size_equal_cross_entropy_of_all_logits(loss_chunk_size):
    head, y1, y2, targets = head_and_streams(loss_chunk_size)
    weights = torch.rand(targets.shape, dtype=torch.float64)
    nll, correct, grads = losses_and_gradients(head, y1, y2, targets, weights)

    logits = head(y1, y2)
    expected = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    expected_grads = torch.autograd.grad((expected * weights).sum(), [y1, y2, *head.parameters()])
    torch.testing.assert_close(nll, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(grads, expected_grads, rtol=0, atol=1e-12)
    assert torch.equal(correct, logits.argmax(-1) == targets)
    assert not correct.requires_grad


def test_logits_see_both_streams_normalised_together():
    head, y1, y2, _ = head_and_streams()
    streams = torch.cat([y1, y2], -1)
    normed = (streams - streams.mean(-1, keepdim=True)) / (streams.var(-1, keepdim=True, correction=0) + 1e-5).sqrt()
    expected = (normed * head.norm.weight + head.norm.bias) @ head.to_logits.weight.T + head.to_logits.bias
    torch.testing.assert_close(head(y1, y2), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss_chunk_size", [0, 5])
def test_a_model_in_low_precision_gives_losses_in_float32(loss_chunk_size):
    head, y1, y2, targets = head_and_streams(loss_chunk_size, torch.bfloat16)
    nll = head.losses(y1.float(), y2.float(), targets).nll
    assert nll.dtype == torch.float32
    expected = cross_entropy(head(y1, y2).float().transpose(1, 2), targets, reduction="none")
    torch.testing.assert_close(nll, expected)


@pytest.mark.parametrize("loss_chunk_size", [0, 5])
def test_the_mean_leaves_out_ignored_targets_and_pads(loss_chunk_size):
    head, y1, y2, targets = head_and_streams(loss_chunk_size)
    targets[0, 3:9] = targets[2, 16] = -100
    padding_mask = torch.arange(17) < torch.tensor([17, 11, 17])[:, None]
    losses = head.losses(y1, y2, targets, padding_mask)
    kept = padding_mask & (targets != -100)
    expected = cross_entropy(head(y1, y2)[kept], targets[kept])
    torch.testing.assert_close(losses.mean(), expected, rtol=0, atol=1e-12)
    found, wanted = (torch.autograd.grad(mean, [y1, y2]) for mean in (losses.mean(), expected))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_pads_with_losses_that_are_not_finite_leave_the_mean_finite():
    head, y1, y2, targets = head_and_streams()
    y1 = y1.detach().clone()
    y1[0, 5:] = torch.nan
    padding_mask = torch.ones(3, 17, dtype=torch.bool)
    padding_mask[0, 5:] = False
    assert head.losses(y1, y2, targets, padding_mask).mean().isfinite()
