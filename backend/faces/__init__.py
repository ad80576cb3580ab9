"""Face models on this machine, and pictures of them."""
