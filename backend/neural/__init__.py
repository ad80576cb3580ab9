"""Published neural renderers at work: coefficients or key points to frames of a portrait."""
