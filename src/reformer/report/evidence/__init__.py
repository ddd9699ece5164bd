"""Measurements and published numbers, read and put into words without any knowledge of claims or their display."""
