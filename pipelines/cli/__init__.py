"""Shared by the scripts: settings composed by Hydra, errors of one line, sweeps. Results are computed elsewhere."""
