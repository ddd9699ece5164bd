"""The whole model: what it computes, what it must not see, what a seed fixes, and what it can learn."""

import pickle
from functools import partial

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from small import MIXED, fixed_buckets, gradients, small_batch, small_config, small_model, step, twin_of
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from reformer.model.config import ReformerConfig
from reformer.model.reformer_lm import ReformerLM
from reformer.settings import SettingError

exactly = partial(torch.testing.assert_close, rtol=0, atol=1e-10)
each_mix = pytest.mark.parametrize("attention", [["full"], ["local"], ["lsh"], MIXED], ids="-".join)
each_network = pytest.mark.parametrize(
    "network",
    [{}, {"reversible": False}, {"reversible": False, "n_streams": 1}],
    ids=["reversible", "stored", "ordinary"],
)


# The function


@each_network
@pytest.mark.parametrize("sizes", [{}, {"ff_chunk_size": 9, "loss_chunk_size": 11}])
def test_losses_are_the_cross_entropy_of_the_logits(network, sizes):
    model = small_model(**network, **sizes)
    inputs, targets = small_batch()
    torch.manual_seed(2)
    losses = model(inputs, targets)
    torch.manual_seed(2)
    logits = model(inputs)
    assert logits.shape == (3, 29, 19)
    exactly(losses.nll, cross_entropy(logits.transpose(1, 2), targets, reduction="none"))
    assert torch.equal(losses.correct, logits.argmax(-1) == targets)


@each_network
def test_chunks_of_feed_forward_and_loss_change_neither_losses_nor_gradients(network):
    model = small_model(**network)
    expected = step(model, *small_batch())
    for chunk_size in (1, 9, 29):
        exactly(step(twin_of(model, ff_chunk_size=chunk_size, loss_chunk_size=chunk_size), *small_batch()), expected)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_reversible_equals_stored_at_any_shape(data):
    draw = data.draw
    sizes = st.integers(1, 7)
    window, same_bucket_mask = draw(st.sampled_from([("sorted", True), ("chunk", True), ("chunk", False)]))
    network = ReformerConfig(
        vocab_size=draw(sizes) + 1,
        max_seq_len=33,
        n_layers=draw(st.integers(1, 4)),
        d_model=draw(sizes) + 1,
        d_ff=draw(sizes),
        n_heads=draw(st.integers(1, 3)),
        d_head=draw(sizes) + 1,
        attention=draw(st.lists(st.sampled_from(["lsh", "full", "local"]), min_size=1, max_size=3)),
        n_hashes=draw(st.integers(1, 4)),
        chunk_len=draw(sizes),
        n_buckets=draw(st.sampled_from([0, 2, 6])),
        window=window,
        same_bucket_mask=same_bucket_mask,
        duplicate_correction=draw(st.booleans()),
        causal=draw(st.booleans()),
        dropout=draw(st.sampled_from([0.0, 0.4])),
        ff_chunk_size=draw(st.integers(0, 9)),
        loss_chunk_size=draw(st.integers(0, 9)),
    )
    model = small_model(**vars(network))
    batch = small_batch(draw(st.integers(1, 33)), draw(st.integers(1, 3)), network.vocab_size)
    exactly(step(model, *batch), step(twin_of(model, reversible=False), *batch))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
@each_network
def test_every_type_of_number_trains(dtype, autocast, network):
    model = small_model(dtype, dropout=0.1, ff_chunk_size=9, loss_chunk_size=11, **network)
    exact = twin_of(model).double()
    with fixed_buckets():
        expected, expected_grads = step(exact, *small_batch())
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            nll, grads = step(model, *small_batch())
    assert nll.dtype == torch.promote_types(dtype, torch.float32)
    tolerance = 0.1 if autocast or dtype == torch.bfloat16 else 1e-4
    torch.testing.assert_close(nll.double(), expected, rtol=0, atol=tolerance)
    for name, grad in grads.items():
        assert grad.dtype == dtype
        torch.testing.assert_close(grad.double(), expected_grads[name], rtol=0, atol=tolerance)


