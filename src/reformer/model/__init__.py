"""The Reformer network: its configuration, and the modules and functions that turn tokens into logits, losses and gradients."""
