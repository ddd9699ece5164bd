"""The report: judges the paper's claims by what the pipeline measured, and shows the measurements."""
