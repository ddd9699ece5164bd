"""The windows of LSH attention, which `lsh_rules` defines, by name."""

WINDOWS = ("chunk", "sorted")
