"""The claims, the numbers that decide them, and their verdicts, without any knowledge of their display."""
