"""The table of attention kinds: a kind that is added to it trains, has a name and costs what it says, with no other change."""

import copy
import pickle
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
import torch
from small import small_batch, small_config, small_model, step, twin_of

import reformer.model.attention as attention_module
from reformer.bench.minimum_memory import minimum_bytes
from reformer.bench.plan import sequence_flops, step_memory
from reformer.model.attention import Attention
from reformer.model.attention_kinds import KINDS, AttentionKind, attention_name, hashes, parse_attention
from reformer.model.config import with_attention
from reformer.model.lsh import lsh_attention
from reformer.runs.name import RunSpec, run_name
from reformer.settings import SettingError


def causal_mean(config, inputs):
    """The mean of the values so far."""
    return inputs.v.cumsum(2) / torch.arange(1, inputs.v.shape[2] + 1)[:, None]


def mean_of_bucket(config, inputs):
    """The mean of the values so far of the query's bucket of the first round."""
    ids = inputs.buckets[:, :, 0]
    same = (ids[..., :, None] == ids[..., None, :]).tril().to(inputs.v.dtype)
    return same @ inputs.v / same.sum(-1, keepdim=True)


@pytest.fixture
def mean(monkeypatch):
    monkeypatch.setitem(KINDS, "mean", AttentionKind(causal_mean, lambda config, length: length))


@pytest.fixture
def hashed(monkeypatch):
    kind = AttentionKind(mean_of_bucket, lambda config, length: config.n_hashes * length, hashes=True)
    monkeypatch.setitem(KINDS, "hashed", kind)


def used(grads):
    """Gradients that are not zero; those of the unused projection of queries are zero or missing."""
    return {name: grad for name, grad in grads.items() if grad is not None and grad.any()}


@pytest.mark.parametrize("max_elements", [1, 1 << 24])
@pytest.mark.parametrize("attention", [["mean"], ["hashed"], ["mean", "lsh", "hashed"]])
def test_a_new_kind_trains_with_the_gradients_of_its_stored_twin(monkeypatch, mean, hashed, attention, max_elements):
    monkeypatch.setattr(attention_module, "MAX_QUERY_ELEMENTS", max_elements)
    model = small_model(attention=attention, dropout=0.3)
    (nll, grads), (stored_nll, stored_grads) = (
        step(network, *small_batch()) for network in (model, twin_of(model, reversible=False))
    )
    torch.testing.assert_close(nll, stored_nll, rtol=0, atol=1e-10)
    torch.testing.assert_close(used(grads), used(stored_grads), rtol=0, atol=1e-10)


def test_a_new_kind_computes_its_own_function_and_not_lsh(mean):
    model = small_model(attention=["mean"], n_layers=1, n_streams=1, reversible=False)
    branch, x = model.stack.layers[0].attention, torch.randn(2, 21, 10, dtype=torch.float64, requires_grad=True)
    normed = torch.nn.functional.layer_norm(x, (10,), branch.norm.weight, branch.norm.bias)
    values = normed @ branch.to_v.weight.T
    expected = values.cumsum(1) / torch.arange(1, 22)[:, None] @ branch.to_out.weight.T
    weights = [x, branch.norm.weight, branch.norm.bias, branch.to_v.weight, branch.to_out.weight]
    found = branch(x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        *(torch.autograd.grad(out.square().sum(), weights) for out in (found, expected)), rtol=0, atol=1e-12
    )
    nll, _ = step(model, *small_batch())
    assert not torch.equal(nll, step(twin_of(model, attention=["lsh"]), *small_batch())[0])


def test_a_new_kind_that_hashes_gets_the_buckets_that_lsh_gets(monkeypatch, hashed):
    seen = []

    def attend(config, inputs):
        seen.append(inputs.buckets)
        return lsh_attention(inputs.q, inputs.v, chunk_len=config.chunk_len, buckets=inputs.buckets)

    monkeypatch.setitem(KINDS, "hashed", AttentionKind(attend, KINDS["lsh"].pairs, hashes=True))
    model = small_model(attention=["hashed"], n_layers=1)
    nll, grads = step(model, *small_batch())
    expected_nll, expected_grads = step(twin_of(model, attention=["lsh"]), *small_batch())
    assert torch.equal(nll, expected_nll)
    assert all(torch.equal(grads[name], expected_grads[name]) for name in grads)
    assert len(seen) == 2  # the reversible backward pass attends with the saved buckets
    assert torch.equal(*seen)


def test_a_new_kind_has_a_name_and_one_that_hashes_ends_in_its_rounds(mean, hashed):
    assert attention_name(["mean", "full", "hashed", "lsh"], 4) == "mean-full-hashed-4-lsh-4"
    assert parse_attention("mean-full-hashed-4-lsh-4") == (["mean", "full", "hashed", "lsh"], 4)
    assert hashes(["mean", "hashed"])
    assert not hashes(["mean", "full"])
    config = small_config(attention=["mean", "hashed", "lsh"], n_hashes=3)
    assert with_attention(config, "off").attention == ["mean", "off", "off"]
    assert with_attention(config, "trained") is config
    evaluated = with_attention(config, "hashed-5")
    assert (evaluated.attention, evaluated.n_hashes) == (["hashed"], 5)
    assert (with_attention(config, "mean").attention, with_attention(config, "mean").n_hashes) == (["mean"], 3)


