"""Layers and hooks that users put into a model: they are called, whole and once, and all gradients are right."""

from functools import partial

import pytest
import torch
from small import fixed_buckets, small_batch, small_model, step, twin_of
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

import reformer.model.attention as attention_module

exactly = partial(torch.testing.assert_close, rtol=0, atol=1e-10)
STORED = pytest.mark.filterwarnings("ignore:.*in the reversible stack has layers or hooks")
LAYERS = ["attention.to_q", "attention.to_v", "attention.to_out", "feed_forward.to_hidden", "feed_forward.to_out"]


class Adapter(nn.Module):
    """A linear layer with a change of low rank beside it, as LoRA adds it."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        generator = torch.Generator().manual_seed(3)
        down, up = (
            torch.randn(sizes, generator=generator, dtype=torch.float64)
            for sizes in ((2, layer.in_features), (layer.out_features, 2))
        )
        self.down, self.up = nn.Parameter(down), nn.Parameter(up)

    def forward(self, x):
        return self.layer(x) + x @ self.down.T @ self.up.T


class Counter(nn.Module):
    """A layer with a state: it scales by the number of calls."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.register_buffer("n_calls", torch.tensor(0))

    def forward(self, x):
        self.n_calls += 1
        return self.layer(x) * self.n_calls


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def with_dropout(layer):
    return nn.Sequential(nn.Dropout(0.4), layer)


def replace(model, name, wrapped):
    """Wraps a layer of the second Reformer layer."""
    branch, child = name.split(".")
    parent = getattr(model.stack.layers[1], branch)
    setattr(parent, child, wrapped(getattr(parent, child)))


def parametrised(model, name):
    parametrize.register_parametrization(model.stack.layers[1].get_submodule(name), "weight", Doubled())


def hooked(model, name):
    model.stack.layers[1].get_submodule(name).register_forward_hook(lambda module, inputs, out: 2 * out)


@STORED
@pytest.mark.parametrize("settings", [{}, {"ff_chunk_size": 9}])
@pytest.mark.parametrize("wrapped", [Adapter, with_dropout, Counter])
@pytest.mark.parametrize("name", [*LAYERS, "attention.norm"])
def test_gradients_equal_those_of_stored_activations(name, wrapped, settings):
    if name == "attention.norm" and wrapped is Adapter:
        pytest.skip("the adapter is for linear layers")
    networks = [small_model(dropout=0.3, **settings), small_model(dropout=0.3, reversible=False, **settings)]
    for network in networks:
        replace(network, name, wrapped)
    found = [step(network, *small_batch()) for network in networks]
    exactly(*found)
    assert all(grad is not None for grad in found[0][1].values())
    for network in networks:
        assert all(module.n_calls == 1 for module in network.modules() if isinstance(module, Counter))


@STORED
@pytest.mark.parametrize("piece_size", [1, 1 << 24])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("change", [partial(replace, wrapped=Adapter), parametrised, hooked])
def test_a_changed_layer_computes_what_changed_weights_do(monkeypatch, change, name, piece_size):
    monkeypatch.setattr(attention_module, "MAX_QUERY_ELEMENTS", piece_size)
    model, twin = small_model(ff_chunk_size=9), small_model(ff_chunk_size=9)
    change(model, name)
    layer = twin.stack.layers[1].get_submodule(name)
    with torch.no_grad():
        if change is parametrised:
            layer.weight *= 2
        elif change is hooked:
            for weight in layer.parameters():
                weight *= 2
        else:
            adapter = model.stack.layers[1].get_submodule(name)
            layer.weight += adapter.up @ adapter.down
    (nll, grads), (expected, _) = step(model, *small_batch()), step(twin, *small_batch())
    exactly(nll, expected)
    assert all(grad is not None for grad in grads.values())


