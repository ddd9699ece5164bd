"""Data sets: their settings, the check against the published files, and three steps: fetch, prepare, batches."""
