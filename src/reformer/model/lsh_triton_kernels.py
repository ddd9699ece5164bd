# mypy: disable-error-code="no-untyped-def"
"""Triton kernels of LSH attention: the attention of a hash round, and its gradients.

A program owns a block of slots of one sequence in one round. It gathers the rows of q, k and v by the sorted order, computes
its contribution, and adds it to running sums in float32. One launch runs all rounds. Programs take tickets in the order of the
rounds, and a program waits with its addition until all programs of the previous round of its sequence have added theirs. Sums
are therefore deterministic without atomics on them, and no buffer but the buckets' grows with the number of rounds.

Shapes: M sequences (one for each example and head), R n_hashes, L positions, D width of a head, B slots of a block, T slots of
a tile, which is the part of a window that is computed at a time.
"""

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
# Logsumexp of a row that has seen no key yet: finite, so that differences are not NaN, and far below any other.
UNSEEN = tl.constexpr(-1e30)
# Code out of reach of all others.
FAR = tl.constexpr(1 << 31)
# Shorter vectors count as zero and longer ones as NaN, as in `unit_length`.
MIN_LENGTH = tl.constexpr(1e-12)
MAX_LENGTH = tl.constexpr(2.0**60)


@triton.jit(do_not_specialize=["n_heads", "n_rounds", "n_sequences", "group_size"])
def attend(
    qk, v, scales, keys, order, codes, running_out, running_lse, out, lse, progress,
    qk_strides, v_strides, out_strides, n_heads, length, n_rounds, n_sequences, group_size,
    RULES: tl.constexpr, WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Merges the attention of a block of queries in one round into the running output and logsumexp."""
    n_blocks = tl.cdiv(length, BLOCK)
    sequence, n_round, first = _take_ticket(progress, n_sequences, n_rounds, n_blocks, group_size, BLOCK)
    qk += _offset(sequence, n_heads, qk_strides)
    v += _offset(sequence, n_heads, v_strides)
    order, keys = (
        _of_round(order, sequence, n_round, n_rounds, length),
        _of_round(keys, sequence, n_round, n_rounds, length),
    )
    codes += sequence.to(tl.int64) * length * ((n_rounds + 1) // 2 * 2)
    scales += sequence.to(tl.int64) * length

    present, rows = _load_order(order, first, length, BLOCK)
    q = _load_rows(qk, rows, qk_strides[2], WIDTH, PADDED_WIDTH)
    greatest = tl.full([BLOCK], UNSEEN, tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    values = tl.zeros([BLOCK, PADDED_WIDTH], tl.float32)
    begin, end = _slots_of_keys(keys, first, length, BLOCK, RULES)
    for start in range(begin, end, TILE):
        key_present, key_rows = _load_order(order, start, end, TILE)
        tile_qk = _load_rows(qk, key_rows, qk_strides[2], WIDTH, PADDED_WIDTH)
        scale = tl.load(scales + key_rows) * LOG2E
        logits = tl.dot(q, tl.trans(tile_qk), input_precision=PRECISION) * scale[None, :]
        logits = _mask(logits, codes, rows, key_rows, key_present, n_round, n_rounds, True, RULES)
        new_greatest = tl.maximum(greatest, tl.max(logits, 1))
        weights = tl.exp2(logits - new_greatest[:, None])
        decay = tl.exp2(greatest - new_greatest)
        total = total * decay + tl.sum(weights, 1)
        tile_v = _load_rows(v, key_rows, v_strides[2], WIDTH, PADDED_WIDTH)
        values = tl.dot(weights.to(tile_v.dtype), tile_v, values * decay[:, None], input_precision=PRECISION)
        greatest = new_greatest

    _wait(progress, sequence, n_round * n_blocks)
    lse += sequence.to(tl.int64) * length
    running_lse += sequence.to(tl.int64) * length
    out += _offset(sequence, n_heads, out_strides)
    running_out += _offset(sequence, n_heads, out_strides)
    earlier = present & (n_round > 0)
    earlier_lse = tl.load(running_lse + rows, mask=earlier, other=UNSEEN, cache_modifier=".cg")
    earlier_out = _load_rows_where(running_out, rows, earlier, out_strides[2], WIDTH, PADDED_WIDTH)
    new_greatest = tl.maximum(greatest, earlier_lse)
    decay = tl.exp2(greatest - new_greatest)
    earlier_weight = tl.where(earlier_lse > UNSEEN / 2, tl.exp2(earlier_lse - new_greatest), 0.0)
    total = total * decay + earlier_weight
    alone = total == 0
    total = tl.where(alone, 1.0, total)
    values = (values * decay[:, None] + earlier_out * earlier_weight[:, None]) / total[:, None]
    new_lse = tl.where(alone, UNSEEN, new_greatest + tl.log2(total))
    if n_round < n_rounds - 1:
        _store_rows(running_out, rows, present, out_strides[2], values, WIDTH, PADDED_WIDTH)
        tl.store(running_lse + rows, new_lse, mask=present)
        _finish(progress, sequence)
    else:
        own = _load_rows(v, rows, v_strides[2], WIDTH, PADDED_WIDTH)
        values = tl.where(alone[:, None], own.to(tl.float32), values)
        _store_rows(out, rows, present, out_strides[2], values, WIDTH, PADDED_WIDTH)
        tl.store(lse + rows, tl.where(alone, float("inf"), new_lse / LOG2E), mask=present)


@triton.jit(do_not_specialize=["n_heads", "n_rounds", "n_sequences", "group_size"])
def differentiate(
    grad, qk, v, lse, delta, scales, keys, order, codes, running_qk, running_v, grad_qk, grad_v, progress,
    grad_strides, qk_strides, v_strides, grad_qk_strides, grad_v_strides,
    n_heads, length, n_rounds, n_sequences, group_size,
    RULES: tl.constexpr, WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr, BLOCK: tl.constexpr, TILE: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Adds a round's gradients of a block of rows, first as keys of the queries that see them, then as queries."""
    n_blocks = tl.cdiv(length, BLOCK)
    sequence, n_round, first = _take_ticket(progress, n_sequences, n_rounds, n_blocks, group_size, BLOCK)
    grad += _offset(sequence, n_heads, grad_strides)
    qk += _offset(sequence, n_heads, qk_strides)
    v += _offset(sequence, n_heads, v_strides)
    order, keys = (
        _of_round(order, sequence, n_round, n_rounds, length),
        _of_round(keys, sequence, n_round, n_rounds, length),
    )
    codes += sequence.to(tl.int64) * length * ((n_rounds + 1) // 2 * 2)
    scales += sequence.to(tl.int64) * length
    lse += sequence.to(tl.int64) * length
    delta += sequence.to(tl.int64) * length

    # As keys. The rows that are loaded again below would otherwise occupy registers in both loops.
    present, rows = _load_order(order, first, length, BLOCK)
    q = _load_rows(qk, rows, qk_strides[2], WIDTH, PADDED_WIDTH)
    own_v = _load_rows(v, rows, v_strides[2], WIDTH, PADDED_WIDTH)
    own_scale = tl.load(scales + rows) * LOG2E
    # A row that sees only itself passes its gradient to its own value.
    alone = (tl.load(lse + rows) == float("inf")) & (n_round == 0)
    grad_values = _load_rows_where(grad, rows, alone, grad_strides[2], WIDTH, PADDED_WIDTH).to(tl.float32)
    grad_k = tl.zeros([BLOCK, PADDED_WIDTH], tl.float32)
    begin, end = _slots_of_queries(keys, first, length, BLOCK, RULES)
    for start in range(begin, end, TILE):
        query_present, query_rows = _load_order(order, start, end, TILE)
        tile_q = _load_rows(qk, query_rows, qk_strides[2], WIDTH, PADDED_WIDTH)
        tile_grad = _load_rows(grad, query_rows, grad_strides[2], WIDTH, PADDED_WIDTH)
        tile_lse, tile_delta = tl.load(lse + query_rows) * LOG2E, tl.load(delta + query_rows)
        logits = tl.dot(q, tl.trans(tile_q), input_precision=PRECISION) * own_scale[:, None]
        logits = _mask(logits, codes, rows, query_rows, query_present, n_round, n_rounds, False, RULES)
        weights = tl.exp2(logits - tile_lse[None, :])
        grad_values = tl.dot(weights.to(tile_grad.dtype), tile_grad, grad_values, input_precision=PRECISION)
        grad_weights = tl.dot(own_v, tl.trans(tile_grad), input_precision=PRECISION)
        grad_logits = weights * (grad_weights - tile_delta[None, :])
        grad_k = tl.dot(grad_logits.to(tile_q.dtype), tile_q, grad_k, input_precision=PRECISION)

    _wait(progress, sequence, n_round * n_blocks)
    offset = _offset(sequence, n_heads, grad_v_strides)
    _add(
        running_v + offset, grad_v + offset, grad_values, rows, present, n_round, n_rounds, grad_v_strides[2],
        WIDTH, PADDED_WIDTH,
    )  # fmt: skip

    # As queries. The gradient passes from a key to its query, of which the key is the direction.
    q = _load_rows(qk, rows, qk_strides[2], WIDTH, PADDED_WIDTH)
    own_grad = _load_rows(grad, rows, grad_strides[2], WIDTH, PADDED_WIDTH)
    own_lse, own_delta, own_scale = tl.load(lse + rows) * LOG2E, tl.load(delta + rows), tl.load(scales + rows)
    unit = q.to(tl.float32) * own_scale[:, None]
    grad_q = (grad_k - unit * tl.sum(unit * grad_k, 1)[:, None]) * own_scale[:, None]
    begin, end = _slots_of_keys(keys, first, length, BLOCK, RULES)
    for start in range(begin, end, TILE):
        key_present, key_rows = _load_order(order, start, end, TILE)
        tile_qk = _load_rows(qk, key_rows, qk_strides[2], WIDTH, PADDED_WIDTH)
        scale = tl.load(scales + key_rows)
        tile_v = _load_rows(v, key_rows, v_strides[2], WIDTH, PADDED_WIDTH)
        logits = tl.dot(q, tl.trans(tile_qk), input_precision=PRECISION) * (scale * LOG2E)[None, :]
        logits = _mask(logits, codes, rows, key_rows, key_present, n_round, n_rounds, True, RULES)
        weights = tl.exp2(logits - own_lse[:, None])
        grad_weights = tl.dot(own_grad, tl.trans(tile_v), input_precision=PRECISION)
        grad_logits = weights * (grad_weights - own_delta[:, None]) * scale[None, :]
        grad_q = tl.dot(grad_logits.to(tile_qk.dtype), tile_qk, grad_q, input_precision=PRECISION)

    offset = _offset(sequence, n_heads, grad_qk_strides)
    _add(
        running_qk + offset, grad_qk + offset, grad_q, rows, present, n_round, n_rounds, grad_qk_strides[2],
        WIDTH, PADDED_WIDTH,
    )  # fmt: skip
    if n_round < n_rounds - 1:
        _finish(progress, sequence)


@triton.jit
def _add(
    running, result, summand, rows, present, n_round, n_rounds, stride, WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr
):
    """Adds rows to the running sums of earlier rounds. The last round writes the result."""
    summand += _load_rows_where(running, rows, present & (n_round > 0), stride, WIDTH, PADDED_WIDTH)
    if n_round < n_rounds - 1:
        _store_rows(running, rows, present, stride, summand, WIDTH, PADDED_WIDTH)
    else:
        _store_rows(result, rows, present, stride, summand, WIDTH, PADDED_WIDTH)


@triton.jit
def multiply_rows(
    x, y, products, x_strides, y_strides, n_heads, length,
    WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr, BLOCK: tl.constexpr, INVERSE_LENGTHS: tl.constexpr,
):  # fmt: skip
    """Computes the scalar product of each row of x with that of y, (M, L), or `inverse_length` of x if y is x."""
    n_blocks = tl.cdiv(length, BLOCK)
    sequence = tl.program_id(0) // n_blocks
    rows = (tl.program_id(0) % n_blocks) * BLOCK + tl.arange(0, BLOCK)
    existing = tl.minimum(rows, length - 1)
    x_rows = _load_rows(x + _offset(sequence, n_heads, x_strides), existing, x_strides[2], WIDTH, PADDED_WIDTH)
    y_rows = _load_rows(y + _offset(sequence, n_heads, y_strides), existing, y_strides[2], WIDTH, PADDED_WIDTH)
    product = tl.sum(x_rows.to(tl.float32) * y_rows.to(tl.float32), 1)
    if INVERSE_LENGTHS:
        lengths = tl.sqrt_rn(product)
        product = tl.where(lengths < MIN_LENGTH, 0.0, 1.0 / tl.maximum(lengths, MIN_LENGTH))
        product = tl.where(lengths > MAX_LENGTH, float("nan"), product)
    tl.store(products + sequence.to(tl.int64) * length + rows, product, mask=rows < length)


@triton.jit
def _take_ticket(progress, n_sequences, n_rounds, n_blocks, group_size, BLOCK: tl.constexpr):
    """Returns the sequence, round and first slot of the program.

    Tickets are given out in the order in which programs start. A program therefore waits only for programs that run already.
    """
    ticket = tl.atomic_add(progress + n_sequences, 1, sem="relaxed")
    per_group = group_size * n_rounds * n_blocks
    first_sequence = ticket // per_group * group_size
    size = tl.minimum(group_size, n_sequences - first_sequence)
    ticket = ticket % per_group
    n_round = ticket // (size * n_blocks)
    ticket = ticket % (size * n_blocks)
    return first_sequence + ticket // n_blocks, n_round, ticket % n_blocks * BLOCK


@triton.jit
def _wait(progress, sequence, n_programs):
    """Waits until n_programs of the sequence have finished."""
    if n_programs > 0:
        while tl.atomic_add(progress + sequence, 0, sem="acquire") < n_programs:
            pass
        tl.debug_barrier()


@triton.jit
def _finish(progress, sequence):
    """Announces the program's stores to those that wait."""
    tl.debug_barrier()
    tl.atomic_add(progress + sequence, 1, sem="release")


@triton.jit
def _offset(sequence, n_heads, strides):
    """Returns the offset of a sequence in a tensor (B, H, L, D) with strides of B, H and L."""
    return (sequence // n_heads).to(tl.int64) * strides[0] + (sequence % n_heads).to(tl.int64) * strides[1]


@triton.jit
def _of_round(x, sequence, n_round, n_rounds, length):
    """Returns the part of x, (M, R, L), of a sequence and round."""
    return x + (sequence.to(tl.int64) * n_rounds + n_round) * length


@triton.jit
def _load_order(order, first, end, SIZE: tl.constexpr):
    """Returns a mask of the slots before `end`, and the rows in them, (SIZE). Further slots repeat the last row."""
    slots = first + tl.arange(0, SIZE)
    return slots < end, tl.load(order + tl.minimum(slots, end - 1))


@triton.jit
def _load_rows(x, rows, stride, WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr):
    """Returns rows of x, (SIZE, PADDED_WIDTH), zero past the width."""
    columns = tl.arange(0, PADDED_WIDTH)
    pointers = x + rows.to(tl.int64)[:, None] * stride + columns[None, :]
    if WIDTH == PADDED_WIDTH:
        return tl.load(pointers)
    return tl.load(pointers, mask=(columns < WIDTH)[None, :], other=0.0)


@triton.jit
def _load_rows_where(x, rows, mask, stride, WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr):
    """Returns rows of x, zero where not `mask`. Bypasses the multiprocessor's cache, to see stores of other programs."""
    pointers, mask = _pointers(x, rows, mask, stride, WIDTH, PADDED_WIDTH)
    return tl.load(pointers, mask=mask, other=0.0, cache_modifier=".cg")


@triton.jit
def _store_rows(x, rows, mask, stride, values, WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr):
    pointers, mask = _pointers(x, rows, mask, stride, WIDTH, PADDED_WIDTH)
    tl.store(pointers, values.to(x.dtype.element_ty), mask=mask)


@triton.jit
def _pointers(x, rows, mask, stride, WIDTH: tl.constexpr, PADDED_WIDTH: tl.constexpr):
    columns = tl.arange(0, PADDED_WIDTH)
    mask = mask[:, None]
    if WIDTH < PADDED_WIDTH:
        mask = mask & (columns < WIDTH)[None, :]
    return x + rows.to(tl.int64)[:, None] * stride + columns[None, :], mask


@triton.jit
def _slots_of_keys(keys, first, length, BLOCK: tl.constexpr, RULES: tl.constexpr):
    """Returns begin and end of the slots of the keys that the queries in a block of slots can see."""
    last = tl.minimum(first + BLOCK, length) - 1
    begin, end = _reach(first, last, length, 1, RULES.n_chunks_after, RULES)
    if RULES.same_bucket_mask:
        begin = _first_of_bucket(keys, begin, first, RULES)
        end = last + 1 if RULES.causal else _end_of_bucket(keys, last, end, RULES)
    return begin, end


@triton.jit
def _slots_of_queries(keys, first, length, BLOCK: tl.constexpr, RULES: tl.constexpr):
    """Returns begin and end of the slots of the queries that can see the keys in a block of slots."""
    last = tl.minimum(first + BLOCK, length) - 1
    begin, end = _reach(first, last, length, RULES.n_chunks_after, 1, RULES)
    if RULES.same_bucket_mask:
        begin = first if RULES.causal else _first_of_bucket(keys, begin, first, RULES)
        end = _end_of_bucket(keys, last, end, RULES)
    return begin, end


@triton.jit
def _reach(first, last, length, BEFORE: tl.constexpr, AFTER: tl.constexpr, RULES: tl.constexpr):
    """Returns begin and end of the slots in reach of those from first to last, BEFORE and AFTER in chunks."""
    LENGTH: tl.constexpr = RULES.chunk_len
    if RULES.window == "chunk":
        first, last = first // LENGTH * LENGTH, last // LENGTH * LENGTH + LENGTH - 1
    return tl.maximum(first - BEFORE * LENGTH, 0), tl.minimum(last + 1 + AFTER * LENGTH, length)


@triton.jit
def _first_of_bucket(keys, begin, slot, RULES: tl.constexpr):
    """Returns the first slot, not before `begin`, of the bucket of a slot."""
    slots = begin + tl.arange(0, triton.next_power_of_2(2 * RULES.chunk_len))
    same = tl.load(keys + slots, mask=slots < slot, other=-1) == tl.load(keys + slot)
    return slot - tl.sum(same.to(tl.int32), 0)


@triton.jit
def _end_of_bucket(keys, slot, end, RULES: tl.constexpr):
    """Returns the end, not after `end`, of the bucket of a slot."""
    slots = slot + tl.arange(0, triton.next_power_of_2(2 * RULES.chunk_len))
    same = tl.load(keys + slots, mask=slots < end, other=-1) == tl.load(keys + slot)
    return slot + tl.sum(same.to(tl.int32), 0)


@triton.jit
def _mask(
    logits, codes, rows, tile_rows, tile_present, n_round, n_rounds, TILE_OF_KEYS: tl.constexpr, RULES: tl.constexpr
):
    """Sets logits, (B, T), of queries and keys, or of keys and queries, to -inf where they do not count in this round."""
    STRIDE = (n_rounds + 1) // 2 * 2  # the codes of two rounds fill 64 bits
    own, other = codes + rows * STRIDE, codes + tile_rows * STRIDE
    distance = _distance(tl.load(own + n_round), tl.load(other + n_round), tile_present, TILE_OF_KEYS, RULES)
    visible = distance <= _reach_of_codes(RULES)
    if not RULES.causal:
        visible = visible & (tile_rows[None, :] != rows[:, None])
    elif not _codes_are_ordered(RULES):
        later, earlier = (rows[:, None], tile_rows[None, :]) if TILE_OF_KEYS else (tile_rows[None, :], rows[:, None])
        visible = visible & (earlier < later)
    logits = tl.where(visible, logits, -float("inf"))
    if RULES.duplicate_correction:
        # A pair counts in the first round that shows it, which has the effect of subtracting log N (equation 16).
        own, other = own.to(tl.pointer_type(tl.uint64)), other.to(tl.pointer_type(tl.uint64))
        for two_rounds in range((n_round + 1) // 2):
            codes_of_own, codes_of_other = tl.load(own + two_rounds), tl.load(other + two_rounds)
            first = _distance(codes_of_own.to(tl.uint32), codes_of_other.to(tl.uint32), True, TILE_OF_KEYS, RULES)
            codes_of_own, codes_of_other = (codes_of_own >> 32).to(tl.uint32), (codes_of_other >> 32).to(tl.uint32)
            second = _distance(codes_of_own, codes_of_other, 2 * two_rounds + 1 < n_round, TILE_OF_KEYS, RULES)
            logits = tl.where(tl.minimum(first, second) <= _reach_of_codes(RULES), -float("inf"), logits)
    return logits


@triton.jit
def _distance(own, other, other_present, OTHER_ARE_KEYS: tl.constexpr, RULES: tl.constexpr):
    """Returns unsigned numbers, at most `_reach_of_codes` if the pair is visible. They wrap, and so bound both signs."""
    # Added to the codes of queries and of keys.
    QUERY: tl.constexpr = 0 if _codes_are_ordered(RULES) else RULES.max_distance - RULES.query_shift
    KEY: tl.constexpr = 1 if _codes_are_ordered(RULES) else 0
    if OTHER_ARE_KEYS:
        return (own + QUERY)[:, None] - tl.where(other_present, other + KEY, FAR)[None, :]
    return tl.where(other_present, other + QUERY, FAR)[None, :] - (own + KEY)[:, None]


@triton.constexpr_function
def _codes_are_ordered(rules):
    """Returns whether a causal query's code is greater than those of all keys of its bucket that it sees."""
    return rules.causal and rules.window == "sorted"


@triton.constexpr_function
def _reach_of_codes(rules):
    return rules.max_distance - 1 if _codes_are_ordered(rules) else 2 * rules.max_distance
