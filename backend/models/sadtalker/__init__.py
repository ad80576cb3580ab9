"""SadTalker's networks from sound to coefficients (Zhang et al. 2023, "SadTalker")."""
