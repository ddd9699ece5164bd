"""Reads the measurements and the paper's numbers, and writes both in words: the ground that claims and displays stand on."""
