"""Builds batches of tokens from the prepared arrays, or from the seed alone."""
