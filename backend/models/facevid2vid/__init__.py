"""Face-vid2vid (Wang et al. 2021) with SadTalker's decoder (Zhang et al. 2023), driven by 3DMM coefficients."""
