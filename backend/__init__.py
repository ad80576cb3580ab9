"""Speech, a portrait and keyframed emotion become face coefficients, rig curves and video."""