@each_network
def test_inside_autocast_float64_is_left_alone_and_equals_the_stored_twin(network):
    model = small_model(dropout=0.1, ff_chunk_size=9, loss_chunk_size=11, **network)
    with torch.autocast("cpu", torch.bfloat16):
        exactly(step(model, *small_batch()), step(twin_of(model, reversible=False), *small_batch()))


def test_targets_of_another_length_are_refused():
    with pytest.raises(SettingError, match=r"the shape of targets must be \(B, L\) = \(3, 29\), got \(3, 28\)"):
        small_model()(small_batch()[0], small_batch()[1][:, 1:])


# What must not be seen


@each_mix
@each_network
def test_no_output_depends_on_a_later_input(attention, network):
    """The gradient of output i on the embedding of j > i is zero; that on some j <= i is not."""
    model = small_model(attention=attention, **network)
    length = 21
    x = torch.randn(2, length, 10, dtype=torch.float64, requires_grad=True)
    with fixed_buckets():
        logits = model.head(*model.stack(x))
        for i in range(length):
            (grad,) = torch.autograd.grad(logits[:, i].square().sum(), x, retain_graph=True)
            assert grad[:, i + 1 :].eq(0).all()
            assert grad[:, i].ne(0).any(-1).all()
            # Three layers of chunks of 8 and their neighbours reach back to the start.
            assert i < 4 or grad[:, :i].ne(0).any()


@each_mix
@each_network
def test_what_comes_later_leaves_earlier_outputs_bit_identical(attention, network):
    model = small_model(torch.float32, attention=attention, **network)
    inputs, others = small_batch()
    with fixed_buckets():
        expected = model(inputs)
        for first in range(1, 29, 4):
            changed = torch.where(torch.arange(29) < first, inputs, others)
            found = model(changed)
            assert torch.equal(found[:, :first], expected[:, :first])
            assert not torch.equal(found[:, first:], expected[:, first:])


@pytest.mark.parametrize("attention", [["lsh"], MIXED])
def test_the_window_of_sorted_places_keeps_the_past_as_it_was_hashing_included(attention):
    model = small_model(attention=attention, window="sorted", n_buckets=6, n_hashes=2)
    inputs, _ = small_batch(37)
    changed = inputs.clone()
    changed[:, 20:] = (changed[:, 20:] + 1) % 19
    outputs = []
    for tokens in (inputs, changed):
        torch.manual_seed(5)
        outputs.append(model(tokens).detach())
    assert (outputs[0][:, :20] - outputs[1][:, :20]).abs().max() < 1e-12
    assert (outputs[0][:, 20:] - outputs[1][:, 20:]).abs().max() > 1e-3


@each_mix
@pytest.mark.parametrize("attention_is_causal", [True, False])
@pytest.mark.parametrize("n_buckets", [0, 6])
def test_pads_at_the_end_leave_losses_and_gradients_as_they_are(attention, attention_is_causal, n_buckets):
    model = small_model(attention=attention, causal=attention_is_causal, n_buckets=n_buckets)
    inputs, targets = small_batch(23)
    expected = step(model, inputs, targets)
    expected = expected[0], {name: grad.clone() for name, grad in expected[1].items()}
    for n_pads in (1, 2, 9, 17):
        torch.manual_seed(2)
        model.zero_grad()
        pads = torch.randint(19, (3, n_pads), generator=torch.Generator().manual_seed(n_pads))
        padded = [torch.cat([x, pads], dim=1) for x in (inputs, targets)]
        nll = model(*padded, padding_mask=(torch.arange(23 + n_pads) < 23).expand(3, -1)).nll
        nll[:, :23].mean().backward()
        exactly((nll[:, :23].detach(), gradients(model)), expected)


@each_mix
def test_without_causality_outputs_depend_on_later_inputs(attention):
    model = small_model(attention=attention, causal=False)
    x = torch.randn(2, 21, 10, dtype=torch.float64, requires_grad=True)
    with fixed_buckets():
        (grad,) = torch.autograd.grad(model.stack(x)[0][:, 2].sum(), x)
    assert grad[:, 3:].ne(0).any()


