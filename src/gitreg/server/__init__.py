"""Serve a registry over HTTP: REST, git, and pages."""
