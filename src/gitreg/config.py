"""Find the registry and this machine's settings: flags, environment, git's configuration."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError, NotFoundError, UnavailableError
from gitreg.names import RegistryName, did_you_mean
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitreg.git import Repository
    from gitreg.objects import Store

REGISTRY_VARIABLE = "GITREG_REGISTRY"
USER_VARIABLE = "GITREG_USER"
TRUST_VARIABLE = "GITREG_INDEX_TRUST"
STORE = "gitreg.store"
ENDPOINT = "gitreg.endpoint"

# What `gitreg config` knows; each is a key of git's own configuration.
KEYS: Mapping[str, str] = {
    "gitreg.registry": "the registry to use outside a checkout: a path or a URL",
    "gitreg.user": "your user name in the registry, for proposals and dry runs",
    "gitreg.store": "where this machine finds the object store, in place of the URI in registry.yaml",
    "gitreg.endpoint": "where this machine finds what speaks S3, as https://host:port, in place of Amazon's own",
    "gitreg.recommendmodel": "the folder of an embedding model for `gitreg recommend`, in place of the packaged one",
    "gitreg.identity": "on a server: what names the pusher (GL_USER, REMOTE_USER, …, or account)",
    "gitreg.tokenfile": "the file, of mode 0600, that holds your token for the gitreg server of gitreg.registry",
    "gitreg.indextrust": "whose signature a published index must bear: a file of allowed signers",
    "gitreg.indexpublish": "on a server: where each push publishes the static index, a folder, a URI, or `store`",
    "gitreg.indexsign": "on a server: the SSH key that signs the published index",
    "gitreg.deploytags": "who writes deploy tags: server (its post-receive hook) or client",
}

# How the places of registries that have a name are kept: gitreg.registry.<name>.url.
_NAMED, _URL = "gitreg.registry.", ".url"

SERVER_FILES = r"^gitreg\.(.*\.)?tokenfile$"
"""Which keys of git's configuration name the files of tokens: gitreg.<url>.tokenfile, each for one server."""

_SCP = re.compile(r"(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9.-]+:(?!//)[^\\]+")
_CLOUDS = ("s3://", "gs://", "az://")
_SCHEMES = ("ssh://", "git://", "http://", "https://", "file://", "git+ssh://")


class Where(StrEnum):
    """What kind of place a registry is in."""

    BARE = "bare"
    CHECKOUT = "checkout"
    URL = "url"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Location:
    """A registry's place: a path on this machine, a URL that git or a browser understands, a published index."""

    where: Where
    text: str

    @property
    def path(self) -> Path:
        """The path, of a BARE or CHECKOUT location."""
        return Path(self.text)


def is_url(text: str) -> bool:
    """Whether a text is a git URL and not a path: a scheme, or `host:path` where no such file exists."""
    if text.startswith(_SCHEMES):
        return True
    return bool(_SCP.fullmatch(text)) and not os.path.lexists(text)


def locate(explicit: str | None, environ: Mapping[str, str] | None = None, cwd: Path | None = None) -> Location:
    """Find the registry: the flag, GITREG_REGISTRY, the checkout one stands in, `git config gitreg.registry`.

    Each may be a path, a URL, or the name of a registry that this machine's configuration knows.
    """
    environ = os.environ if environ is None else environ
    cwd = cwd or _here()
    named = explicit or environ.get(REGISTRY_VARIABLE)
    if named:
        return _named(named, cwd)
    standing = _standing_in(cwd)
    if standing:
        return standing
    configured = default_registry()
    if configured:
        return _named(configured, cwd)
    raise NotFoundError(
        "there is no registry here",
        hint=f"stand in a checkout, name one with --registry PATH|URL or {REGISTRY_VARIABLE}, or make one: gitreg init",
    )


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise NotFoundError(
            "the folder one stands in does not exist any more", hint="change to one that does"
        ) from error


def default_registry() -> str | None:
    """Read `gitreg.registry` from git's configuration."""
    from gitreg.git import global_config

    return global_config("gitreg.registry")


def key_of(name: RegistryName) -> str:
    """Name the key of git's configuration that holds a registry's place."""
    return f"{_NAMED}{name}{_URL}"


def registry_names() -> dict[str, str]:
    """Read the registries that have a name, each with its path or URL, from the user's git configuration."""
    from gitreg.git import global_section

    found = global_section(r"^gitreg\.registry\..*\.url$")
    places = {key.removeprefix(_NAMED).removesuffix(_URL): place for key, place in found.items()}
    return {name: place for name, place in places.items() if RegistryName.is_one(name)}


def place_of(text: str) -> str:
    """Give the path or URL that a name stands for, as it was typed where it is none.

    A name goes before a folder of that name, as a remote's does for git; `corp:` is a name in any case, and a
    NotFoundError where nobody gave it.
    """
    name = text.removesuffix(":")
    if not RegistryName.is_one(name):
        return text
    known = registry_names()
    if name in known or not text.endswith(":"):
        return known.get(name, text)
    near = did_you_mean(name, known)
    hint = f"did you mean {near}?" if near else f"known: {', '.join(known)}" if known else "none has a name yet"
    raise NotFoundError(
        f"there is no registry named {name}", hint=f"{hint}; name one: gitreg config registry.{name} PATH|URL"
    )


