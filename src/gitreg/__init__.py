"""A model registry that lives in git.

    import gitreg

    registry = gitreg.open("ssh://git@host/models.git")
    registry.register_model("risk/fraud-detector", "out/", version="1.4.0", metrics={"accuracy": 0.934})
    folder = registry.get_model("risk/fraud-detector@prod").download()

Errors are those of `gitreg.errors`, the same that the command line prints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.errors import (
    ConflictError,
    DeniedError,
    GitregError,
    IntegrityError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from gitreg.registry import Mode, ModelVersion, RegisterRequest, Registry

__version__ = "0.1.0"

__all__ = [
    "ConflictError",
    "DeniedError",
    "GitregError",
    "IntegrityError",
    "InvalidError",
    "Mode",
    "ModelVersion",
    "NotFoundError",
    "RegisterRequest",
    "Registry",
    "UnavailableError",
    "__version__",
    "get_model",
    "open",
    "register_model",
]


def __getattr__(name: str) -> object:
    """Import the façade when it is first asked for."""
    if name in {"Mode", "ModelVersion", "RegisterRequest", "Registry"}:
        from gitreg import registry

        return getattr(registry, name)
    raise AttributeError(f"module 'gitreg' has no attribute {name!r}")


def open(  # noqa: A001
    location: str | os.PathLike[str] | None = None, *, fetch: bool | None = None, trust: str | None = None
) -> Registry:
    """Open a registry: a path, a URL, a name, or the default one; see `gitreg.registry.open_registry`."""
    from gitreg.registry import open_registry

    return open_registry(location, fetch=fetch, trust=trust)


def register_model(
    model: str,
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    version: str | None = None,
    **metadata: object,
) -> ModelVersion:
    """Register a version in the default registry, or in the one that `corp:` before the model names.

    See `Registry.register_model`.
    """
    name, model = _split(model)
    with open(name) as registry:
        return registry.register_model(model, paths, version, **metadata)  # type: ignore[arg-type]


def get_model(selector: str, *, at: str | None = None) -> ModelVersion:
    """Get a version from the default registry, or from the one named as in `corp:risk/fraud@prod`.

    See `Registry.get_model`.
    """
    name, selector = _split(selector)
    return open(name).get_model(selector, at=at)


def _split(selector: str) -> tuple[str | None, str]:
    from gitreg.names import split_registry

    name, rest = split_registry(selector)
    return f"{name}:" if name else None, rest
