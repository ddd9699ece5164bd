"""What notebooks read off a network is what the network computes."""

from functools import partial

import torch

from reformer.illustrate import inside
from reformer.model.config import ReformerConfig
from reformer.model.dot_product import full_attention
from reformer.model.reformer_lm import ReformerLM

SIZES = {"d_model": 12, "d_ff": 10, "n_heads": 2, "d_head": 5, "max_seq_len": 11, "vocab_size": 7}


def network(**options: object) -> ReformerLM:
    torch.manual_seed(3)
    return ReformerLM(ReformerConfig(n_layers=3, **SIZES | {"attention": ["full"]} | options)).eval()


def test_weights_reproduce_the_output_of_attention():
    q, v = torch.randn(2, 1, 1, 11, 5).unbind()
    weights = inside.attention_weights(partial(full_attention, q, None), 11, 5)
    torch.testing.assert_close(weights.sum(1), torch.ones(11))
    torch.testing.assert_close(weights @ v[0, 0], full_attention(q, None, v)[0, 0])


def test_heads_are_those_of_the_layer():
    model, tokens = network(), torch.randint(7, (2, 11))
    seen = []
    layer = model.stack.layers[2]
    hook = layer.attention.to_q.register_forward_hook(lambda _, inputs, out: seen.append(out))
    with torch.no_grad():
        model(tokens)
    hook.remove()
    q, v = inside.heads_of(model, tokens, 2)
    assert q.shape == v.shape == (2, 2, 11, 5)
    torch.testing.assert_close(q.transpose(1, 2).flatten(2), seen[0])


def test_keys_that_hold_a_share():
    weights = torch.tensor([[0.5, 0.2, 0.3], [0.05, 0.95, 0.0], [0.4, 0.3, 0.3]])
    assert inside.keys_holding(weights, 0.8).tolist() == [2, 1, 3]


def test_two_buckets_collide_as_hyperplanes_do():
    shares = inside.share_of_collisions([45, 90], n_buckets=2, n_hashes=3, n_trials=3000)
    single = torch.tensor([0.75, 0.5])
    torch.testing.assert_close(shares[:, 0], single, atol=0.04, rtol=0)
    torch.testing.assert_close(shares[:, 2], 1 - (1 - single) ** 3, atol=0.04, rtol=0)


def test_the_recomputed_input_is_the_input_to_rounding():
    sent, recomputed = inside.recomputed_input(network().train(), torch.randint(7, (2, 11)))
    assert not torch.equal(sent, recomputed)
    torch.testing.assert_close(recomputed, sent)


def test_narrow_streams_recover_worse():
    stack, x = network(attention=["local"]).stack, torch.randn(2, 11, 12)
    assert inside.recovery_error(stack, x, torch.float32) < 1e-5 < inside.recovery_error(stack, x, torch.bfloat16)
