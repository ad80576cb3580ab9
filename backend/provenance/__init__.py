"""Where a video comes from: the mark in its frames, its signed manifest, and reading both back."""