@each_mix
@pytest.mark.parametrize(
    ("mask", "given"),
    [
        (torch.ones(3, 30, dtype=torch.bool), "3, 30"),
        (torch.ones(1, 29, dtype=torch.bool), "1, 29"),
        (torch.ones(29, dtype=torch.bool), "29"),
        (torch.ones(3, 29, dtype=torch.int64), "int64"),
        (torch.ones(3, 29), "float32"),
    ],
)
def test_each_kind_of_attention_refuses_the_same_padding_masks(attention, mask, given):
    inputs, _ = small_batch(29)
    with pytest.raises(SettingError, match=rf"padding_mask.*{given}"):
        small_model(attention=attention, causal=False)(inputs, padding_mask=mask)


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (torch.zeros(29, dtype=torch.int64), None, r"tokens\[None\]"),
        (torch.zeros(3, 29), None, "int64 or int32.*float32"),
        (torch.zeros(3, 41, dtype=torch.int64), None, "max_seq_len = 40.*41"),
        (torch.zeros(3, 29, dtype=torch.int64), torch.zeros(3, 28, dtype=torch.int64), "shape of targets"),
        (torch.zeros(3, 29, dtype=torch.int64), torch.zeros(3, 29, dtype=torch.int32), "type of targets"),
    ],
)
def test_inputs_and_targets_of_another_shape_or_type_are_refused(inputs, targets, message):
    with pytest.raises(SettingError, match=message):
        small_model()(inputs, targets)


@each_mix
@pytest.mark.parametrize("shape", [(0, 29), (3, 0)])
def test_an_empty_batch_has_empty_logits_and_losses(attention, shape):
    model = small_model(attention=attention)
    tokens = torch.zeros(shape, dtype=torch.int64)
    assert model(tokens).shape == (*shape, 19)
    losses = model(tokens, tokens)
    assert losses.nll.shape == losses.correct.shape == shape
    losses.nll.sum().backward()


def test_int32_tokens_are_those_of_int64():
    model = small_model(attention=["full"])
    inputs, _ = small_batch()
    assert torch.equal(model(inputs.int()), model(inputs))


# What a seed fixes


@each_network
def test_a_seed_fixes_a_training_to_the_bit(network):
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        model = ReformerLM(small_config(dropout=0.2, ff_chunk_size=9, **network))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        losses = []
        for seed in range(4):
            optimizer.zero_grad()
            loss = model(*small_batch(seed=seed)).nll.mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        found.append([*losses, *gradients(model).values(), *(p.detach() for p in model.parameters()), torch.rand(3)])
    assert all(map(torch.equal, *found))
    assert losses[-1] != losses[0]


def test_parameters_start_as_the_table_says():
    torch.manual_seed(0)
    model = ReformerLM(small_config(d_model=64, d_ff=96, vocab_size=200))
    for name, parameter in model.named_parameters():
        if name.startswith(("embedding", "positions")):
            assert parameter.std().item() == pytest.approx(0.02, rel=0.2), name
        elif "norm" in name:
            assert parameter.eq(1.0 if name.endswith("weight") else 0.0).all(), name
        elif name.endswith("bias"):
            assert parameter.eq(0).all(), name
        else:
            bound = (6 / sum(parameter.shape)) ** 0.5
            assert 0.95 * bound < parameter.abs().max().item() <= bound, name


@pytest.mark.parametrize(
    "evaluated",
    [
        {"n_hashes": 8},
        {"attention": ["full"]},
        {"attention": ["local", "off"]},
        {"chunk_len": 3},
        {"reversible": False},
        {"reversible": False, "n_streams": 1},
        {"ff_chunk_size": 5, "loss_chunk_size": 5},
        {"causal": False},
    ],
)
def test_weights_fit_a_model_with_other_hash_rounds_attention_or_streams(evaluated):
    trained = small_model(n_hashes=1, attention=["lsh"])
    twin = ReformerLM(small_config(**{"n_hashes": 1, "attention": ["lsh"]} | evaluated)).double()
    twin.load_state_dict(trained.state_dict(), strict=True)
    assert twin(small_batch()[0]).isfinite().all()


def test_a_model_can_be_pickled_and_copied():
    model = small_model()
    copy = pickle.loads(pickle.dumps(model))
    exactly(step(copy, *small_batch()), step(model, *small_batch()))


# What it can learn


