"""Settings, names, lists and fingerprints of training runs, computed without torch."""
