"""Open a git repository and run git in it."""

from __future__ import annotations

import contextlib
import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gitreg.errors import InvalidError, NotFoundError, UnavailableError
from gitreg.git.environment import concerns_access, sealed_environment
from gitreg.git.objects import Objects
from gitreg.git.process import INSTALL_HINT, Finished, Runner, failure, git_version

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from gitreg.git.values import Oid

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0", ""})
_PROMISED = re.compile(rb"promisor|partialclone", re.IGNORECASE)
_LIST_SETTINGS = ("config", "--list", "--includes", "-z")


class Repository:
    """A git repository: bare, with a work tree, or a further work tree of one.

    Reads no index and no work tree. Close it, or use it in a `with`, to end the process it reads objects with.
    """

    def __init__(self, runner: Runner, git_dir: Path, facts: Mapping[str, str], work_tree: Path | None = None) -> None:
        self.git_dir = git_dir
        self.work_tree = work_tree
        self.runner = runner
        self._facts = dict(facts)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        environment: Mapping[str, str] | None = None,
        quarantine: bool = False,
        index: bool = False,
        config: Iterable[tuple[str, str]] = (),
    ) -> Self:
        """Open the repository at a path or around it.

        `environment` is the caller's (by default the process's), and is sealed. With `quarantine`, as in a
        pre-receive hook, the objects of the push that is being judged can be read; with `index`, as in a pre-commit
        hook, the index is the one that is being committed. `config` is more configuration, as pairs of key and value.
        """
        folder = Path(path).absolute()
        if not folder.is_dir():
            raise NotFoundError(f"{folder} is not a folder", hint="name the registry's repository or a folder in it")
        sealed = sealed_environment(
            environment, quarantine=quarantine, index=index, config=(*config, *_discovery(folder))
        )
        if quarantine and (found := cls._received(folder, sealed)):
            return found
        hidden = {"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"}
        finder = Runner(folder, {key: value for key, value in sealed.items() if key not in hidden})
        facts, git_dir, work_tree = _discover(finder, folder)
        places = {"GIT_DIR": str(git_dir), **({"GIT_WORK_TREE": str(work_tree)} if work_tree else {})}
        return cls(Runner(work_tree or git_dir, {**sealed, **places}), git_dir, facts, work_tree)

    @classmethod
    def _received(cls, folder: Path, sealed: Mapping[str, str]) -> Self | None:
        """Open the bare repository that git runs a hook in, by one process in the place of two; None for any other.

        Its configuration says all that has to be asked. Whose it is does not: a hook of its is running.
        """
        if not _is_git_dir(folder) or (folder / "commondir").exists():
            return None
        runner = Runner(folder, {**sealed, "GIT_DIR": str(folder)})
        settings = _pairs(runner.run(_LIST_SETTINGS, codes=(0,)).output)
        known = dict(settings)
        shape = known.get("extensions.objectformat", "sha1")
        if known.get("core.bare", "").lower() not in _TRUE or shape not in {"sha1", "sha256"}:
            return None
        shallow = "true" if (folder / "shallow").exists() else "false"
        opened = cls(runner, folder, {"format": shape, "bare": "true", "shallow": shallow})
        opened.__dict__["_settings"] = settings
        return opened

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Name the git directory."""
        return f"Repository({str(self.git_dir)!r})"

    def close(self) -> None:
        """End the process that reads objects; reading again starts another."""
        if "objects" in self.__dict__:
            self.objects.close()

    @property
    def is_bare(self) -> bool:
        """Whether it has no work tree of its own."""
        return self._facts["bare"] == "true"

    @property
    def is_shallow(self) -> bool:
        """Whether its history is cut off, so that questions about the past cannot be answered."""
        return self._facts["shallow"] == "true"

    @property
    def object_format(self) -> str:
        """The hash that names its objects: `sha1` or `sha256`."""
        return self._facts["format"]

    @property
    def oid_length(self) -> int:
        """The number of hex digits in an object id."""
        return 64 if self.object_format == "sha256" else 40

    @property
    def null_oid(self) -> str:
        """The object id of nothing, all zeros."""
        return "0" * self.oid_length

    @cached_property
    def common_dir(self) -> Path:
        """The git directory that further work trees share; the git directory itself elsewhere."""
        try:
            shared = (self.git_dir / "commondir").read_text("utf-8", "surrogateescape").removesuffix("\n")
        except OSError:
            return self.git_dir
        return Path(os.path.normpath(self.git_dir / shared))

    @property
    def hooks_path(self) -> Path:
        """The folder that git runs hooks from here, by `core.hooksPath` or by default."""
        output = self.run(["rev-parse", "--path-format=absolute", "--git-path", "hooks"])
        return Path(output.decode("utf-8", "surrogateescape").removesuffix("\n"))

    def head_ref(self) -> str | None:
        """Give the full ref that is checked out; None where HEAD is detached."""
        output = self.run(["symbolic-ref", "--quiet", "HEAD"], codes=(0, 1))
        return output.decode("utf-8", "surrogateescape").removesuffix("\n") or None

    @cached_property
    def objects(self) -> Objects:
        """Its objects."""
        return Objects(self.runner, self.oid_length // 2, self._bring())

    def _bring(self) -> Callable[[Sequence[Oid]], None] | None:
        if self.promisor is None:
            return None
        from gitreg.git.promised import Promised

        return Promised(self.runner, self.common_dir / "objects", self.promisor, self.object_format).bring

    @cached_property
    def promisor(self) -> str | None:
        """The remote that keeps what this clone left there, where this is a partial one."""
        with contextlib.suppress(OSError):
            if not _PROMISED.search((self.common_dir / "config").read_bytes()):
                return None  # `git clone` writes it there: most repositories need no process to say that they are whole
        named = (key.split(".", 1)[1].rpartition(".") for key, _ in self._settings if key.startswith("remote."))
        return next((name for name, _, what in named if what in {"promisor", "partialclonefilter"}), None)

    def run(  # noqa: PLR0913 - the options of a process, none of which travels with another
        self,
        args: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002 - subprocess's name for it
        codes: Collection[int] = (0,),
        cwd: Path | None = None,
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run `git <args>` at the top of the work tree (or in the bare repository) and give its standard output.

        `cwd` is another folder to run in, `environment` adds variables. Raises the error that fits where the exit code
        is none of `codes`, and UnavailableError past `timeout` seconds.
        """
        finished = self.finish(args, input=input, codes=codes, cwd=cwd, timeout=timeout, environment=environment)
        return finished.output

    def finish(  # noqa: PLR0913 - as above
        self,
        args: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002 - subprocess's name for it
        codes: Collection[int] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run `git <args>` here and tell how it ended; without `codes` no exit code is an error."""
        runner = Runner(cwd, self.runner.environment) if cwd else self.runner
        try:
            return runner.run(args, input=input, codes=codes, timeout=timeout, environment=environment)
        finally:
            if list(args[:1]) == ["config"]:  # it may have written
                self.__dict__.pop("_settings", None)

    def lines(
        self,
        args: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002 - as above
        hear: Callable[[str], None] | None = None,
    ) -> Iterator[bytes]:
        """Run `git <args>` here and give its output line by line as it comes; `hear` is told what it said besides."""
        return self.runner.lines(args, input=input, hear=hear)

    @cached_property
    def _settings(self) -> list[tuple[str, str]]:
        return _pairs(self.run(_LIST_SETTINGS))

    def config(self, key: str, default: str | None = None) -> str | None:
        """Give a configuration value, the last where there are several; read once, and as sealed."""
        wanted = _folded(key)
        return next((value for found, value in reversed(self._settings) if found == wanted), default)

    def config_flag(self, key: str, *, default: bool = False) -> bool:
        """Give a configuration value that is true or false."""
        value = self.config(key)
        if value is None:
            return default
        if value.lower() in _TRUE | _FALSE:
            return value.lower() in _TRUE
        raise InvalidError(f"{key} is {value!r} in git's configuration", hint="allowed: true, false")

    def access_config(self) -> tuple[tuple[str, str], ...]:
        """Give this repository's own configuration about identity, credentials and ways to servers."""
        own = _pairs(self.run(["config", "--local", "--list", "--includes", "-z"]))
        return tuple((key, value) for key, value in own if concerns_access(key))


def global_config(key: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Give a value of the user's (or the machine's) git configuration, whatever repository lies around."""
    found = _of_nowhere(["--get", key], environment)
    return found.output.decode("utf-8", "surrogateescape").removesuffix("\0") if found.code == 0 else None


def global_section(pattern: str, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give all values of that configuration whose keys match a pattern of git's, the last where there are several."""
    return dict(_pairs(_of_nowhere(["--get-regexp", pattern], environment).output))


def _of_nowhere(args: Sequence[str], environment: Mapping[str, str] | None) -> Finished:
    sealed = sealed_environment(environment)
    git_version(sealed.get("PATH"))
    nowhere = Runner(Path(os.sep), {**sealed, "GIT_DIR": os.devnull})
    return nowhere.run(["config", "--null", "--includes", *args], codes=(0, 1))


def _discovery(folder: Path) -> tuple[tuple[str, str], ...]:
    # Who names a bare repository by its path means it; safe.bareRepository is against those that lie in the way.
    return (("safe.bareRepository", "all"),) if _is_git_dir(folder) else ()


def _is_git_dir(folder: Path) -> bool:
    return all((folder / name).exists() for name in ("HEAD", "objects", "refs"))


def _discover(finder: Runner, folder: Path) -> tuple[dict[str, str], Path, Path | None]:
    """Ask git once for all that is fixed; its check of the owner happens here, and only here."""
    names = ("format", "bare", "shallow", "inside")
    args = [
        "rev-parse",
        "--show-object-format",
        "--is-bare-repository",
        "--is-shallow-repository",
        "--is-inside-work-tree",
        "--show-prefix",
        "--absolute-git-dir",
    ]
    finished = finder.run(args)
    if finished.code != 0:
        error = failure(args, finished.code, finished.errors)
        if isinstance(error, NotFoundError):
            raise NotFoundError(
                f"{folder} is not a git repository",
                hint="name a registry with --registry or GITREG_REGISTRY, or make one with `gitreg init`",
            )
        raise error
    *values, rest = finished.output.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n", len(names))
    if len(values) < len(names):
        # To ask for the version each time would cost a process: a git that answers in full is new enough to read with.
        found = git_version(finder.environment.get("PATH"))
        raise UnavailableError(f"git {'.'.join(map(str, found))} did not say where it is", hint=INSTALL_HINT)
    facts = dict(zip(names, values, strict=True))
    prefix, _, git_dir = rest.partition("\n")
    if "\n" in git_dir or not git_dir.startswith("/"):
        # A line end in a path: ask for one path at a time.
        git_dir, top = (_path(finder, option) for option in ("--absolute-git-dir", "--show-toplevel"))
        return facts, Path(git_dir), Path(top) if top else None
    if facts["inside"] != "true":
        return facts, Path(git_dir), None
    here = folder.resolve()
    return facts, Path(git_dir), here.parents[prefix.count("/") - 1] if prefix else here


def _path(finder: Runner, option: str) -> str:
    output = finder.run(["rev-parse", option], codes=(0, 128)).output
    return output.decode("utf-8", "surrogateescape").removesuffix("\n")


def _pairs(output: bytes) -> list[tuple[str, str]]:
    """Read `git config --list -z`; a key without a value means true."""
    found = []
    for record in output.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        key, line_end, value = record.partition("\n")
        found.append((key, value if line_end else "true"))
    return found


def _folded(key: str) -> str:
    """Fold the case of section and variable; a subsection keeps its own."""
    section, dot, rest = key.partition(".")
    subsection, second, variable = rest.rpartition(".")
    return f"{section.lower()}{dot}{subsection}{second}{variable.lower()}"
