"""Work that is shared out to threads is done in them as it would be here."""

import pytest
import torch

from reformer.model.lsh import lsh_attention


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_attention_over_several_threads_without_gradients_is_that_of_one(mode):
    generator = torch.Generator().manual_seed(0)
    qk, v = (torch.randn(2, 4, 96, 8, generator=generator) for _ in range(2))
    buckets = torch.randint(6, (2, 4, 3, 96), generator=generator, dtype=torch.int16)
    before = torch.get_num_threads()
    found = []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            with mode():
                found.append(lsh_attention(qk, v, chunk_len=8, buckets=buckets))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
