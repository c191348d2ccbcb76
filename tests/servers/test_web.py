from __future__ import annotations

import contextlib
import gzip
import secrets
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks.examine import examine
from gitreg.git import Repository
from gitreg.layout import MAIN
from tests.gate_hooks.support import Server, run
from tests.servers.clients import NEW_VERSION, TO_STAGING, Clone, make_registry
from tests.servers.web import Start, Web, apache, basic, block, nginx, put, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.gate_hooks.support import Pushed

STARTS: dict[str, Start] = {"nginx": nginx, "apache": apache, "apache-mod_cgi": partial(apache, cgi="cgi")}
ZERO = "0" * 40


@pytest.fixture(scope="module")
def made(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a registry once; tests get copies."""
    folder = tmp_path_factory.mktemp("made")
    make_registry(folder / "models.git", "REMOTE_USER")
    return folder


@pytest.fixture(params=STARTS)
def name(request: pytest.FixtureRequest) -> str:
    """Name each web server."""
    return str(request.param)


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """Give a folder with a registry in it."""
    run(["cp", "-a", str(made), str(tmp_path / "srv")], tmp_path)
    return tmp_path / "srv"


@pytest.fixture
def web(name: str, root: Path) -> Iterator[Web]:
    """Run each web server over a registry, as the page says."""
    with running(STARTS[name], root) as server:
        yield server


@pytest.fixture
def registry(root: Path) -> Iterator[Server]:
    """Look at the registry from behind the server."""
    with Repository.open(root / "models.git") as repository:
        yield Server(root / "models.git", repository)


def _clone(web: Web, user: str | None, folder: Path) -> Clone:
    return Clone.of(web.url(user), folder, web.environment())


def _unchanged(registry: Server, before: str, after: Pushed) -> bool:
    return not after.accepted and registry.tip() == before


def test_who_may_register_does_so_by_a_plain_push_and_is_named_in_the_log(
    web: Web, registry: Server, tmp_path: Path
) -> None:
    clone = _clone(web, "alice", tmp_path / "alice")
    commit = clone.commit(NEW_VERSION)
    pushed = clone.push()
    assert pushed.accepted, pushed.said
    assert registry.tip() == commit
    (entry,) = registry.log()
    assert (entry["actor"], entry["verdict"]) == ("alice", "accepted")
    clone.git("fetch", "--quiet")
    assert clone.git("rev-parse", "origin/main").stdout.strip() == commit


def test_the_log_says_from_where(web: Web, registry: Server, tmp_path: Path) -> None:
    clone = _clone(web, "alice", tmp_path / "alice")
    clone.commit(NEW_VERSION)
    forged = [f"http.extraHeader={header}: 192.0.2.1" for header in ("X-Forwarded-For", "X-Real-IP", "Remote-Addr")]
    assert clone.push(options=tuple(word for each in forged for word in ("-c", each))).accepted
    source = registry.log()[0]["source"]
    assert (source["identity"], source["address"]) == ("REMOTE_USER", "127.0.0.1")


def test_who_may_not_is_told_why(web: Web, registry: Server, tmp_path: Path) -> None:
    before = registry.tip()
    clone = _clone(web, "bob", tmp_path / "bob")
    clone.commit(NEW_VERSION)
    pushed = clone.push()
    assert _unchanged(registry, before, pushed)
    assert pushed.codes == ["access-denied"]
    assert "bob may not register risk/fraud" in pushed.said
    assert [(entry["actor"], entry["verdict"]) for entry in registry.log()] == [("bob", "refused")]


def test_a_user_of_the_web_server_whom_access_yaml_does_not_know_may_do_nothing(
    web: Web, registry: Server, tmp_path: Path
) -> None:
    before = registry.tip()
    clone = _clone(web, "stranger", tmp_path / "stranger")
    clone.commit(NEW_VERSION)
    assert _unchanged(registry, before, clone.push())
    assert _unchanged(registry, before, clone.push("origin", "HEAD:refs/heads/proposals/stranger/x"))
    assert registry.refs("refs/heads/") == [MAIN]


@pytest.mark.parametrize("credentials", [None, "alice:wrong", "ALICE:alice-alice", "nobody:nobody", "alice:"])
def test_without_a_right_password_the_web_server_refuses_reading_and_pushing(
    web: Web, registry: Server, tmp_path: Path, credentials: str | None
) -> None:
    before = registry.tip()
    clone = _clone(web, "alice", tmp_path / "alice")
    clone.commit(NEW_VERSION)
    url = web.url(None).replace("https://", f"https://{credentials}@" if credentials else "https://")
    pushed = clone.push(url, f"HEAD:{MAIN}")
    assert _unchanged(registry, before, pushed)
    assert "Authentication failed" in pushed.said or "could not read" in pushed.said
    assert clone.git("ls-remote", url, check=False).returncode != 0
    assert not registry.log()


FORGED = [
    "Remote-User: root",
    "Remote_User: root",
    "REMOTE_USER: root",
    "X-Remote-User: root",
    "X-Forwarded-User: root",
    "Auth-User: root",
    "GL_USER: root",
    "Env: REMOTE_USER=root",
    "Git-Protocol: user=root:REMOTE_USER=root:version=1",
    "Proxy: http://192.0.2.1:9",
    "Proxy-Authorization: " + basic("root"),
    "Cookie: REMOTE_USER=root",
]


def test_no_header_of_the_client_changes_who_it_is(web: Web, registry: Server, tmp_path: Path) -> None:
    before = registry.tip()
    clone = _clone(web, "bob", tmp_path / "bob")
    clone.commit({"README.md": b"mine\n"})
    for header in FORGED:
        pushed = clone.push(options=("-c", f"http.extraHeader={header}"))
        assert _unchanged(registry, before, pushed), header
        assert pushed.codes == ["access-denied"], f"{header}: {pushed.said}"
    assert [entry["actor"] for entry in registry.log()] == ["bob"] * len(FORGED)
    # git replaces the header that it would have written itself; the web server asks for a password that is right.
    pushed = clone.push(options=("-c", f"http.extraHeader=Authorization: {basic('root', 'wrong')}"))
    assert _unchanged(registry, before, pushed)
    assert {entry["actor"] for entry in registry.log()} == {"bob"}


def _packet(line: bytes) -> bytes:
    return b"%04x%s" % (len(line) + 4, line)


def _request(clone: Clone, old: str, new: str, ref: str = MAIN) -> bytes:
    """Write the body of a push, as git would send it."""
    line = f"{old} {new} {ref}\0report-status side-band-64k".encode()
    command = ["git", "pack-objects", "--revs", "--stdout", "-q"]
    pack = subprocess.run(command, cwd=clone.path, input=f"{new}\n^{old}\n".encode(), capture_output=True, check=True)
    return _packet(line) + b"0000" + pack.stdout


PUSH = "/git/models.git/git-receive-pack"
KIND = ("Content-Type", "application/x-git-receive-pack-request")


def test_a_second_authorization_header_makes_nobody_somebody_else(web: Web, registry: Server, tmp_path: Path) -> None:
    clone = _clone(web, "bob", tmp_path / "bob")
    before = registry.tip()
    body = _request(clone, before, clone.commit({"README.md": b"mine\n"}))
    for first, second in ((basic("bob"), basic("root", "x")), (basic("root", "x"), basic("bob"))):
        web.ask("POST", PUSH, [KIND, ("Authorization", first), ("Authorization", second)], body)
        assert registry.tip() == before
    assert {entry["actor"] for entry in registry.log()} <= {"bob"}


def test_a_request_compressed_by_gzip_is_read(web: Web, registry: Server, tmp_path: Path) -> None:
    clone = _clone(web, "alice", tmp_path / "alice")
    before = registry.tip()
    commit = clone.commit(NEW_VERSION)
    body = gzip.compress(_request(clone, before, commit))
    headers = [KIND, ("Authorization", basic("alice")), ("Content-Encoding", "gzip")]
    status, answer = web.ask("POST", PUSH, headers, body)
    assert status == 200
    assert b"ok refs/heads/main" in answer
    assert registry.tip() == commit


def test_a_large_push_arrives_in_chunks(web: Web, registry: Server, tmp_path: Path) -> None:
    clone = _clone(web, "alice", tmp_path / "alice")
    blobs = {f"notes/{number}.bin": secrets.token_bytes(900_000) for number in range(5)}
    commit = clone.commit(blobs)
    pushed = clone.push("origin", "HEAD:refs/heads/proposals/alice/large", options=("-c", "http.postBuffer=65536"))
    assert pushed.accepted, pushed.said
    assert registry.ref("refs/heads/proposals/alice/large") == commit
    again = Clone.of(web.url("bob"), tmp_path / "bob", web.environment())
    assert again.git("rev-parse", "origin/proposals/alice/large").stdout.strip() == commit


def test_a_small_push_that_unpacks_to_much_is_refused_before_it_fills_memory(
    web: Web, registry: Server, tmp_path: Path
) -> None:
    clone = _clone(web, "alice", tmp_path / "alice")
    before = registry.tip()
    message = tmp_path / "message"
    message.write_bytes(b"0123456789\n" * 6_200_000)  # 65 MiB, and 200 kB of it in a pack
    quick = ("-c", "core.compression=1", "-c", "pack.window=0")
    head = clone.git(*quick, "commit-tree", "-p", "HEAD", "-F", str(message), "HEAD^{tree}").stdout.strip()
    pushed = clone.push("origin", f"{head}:{MAIN}", options=quick)
    assert _unchanged(registry, before, pushed)
    assert "over limit" in pushed.said or "RPC failed" in pushed.said  # git ends before it has read everything
    assert registry.log() == []  # and so the gate was not even asked


def test_proposals_are_their_owners_and_the_server_writes_deploy_tags(
    web: Web, registry: Server, tmp_path: Path
) -> None:
    clone = _clone(web, "bob", tmp_path / "bob")
    commit = clone.commit(TO_STAGING)
    assert clone.push("origin", "HEAD:refs/heads/proposals/bob/x").accepted
    assert clone.push("origin", "HEAD:refs/heads/proposals/alice/x").codes == ["proposal-foreign"]
    assert clone.push().accepted
    tag = "deploy/staging/risk/fraud/1"
    assert registry.refs("refs/tags/") == [f"refs/tags/{tag}"]
    assert registry.git("rev-parse", f"{tag}^{{commit}}") == commit
    assert registry.trailers(tag)["Actor"] == "bob"
    clone.git("fetch", "--quiet", "origin", "refs/tags/deploy/*:refs/tags/deploy/*")
    assert clone.git("tag", "--list").stdout.split() == [tag]
    clone.git("tag", "-a", "-m", "mine", "deploy/staging/risk/fraud/2")
    assert not clone.push("origin", "deploy/staging/risk/fraud/2").accepted
    assert len(registry.refs("refs/tags/")) == 1


def test_pushes_at_once_are_all_judged_and_one_of_them_wins(web: Web, registry: Server, tmp_path: Path) -> None:
    clones = [_clone(web, user, tmp_path / f"{user}-{number}") for number, user in enumerate(["alice", "bob"] * 2)]
    edits = {"alice": NEW_VERSION, "bob": TO_STAGING}
    for number, clone in enumerate(clones):
        clone.commit(edits["bob" if number % 2 else "alice"], f"change {number}")
    with ThreadPoolExecutor(len(clones)) as pool:
        pushed = list(pool.map(lambda clone: clone.push(), clones))
    won = [clone for clone, push in zip(clones, pushed, strict=True) if push.accepted]
    assert len(won) == 1
    assert registry.tip() == won[0].git("rev-parse", "HEAD").stdout.strip()


@pytest.mark.parametrize(
    "path",
    ["config", "gitreg/audit.jsonl", "HEAD", "objects/info/packs", "hooks/pre-receive", "../models.git/config", ""],
)
def test_files_of_the_repository_are_not_served(web: Web, registry: Server, path: str) -> None:
    headers = [("Authorization", basic("root"))]
    status, answer = web.ask("GET", f"/git/models.git/{path}", headers)
    assert status in {400, 403, 404}
    assert b"gitreg" not in answer


def test_nothing_drifts_and_the_doctor_is_content(web: Web, registry: Server, tmp_path: Path) -> None:
    clone = _clone(web, "alice", tmp_path / "alice")
    clone.commit(NEW_VERSION)
    assert clone.push().accepted
    assert [finding for finding in examine(registry.client) if not finding.fine] == []


def _no_password(text: str) -> str:
    """Take the question for a password out of a configuration."""
    if "auth_basic gitreg" in text:
        return put(text, ("auth_basic gitreg;", "auth_basic off;"))
    return put(text, ("Require valid-user", "Require all granted"))


@pytest.fixture
def open_web(name: str, root: Path, registry: Server) -> Iterator[Web]:
    """Run each web server without any password, over a repository that takes pushes from anybody."""
    registry.git("config", "http.receivepack", "true")
    with running(partial(STARTS[name], change=_no_password), root) as server:
        yield server


def test_where_the_web_server_asks_nobody_for_a_name_the_gate_refuses(
    open_web: Web, registry: Server, tmp_path: Path
) -> None:
    before = registry.tip()
    clone = _clone(open_web, None, tmp_path / "somebody")
    clone.commit(NEW_VERSION)
    pushed = clone.push()
    assert _unchanged(registry, before, pushed)
    assert pushed.codes == ["actor-unknown"]
    assert "REMOTE_USER is empty" in pushed.said


def test_git_itself_takes_no_push_without_a_name(open_web: Web, registry: Server, tmp_path: Path) -> None:
    registry.git("config", "--unset", "http.receivepack")
    before = registry.tip()
    clone = _clone(open_web, None, tmp_path / "somebody")
    clone.commit(NEW_VERSION)
    assert _unchanged(registry, before, clone.push())
    assert not registry.log()


def test_an_unverified_name_counts_with_nginx_and_not_with_apache(
    open_web: Web, name: str, registry: Server, tmp_path: Path
) -> None:
    """What the page warns of: it must not become untrue, nor be forgotten."""
    before = registry.tip()
    clone = _clone(open_web, None, tmp_path / "somebody")
    clone.commit({"README.md": b"mine\n"})
    forged = f"http.extraHeader=Authorization: {basic('root', 'not the password')}"
    accepted = clone.push(options=("-c", forged)).accepted
    assert accepted is (name == "nginx")
    assert (registry.tip() != before) is accepted


def test_the_page_ties_the_name_to_the_password() -> None:
    text = block("nginx")
    assert "include" not in text
    for location in text.split("location ")[1:]:
        assert ("REMOTE_USER" in location) == ("auth_basic gitreg;" in location)
    for forbidden in ("SetEnvIf", "RequestHeader", "CGIPassAuth", "REMOTE_USER"):
        assert forbidden not in block("apache")


def test_the_limit_of_the_web_servers_lies_above_that_of_git(registry: Server) -> None:
    limit = int(registry.git("config", "receive.maxInputSize"))
    megabytes = int(block("nginx").split("client_max_body_size ")[1].split("m;")[0])
    assert limit < megabytes << 20 == int(block("apache").split("LimitRequestBody ")[1].split()[0])


def test_a_server_leaves_nothing_running(name: str, root: Path) -> None:
    with running(STARTS[name], root) as server:
        assert _processes(server.folder)
    end = time.monotonic() + 10
    while _processes(server.folder) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _processes(server.folder)
    assert not server.folder.exists()


def _processes(folder: Path) -> list[str]:
    """Name the processes that have this folder in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            if str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(entry.name)
    return found