def test_a_plan_counts_the_pairs_and_the_vectors_of_a_new_kind(monkeypatch, mean, hashed):
    config, length = small_config(attention=["mean"], reversible=False), 29
    full = replace(config, attention=["full"])
    fewer_pairs = full.n_layers * (length * length / 2 - length)
    products = 2 * (2 + 5) * fewer_pairs * full.n_heads * full.d_head
    assert sequence_flops(full, length) - sequence_flops(config, length) == pytest.approx(products, abs=1)
    stored = step_memory(config, length, 1, "adam")["stored"]
    monkeypatch.setitem(KINDS, "mean", replace(KINDS["mean"], saved_vectors=2))
    vectors = 4 * 2 * length * config.n_layers * config.n_heads * config.d_head
    assert step_memory(config, length, 1, "adam")["stored"] - stored == vectors
    assert minimum_bytes(config, length)["buckets"] == 0
    assert minimum_bytes(replace(config, attention=["hashed"]), length)["buckets"] == 2 * 3 * 2 * 3 * length


def test_a_run_is_named_after_a_new_kind_and_its_name_leads_back(mean, hashed):
    model = asdict(small_config(attention=["mean", "hashed"]))
    settings = {"data": {"name": "wikipedia"}, "model": model, "optimizer": {}, "trainer": {}, "seed": 1}
    assert run_name(settings, settings) == "wikipedia_mean-hashed-3_reversible_seed-1"
    overrides = RunSpec.parse("wikipedia_mean-hashed-3_reversible").overrides()
    assert {"model.attention=[mean,hashed]", "model.n_hashes=3"} <= set(overrides)
    with pytest.raises(SettingError, match=r"mean, lsh-N, hashed-N .* got 'maen'"):
        RunSpec.parse("wikipedia_maen_reversible").overrides()


@pytest.mark.parametrize("attention", [["full"], ["lsh"], ["local", "local", "lsh"], ["off", "full", "lsh", "lsh"]])
@pytest.mark.parametrize("n_hashes", [1, 10])
def test_names_lead_back_to_the_kinds(attention, n_hashes):
    found = parse_attention(attention_name(attention, n_hashes))
    assert found == (attention, n_hashes if hashes(attention) else 0)


@pytest.mark.parametrize(
    "name",
    ["", "-", "mean", "lsh", "lsh-0", "lsh-02", "lsh-4-", "-full", "full-4", "4", "4-lsh", "lsh-2-lsh-4", "LSH-4"],
)
def test_a_name_of_no_attention_is_refused_with_the_names_that_there_are(name):
    with pytest.raises(
        SettingError, match=r"^attention must be full, unmasked, .*, lsh-N .* or a mix joined by hyphens"
    ):
        parse_attention(name)


def test_an_unknown_kind_is_refused_with_the_kinds_that_there_are(mean):
    with pytest.raises(
        SettingError, match=r"^attention must be one of full, unmasked, local, lsh, off, mean, got 'maen'"
    ):
        small_config(attention=["mean", "maen"])
    with pytest.raises(SettingError, match=r"must be full, .*, mean, lsh-N .* got 'maen'"):
        parse_attention("maen")


def test_a_kind_that_hashes_needs_shared_queries_and_keys(hashed):
    with pytest.raises(SettingError, match=r"^shared_qk must be true for lsh, hashed"):
        small_config(attention=["full", "hashed"], shared_qk=False)


@pytest.mark.parametrize(("causal", "chunks"), [(True, 2), (False, 3)])
def test_pairs_are_those_that_a_head_computes(causal, chunks):
    config = small_config(causal=causal)  # chunks of 8, 3 rounds
    pairs = {name: kind.pairs(config, 40) for name, kind in KINDS.items()}
    full = 40 * 40 / 2 if causal else 40 * 40
    assert pairs == {"full": full, "unmasked": full, "local": 40 * chunks * 8, "lsh": 3 * 40 * chunks * 8, "off": 0}


def test_only_lsh_hashes_and_only_off_keeps_nothing():
    assert [name for name, kind in KINDS.items() if kind.hashes] == ["lsh"]
    for name, kind in KINDS.items():
        assert (kind.attend is None) == (name == "off") == (kind.saved_vectors == 0) == (kind.backward_vectors == 0)


def test_a_network_with_a_kind_made_of_a_closure_can_be_pickled_and_copied(mean):
    branch = Attention(small_config(attention=["mean"]), "mean")
    x = torch.randn(2, 9, 10)
    for other in (pickle.loads(pickle.dumps(branch)), copy.deepcopy(branch)):
        assert torch.equal(other(x), branch(x))


def test_the_table_is_read_without_torch():
    code = "import sys, reformer.model.attention_kinds as kinds; assert kinds.KINDS; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
