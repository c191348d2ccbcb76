"""`gitreg serve`."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command
from gitreg.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    import socket

    import uvicorn

    from gitreg.server.auth.settings import AuthSettings

_EXTRA = "pip install 'gitreg[server]'"
_GRACE = 30
_MOST_CONNECTIONS = 4096


@command("serve")
@click.argument("path", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port",
    default=8765,
    show_default=True,
    metavar="NUMBER",
    type=click.IntRange(0, 65535),
    help="The port; 0 takes any free one.",
)
@click.option(
    "--workers", default=1, show_default=True, metavar="NUMBER", type=click.IntRange(1, 64), help="How many processes."
)
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="The certificate's file, for TLS.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="The file of its private key.")
@click.option(
    "--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True, help="How to log."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="From which level on to log.",
)
def serve(session: Session, path: str | None, **options: object) -> None:
    """Serve a bare registry over HTTP: REST, git and pages.

    PATH is the bare repository, as `gitreg init --bare` makes it; by default it is the registry of --registry. All
    that is written through the server passes the gate and is a commit. Who calls is known by tokens (`gitreg server
    token create`), an OpenID provider or a proxy: docs/authentication.md.
    """
    host, folder = str(options["host"]), _served(path or session.location)
    _refuse_open_door(folder, host)
    _note_what_is_wrong(folder)
    os.environ["GITREG_SERVE_PATH"] = str(folder.resolve())
    os.environ["GITREG_SERVE_LOG_FORMAT"] = str(options["log_format"])
    os.environ["GITREG_SERVE_LOG_LEVEL"] = str(options["log_level"])
    _run(_config(options), int(str(options["workers"])))


def _served(location: str | None) -> Path:
    """Find the repository on this machine; NotFoundError where there is none."""
    from gitreg.config import Where, locate

    found = locate(location)
    if found.where in {Where.BARE, Where.CHECKOUT}:
        return Path(found.text)
    raise InvalidError(f"{found.text} is no repository on this machine", hint="run the server where that is")


def _refuse_open_door(path: Path, host: str) -> None:
    """Refuse what cannot be served, and to listen beyond this machine where nobody could be known."""
    try:
        from gitreg.server.auth.settings import read_settings
        from gitreg.server.auth.token_file import TokenFile
    except ImportError as error:
        raise UnavailableError(f"the server is not installed: {error.name} is missing", hint=_EXTRA) from error
    from gitreg.git import Repository

    with Repository.open(path) as repository:
        if not repository.is_bare:
            raise InvalidError(
                f"{str(path)!r} has a work tree, and a server serves a bare registry", hint="git clone --bare"
            )
        settings, tokens = read_settings(repository), TokenFile(repository.git_dir)
    has_tokens = bool(tokens.tokens())
    tokens.close()
    if has_tokens or _knows_callers(settings) or _is_loopback(host):
        if not has_tokens and not _knows_callers(settings):
            click.echo("note: no token is there yet, so nobody can ask: gitreg server token create", err=True)
        return
    raise InvalidError(
        f"{host} can be reached from elsewhere, and nothing says how callers are known",
        hint="make a token first: gitreg server token create; or set up OpenID or a proxy: docs/authentication.md",
    )


def _note_what_is_wrong(path: Path) -> None:
    """Say what the doctor would; a server that only follows another judges nothing. InvalidError without a main."""
    from gitreg.gate_hooks.examine import examine
    from gitreg.git import Repository, refs
    from gitreg.layout import MAIN
    from gitreg.server.operations.replica import primary_of

    with Repository.open(path) as repository:
        if refs.resolve(repository, MAIN) is None:
            raise InvalidError(
                f"{str(path)!r} is no registry: there is no branch main", hint="gitreg server init makes one"
            )
        found = examine(repository) if primary_of(repository) is None else ()
        for each in found:
            if not each.fine:
                click.echo(f"note: {each.subject}: {each.message}; {each.remedy}", err=True)


def _knows_callers(settings: AuthSettings) -> bool:
    return bool(settings.issuers or settings.proxy_header or settings.anonymous)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _config(options: dict[str, object]) -> uvicorn.Config:
    try:
        import uvicorn
    except ImportError as error:
        raise UnavailableError(f"the server is not installed: {error.name} is missing", hint=_EXTRA) from error
    from gitreg.server.operations.logs import configuration

    cert, key = options["tls_cert"], options["tls_key"]
    if bool(cert) != bool(key):
        raise InvalidError("TLS needs both --tls-cert and --tls-key", hint="or leave TLS to a proxy in front")
    return uvicorn.Config(
        "gitreg.server.app:from_environment",
        factory=True,
        host=str(options["host"]),
        port=int(str(options["port"])),
        workers=int(str(options["workers"])),
        log_config=configuration(str(options["log_format"]), str(options["log_level"])),
        http="gitreg.server.heads:Heads",
        access_log=False,
        # Which proxies count is for the guard to say: uvicorn would believe anybody on this machine.
        proxy_headers=False,
        server_header=False,
        lifespan="on",
        ws="none",
        timeout_graceful_shutdown=_GRACE,
        limit_concurrency=_most_connections(),
        ssl_certfile=str(cert) if cert else None,
        ssl_keyfile=str(key) if key else None,
    )


def _most_connections() -> int:
    """Take half of the files that this process may open: the store, git and the index need some as well.

    It may open more where the system lets it: a limit that is there for programs from long ago lets in too few.
    """
    import resource
    from contextlib import suppress

    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * _MOST_CONNECTIONS if most == resource.RLIM_INFINITY else min(2 * _MOST_CONNECTIONS, most)
    if 0 <= limit < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            limit = wanted
    return max(64, min(_MOST_CONNECTIONS, limit // 2))


def _run(config: uvicorn.Config, workers: int) -> None:
    """Listen first, so that a taken port is said at once, and say where."""
    import uvicorn

    listener = _listen(config.host, config.port)
    try:
        scheme = "https" if config.is_ssl else "http"
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"serving {scheme}://{shown}:{port}/", err=True)
        if workers > 1:
            _supervise(config, listener)
        else:
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    """Take the port, for this process and those that it starts."""
    import errno
    import socket

    # asyncio sends what is small at once where it is told that this is TCP; answers would wait 40 ms otherwise.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        hints = {
            errno.EADDRINUSE: "something listens there already: stop it, or choose another with --port",
            errno.EACCES: "ports below 1024 are the system's: choose another with --port",
        }
        hint = hints.get(error.errno or 0, "--host is an address of this machine; 0.0.0.0 means all of them")
        raise UnavailableError(f"cannot listen on {host} port {port}: {error.strerror}", hint=hint) from error
    listener.set_inheritable(True)
    return listener


def _supervise(config: uvicorn.Config, listener: socket.socket) -> None:
    """Run several workers, which count together."""
    from tempfile import TemporaryDirectory

    from uvicorn.supervisors import Multiprocess

    from gitreg.server.operations.metrics import share_counts

    with TemporaryDirectory(prefix="gitreg-workers-") as folder:
        share_counts(Path(folder))
        os.environ["GITREG_SERVE_TOGETHER"] = folder
        Multiprocess(config, sockets=[listener]).run()
