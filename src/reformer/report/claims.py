"""The paper's claims and the studies that test them: the one list of each. Limits were fixed before the runs."""

from collections.abc import Callable
from functools import partial

from reformer.report import measures, paper, pictures, tables
from reformer.report.chart import Panel
from reformer.report.claim import Claim, Study
from reformer.report.measured import BITS, FINE_BITS, MORE_BITS, MORE_PERCENT, PERCENT, POINTS, TIMES, TOKENS
from reformer.report.results import IMAGES, TEXTS, Results, RunGroup


def _image_groups(results: Results) -> list[RunGroup]:
    groups = [g for g in results.select(results.data(IMAGES)) if g.spec.attention == "full" or g.spec.n_hashes]
    return sorted(groups, key=lambda group: group.spec.n_hashes)


def _twins(results: Results, data: tuple[str, ...], attribute: str) -> list[RunGroup]:
    return list(results.twins(results.data(data), attribute))


def _twin_study(
    id: str,
    title: str,
    source: str,
    question: str,
    attribute: str,
    data: tuple[str, ...],
    draw: Callable[..., list[Panel]],
) -> Study:
    """A study of two networks that differ in one thing."""
    groups = partial(_twins, data=data, attribute=attribute)
    return Study(
        id,
        title,
        source,
        question,
        caption="Left: bits per dimension on held-out data after the first fifth of the training, lower is better; the "
        "paper prints curves, no numbers. Right: how far apart the two are at each step, their seeds paired.",
        panels=partial(draw, data=data),
        table=lambda results: tables.scores(groups(results)),
        groups=groups,
        paper_scale=paper.TEXT_SCALE if data == TEXTS else paper.IMAGE_SCALE,
    )


STUDIES = [
    Study(
        "duplication",
        "Hash rounds on the duplication task",
        "Table 2",
        "A sequence 0w0w of random symbols: the second w can be had only by looking back over half the length. "
        "Models trained with full attention or 4, 2, 1 hash rounds are each evaluated with others.",
        "Accuracy on the second half, one panel for each way of training; “full” is exact attention, the numbers are "
        "hash rounds. Chance is 0.8 %.",
        pictures.table_2,
        tables.table_2,
        lambda results: results.select("duplication"),
        paper_scale=paper.DUPLICATION_SCALE,
    ),
    _twin_study(
        "reversible_text",
        "Reversible layers on text",
        "Figure 3, right",
        "The same network, with the same parameters, trained with activations recomputed from the layer above and with "
        "activations stored.",
        "reversible",
        TEXTS,
        pictures.reversible,
    ),
    Study(
        "hash_rounds",
        "Hash rounds on images",
        "Figure 4",
        "LSH attention is an approximation that more hash rounds make better: networks trained with 1, 2, 4, … rounds "
        "against one with full attention.",
        "Bits per dimension, lower is better. Left: after the first fifth of the training. Right: where it ended, "
        "against the number of rounds; the dashed line is full attention. The paper prints curves, no numbers.",
        lambda results: pictures.hash_rounds(_image_groups(results)),
        lambda results: tables.scores(_image_groups(results)),
        _image_groups,
        paper_scale=paper.IMAGE_SCALE,
    ),
    Study(
        "speed_by_length",
        "Time and memory against length",
        "Figure 5, right",
        "The number of tokens a step is held constant while sequences grow longer and fewer: full attention then costs "
        "in proportion to the length, LSH attention should cost the same throughout.",
        "Both axes are logarithmic. The paper's times come from another machine: compare slopes and where lines cross.",
        pictures.speed,
        tables.speed,
        benchmark="speed_by_length",
    ),
    Study(
        "memory_by_depth",
        "Memory against depth",
        "Tables 1 and 3",
        "Ordinary residuals keep the activations of every layer for the backward pass; reversible ones keep the last "
        "layer's only.",
        "Peak memory of a training step. Right: a public measurement of whole training on a GPU (length 512, batch 8), "
        "as the paper gives complexities only.",
        pictures.memory,
        tables.memory,
        benchmark="memory_by_depth",
    ),
    _twin_study(
        "reversible_images",
        "Reversible layers on images",
        "Figure 3, right",
        "As on text: the same network with activations recomputed and with activations stored.",
        "reversible",
        IMAGES,
        pictures.reversible,
    ),
    _twin_study(
        "shared_qk_text",
        "Shared queries and keys on text",
        "Figure 3, left",
        "Keys that are the queries scaled to unit length, against keys with a projection of their own.",
        "shared_qk",
        TEXTS,
        pictures.shared_qk,
    ),
    _twin_study(
        "shared_qk_images",
        "Shared queries and keys on images",
        "Figure 3, left",
        "As on text: keys that are the queries scaled, against keys of their own.",
        "shared_qk",
        IMAGES,
        pictures.shared_qk,
    ),
    Study(
        "n_layers",
        "Depth on text",
        "Figure 5, left",
        "Deeper Reformers, as reversible layers make them affordable.",
        "Bits per dimension on held-out text after the first fifth of the training, lower is better.",
        lambda results: pictures.by_depth(measures.by_depth(results)),
        lambda results: tables.scores(measures.by_depth(results)),
        measures.by_depth,
        paper_scale=paper.TEXT_SCALE,
    ),
    Study(
        "lsh_off",
        "LSH attention switched off",
        "not in the paper: a question of its users",
        "Does the attention do anything? The LSH layers of the trained networks are switched off at evaluation.",
        "Bits per dimension with the LSH layers on and off, lower is better.",
        lambda results: pictures.lsh_off(measures.with_lsh_off(results)),
        lambda results: tables.lsh_off(measures.with_lsh_off(results)),
        measures.with_lsh_off,
    ),
]

