"""Converts the raw files of a data set into one array of bytes per split."""
