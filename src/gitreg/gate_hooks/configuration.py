"""Tell git what it must know in a registry's repository, and find what drifted from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gitreg.gate_hooks.finding import Finding, wrong
from gitreg.git.importing import FSYNC
from gitreg.layout import DEPLOY_TAGS, MAIN, PROPOSALS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gitreg.git import Repository

_FSCK = "receive.fsck."
# What git's checks of pushed objects only remark on, or say nothing of, by default: no registry needs any of it. What
# they warn of is an error on receipt anyway (git's fsck.h, FOREACH_FSCK_MSG_ID). All are known to git 2.36.
_RAISED = (
    "badFilemode",
    "badTagName",
    "extraHeaderEntry",
    "gitattributesSymlink",
    "gitignoreSymlink",
    "gitmodulesParse",
    "mailmapSymlink",
    "missingTaggerEntry",
)

# What a registry's repository needs besides the hooks.
SERVER_CONFIG = {
    # Git checks what was pushed in a quarantine whose alternate is the registry itself, and would read every tag of it.
    "core.alternateRefsPrefixes": "refs/heads/",
    # A file of more than 1 MiB is no registry's: git passes it through piece by piece, and needs no memory for it.
    "core.bigFileThreshold": "1048576",
    # A push is answered once it is on the disk, its loose objects and its ref too, which git leaves out by itself.
    "core.fsync": FSYNC,
    "core.logAllRefUpdates": "true",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "core.useReplaceRefs": "false",
    # Push options are claims; a client that sends some is told that nobody reads them.
    "receive.advertisePushOptions": "false",
    "receive.autogc": "false",
    # The gate says which refs may be deleted or forced.
    "receive.denyDeletes": "false",
    "receive.denyNonFastForwards": "false",
    "receive.fsckObjects": "true",
    "receive.hideRefs": DEPLOY_TAGS.removesuffix("/"),
    "receive.maxInputSize": "104857600",
    "receive.shallowUpdate": "false",
    "receive.unpackLimit": "100",
    "transfer.unpackLimit": "100",
    **{_FSCK + name: "error" for name in _RAISED},
}

# Without these, something could come in that the gate does not see, or sees differently.
_OPENING = frozenset({"receive.fsckobjects", "receive.shallowupdate", "receive.maxinputsize", "core.usereplacerefs"})
# Keys that may not be there at all, and what they would do.
_FORBIDDEN = {
    "receive.procreceiverefs": "git would leave these refs to another hook",
    "receive.fsck.skiplist": "git would not check the objects that it lists",
    "core.alternaterefscommand": "git would run it on each push",
    "extensions.partialclone": "git would take in commits whose objects are missing",
}
_PROMISOR = re.compile(r"remote\..*\.(?:promisor|partialclonefilter)", re.DOTALL)
_HIDE = ("transfer.hiderefs", "receive.hiderefs")
_UNITS = {"k": 10, "m": 20, "g": 30}
_NUMBER = re.compile(r"([0-9]{1,15})([kmg]?)", re.ASCII)
_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false", "": "false"}
_FIX = "run `gitreg doctor --fix`"


class Setting(NamedTuple):
    """One value in git's configuration: whether it is in the repository's own file, else in which, key and value."""

    is_own: bool
    file: str
    key: str
    value: str


def settings_of(repository: Repository) -> list[Setting]:
    """List what git's files say here, in the order in which it reads them; what gitreg itself adds is left out."""
    output = repository.run(["config", "--list", "--includes", "--show-scope", "--show-origin", "-z"])
    parts = output.decode("utf-8", "surrogateescape").split("\0")[:-1]
    own = (repository.common_dir / "config").resolve()
    found = []
    for scope, origin, pair in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        key, line_end, value = pair.partition("\n")
        if scope != "command":
            file = repository.runner.folder / origin.removeprefix("file:")
            found.append(Setting(file.resolve() == own, str(file), key, value if line_end else "true"))
    return found


def server_config(repository: Repository) -> dict[str, str | None]:
    """Give what receive-pack is to be told; None for a key that may not be there.

    Deploy tags that clients write cannot be hidden from pushes.
    """
    from gitreg.gate_hooks.marks import server_marks

    wanted: dict[str, str | None] = dict(SERVER_CONFIG)
    if not server_marks(repository):
        wanted["receive.hideRefs"] = None
    if not repository.is_bare:
        wanted["receive.denyCurrentBranch"] = "updateInstead"
    return wanted


