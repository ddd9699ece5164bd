"""The report: each claim of the paper against what was measured."""
