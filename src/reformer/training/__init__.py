"""Training: turns the settings of a run and its prepared data into weights and validation scores."""
