"""Run nginx and Apache before `git http-backend`, with the configurations that docs/servers/http.md prints."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.programs import program
from tests.servers.sshd import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = Path(__file__).parents[2] / "docs" / "servers" / "http.md"
USERS = ("alice", "bob", "root", "stranger")
_PATIENCE = 20.0
_TRIES = 5
_NOBODY = 65534

_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
{server}
}}
"""
_APACHE_MODULES = ("alias", "auth_basic", "authn_core", "authn_file", "authz_core", "authz_user", "env", "ssl")
_APACHE = """\
ServerName {host}
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LogLevel info
DocumentRoot {folder}/empty
Listen {host}:{port}
{modules}
{extra}
# Only that the tests' root owns the repositories, and that no configuration of the machine's is read.
SetEnv GIT_CONFIG_GLOBAL {git_config}
SetEnv GIT_CONFIG_NOSYSTEM 1
<Directory />
    Require all denied
</Directory>
{server}
"""


@dataclass
class Web:
    """A running web server over a folder of repositories."""

    root: Path
    folder: Path
    port: int = 0

    @property
    def passwords(self) -> Path:
        """The file of users; each one's password is their name, twice."""
        return self.folder / "passwords"

    @property
    def certificate(self) -> Path:
        """The certificate, and the key beside it."""
        return self.folder / "certificate.pem"

    @property
    def log(self) -> str:
        """What the server has said so far."""
        path = self.folder / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def url(self, user: str | None, name: str = "models.git") -> str:
        """Name a repository on the server, with a user's password in it."""
        return f"https://{f'{user}:{password(user)}@' if user else ''}{HOST}:{self.port}/git/{name}"

    def environment(self) -> dict[str, str]:
        """Give the variables that let git trust the server's certificate and no proxy."""
        return {"GIT_SSL_CAINFO": str(self.certificate), "no_proxy": "*", "NO_PROXY": "*"}

    def ask(
        self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None
    ) -> tuple[int, bytes]:
        """Send one request as it stands, with each header as often as it is given."""
        context = ssl.create_default_context(cafile=self.certificate)
        connection = http.client.HTTPSConnection(HOST, self.port, timeout=60, context=context)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def password(user: str) -> str:
    """Give a user's password."""
    return f"{user}-{user}"


def basic(user: str, secret: str | None = None) -> str:
    """Give the value of an Authorization header; the user's own password by default."""
    return "Basic " + base64.b64encode(f"{user}:{secret or password(user)}".encode()).decode()


def block(language: str) -> str:
    """Give the configuration that the page prints for a server."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == 1, f"{PAGE} has {len(found)} blocks for {language}"
    return str(found[0])


def put(text: str, *replacements: tuple[str, str]) -> str:
    """Put the test's places into a configuration; each must be in it."""
    for old, new in replacements:
        assert old in text, f"{old!r} is not in the configuration"
        text = text.replace(old, new)
    return text


def _places(web: Web) -> list[tuple[str, str]]:
    """Say what stands for the paths of the page."""
    return [
        ("/etc/ssl/certs/models.example.org.pem", str(web.certificate)),
        ("/etc/ssl/private/models.example.org.key", str(web.certificate.with_suffix(".key"))),
        ("/etc/gitreg/passwords", str(web.passwords)),
        ("/srv/gitreg", str(web.root)),
        ("/usr/lib/git-core/git-http-backend", str(_backend())),
    ]


def _backend() -> Path:
    folder = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    return Path(folder) / "git-http-backend"


