"""States the claims, measures the number that decides each of them, and judges it."""
