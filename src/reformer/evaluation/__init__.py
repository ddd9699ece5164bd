"""Evaluation: computes scores and generates samples from trained weights."""
