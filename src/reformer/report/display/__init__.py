"""Figures, tables, a page, Markdown, CSV and a W&B workspace that show measurements and verdicts and decide nothing."""
