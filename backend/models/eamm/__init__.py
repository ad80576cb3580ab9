"""EAMM (Ji et al. 2022): sound, pose and an emotion video to the key points of a first-order motion model."""
