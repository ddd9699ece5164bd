"""LSH attention written straight from the paper's equations: sets of positions, loops, float64. Slow and obvious."""

from collections import Counter

import torch
from torch import Tensor


def reference_lsh_attention(
    qk: Tensor,
    v: Tensor,
    buckets: Tensor,
    *,
    chunk_len: int,
    causal: bool = True,
    padding_mask: Tensor | None = None,
    same_bucket_mask: bool = True,
    duplicate_correction: bool = True,
    window: str = "sorted",
) -> Tensor:
    """Differentiable twin of `lsh_attention` for given buckets (B, H, R, L). Outputs of pads are zero."""
    n_examples, n_heads, length, _ = qk.shape
    k = qk / qk.norm(dim=-1, keepdim=True)
    outputs = []
    for b in range(n_examples):
        real = [i for i in range(length) if padding_mask is None or padding_mask[b, i]]
        for h in range(n_heads):
            rounds = [
                attended_sets(bucket_of, real, chunk_len, causal, same_bucket_mask, window)
                for bucket_of in buckets[b, h].tolist()
            ]
            for i in range(length):
                if i not in real:
                    outputs.append(torch.zeros_like(v[b, h, i]))
                else:
                    sets = [attended[i] for attended in rounds]
                    outputs.append(attend(qk[b, h, i], k[b, h], v[b, h], sets, i, duplicate_correction))
    return torch.stack(outputs).view_as(v)


def attended_sets(
    bucket_of: list[int], real: list[int], chunk_len: int, causal: bool, same_bucket_mask: bool, window: str = "sorted"
) -> dict[int, set[int]]:
    """P_i of one round (equations 3 and 10) without i itself, for each real position i."""
    in_order = sorted(real, key=lambda i: (bucket_of[i], i))
    place = {i: s for s, i in enumerate(in_order)}
    attended = {}
    for i in real:
        candidates = [j for j in real if j != i and (j < i or not causal)]
        if same_bucket_mask:
            candidates = [j for j in candidates if bucket_of[j] == bucket_of[i]]
        if window == "chunk":
            steps = {j: place[i] // chunk_len - place[j] // chunk_len for j in candidates}
            attended[i] = {j for j, step in steps.items() if step in ((0, 1) if causal else (-1, 0, 1))}
        else:
            attended[i] = {j for j in candidates if abs(place[i] - place[j]) <= chunk_len}
    return attended


def attend(q: Tensor, k: Tensor, v: Tensor, rounds: list[set[int]], i: int, duplicate_correction: bool) -> Tensor:
    """Equations 5, 6 and 16: sum over rounds of exp(z_r - z) o_r, where log N(i, j) is taken off each logit."""
    if not any(rounds):
        return v[i]
    times_seen = Counter(j for seen in rounds for j in seen)
    logits_by_round, values_by_round = [], []
    for seen in rounds:
        if seen:
            keys = sorted(seen)
            n = torch.tensor([times_seen[j] if duplicate_correction else 1 for j in keys], dtype=q.dtype)
            logits_by_round.append(k[keys] @ q - n.log())
            values_by_round.append(v[keys])
    z = torch.stack([logits.logsumexp(0) for logits in logits_by_round])
    out = torch.stack(
        [
            (logits - logits.logsumexp(0)).exp() @ values
            for logits, values in zip(logits_by_round, values_by_round, strict=True)
        ]
    )
    return (z - z.logsumexp(0)).exp() @ out
