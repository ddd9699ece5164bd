"""Published numbers to compare with: the paper's (arXiv 2001.04451) and, where it has none, those of others."""

TABLE_2 = {
    "full": {"full": 1.0, "lsh-8": 0.948, "lsh-4": 0.925, "lsh-2": 0.769, "lsh-1": 0.525},
    "lsh-4": {"full": 0.008, "lsh-8": 1.0, "lsh-4": 0.999, "lsh-2": 0.994, "lsh-1": 0.919},
    "lsh-2": {"full": 0.008, "lsh-8": 1.0, "lsh-4": 0.999, "lsh-2": 0.981, "lsh-1": 0.868},
    "lsh-1": {"full": 0.008, "lsh-8": 0.999, "lsh-4": 0.996, "lsh-2": 0.948, "lsh-1": 0.779},
}
"""Accuracy on the duplication task by the attention of training, then of evaluation."""

LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)
FIGURE_5_SECONDS = {
    "full": (0.17, 0.30, 0.48, 0.97, 1.85, 3.5),
    "lsh-1": (0.10, 0.082, 0.072, 0.067, 0.071, 0.075),
    "lsh-2": (0.148, 0.121, 0.107, 0.103, 0.110, 0.133),
    "lsh-4": (0.203, 0.178, 0.160, 0.163, 0.183, 0.230),
    "lsh-8": (0.315, 0.29, 0.278, 0.295, 0.35, 0.44),
}
"""Seconds a step at 32,768 tokens by length: read from Figure 5, right, to about 10 %."""

HUGGING_FACE_MB = {False: {4: 4103, 8: 5759, 12: 7415}, True: {4: 4607, 8: 4987, 12: 5367}}
"""Memory of training a Reformer (True) and BERT (False) by layers, at length 512 and batch 8: Hugging Face's blog."""

ABLATION_SCALE = {"Layers": "3", "d_model": "1,024", "Sequences a step": "8"}
TEXT_SCALE = {
    "Data": "enwik8 (100 MB)",
    "Length": "65,536",
    **ABLATION_SCALE,
    "Steps": "60,000 (released settings)",
}
IMAGE_SCALE = {
    "Data": "imagenet64 (1.28M images)",
    "Length": "12,288 (64 × 64 × 3)",
    **ABLATION_SCALE,
    "Steps": "500,000 (released settings)",
}
DUPLICATION_SCALE = {
    "Data": "0w0w, |w| = 511",
    "Length": "1,024",
    "Layers": "1",
    "d_model": "256",
    "Sequences a step": "not stated",
    "Steps": "150,000",
}
"""Sizes of the paper's runs, by the columns of `tables.scale`."""
