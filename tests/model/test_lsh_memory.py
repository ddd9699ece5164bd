"""What LSH attention keeps for its backward pass."""

import pytest
import torch

from reformer.model import lsh_fused
from reformer.model.lsh import draw_rotations, hash_vectors, lsh_attention


def bytes_kept(n_hashes, length=512, **options):
    """Bytes that autograd keeps beside the inputs and the output, and those of the buckets."""
    generator = torch.Generator().manual_seed(0)
    qk, v = (torch.randn(1, 2, length, 16, generator=generator, requires_grad=True) for _ in range(2))
    buckets = hash_vectors(qk, draw_rotations(qk, 64, n_hashes, generator))
    kept: dict[int, int] = {}

    def pack(x):
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = lsh_attention(qk, v, chunk_len=16, buckets=buckets, **options)
    for known in (qk, v, out):
        kept.pop(known.untyped_storage().data_ptr(), None)
    return sum(kept.values()), buckets.nbytes


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("window", ["chunk", "sorted"])
def test_nothing_is_kept_per_round_but_the_buckets(monkeypatch, fused, window):
    if not fused:
        monkeypatch.setattr(lsh_fused, "kernels_exist", lambda: False)
    one, buckets_of_one = bytes_kept(1, window=window)
    eight, buckets_of_eight = bytes_kept(8, window=window)
    assert eight - buckets_of_eight == one - buckets_of_one == 1 * 2 * 512 * 4  # a float32 a position: the logsumexp


def test_buckets_take_two_bytes_up_to_a_million_tokens():
    x = torch.randn(1, 1, 8, 4)
    assert hash_vectors(x, draw_rotations(x, 2 * (1 << 20) // 64, 2)).dtype == torch.int16
