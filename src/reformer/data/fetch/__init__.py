"""Fetches the published files of a data set into its raw folder."""