def _prepare(web: Web) -> None:
    """Write what a server reads: certificate, users, git's configuration."""
    (web.folder / "empty").mkdir()
    lines = [f"{user}:{{SHA}}{base64.b64encode(_sha1(password(user))).decode()}\n" for user in USERS]
    web.passwords.write_text("".join(lines))
    (web.folder / "gitconfig").write_text("[safe]\n\tdirectory = *\n")
    command = [
        program("openssl"),
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=IP:{HOST}"]
    command += ["-keyout", str(web.certificate.with_suffix(".key")), "-out", str(web.certificate)]
    subprocess.run(command, check=True, capture_output=True)


def _sha1(text: str) -> bytes:
    return hashlib.sha1(text.encode(), usedforsecurity=False).digest()


def _unprivileged(command: list[str]) -> list[str]:
    """Start a server as nobody, where root runs the tests: Apache refuses to be root.

    It keeps the right to reach the files of the tests, which root may have made where nobody else can look.
    """
    if os.geteuid() != 0:
        return command
    rights = "+dac_override,+fowner"
    ids = ["--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups", "--securebits", "+no_setuid_fixup"]
    return [program("setpriv", "util-linux"), *ids, "--inh-caps", rights, "--ambient-caps", rights, *command]


@contextmanager
def _process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own until the end of the block."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            _unprivileged(command),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and its children, which are of its group: fcgiwrap's would outlive it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def _wait(process: subprocess.Popen[bytes], connect: Callable[[], None]) -> bool:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            connect()
        except OSError:
            time.sleep(0.02)
        else:
            return process.poll() is None
    return False


Start = Callable[..., "subprocess.Popen[bytes]"]


@contextmanager
def running(start: Start, root: Path) -> Iterator[Web]:
    """Run a server over the repositories in `root`, on a port that is free, until the end of the block."""
    # Not below the folder of the test: a Unix socket's path is short.
    folder = Path(tempfile.mkdtemp(prefix="gitreg-web-"))
    try:
        web = Web(root, folder)
        _prepare(web)
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        for attempt in range(_TRIES):
            with ExitStack() as stack:
                web.port = free_port()
                process = start(web, stack)
                if _wait(process, lambda: socket.create_connection((HOST, web.port), timeout=1).close()):
                    yield web
                    return
            assert attempt < _TRIES - 1, f"the server does not start: {(folder / 'out.log').read_text()}{web.log}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def nginx(web: Web, stack: ExitStack, change: Callable[[str], str] = lambda text: text) -> subprocess.Popen[bytes]:
    """Start nginx and fcgiwrap; `change` edits the page's configuration."""
    server, wrapper = program("nginx", "nginx-light"), program("fcgiwrap")
    path = web.folder / "fcgi.socket"
    path.unlink(missing_ok=True)
    text = put(
        change(block("nginx")),
        *_places(web),
        ("listen 443 ssl", f"listen {HOST}:{web.port} ssl"),
        ("unix:/run/fcgiwrap.socket", f"unix:{path}"),
    )
    config = web.folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=web.folder, server=text))
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": str(web.folder / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    log = web.folder / "out.log"
    backend = stack.enter_context(
        _process([wrapper, "-f", "-c", "8", "-p", str(_backend()), "-s", f"unix:{path}"], environment, log)
    )

    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))

    assert _wait(backend, connect), f"fcgiwrap does not start: {log.read_text()}"
    command = [server, "-e", str(web.folder / "error.log"), "-p", str(web.folder), "-c", str(config)]
    return stack.enter_context(_process(command, environment, log))


def apache(
    web: Web, stack: ExitStack, change: Callable[[str], str] = lambda text: text, cgi: str = "cgid"
) -> subprocess.Popen[bytes]:
    """Start Apache with mod_cgid and threads, as `a2enmod cgi` does, or with mod_cgi; `change` edits the text."""
    server = program("apache2")
    modules = ["mpm_event" if cgi == "cgid" else "mpm_prefork", cgi, *_APACHE_MODULES]
    text = put(change(block("apache")), *_places(web), ("*:443", f"{HOST}:{web.port}"))
    config = web.folder / "apache.conf"
    config.write_text(
        _APACHE.format(
            host=HOST,
            port=web.port,
            folder=web.folder,
            modules="\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in modules),
            extra=f"ScriptSock {web.folder}/cgi.socket" if cgi == "cgid" else "",
            git_config=web.folder / "gitconfig",
            server=text,
        )
    )
    command = [server, "-D", "FOREGROUND", "-f", str(config)]
    return stack.enter_context(_process(command, {"PATH": os.environ["PATH"]}, web.folder / "out.log"))
