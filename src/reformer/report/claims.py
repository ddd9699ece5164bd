"""The paper's claims, the one list of them. Each limit stands in git before the runs that it judges."""

from functools import partial

from reformer.evaluation.techniques import NONE, NONE_UNFUSED
from reformer.report import measures, memory
from reformer.report.claim import Claim
from reformer.report.measured import BITS, FINE_BITS, MORE_BITS, MORE_PERCENT, PERCENT, POINTS, TIMES, TOKENS
from reformer.report.results import IMAGES, TEXTS

CLAIMS = [
    Claim(
        id="copy_full",
        study="duplication",
        text="Full attention with shared QK copies without error",
        paper="100 %",
        where="Table 2",
        criterion="Trained and evaluated with full attention: accuracy of at least {limit}.",
        measure=partial(measures.copy_accuracy, trained="full", evaluated="full"),
        unit=PERCENT,
        at_least=0.995,
    ),
    Claim(
        id="copy_lsh_4",
        study="duplication",
        text="Trained with 4 rounds, evaluated with 8: copies without error",
        paper="100 %",
        where="Table 2",
        criterion="Trained with LSH-4, evaluated with LSH-8: accuracy of at least {limit}.",
        measure=partial(measures.copy_accuracy, trained="lsh-4", evaluated="lsh-8"),
        unit=PERCENT,
        at_least=0.99,
        metric="copy_accuracy",
        headline=True,
    ),
    Claim(
        id="copy_lsh_1",
        study="duplication",
        text="Trained with 1 round, evaluated with 8: almost without error",
        paper="99.9 %",
        where="Table 2",
        criterion="Trained with LSH-1, evaluated with LSH-8: accuracy of at least {limit}.",
        measure=partial(measures.copy_accuracy, trained="lsh-1", evaluated="lsh-8"),
        unit=PERCENT,
        at_least=0.99,
    ),
    Claim(
        id="copy_more_rounds",
        study="duplication",
        text="More rounds at evaluation win back what one round misses",
        paper="+8.1 to +22.0 points",
        where="Table 2",
        criterion=(
            "Every LSH-trained model gains at least {limit} from one round at evaluation to eight; shown is the "
            "least gain."
        ),
        measure=measures.gain_from_rounds,
        unit=POINTS,
        at_least=0.01,
    ),
    Claim(
        id="copy_monotone",
        study="duplication",
        text="No model loses by more rounds at evaluation",
        paper="+0.1 points at worst",
        where="Table 2",
        criterion=(
            "No doubling of the rounds at evaluation costs an LSH-trained model more than {limit}; shown is the "
            "worst change."
        ),
        measure=measures.worst_doubling,
        unit=POINTS,
        at_least=-0.005,
    ),
    Claim(
        id="copy_full_to_lsh",
        study="duplication",
        text="Trained with full attention: works with LSH-8 unchanged",
        paper="94.8 %",
        where="Table 2",
        criterion="Trained with full attention, evaluated with LSH-8: accuracy of at least {limit}.",
        measure=partial(measures.copy_accuracy, trained="full", evaluated="lsh-8"),
        unit=PERCENT,
        at_least=0.9,
    ),
    Claim(
        id="copy_lsh_to_full",
        study="duplication",
        text="Trained with LSH: fails with full attention",
        paper="0.8 %, chance",
        where="Table 2",
        criterion=(
            "Each LSH-trained model under full attention: accuracy of at most {limit}; shown is the best. A "
            "public reproduction got 46 to 76 %."
        ),
        measure=measures.best_copy_with_full_attention,
        unit=PERCENT,
        at_most=0.05,
    ),
    Claim(
        id="reversible_text",
        study="reversible_text",
        text="Reversible layers learn text as well as ordinary ones",
        paper="nearly identical curves",
        where="Figure 3",
        criterion=(
            "Reversible less ordinary, test bits/dim: within {limit} of 0. With several seeds, paired: their mean, and its "
            "whole 90 % interval by their spread (Student's t); where only the mean is, the seeds are too few to tell."
        ),
        measure=partial(measures.twin_difference, data=TEXTS, attribute="reversible"),
        unit=FINE_BITS,
        within=measures.PARITY_LIMIT,
        metric="reversible_minus_ordinary",
        headline=True,
    ),
    Claim(
        id="rounds_close_to_full",
        study="hash_rounds",
        text="Trained with 8 rounds, LSH almost matches full attention",
        paper="almost equal curves",
        where="Figure 4",
        criterion="Test bits/dim of the most rounds trained, over those of full attention: a rise of at most {limit}.",
        measure=measures.most_rounds_against_full,
        unit=MORE_PERCENT,
        at_most=0.02,
        metric="lsh_over_full",
    ),
    Claim(
        id="rounds_help_training",
        study="hash_rounds",
        text="Training with more rounds learns better",
        paper="more rounds, lower curves",
        where="Figure 4",
        criterion="Test bits/dim of the fewest rounds less those of the most: at least {limit}.",
        measure=measures.gain_from_training_rounds,
        unit=MORE_BITS,
        at_least=0.01,
    ),
    Claim(
        id="lsh_time_flat",
        study="speed_by_length",
        text="LSH: time does not grow with length at constant tokens",
        paper="×0.75 to ×1.40 from 1K to 32K",
        where="Figure 5",
        criterion=(
            "Time of a step at the greatest length over that at the least, for every number of rounds: at most "
            "{limit}; shown is the greatest."
        ),
        measure=measures.lsh_time_growth,
        unit=TIMES,
        at_most=1.5,
        metric="lsh_time_growth",
    ),
    Claim(
        id="full_time_grows",
        study="speed_by_length",
        text="Full attention: time grows with length",
        paper="×1.89 from 16K to 32K",
        where="Figure 5",
        criterion="The last doubling of the length multiplies the time of a step by at least {limit}.",
        measure=measures.full_time_growth,
        unit=TIMES,
        at_least=1.5,
    ),
    Claim(
        id="lsh_overtakes_full",
        study="speed_by_length",
        text="LSH with 4 rounds overtakes full attention early",
        paper="between 1K and 2K",
        where="Figure 5",
        criterion="Length from which LSH-4 is faster than full attention: at most {limit}.",
        measure=partial(measures.crossing, attention="lsh-4", limit=4096),
        unit=TOKENS,
        at_most=4096,
    ),
    Claim(
        id="lsh_memory_flat",
        study="speed_by_length",
        text="LSH: memory does not grow with length at constant tokens",
        paper="linear in length",
        where="Tables 1 and 3",
        criterion=(
            "Peak of a step at the greatest length over that at the least, for every number of rounds: at most "
            "{limit}; shown is the greatest."
        ),
        measure=measures.lsh_memory_growth,
        unit=TIMES,
        at_most=1.5,
    ),
    Claim(
        id="memory_depth",
        study="memory",
        text="Reversible layers: memory hardly grows with depth",
        paper="no growth (Hugging Face: ×0.23)",
        where="Table 3",
        criterion="What one more layer adds to the peak, over what it adds with ordinary residuals: at most {limit}.",
        measure=memory.slope_ratio,
        unit=TIMES,
        at_most=0.25,
        metric="memory_per_layer_ratio",
        headline=True,
    ),
    Claim(
        id="memory_rounds",
        study="memory",
        text="More hash rounds cost next to no memory",
        paper="at most ×8, from its complexity",
        where="Table 3",
        criterion=(
            "All techniques on: peak with the most rounds over that with one, at most {limit}. Table 3 lets the "
            "attention of one layer grow with the rounds."
        ),
        measure=memory.growth_with_rounds,
        unit=TIMES,
        at_most=1.25,
    ),
    Claim(
        id="memory_d_ff",
        study="memory",
        text="Chunked feed-forward: memory does not grow with d_ff",
        paper="no growth",
        where="Table 3",
        criterion="All techniques on: peak at the greatest d_ff (8 times d_model) over that at the least, at most {limit}.",
        measure=memory.growth_with_d_ff,
        unit=TIMES,
        at_most=memory.FLAT,
    ),
    Claim(
        id="memory_all",
        study="memory",
        text="Together, the techniques save most of a Transformer's memory",
        paper="from l² · layers to l",
        where="Table 3",
        criterion=(
            "Peak at the greatest length over that of the Transformer of the paper's time (unfused full attention, "
            "ordinary residuals, no chunks): at most {limit}."
        ),
        measure=partial(memory.share_of, without=NONE_UNFUSED),
        unit=TIMES,
        at_most=0.25,
    ),
    Claim(
        id="memory_all_fused",
        study="memory",
        text="They save half of the memory beside today's fused attention, too",
        paper="–",
        where="not in the paper",
        criterion="As above, over a Transformer with PyTorch's fused attention: at most {limit}.",
        measure=partial(memory.share_of, without=NONE),
        unit=TIMES,
        at_most=0.5,
    ),
    Claim(
        id="reversible_images",
        study="reversible_images",
        text="Reversible layers learn images as well as ordinary ones",
        paper="nearly identical curves",
        where="Figure 3",
        criterion="As on text: reversible less ordinary, test bits/dim, within {limit} of 0.",
        measure=partial(measures.twin_difference, data=IMAGES, attribute="reversible"),
        unit=FINE_BITS,
        within=measures.PARITY_LIMIT,
    ),
    Claim(
        id="shared_qk_text",
        study="shared_qk_text",
        text="Sharing queries and keys is no worse on text",
        paper="curves no worse",
        where="Figure 3",
        criterion="Shared less separate, test bits/dim: at most {limit}.",
        measure=partial(measures.twin_difference, data=TEXTS, attribute="shared_qk"),
        unit=MORE_BITS,
        at_most=0.02,
    ),
    Claim(
        id="shared_qk_images",
        study="shared_qk_images",
        text="Sharing queries and keys is no worse on images",
        paper="curves no worse",
        where="Figure 3",
        criterion="Shared less separate, test bits/dim: at most {limit}.",
        measure=partial(measures.twin_difference, data=IMAGES, attribute="shared_qk"),
        unit=MORE_BITS,
        at_most=0.02,
    ),
    Claim(
        id="deeper_is_better",
        study="n_layers",
        text="Deeper Reformers are better",
        paper="up to 20 layers",
        where="Figure 5",
        criterion="Test bits/dim of the shallowest less those of the deepest: at least {limit}.",
        measure=measures.gain_from_depth,
        unit=MORE_BITS,
        at_least=0.01,
    ),
    Claim(
        id="lsh_does_the_work",
        study="lsh_off",
        text="The LSH layers do some of the work",
        paper="–",
        where="not in the paper",
        criterion=(
            "Switching them off costs every network that beats a uniform guess at least {limit}; shown is the least cost."
        ),
        measure=measures.cost_of_lsh_off,
        unit=BITS,
        at_least=0.05,
    ),
]