def add_one(generator):
    """Targets are the inputs plus one: what users found a faulty LSH attention unable to learn."""
    inputs = torch.randint(16, (8, 31), generator=generator)
    return inputs, (inputs + 1) % 16, slice(None)


def duplication(generator):
    """0w0w with |w| = 15 of 7 symbols, where the second w counts."""
    word = torch.randint(1, 8, (16, 15), generator=generator)
    sequence = torch.nn.functional.pad(word, (1, 0)).repeat(1, 2)
    return sequence[:, :-1], sequence[:, 1:], slice(16, None)


def train(task, n_steps, dtype=torch.float32, **settings):
    """Losses and accuracies of a training with Adam on tokens that count."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 17, "n_layers": 1, "d_model": 32, "d_ff": 32, "d_head": 16, "positions": "learned"}
    model = ReformerLM(small_config(**sizes | settings)).to(dtype)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(1)
    losses, accuracies = [], []
    for _ in range(n_steps):
        inputs, targets, counted = task(generator)
        nll, correct, _ = model(inputs, targets)
        loss = nll[:, counted].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        accuracies.append(correct[:, counted].float().mean().item())
    return losses, accuracies


@pytest.mark.parametrize("task", [add_one, duplication])
@pytest.mark.parametrize("attention", ["full", "lsh"])
def test_a_toy_is_learned(attention, task):
    _, accuracies = train(task, 150, attention=[attention])
    assert sum(accuracies[-10:]) / 10 > 0.98


GOLDEN_FULL = [3.2733, 2.4871, 2.9240, 2.3630, 2.4073, 2.3343, 2.1990, 2.0816, 2.1024, 2.1946]
GOLDEN_FULL += [2.1258, 2.0802, 2.0122, 1.9904, 2.0185, 2.0666, 2.0124, 2.0211, 1.9600, 1.9849]
GOLDEN_MIXED = [3.6537, 2.2941, 2.8362, 2.0800, 2.1888, 2.2334, 2.2436, 2.0050, 2.0019, 1.9952]
GOLDEN_MIXED += [2.0689, 2.0198, 2.0192, 2.0125, 2.0288, 1.9943, 1.9732, 1.9450, 1.9636, 1.9939]


@pytest.mark.parametrize(
    ("network", "golden"),
    [
        ({"attention": ["full"]}, GOLDEN_FULL),
        ({"attention": ["lsh", "local"], "n_layers": 2, "ff_chunk_size": 9, "window": "chunk"}, GOLDEN_MIXED),
    ],
    ids=["full", "lsh-local"],
)
def test_twenty_steps_give_the_losses_they_always_gave(network, golden):
    """Where this fails, the model computes something else than it did: say what and why where you store new losses."""
    losses, _ = train(duplication, 20, **network)
    assert losses == pytest.approx(golden, abs=5e-4)


# More than one process


def test_data_parallel_is_refused():
    model = small_model()
    model._is_replica = True
    with pytest.raises(RuntimeError, match="cannot be run by DataParallel: use DistributedDataParallel"):
        model(small_batch()[0])


def train_in_parallel(rank: int, folder: str, reversible: bool) -> None:
    """One of two processes: half of the batch, two steps of accumulated gradients, all written by the first."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous-{reversible}", rank=rank, world_size=2)
    model = DistributedDataParallel(small_model(reversible=reversible, ff_chunk_size=9, loss_chunk_size=11))
    inputs, targets = small_batch(n_examples=4)
    mine = slice(2 * rank, 2 * rank + 2)
    with fixed_buckets():
        with model.no_sync():
            model(inputs[mine], targets[mine]).nll.mean().backward()
        model(inputs[mine], targets[mine]).nll.mean().backward()
    if rank == 0:
        torch.save(gradients(model.module), f"{folder}/gradients")
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("reversible", [True, False])
def test_two_processes_get_the_gradients_of_one(tmp_path, reversible):
    torch.multiprocessing.spawn(train_in_parallel, (str(tmp_path), reversible), nprocs=2)
    model = small_model(reversible=reversible)
    with fixed_buckets():
        _, grads = step(model, *small_batch(n_examples=4))
    exactly(torch.load(tmp_path / "gradients"), {name: 2 * grad for name, grad in grads.items()})
