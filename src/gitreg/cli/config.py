"""`gitreg config`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command
from gitreg.errors import InvalidError, NotFoundError
from gitreg.names import RegistryName
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gitreg.cli.screen import Screen

    Run = Callable[[Sequence[str]], str | None]

_SECTION = "gitreg."
_NAMED = "registry."
_ABSENT = frozenset({1, 5})  # git-config(1): the key is not there, to read and to unset


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting of this machine's: its key, its value where it has one, and what it is for."""

    key: str
    value: str | None
    about: str


@command("config")
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.option("--global", "everywhere", is_flag=True, help="For all of your registries, not only the one at hand.")
@click.option("--unset", is_flag=True, help="Remove the setting.")
def config(session: Session, key: str | None, value: str | None, everywhere: bool, unset: bool) -> None:
    r"""Show or change this machine's settings.

    They lie in git's own configuration; those of the registry itself are in its registry.yaml. Without KEY all are
    listed.

    \b
      gitreg config --global registry ssh://git@host/models.git
      gitreg config user alice
      gitreg config registry.corp ssh://git@host/models.git      for corp:risk/fraud@prod, wherever you stand
    """
    from gitreg.config import KEYS

    if key is not None and key.removeprefix(_SECTION).startswith(_NAMED):
        name = key.removeprefix(_SECTION).removeprefix(_NAMED).removesuffix(".url")
        _config_name(session, RegistryName(name), value, unset=unset)
        return
    run = _runner(session, everywhere=everywhere)
    if key is None:
        if unset:
            raise InvalidError("--unset names no setting", hint="gitreg config KEY --unset")
        settings = [Setting(key=each, value=_get(run, each), about=KEYS[each]) for each in KEYS]
        session.answer([*settings, *_names()], _render)
        return
    name = _known(key, KEYS)
    _change(run, name, value, unset=unset)
    _show(session, Setting(key=name, value=_get(run, name), about=KEYS[name]), unset=unset)


def _config_name(session: Session, name: RegistryName, value: str | None, *, unset: bool) -> None:
    """Show or change where the registry of a name is: always for all of the user's, since it is used from anywhere."""
    from gitreg.config import is_url, key_of

    if value is not None and not is_url(value):
        value = str(Path(value).expanduser().absolute())
    run, key = _runner(session, everywhere=True), key_of(name)
    _change(run, key, value, unset=unset)
    _show(session, Setting(key=key, value=_get(run, key), about=_about(name)), unset=unset)


def _names() -> list[Setting]:
    from gitreg.config import key_of, registry_names

    rows = [(RegistryName(name), place) for name, place in registry_names().items()]
    return [Setting(key=key_of(name), value=place, about=_about(name)) for name, place in rows]


def _about(name: RegistryName) -> str:
    return f"the registry that {name}: before a model means"


def _show(session: Session, shown: Setting, *, unset: bool) -> None:
    if shown.value is None and not unset:
        raise NotFoundError(f"{shown.key} is not set", hint=f"it is {shown.about}")
    session.answer(shown, lambda screen, each: None if unset else screen.line(each.value))


def _known(key: str, keys: Mapping[str, str]) -> str:
    name = key if key.startswith(_SECTION) else _SECTION + key
    if name.lower() in keys:
        return name.lower()
    from gitreg.names import did_you_mean

    near = did_you_mean(name, keys)
    raise InvalidError(
        f"there is no setting {key!r}", hint=f"did you mean {near}?" if near else f"allowed: {', '.join(keys)}"
    )


def _runner(session: Session, *, everywhere: bool) -> Run:
    """Run `git config` on the registry at hand, or on the user's configuration."""
    from gitreg.git import sealed_environment
    from gitreg.git.process import Runner

    folder, scope = Path("/"), ["--global"]
    if not everywhere:
        found = _standing_in(session)
        folder, scope = (found, []) if found else (Path("/"), [])
    runner = Runner(folder, sealed_environment())

    def run(args: Sequence[str]) -> str | None:
        changes = args[0] != "--get"
        if changes and not everywhere and folder == Path("/"):
            raise InvalidError(
                "there is no registry here whose setting it could be", hint="--global sets it for all of yours"
            )
        finished = runner.run(["config", *scope, *args], codes=_ABSENT | {0})
        return finished.output.decode("utf-8", "replace").removesuffix("\n") if finished.code == 0 else None

    return run


def _standing_in(session: Session) -> Path | None:
    from gitreg.config import Where, locate

    try:
        location = locate(session.location)
    except NotFoundError:
        if session.location:
            raise
        return None
    return None if location.where is Where.URL else location.path


def _get(run: Run, key: str) -> str | None:
    return run(["--get", key])


def _change(run: Run, key: str, value: str | None, *, unset: bool) -> None:
    if unset and value is not None:
        raise InvalidError("--unset and a value exclude each other", hint=f"gitreg config {key} --unset")
    if unset:
        run(["--unset-all", key])
    elif value is not None:
        run(["--replace-all", key, value])


def _render(screen: Screen, settings: Sequence[Setting]) -> None:
    screen.table(
        ("KEY", "VALUE", "MEANING"), [(each.key.removeprefix(_SECTION), each.value, each.about) for each in settings]
    )
