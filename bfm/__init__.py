"""3D morphable face models: coefficients, geometry, cameras, fitting. Imports neither the backend nor the add-on."""
