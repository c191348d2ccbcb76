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
_SERVERS, _FILE = ("https://", "http://"), ".tokenfile"
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
      gitreg config https://host.tokenfile ~/.config/gitreg/host    the token for that server alone
    """
    from gitreg.config import KEYS

    own = key.removeprefix(_SECTION) if key is not None else ""
    if own.startswith(_NAMED):
        _config_name(session, RegistryName(own.removeprefix(_NAMED).removesuffix(".url")), value, unset=unset)
        return
    if own.startswith(_SERVERS):
        _config_token(session, own, value, unset=unset)
        return
    run = _runner(session, everywhere=everywhere)
    if key is None:
        if unset:
            raise InvalidError("--unset names no setting", hint="gitreg config KEY --unset")
        settings = [Setting(key=each, value=_get(run, each), about=KEYS[each]) for each in KEYS]
        session.answer([*settings, *_names(), *_tokens()], _render)
        return
    name = _known(key, KEYS)
    _change(run, name, value, unset=unset)
    _show(session, Setting(key=name, value=_get(run, name), about=KEYS[name]), unset=unset)


def _config_name(session: Session, name: RegistryName, value: str | None, *, unset: bool) -> None:
    """Show or change where the registry of a name is."""
    from gitreg.config import is_url, key_of

    place = value if value is None or is_url(value) else str(Path(value).expanduser().absolute())
    _change_of_user(session, (key_of(name), _about(name)), place, unset=unset)


def _config_token(session: Session, key: str, value: str | None, *, unset: bool) -> None:
    """Show or change which file holds the token for one server."""
    url = key[: -len(_FILE)]
    if not key.lower().endswith(_FILE) or "@" in url:
        raise InvalidError(
            f"there is no setting {url!r}", hint="the token for a server: gitreg config URL.tokenfile FILE"
        )
    file = value and str(Path(value).expanduser().absolute())
    _change_of_user(session, (f"{_SECTION}{url}{_FILE}", _about_token(url)), file, unset=unset)


def _change_of_user(session: Session, about: tuple[str, str], value: str | None, *, unset: bool) -> None:
    """Show or change what always holds for all of the user's, since it is used from anywhere."""
    (key, meaning), run = about, _runner(session, everywhere=True)
    _change(run, key, value, unset=unset)
    _show(session, Setting(key=key, value=_get(run, key), about=meaning), unset=unset)


def _names() -> list[Setting]:
    from gitreg.config import key_of, registry_names

    rows = [(RegistryName(name), place) for name, place in registry_names().items()]
    return [Setting(key=key_of(name), value=place, about=_about(name)) for name, place in rows]


def _tokens() -> list[Setting]:
    from gitreg.config import SERVER_FILES, user_section

    found = user_section(SERVER_FILES).items()
    servers = [(key, file) for key, file in found if key.removeprefix(_SECTION).startswith(_SERVERS)]
    return [Setting(key=key, value=file, about=_about_token(key[len(_SECTION) : -len(_FILE)])) for key, file in servers]


def _about_token(url: str) -> str:
    return f"the file, of mode 0600, that holds your token for {url}"


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
