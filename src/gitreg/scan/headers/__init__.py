"""Read the headers of model files, each format in a module of its own, and believe nothing that they say."""
