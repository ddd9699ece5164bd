"""The list of all claims: the paper's, and some of its users. Each limit is committed before the runs that it judges."""

from functools import partial

from reformer.bench.techniques import NO_TECHNIQUE, NO_TECHNIQUE_UNFUSED
from reformer.report.claims import learning, memory, speed
from reformer.report.claims.claim import NOT_IN_PAPER, Claim
from reformer.report.evidence.measured import (
    BITS,
    FINE_BITS,
    MORE_BITS,
    MORE_PERCENT,
    PERCENT,
    POINTS,
    TIMES,
    TOKENS,
)

CLAIMS = [
    Claim(
        id="copy_full",
        study="duplication",
        text="Full attention with shared QK copies without error",
        paper="100 %",
        where="Table 2",
        criterion="Trained and evaluated with full attention: accuracy of at least {limit}.",
        measure=partial(learning.copy_accuracy, trained="full", evaluated="full"),
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
        measure=partial(learning.copy_accuracy, trained="lsh-4", evaluated="lsh-8"),
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
        measure=partial(learning.copy_accuracy, trained="lsh-1", evaluated="lsh-8"),
        unit=PERCENT,
        at_least=0.99,
    ),
    Claim(
        id="copy_more_rounds",
        study="duplication",
        text="More rounds at evaluation recover what one round misses",
        paper="+8.1 to +22.0 points",
        where="Table 2",
        criterion=(
            "Evaluation with eight rounds instead of one raises the accuracy of every LSH-trained model by at least {limit}. "
            "Models that miss less than that with one round do not count. The least gain is shown."
        ),
        measure=learning.gain_from_rounds,
        unit=POINTS,
        at_least=learning.GAIN,
    ),
    Claim(
        id="copy_monotone",
        study="duplication",
        text="More rounds at evaluation harm no LSH-trained model",
        paper="+0.1 points at worst",
        where="Table 2",
        criterion=(
            "No doubling of the rounds at evaluation costs an LSH-trained model more than {limit}. Only models that copy "
            "count: at least 90 % with their own attention or LSH-8. The worst change is shown."
        ),
        measure=learning.worst_doubling,
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
        measure=partial(learning.copy_accuracy, trained="full", evaluated="lsh-8"),
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
            "Evaluated with full attention, no LSH-trained model reaches an accuracy of more than {limit}. Only models that "
            "copy count: at least 90 % with their own attention or LSH-8. The best accuracy is shown. A public reproduction "
            "got 46 to 76 %."
        ),
        measure=learning.best_copy_with_full_attention,
        unit=PERCENT,
        at_most=0.05,
    ),
    Claim(
        id="reversible_text",
        study="reversible_text",
        text="Reversible layers learn text like ordinary ones",
        paper="nearly identical curves",
        where="Figure 3",
        criterion="Test bits/dim with reversible layers minus those with ordinary layers: within {limit} of 0.",
        measure=partial(learning.twin_difference, kind="text", attribute="reversible"),
        unit=FINE_BITS,
        within=learning.PARITY_LIMIT,
        metric="text_reversible_minus_ordinary_bits_per_dim",
        headline=True,
    ),
    Claim(
        id="rounds_close_to_full",
        study="hash_rounds",
        text="Trained with 8 rounds, LSH almost matches full attention",
        paper="almost equal curves",
        where="Figure 4",
        criterion=(
            "Test bits/dim with 8 rounds, or with the most rounds trained, are at most {limit} higher than those with full "
            "attention."
        ),
        measure=learning.eight_rounds_against_full,
        unit=MORE_PERCENT,
        at_most=0.02,
        metric="image_bits_per_dim_lsh_over_full",
    ),
    Claim(
        id="rounds_help_training",
        study="hash_rounds",
        text="Training with more rounds learns better",
        paper="more rounds, lower curves",
        where="Figure 4",
        criterion="Test bits/dim with the fewest rounds minus those with the most rounds: at least {limit}.",
        measure=learning.gain_from_training_rounds,
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
            "Time of a step at the greatest length over that at the least length, for every number of rounds: at most "
            "{limit}. The greatest ratio is shown."
        ),
        measure=speed.lsh_time_growth,
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
        measure=speed.full_time_growth,
        unit=TIMES,
        at_least=1.5,
    ),
    Claim(
        id="lsh_overtakes_full",
        study="speed_by_length",
        text="LSH with 4 rounds overtakes full attention early",
        paper="between 1K and 2K",
        where="Figure 5",
        criterion="Length from which on LSH-4 is faster than full attention: at most {limit}.",
        measure=partial(speed.overtaking_length, attention="lsh-4", limit=speed.EARLY),
        unit=TOKENS,
        at_most=speed.EARLY,
    ),
    Claim(
        id="lsh_memory_flat",
        study="speed_by_length",
        text="LSH: memory does not grow with length at constant tokens",
        paper="linear in length",
        where="Tables 1 and 3",
        criterion=(
            "Peak memory of a step at the greatest length over that at the least length, for every number of rounds: at most "
            "{limit}. The greatest ratio is shown."
        ),
        measure=speed.lsh_memory_growth,
        unit=TIMES,
        at_most=1.5,
    ),
    Claim(
        id="memory_depth",
        study="memory",
        text="Reversible layers: memory hardly grows with depth",
        paper="no growth (Hugging Face: ×0.23)",
        where="Table 3",
        criterion=(
            "Memory that one more layer adds to the peak with reversible residuals, over what it adds with ordinary ones: at "
            "most {limit}."
        ),
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
        paper="–",
        where=NOT_IN_PAPER,
        criterion=(
            "With all techniques, peak with the most rounds over that with one round: at most {limit}. The limit is ours: by "
            "Table 3, the attention of one layer may grow with the rounds, ×8 from one to eight."
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
        criterion="With all techniques, peak at the greatest d_ff (8 d_model) over that at the least: at most {limit}.",
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
            "Peak with all techniques over that of a Transformer of the paper's time (unfused full attention, ordinary "
            "residuals, no chunks), at the greatest length at which both could be measured: at most {limit}."
        ),
        measure=partial(memory.share_without, techniques=NO_TECHNIQUE_UNFUSED),
        unit=TIMES,
        at_most=0.25,
    ),
    Claim(
        id="memory_all_fused",
        study="memory",
        text="They also save half of the memory of a Transformer with today's fused attention",
        paper="–",
        where=NOT_IN_PAPER,
        criterion="As above, over that of a Transformer with PyTorch's fused attention: at most {limit}.",
        measure=partial(memory.share_without, techniques=NO_TECHNIQUE),
        unit=TIMES,
        at_most=0.5,
    ),
    Claim(
        id="reversible_images",
        study="reversible_images",
        text="Reversible layers learn images like ordinary ones",
        paper="nearly identical curves",
        where="Figure 3",
        criterion="Test bits/dim with reversible layers minus those with ordinary layers: within {limit} of 0.",
        measure=partial(learning.twin_difference, kind="images", attribute="reversible"),
        unit=FINE_BITS,
        within=learning.PARITY_LIMIT,
    ),
    Claim(
        id="shared_qk_text",
        study="shared_qk_text",
        text="Sharing queries and keys is no worse on text",
        paper="curves no worse",
        where="Figure 3",
        criterion="Test bits/dim with shared queries and keys minus those with separate ones: at most {limit}.",
        measure=partial(learning.twin_difference, kind="text", attribute="shared_qk"),
        unit=MORE_BITS,
        at_most=0.02,
    ),
    Claim(
        id="shared_qk_images",
        study="shared_qk_images",
        text="Sharing queries and keys is no worse on images",
        paper="curves no worse",
        where="Figure 3",
        criterion="Test bits/dim with shared queries and keys minus those with separate ones: at most {limit}.",
        measure=partial(learning.twin_difference, kind="images", attribute="shared_qk"),
        unit=MORE_BITS,
        at_most=0.02,
    ),
    Claim(
        id="deeper_is_better",
        study="n_layers",
        text="Deeper Reformers are better",
        paper="up to 20 layers",
        where="Figure 5",
        criterion="Test bits/dim of the shallowest network minus those of the deepest: at least {limit}.",
        measure=partial(learning.gain_along, kind="text", setting="model.n_layers"),
        unit=MORE_BITS,
        at_least=0.01,
    ),
    Claim(
        id="lsh_does_the_work",
        study="lsh_off",
        text="The LSH layers do some of the work",
        paper="–",
        where=NOT_IN_PAPER,
        criterion=(
            "Switching them off costs every network at least {limit}. Only networks count that beat a uniform guess or, on "
            "the duplication task, copy. The least cost is shown."
        ),
        measure=learning.cost_of_lsh_off,
        unit=BITS,
        at_least=0.05,
        headline=True,
    ),
]
