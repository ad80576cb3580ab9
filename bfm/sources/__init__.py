"""Where face models come from: each module loads or builds one FaceModel."""