@STORED
@pytest.mark.parametrize(
    "place", ["stack.layers.1", "stack.layers.1.attention", "stack.layers.1.feed_forward", "stack"]
)
def test_hooks_of_layers_branches_and_the_stack_run_once(place):
    networks = [small_model(dropout=0.3), small_model(dropout=0.3, reversible=False)]
    n_calls = []

    def double(module, inputs, out):
        n_calls.append(1)
        return tuple(2 * x for x in out) if isinstance(out, tuple) else 2 * out

    for network in networks:
        network.get_submodule(place).register_forward_hook(double)
    exactly(*(step(network, *small_batch()) for network in networks))
    assert len(n_calls) == 2


@STORED
def test_a_branch_and_a_layer_of_the_users_own():
    class Mean(nn.Module):
        def forward(self, x, padding_mask=None):
            return x.cumsum(1) / torch.arange(1, 1 + x.shape[1])[:, None]

    class Swap(nn.Module):
        def forward(self, target, source, padding_mask=None):
            return source, target

    networks = [small_model(dropout=0.3), small_model(dropout=0.3, reversible=False)]
    for network in networks:
        network.stack.layers[0].attention = Mean()
        network.stack.layers[1] = Swap()
    exactly(*(step(network, *small_batch()) for network in networks))


def test_stored_activations_are_said_in_a_line():
    model = small_model()
    hooked(model, "feed_forward.to_out")
    with pytest.warns(UserWarning, match="FeedForward in the reversible stack has layers or hooks"):
        step(model, *small_batch())


def test_layers_between_a_hooked_one_stay_reversible():
    """Autograd holds the activations of the hooked branch, and no others."""
    model = small_model(attention=["full"])
    hooked(model, "feed_forward.to_out")
    calls = []
    for number, layer in enumerate(model.stack.layers):
        for branch in (layer.attention, layer.feed_forward):
            summands = branch.summands
            branch.summands = lambda *args, summands=summands, number=number: calls.append(number) or summands(*args)
    with pytest.warns(UserWarning, match="FeedForward"):
        model(*small_batch()).nll.mean().backward()
    assert [calls.count(number) for number in range(3)] == [4, 3, 4]


@STORED
@pytest.mark.parametrize("loss_chunk_size", [0, 5])
def test_the_head_calls_its_layers_once(loss_chunk_size):
    model = small_model(loss_chunk_size=loss_chunk_size)
    model.head.to_logits = Counter(model.head.to_logits)
    nll, _ = step(model, *small_batch())
    assert model.head.to_logits.n_calls == 1
    exactly(nll, step(small_model(loss_chunk_size=loss_chunk_size), *small_batch())[0])


@STORED
def test_operations_can_be_counted():
    """In the stored form, the backward pass of a linear layer takes twice the operations of the forward pass."""
    model = small_model(torch.float32, attention=["full"], n_layers=1)
    with FlopCounterMode(display=False) as counter, fixed_buckets():
        model(*small_batch()).nll.mean().backward()
    counts = counter.get_flop_counts()
    n_positions, (layer, size) = 3 * 29, ("ReformerLM.stack.layers.0.feed_forward.to_hidden", 10 * 14)
    assert sum(counts[layer].values()) == 3 * 2 * n_positions * size


def test_weights_replaced_before_the_backward_pass_are_noticed():
    def set_data(layer):
        layer.weight.data = layer.weight.detach() + 0.1

    def swap(layer):
        layer.weight = nn.Parameter(layer.weight.detach() + 0.1)

    def swap_two(layer):
        others = model.stack.layers[2].feed_forward
        layer.weight, others.to_hidden.weight = others.to_hidden.weight, layer.weight

    for change in (set_data, swap, swap_two):
        model = small_model()
        loss = model(*small_batch()).nll.mean()
        change(model.stack.layers[1].feed_forward.to_hidden)
        with pytest.raises(RuntimeError, match="have changed since its forward pass"):
            loss.backward()


def test_adapters_in_the_stored_form_too():
    model = twin_of(small_model(), reversible=False)
    before = step(model, *small_batch())[0]
    replace(model, "attention.to_q", Adapter)
    after, grads = step(model, *small_batch())
    assert not torch.allclose(before, after)
    assert grads["stack.layers.1.attention.to_q.up"].abs().sum() > 0
