"""Seal git off from whatever could change a result, and keep what lets it reach a server as this user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# What git may take from the caller's environment: who one is, how one reaches a server, where configuration lies.
_KEPT = frozenset(
    {
        "GIT_ALLOW_PROTOCOL",
        "GIT_ASKPASS",
        "GIT_AUTHOR_DATE",
        "GIT_AUTHOR_EMAIL",
        "GIT_AUTHOR_NAME",
        "GIT_CEILING_DIRECTORIES",
        "GIT_COMMITTER_DATE",
        "GIT_COMMITTER_EMAIL",
        "GIT_COMMITTER_NAME",
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_CONFIG_SYSTEM",
        "GIT_DISCOVERY_ACROSS_FILESYSTEM",
        "GIT_EXEC_PATH",
        "GIT_PROTOCOL_FROM_USER",
        "GIT_PROXY_COMMAND",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
        "GIT_TERMINAL_PROMPT",
    }
)
_KEPT_PREFIXES = ("GIT_HTTP_", "GIT_SSL_", "GIT_PROXY_SSL_")
# receive-pack keeps pushed objects apart until the hook has agreed; without these the hook would not see them.
_QUARANTINE = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH")
_INDEX = "GIT_INDEX_FILE"

# Pairs given as GIT_CONFIG_COUNT pass where they concern access or identity (CI systems hand over credentials so).
_PASSED_SECTIONS = frozenset({"author", "committer", "credential", "gpg", "http", "safe", "ssh", "url", "user"})
_PASSED_KEYS = frozenset({"core.sshcommand", "core.askpass", "core.gitproxy", "commit.gpgsign"})

_SEAL = (
    ("color.ui", "false"),
    ("color.push", "false"),
    ("color.remote", "false"),
    ("color.transport", "false"),
    ("core.fsmonitor", "false"),
    ("core.quotePath", "false"),
    ("core.useReplaceRefs", "false"),
    ("core.warnAmbiguousRefs", "false"),
    ("clone.defaultRemoteName", "origin"),
    ("fastimport.unpackLimit", "100"),
    ("fetch.output", "full"),
    ("fetch.prune", "false"),
    ("fetch.pruneTags", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("gc.auto", "0"),
    ("i18n.commitEncoding", "UTF-8"),
    ("i18n.logOutputEncoding", "UTF-8"),
    ("diff.ignoreSubmodules", "none"),
    ("diff.orderFile", os.devnull),
    ("diff.relative", "false"),
    ("log.follow", "false"),
    ("log.mailmap", "false"),
    ("log.showRoot", "true"),
    ("log.showSignature", "false"),
    ("maintenance.auto", "false"),
    ("protocol.ext.allow", "never"),
    ("push.default", "nothing"),
    ("push.followTags", "false"),
    ("push.gpgSign", "false"),
    ("push.pushOption", ""),
    ("push.recurseSubmodules", "no"),
    ("push.useForceIfIncludes", "false"),
    ("submodule.recurse", "false"),
    ("transfer.bundleURI", "false"),
)


def sealed_environment(
    base: Mapping[str, str] | None = None,
    *,
    quarantine: bool = False,
    index: bool = False,
    config: Iterable[tuple[str, str]] = (),
) -> dict[str, str]:
    """Make the environment that git runs in, from the caller's (by default the process's).

    With `quarantine`, as in a pre-receive hook, the variables that show the pushed objects stay; with `index`, as
    in a pre-commit hook, the one that names the index. `config` is more configuration, as pairs of key and value.
    Replace refs and grafts are off, messages are in English.
    """
    source = os.environ if base is None else base
    kept = {key: value for key, value in source.items() if _passes(key, value)}
    kept.pop("LANGUAGE", None)
    if quarantine:
        kept |= {key: _absolute(key, source[key]) for key in _QUARANTINE if source.get(key)}
        kept["GIT_NO_LAZY_FETCH"] = "1"
    if index and source.get(_INDEX):
        kept[_INDEX] = _absolute(_INDEX, source[_INDEX])
    kept |= {
        "GIT_GRAFT_FILE": os.devnull,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PAGER": "cat",
        "LC_ALL": "C",
    }
    kept.setdefault("GIT_TERMINAL_PROMPT", "1" if _has_terminal() else "0")
    return with_config(kept, (*_passed_pairs(source, quarantine=quarantine), *_SEAL, *config))


def with_config(environment: Mapping[str, str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Add configuration to an environment; it wins over every file and over the pairs that are there."""
    added = dict(environment)
    count = int(added.get("GIT_CONFIG_COUNT", "0"))
    for key, value in pairs:
        added[f"GIT_CONFIG_KEY_{count}"] = key
        added[f"GIT_CONFIG_VALUE_{count}"] = value
        count += 1
    added["GIT_CONFIG_COUNT"] = str(count)
    return added


def concerns_access(key: str) -> bool:
    """Whether a configuration key is about identity, credentials or the way to a server."""
    folded = key.lower()
    return folded.partition(".")[0] in _PASSED_SECTIONS or folded in _PASSED_KEYS


def _passes(key: str, value: str) -> bool:
    if not key.startswith("GIT_"):
        return True
    # A trace to a file helps people; one to standard error would mix with what git says.
    return key in _KEPT or key.startswith(_KEPT_PREFIXES) or (key.startswith("GIT_TRACE") and value.startswith("/"))


def _absolute(key: str, value: str) -> str:
    """Make a path independent of the folder that git runs in; a list of them keeps its own rules."""
    return value if key == "GIT_ALTERNATE_OBJECT_DIRECTORIES" else str(Path(value).absolute())


def _has_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


def _passed_pairs(source: Mapping[str, str], *, quarantine: bool) -> Iterator[tuple[str, str]]:
    try:
        count = int(source.get("GIT_CONFIG_COUNT") or "0")
    except ValueError:
        return
    for index in range(min(count, 1000)):
        key, value = source.get(f"GIT_CONFIG_KEY_{index}"), source.get(f"GIT_CONFIG_VALUE_{index}")
        if key is None or value is None:
            return
        if key.lower().startswith("safe.") or (not quarantine and concerns_access(key)):
            yield key, value
