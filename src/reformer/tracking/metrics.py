"""The names of all metrics, tables, pictures and grouping keys in W&B."""

STEP = "trainer/global_step"
"""Horizontal axis of a training's metrics: Lightning's name for the number of completed updates."""
TRAIN_LOSS = "train/loss"
TOKENS_PER_SECOND = "train/tokens_per_second"
PEAK_MEMORY = "train/peak_memory_MB"
TRAINING_METRICS = ("train/*", "val/*")
"""Patterns of the metrics that share the axis STEP."""
SCORES = ("loss", "bits_per_dim", "accuracy")
SECONDS_PER_STEP, PEAK_MB = "seconds_per_step", "peak_MB"
"""Metrics of a benchmark."""
VARIANT, SETTINGS_HASH = "variant", "settings"
"""Keys of a run's config; runs with equal values of both differ in their seed alone."""


def score(split: str, name: str) -> str:
    """A score of a training on a split."""
    return f"{split}/{name}"


def evaluation_score(split: str, attention: str, name: str) -> str:
    """A score of trained weights with the attention of an evaluation."""
    return f"{split}/{attention}/{name}"


def evaluations(split: str) -> str:
    """The table of scores by attention."""
    return f"{split}/evaluations"


def texts(split: str) -> str:
    """The table of generated texts."""
    return f"{split}/texts"


def images(split: str) -> str:
    """The grid of generated images."""
    return f"{split}/images"


def benchmark_axis(benchmark: str, axis: str) -> str:
    """Horizontal axis of a benchmark's curves."""
    return f"{benchmark}/{axis}"


def benchmark_metric(benchmark: str, curve: str, metric: str) -> str:
    """A metric along one curve of a benchmark."""
    return f"{benchmark}/{curve}/{metric}"
