"""Fixtures that the tests of reading, writing and the façade share."""

from __future__ import annotations

from tests.registries import bare, forge, opened, place, reading, registry, template

__all__ = ["bare", "forge", "opened", "place", "reading", "registry", "template"]
