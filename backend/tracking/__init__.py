"""Real talking videos become coefficients, curves and action units."""
