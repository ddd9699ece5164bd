"""From where the data lives to batches of tokens: download -> prepare -> windows."""
