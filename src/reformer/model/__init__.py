"""The network: LSH attention (paper section 2), reversible layers and chunked feed-forward (section 3)."""
