"""Shows measurements and judgements as figures, tables, a page, Markdown and a W&B workspace. Decides nothing."""
