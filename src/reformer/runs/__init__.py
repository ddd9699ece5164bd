"""Descriptions of training runs: settings, names, lists and fingerprints. Free of torch."""
