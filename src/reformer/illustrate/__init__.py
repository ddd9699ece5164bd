"""Draws how the Reformer works, from the results of the code that trains: the pictures of notebooks/."""
