"""Lightning around the network: loss, optimiser, batches, logging."""
