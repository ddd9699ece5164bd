"""Trained weights in, numbers out."""
