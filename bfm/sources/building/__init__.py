"""Builds the embedded head: statistics of real landmarks, anatomy, muscles, the mesh, identity and texture modes."""
