"""Weights that other projects published: where they come from, how they are read safely, and where they are kept."""
