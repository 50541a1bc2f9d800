"""Pictures as PNG files: of a training, of a study, and of what happens in a model."""