def _named(text: str, cwd: Path) -> Location:
    text = text if is_url(text) else place_of(text)
    if is_url(text):
        return Location(Where.URL, text)
    if text.startswith(_CLOUDS):
        return Location(Where.INDEX, text)
    try:
        path = (cwd / Path(text).expanduser()).resolve()
        is_there, is_folder = path.exists(), path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        # Too long, in a folder of somebody else, a loop of links, the home of nobody, a zero byte.
        raise InvalidError(
            f"{text[:200]!r} cannot be opened: {error}", hint="give the path or URL of a registry"
        ) from error
    if not is_there:
        raise NotFoundError(f"there is no registry at {text}", hint="give a path or a URL that exists")
    if not is_folder:
        raise InvalidError(f"{text} is a file, not a registry", hint="give the folder of a git repository")
    if (path / ".git").exists():
        return Location(Where.CHECKOUT, str(path))
    if _is_git_dir(path):
        return Location(Where.BARE, str(path))
    if (path / "head.json").is_file():
        return Location(Where.INDEX, str(path))
    standing = _standing_in(path)
    if standing:
        return standing
    raise InvalidError(f"{text} is not a git repository", hint=f"make a registry there: gitreg init {text}")


def is_repository(path: Path) -> bool:
    """Whether a folder is a git repository: a bare one, or one with a work tree."""
    return (path / ".git").exists() or _is_git_dir(path)


def _is_git_dir(path: Path) -> bool:
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def _standing_in(cwd: Path) -> Location | None:
    """Name the registry whose checkout or git directory a folder lies in."""
    for folder in (cwd, *cwd.parents):
        if (folder / ".git").exists():
            # A project of another kind is no registry, even inside one.
            return Location(Where.CHECKOUT, str(folder)) if (folder / "registry.yaml").is_file() else None
        if _is_git_dir(folder) and folder.name != ".git":
            return Location(Where.BARE, str(folder))
    return None


def local_git_dir(url: str, base: Path) -> Path | None:
    """Give the git directory that a remote's URL names on this machine; None for another machine's.

    A relative path counts from `base`, as git counts it.
    """
    if url.startswith("file://"):
        from urllib.parse import unquote

        path = Path(unquote(url.removeprefix("file://"), errors="surrogateescape"))
    elif "://" in url:
        return None
    else:
        path = base / Path(url).expanduser()
    if not path.is_dir():
        return None
    return path / ".git" if (path / ".git").is_dir() else path


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Name the cache: $GITREG_CACHE, else gitreg/ under $XDG_CACHE_HOME or ~/.cache."""
    environ = os.environ if environ is None else environ
    if environ.get("GITREG_CACHE"):
        return Path(environ["GITREG_CACHE"]).absolute()
    base = Path(environ.get("XDG_CACHE_HOME") or "")
    # The XDG specification: a relative path is to be ignored.
    return (base if base.is_absolute() else Path.home() / ".cache") / "gitreg"


def open_registry_store(
    repository: Repository, uri: str | None, base: Path | None, mirrors: Sequence[str] = ()
) -> Store:
    """Open the object store that registry.yaml names, or the one that this machine's configuration puts in its place.

    A relative path counts from `base`, the registry's git directory; None where that is on another machine. With
    mirrors it is a `Stores`; one that has a relative path is left out on other machines than the registry's.
    """
    return _open_store((repository.config, repository.git_dir), uri, base, mirrors)


def open_published_store(uri: str | None, mirrors: Sequence[str] = ()) -> Store:
    """Open the object store that a published registry names, or the one that the user's configuration does."""
    return _open_store((user_config, Path.cwd()), uri, None, mirrors)


def user_config(key: str) -> str | None:
    """Read a value of the user's git configuration; None where this machine has no git."""
    from shutil import which

    if which("git") is None:
        return None
    from gitreg.git import global_config

    return global_config(key)


def user_section(pattern: str) -> dict[str, str]:
    """Read the values of the user's git configuration whose keys match; none where this machine has no git."""
    from shutil import which

    if which("git") is None:
        return {}
    from gitreg.git import global_section

    return global_section(pattern)


def index_trust(environ: Mapping[str, str] | None = None) -> str | None:
    """Name the file of keys whose signature a published index must bear, where this machine wants one."""
    environ = os.environ if environ is None else environ
    return environ.get(TRUST_VARIABLE) or user_config("gitreg.indextrust")


def _open_store(
    here: tuple[Callable[[str], str | None], Path], uri: str | None, base: Path | None, mirrors: Sequence[str]
) -> Store:
    from gitreg.objects import open_store, open_stores

    config, folder = here
    endpoint = config(ENDPOINT)
    own = config(STORE)
    if own:
        primary = open_store(own, base=folder, endpoint=endpoint)
    elif uri is None:
        raise UnavailableError(
            "registry.yaml names no object store", hint="add `store: file:../store` to registry.yaml"
        )
    elif base is None and _is_relative(uri):
        raise UnavailableError(
            f"the object store {uri} lies beside the registry, on another machine",
            hint="tell this machine where it is: git config gitreg.store file:/mounted/path",
        )
    else:
        primary = open_store(uri, base=base or folder, endpoint=endpoint)
    if not mirrors:
        return primary
    reached = [each for each in mirrors if base is not None or not _is_relative(each)]
    return open_stores(primary, reached, base or folder, endpoint=endpoint)


def _is_relative(uri: str) -> bool:
    return uri.startswith("file:") and not uri.startswith("file:/")