CLAIMS = [
    Claim(
        "copy_full",
        "duplication",
        "Full attention with shared QK copies without error",
        "100 %",
        "Table 2",
        "Trained and evaluated with full attention: accuracy of at least {limit}.",
        partial(measures.copy_accuracy, trained="full", evaluated="full"),
        PERCENT,
        at_least=0.995,
    ),
    Claim(
        "copy_lsh_4",
        "duplication",
        "Trained with 4 rounds, evaluated with 8: copies without error",
        "100 %",
        "Table 2",
        "Trained with LSH-4, evaluated with LSH-8: accuracy of at least {limit}.",
        partial(measures.copy_accuracy, trained="lsh-4", evaluated="lsh-8"),
        PERCENT,
        at_least=0.99,
        metric="copy_accuracy_lsh_4_evaluated_with_8",
        headline=True,
    ),
    Claim(
        "copy_lsh_1",
        "duplication",
        "Trained with 1 round, evaluated with 8: almost without error",
        "99.9 %",
        "Table 2",
        "Trained with LSH-1, evaluated with LSH-8: accuracy of at least {limit}.",
        partial(measures.copy_accuracy, trained="lsh-1", evaluated="lsh-8"),
        PERCENT,
        at_least=0.99,
        metric="copy_accuracy_lsh_1_evaluated_with_8",
    ),
    Claim(
        "copy_more_rounds",
        "duplication",
        "More rounds at evaluation win back what one round misses",
        "+8.1 to +22.0 points",
        "Table 2",
        "Every LSH-trained model gains at least {limit} from one round at evaluation to eight; shown is the "
        "least gain.",
        measures.gain_from_rounds,
        POINTS,
        at_least=0.01,
    ),
    Claim(
        "copy_monotone",
        "duplication",
        "No model loses by more rounds at evaluation",
        "+0.1 points at worst",
        "Table 2",
        "No doubling of the rounds at evaluation costs an LSH-trained model more than {limit}; shown is the worst "
        "change.",
        measures.worst_doubling,
        POINTS,
        at_least=-0.005,
    ),
    Claim(
        "copy_full_to_lsh",
        "duplication",
        "Trained with full attention: works with LSH-8 unchanged",
        "94.8 %",
        "Table 2",
        "Trained with full attention, evaluated with LSH-8: accuracy of at least {limit}.",
        partial(measures.copy_accuracy, trained="full", evaluated="lsh-8"),
        PERCENT,
        at_least=0.9,
    ),
    Claim(
        "copy_lsh_to_full",
        "duplication",
        "Trained with LSH: fails with full attention",
        "0.8 %, chance",
        "Table 2",
        "Each LSH-trained model under full attention: accuracy of at most {limit}; shown is the best. A public "
        "reproduction got 46 to 76 %.",
        measures.best_copy_with_full_attention,
        PERCENT,
        at_most=0.05,
    ),
    Claim(
        "reversible_text",
        "reversible_text",
        "Reversible layers learn text as well as ordinary ones",
        "nearly identical curves",
        "Figure 3",
        "Reversible less ordinary, test bits/dim: no further from 0 than {limit}. That is two standard errors by the "
        "spread between seeds (within 0.005 and 0.05), and 0.02 with one seed.",
        partial(measures.reversible_parity, data=TEXTS),
        FINE_BITS,
        within=measures.ONE_SEED_PARITY_LIMIT,
        metric="reversible_minus_ordinary_bits_per_dim",
        headline=True,
    ),
    Claim(
        "rounds_close_to_full",
        "hash_rounds",
        "Trained with 8 rounds, LSH almost matches full attention",
        "almost equal curves",
        "Figure 4",
        "Test bits/dim of the most rounds trained, over those of full attention: at most {limit} more.",
        measures.most_rounds_against_full,
        MORE_PERCENT,
        at_most=0.02,
        metric="most_rounds_over_full_bits_per_dim",
    ),
    Claim(
        "rounds_help_training",
        "hash_rounds",
        "Training with more rounds learns better",
        "more rounds, lower curves",
        "Figure 4",
        "Test bits/dim of the fewest rounds less those of the most: at least {limit}.",
        measures.gain_from_training_rounds,
        MORE_BITS,
        at_least=0.01,
    ),
    Claim(
        "lsh_time_flat",
        "speed_by_length",
        "LSH: time does not grow with length at constant tokens",
        "×0.75 to ×1.40 from 1K to 32K",
        "Figure 5",
        "Time of a step at the greatest length over that at the least, for every number of rounds: at most {limit}; "
        "shown is the greatest.",
        measures.lsh_time_growth,
        TIMES,
        at_most=1.5,
        metric="lsh_time_longest_over_shortest",
    ),
    Claim(
        "full_time_grows",
        "speed_by_length",
        "Full attention: time grows with length",
        "×1.89 from 16K to 32K",
        "Figure 5",
        "The last doubling of the length multiplies the time of a step by at least {limit}.",
        measures.full_time_growth,
        TIMES,
        at_least=1.5,
    ),
    Claim(
        "lsh_overtakes_full",
        "speed_by_length",
        "LSH with 4 rounds overtakes full attention early",
        "between 1K and 2K",
        "Figure 5",
        "Length from which LSH-4 is faster than full attention: at most {limit}.",
        partial(measures.crossing, attention="lsh-4", limit=4096),
        TOKENS,
        at_most=4096,
    ),
    Claim(
        "lsh_memory_flat",
        "speed_by_length",
        "LSH: memory does not grow with length at constant tokens",
        "linear in length",
        "Tables 1 and 3",
        "Peak of a step at the greatest length over that at the least, for every number of rounds: at most {limit}; "
        "shown is the greatest.",
        measures.lsh_memory_growth,
        TIMES,
        at_most=1.5,
    ),
    Claim(
        "memory_depth",
        "memory_by_depth",
        "Reversible layers: memory hardly grows with depth",
        "none (Hugging Face: ×0.23)",
        "Table 3",
        "What one more layer adds to the peak, over what it adds with ordinary residuals: at most {limit}.",
        measures.slope_ratio,
        TIMES,
        at_most=0.25,
        metric="memory_per_layer_reversible_over_ordinary",
        headline=True,
    ),
    Claim(
        "reversible_images",
        "reversible_images",
        "Reversible layers learn images as well as ordinary ones",
        "nearly identical curves",
        "Figure 3",
        "As on text: reversible less ordinary no further from 0 than {limit}.",
        partial(measures.reversible_parity, data=IMAGES),
        FINE_BITS,
        within=measures.ONE_SEED_PARITY_LIMIT,
    ),
    Claim(
        "shared_qk_text",
        "shared_qk_text",
        "Sharing queries and keys is no worse on text",
        "curves no worse",
        "Figure 3",
        "Shared less separate, test bits/dim: at most {limit}.",
        partial(measures.shared_qk_cost, data=TEXTS),
        MORE_BITS,
        at_most=0.02,
    ),
    Claim(
        "shared_qk_images",
        "shared_qk_images",
        "Sharing queries and keys is no worse on images",
        "curves no worse",
        "Figure 3",
        "Shared less separate, test bits/dim: at most {limit}.",
        partial(measures.shared_qk_cost, data=IMAGES),
        MORE_BITS,
        at_most=0.02,
    ),
    Claim(
        "deeper_is_better",
        "n_layers",
        "Deeper Reformers are better",
        "up to 20 layers",
        "Figure 5",
        "Test bits/dim of the shallowest less those of the deepest: at least {limit}.",
        measures.gain_from_depth,
        MORE_BITS,
        at_least=0.01,
    ),
    Claim(
        "lsh_does_the_work",
        "lsh_off",
        "The LSH layers do some of the work",
        "–",
        "not in the paper",
        "Switching them off costs every network at least {limit}; shown is the least cost.",
        measures.cost_of_lsh_off,
        BITS,
        at_least=0.05,
    ),
]
