"""Judge a push where it arrives: the hooks of a registry's repository, and the same verdict elsewhere."""