def configure_server(repository: Repository) -> None:
    """Set what receive-pack needs to be told in a registry's repository, and take away what may not be there."""
    own = [each for each in settings_of(repository) if each.is_own]
    for key in dict.fromkeys(each.key for each in own if _is_forbidden(each)):
        _unset(repository, key, own)
    own = [each for each in own if not _is_forbidden(each)]
    for key, value in server_config(repository).items():
        if value is None:
            _unset(repository, key, own)
        elif [each.value for each in own if each.key == key.lower()] != [value]:
            repository.run(["config", "--local", "--replace-all", key, value])
    for each in settings_of(repository):
        # A level that the machine or the account lowers can be raised again here.
        if _is_lowered(each) and not each.is_own:
            repository.run(["config", "--local", "--replace-all", each.key, "error"])
    if repository.is_bare:
        # Said here, so that no pusher's own configuration leads elsewhere; a bare repository's hooks run in its folder.
        repository.run(["config", "--local", "--replace-all", "core.hooksPath", "hooks"])


def _unset(repository: Repository, key: str, own: Iterable[Setting]) -> None:
    if any(each.key == key.lower() or each.key == key for each in own):
        repository.run(["config", "--local", "--unset-all", key], codes=(0, 5))


def _is_lowered(setting: Setting) -> bool:
    """Whether it makes one of git's checks of pushed objects say less than an error."""
    key = setting.key
    return key.startswith(_FSCK) and key not in _FORBIDDEN and setting.value.lower() != "error"


def _is_forbidden(setting: Setting) -> bool:
    if setting.key in _FORBIDDEN or _PROMISOR.fullmatch(setting.key) or _is_lowered(setting):
        return True
    return setting.key == _HIDE[0] and _concerns(setting.value)


def examine_config(repository: Repository) -> Iterator[Finding]:
    """Find what git is told otherwise, in whichever of its files."""
    found = settings_of(repository)
    last = {each.key: each for each in found}
    wanted = server_config(repository)
    for key, value in wanted.items():
        if key == "receive.hideRefs":
            yield from _examine_hidden(found, value)
        elif value and _normal(last.get(key.lower())) != _normal_text(value):
            yield _drifted(key, last.get(key.lower()), value)
    raised = {key.lower() for key in wanted}
    for key, each in last.items():
        if key in _FORBIDDEN:
            yield _unwanted(each, _FORBIDDEN[key])
        elif _PROMISOR.fullmatch(key):
            yield _unwanted(each, _FORBIDDEN["extensions.partialclone"])
        elif _is_lowered(each) and key not in raised:
            yield _unwanted(each, "git would take in objects that are not in order")


def _drifted(key: str, found: Setting | None, wanted: str) -> Finding:
    message = f"found {found.value if found else 'nothing'}, want {wanted}"
    opens = key.lower() in _OPENING or (found is not None and _is_lowered(found))
    return wrong(key, f"{message}{_where(found)}", f"git config {key} {wanted}", opens=opens)


def _unwanted(found: Setting, harm: str) -> Finding:
    remedy = _FIX if found.is_own or found.key.startswith(_FSCK) else f"take it out of {found.file}"
    return wrong(found.key, f"found {found.value}, want nothing: {harm}{_where(found)}", remedy, opens=True)


def _where(found: Setting | None) -> str:
    """Say which file a value comes from, unless it is the repository's own."""
    return f" (in {found.file})" if found and not found.is_own else ""


def _normal(found: Setting | None) -> str | None:
    return _normal_text(found.value) if found else None


def _normal_text(value: str) -> str:
    """Bring together the ways of writing one number or one truth."""
    folded = value.lower()
    number = _NUMBER.fullmatch(folded)
    if number:
        return str(int(number[1]) << _UNITS.get(number[2], 0))
    return _WORDS.get(folded, folded if folded in {"true", "false", "error"} else value)


# Refs that are hidden from pushes


def _concerns(pattern: str) -> bool:
    """Whether a pattern is about refs of a registry."""
    prefix = pattern.lstrip("!^").rstrip("/")
    return any(_overlap(prefix, ref) for ref in (DEPLOY_TAGS, MAIN, PROPOSALS))


def _overlap(prefix: str, ref: str) -> bool:
    """Whether two prefixes have refs in common."""
    one, other = f"{prefix}/", f"{ref.rstrip('/')}/"
    return one.startswith(other) or other.startswith(one)


def _examine_hidden(found: Sequence[Setting], wanted: str | None) -> Iterator[Finding]:
    """Find refs that are hidden from pushes, or not, against what a registry needs; of the patterns the last wins."""
    key = "receive.hideRefs"
    patterns = [each for each in found if each.key in _HIDE and _concerns(each.value)]
    if [each.value.rstrip("/") for each in patterns] == ([wanted] if wanted else []):
        return
    shown = ", ".join(f"{each.value}{_where(each)}" for each in patterns) or "nothing"
    remedy = f"git config {key} {wanted}" if wanted else f"git config --unset-all {key}"
    foreign = next((each for each in patterns if not each.is_own), None)
    if foreign:
        remedy = f"take {foreign.key} out of {foreign.file}"
    elif any(each.key == _HIDE[0] for each in patterns) or len(patterns) > 1:
        remedy = _FIX
    yield wrong(key, f"found {shown}, want {wanted or 'nothing'}", remedy)
