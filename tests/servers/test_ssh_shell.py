"""People who push over ssh to gitreg's own shell, behind a real OpenSSH server."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks.shell import authorized_key
from gitreg.git import Repository
from gitreg.layout import MAIN
from tests.attacks import raw
from tests.gate.support import version_file
from tests.gate_hooks.support import Server, run
from tests.measured import measured
from tests.servers import bombs
from tests.servers.clients import NEW_VERSION, Clone, make_registry
from tests.servers.sshd import HOST, Sshd, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

USERS = ("alice", "bob", "root", "stranger")
PUSH = "git-receive-pack 'models.git'"


@pytest.fixture(scope="module")
def made(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a registry once; tests get copies."""
    folder = tmp_path_factory.mktemp("made")
    make_registry(folder / "models.git", "GITREG_USER")
    return folder


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    """Give a folder with a registry in it."""
    run(["cp", "-a", str(made), str(tmp_path / "srv")], tmp_path)
    return tmp_path / "srv"


@pytest.fixture
def registry(root: Path) -> Iterator[Server]:
    """Look at the registry from behind the server."""
    with Repository.open(root / "models.git") as repository:
        yield Server(root / "models.git", repository)


def authorize(sshd: Sshd, root: Path) -> None:
    """Write authorized_keys as the page says."""
    lines = [authorized_key(user, sshd.public_key(user), root) for user in USERS]
    sshd.authorized_keys.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def ssh(sshd: Sshd, root: Path) -> Sshd:
    """Give a server whose users' keys run gitreg's shell, each as themselves."""
    authorize(sshd, root)
    return sshd


def clone(ssh: Sshd, who: str, folder: Path, *options: str) -> Clone:
    return Clone.of(ssh.url("models.git"), folder / f"of-{who}", ssh.environment(who, *options))


def send(ssh: Sshd, who: str, push: raw.Push) -> raw.Report:
    done = ssh.run(who, PUSH, data=push.said())
    return raw.parse_report(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))


def told(entry: dict[str, Any]) -> tuple[str, str, list[str]]:
    return entry["actor"], entry["verdict"], [each["code"] for each in entry["violations"]]


def reason(entry: dict[str, Any]) -> str:
    (violation,) = entry["violations"]
    return str(violation["message"])


# Who one is


def test_a_key_s_owner_clones_and_pushes_and_the_log_names_them(ssh: Sshd, registry: Server, tmp_path: Path) -> None:
    alice = clone(ssh, "alice", tmp_path)
    commit = alice.commit(NEW_VERSION)

    pushed = alice.push()

    assert pushed.accepted, pushed.said
    assert registry.tip() == commit
    (entry,) = registry.log()
    assert told(entry) == ("alice", "accepted", [])
    source = entry["source"]
    assert source["identity"] == "GITREG_USER"
    assert source["address"] == HOST
    assert len(source["session"]) == 32


def test_another_key_is_another_user(ssh: Sshd, registry: Server, tmp_path: Path) -> None:
    before = registry.tip()
    bob = clone(ssh, "bob", tmp_path)
    bob.commit(NEW_VERSION)

    pushed = bob.push()

    assert pushed.codes == ["access-denied"]
    assert registry.tip() == before
    assert [told(entry) for entry in registry.log()] == [("bob", "refused", ["access-denied"])]


def test_a_user_whom_access_yaml_does_not_know_reads_and_cannot_push(
    ssh: Sshd, registry: Server, tmp_path: Path
) -> None:
    stranger = clone(ssh, "stranger", tmp_path)
    stranger.commit(NEW_VERSION)

    assert "actor-unknown" in stranger.push().codes


def test_no_variable_of_the_client_s_makes_it_somebody_else(root: Path, registry: Server, tmp_path: Path) -> None:
    home = tmp_path / "account"
    home.mkdir()
    values = {
        "GITREG_USER": "root",
        "GL_USER": "root",
        "REMOTE_USER": "root",
        "GIT_DIR": "/nowhere",
        "GIT_OBJECT_DIRECTORY": "/nowhere",
        "GITREG_SESSION": "0" * 32,
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": "/nowhere",
        "GIT_CONFIG_KEY_1": "gitreg.identity",
        "GIT_CONFIG_VALUE_1": "GL_USER",
        "SSH_ORIGINAL_COMMAND": "id",
        "GIT_QUARANTINE_PATH": "/nowhere",
    }
    given = "SetEnv=" + " ".join(f"{key}={value}" for key, value in values.items())
    # Even where the server's owner lets all of them in.
    with running(tmp_path / "open", accept_env=["G*", "REMOTE_USER", "SSH_*"], set_env={"HOME": str(home)}) as server:
        authorize(server, root)
        bob = clone(server, "bob", tmp_path, "-o", given)
        bob.commit(NEW_VERSION)

        pushed = bob.push()

    assert pushed.codes == ["access-denied"]
    (entry,) = registry.log()
    assert told(entry) == ("bob", "refused", ["access-denied"])
    assert entry["source"]["session"] != "0" * 32


def test_the_protocol_s_version_passes_where_the_server_takes_it(root: Path, tmp_path: Path) -> None:
    with running(tmp_path / "v2", accept_env=["GIT_PROTOCOL"]) as server:
        authorize(server, root)
        second = server.run(
            "alice", "git-upload-pack 'models.git'", "-o", "SetEnv=GIT_PROTOCOL=version=2", data=b"0000"
        )
        other = server.run("alice", "git-upload-pack 'models.git'", "-o", "SetEnv=GIT_PROTOCOL=version=7", data=b"0000")
    assert b"version 2" in second.stdout
    assert b"version" not in other.stdout


# What is served


REFUSED = (
    "id",
    "sh",
    "git-upload-archive 'models.git'",
    "git-receive-pack models.git",
    "git-receive-pack 'models.git' 'models.git'",
    "git-receive-pack 'models.git'; id",
    "git-receive-pack 'models.git'\nid",
    "git-receive-pack 'models.git' --help",
    "git-receive-pack --help",
    "git-receive-pack  'models.git'",
    " git-receive-pack 'models.git'",
    "git-receive-pack 'models.git'`id`",
    "git-receive-pack $(id)",
    'git-receive-pack "models.git"',
    "git-receive-pack '--help'",
    "git-receive-pack '-u'",
    "git-receive-pack '../models.git'",
    "git-receive-pack 'x/../models.git'",
    "git-receive-pack './models.git'",
    "git-receive-pack '~/models.git'",
    "git-receive-pack '~root/models.git'",
    "git-receive-pack '/etc'",
    "git-receive-pack ''",
    "git-receive-pack 'models.git'\\''x'",
    "git-receive-pack 'models.git\n'",
    "git-receive-pack 'other.git'",
    "git-receive-pack 'link.git'",
    "git-receive-pack 'linked/models.git'",
    "git-receive-pack 'models.git/objects'",
    "git-receive-pack '" + "a" * 5000 + "'",
    "GIT-RECEIVE-PACK 'models.git'",
    "git receive-pack --strict 'models.git'",
    "git -c core.hooksPath=/nowhere receive-pack 'models.git'",
    "scp -t models.git/hooks/pre-receive",
    "/usr/lib/openssh/sftp-server",
)


@pytest.fixture(scope="module")
def open_site(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, Path]]:
    """Run one server for the tests that change nothing."""
    folder = tmp_path_factory.mktemp("site")
    run(["cp", "-a", str(made), str(folder / "srv")], folder)
    outside = folder / "outside"
    outside.mkdir()
    run(["cp", "-a", str(made / "models.git"), str(outside / "models.git")], folder)
    (folder / "srv" / "link.git").symlink_to(outside / "models.git")
    (folder / "srv" / "linked").symlink_to(outside)
    with running(folder / "sshd", set_env={"HOME": str(folder)}) as server:
        authorize(server, folder / "srv")
        yield server, folder / "srv"


@pytest.mark.parametrize("command", REFUSED)
def test_nothing_else_is_served(open_site: tuple[Sshd, Path], command: str) -> None:
    ssh, _ = open_site

    done = ssh.run("alice", command)

    assert done.returncode in {2, 3}, done.stderr
    assert done.stdout == b""
    assert done.stderr.startswith(b"gitreg: ")
    assert done.stderr.count(b"\n") == 1
    assert b"uid=" not in done.stderr


@pytest.mark.parametrize("path", ["models.git", "/models.git", "models", "WHOLE", "models.git/"])
@pytest.mark.parametrize("word", ["git-upload-pack", "git upload-pack"])
def test_a_registry_is_found_by_its_name_or_its_whole_path(open_site: tuple[Sshd, Path], path: str, word: str) -> None:
    ssh, root = open_site
    named = str(root / "models.git") if path == "WHOLE" else path

    done = ssh.run("alice", f"{word} '{named}'", data=b"0000")

    assert done.returncode == 0
    assert MAIN.encode() in done.stdout


def test_who_asks_for_a_shell_is_greeted_by_name(open_site: tuple[Sshd, Path]) -> None:
    ssh, _ = open_site

    done = ssh.run("alice")
    assert done.stdout.startswith(b"Hello alice: there is no shell here;")
    assert done.returncode == 0
    assert b"PTY allocation request failed" in ssh.run("alice", None, "-tt").stderr


# Whether the gate is in force


def _empty(registry: Server) -> None:
    (registry.path / "hooks" / "pre-receive").write_text("")


def _away(registry: Server) -> None:
    (registry.path / "hooks" / "pre-receive").unlink()


def _idle(registry: Server) -> None:
    (registry.path / "hooks" / "pre-receive").chmod(0o644)


def _pass_all(registry: Server) -> None:
    hook = registry.path / "hooks" / "pre-receive"
    hook.write_text(hook.read_text().replace("#!/bin/sh\n", "#!/bin/sh\nexit 0\n"))


def _elsewhere(registry: Server) -> None:
    registry.git("config", "core.hooksPath", "/nowhere")


def _unchecked(registry: Server) -> None:
    registry.git("config", "receive.fsckObjects", "false")


def _lowered(registry: Server) -> None:
    registry.git("config", "receive.fsck.treeNotSorted", "ignore")


def _handed_on(registry: Server) -> None:
    registry.git("config", "receive.procReceiveRefs", MAIN)


def _by_others(registry: Server) -> None:
    registry.git("config", "gitreg.identity", "GL_USER")


@pytest.mark.parametrize(
    "damage", [_empty, _away, _idle, _pass_all, _elsewhere, _unchecked, _lowered, _handed_on, _by_others]
)
def test_without_the_gate_a_push_is_refused_and_reads_go_on(
    ssh: Sshd, registry: Server, tmp_path: Path, damage: Callable[[Server], None]
) -> None:
    alice = clone(ssh, "alice", tmp_path)
    alice.commit(NEW_VERSION)
    before = registry.tip()
    damage(registry)

    pushed = alice.push()

    assert not pushed.accepted
    assert registry.tip() == before
    assert "the server's owner runs" in pushed.said
    assert alice.git("fetch").returncode == 0
    assert clone(ssh, "bob", tmp_path).path.is_dir()


# What git itself refuses


def _updates(entry: dict[str, Any]) -> list[str]:
    return [update["ref"] for update in entry["updates"]]


def test_what_git_s_own_checks_refuse_is_in_the_log(ssh: Sshd, registry: Server) -> None:
    objects = raw.Objects()
    tree = objects.tree([("100644", "b", objects.blob(b"x")), ("100644", "a", objects.blob(b"y"))], ordered=False)
    commit = objects.add("commit", raw.commit_body(tree, [registry.tip()]))

    report = send(ssh, "alice", raw.Push([(registry.tip(), commit, MAIN)], objects))

    assert report.unpacked != "ok"
    (entry,) = registry.log()
    assert told(entry) == ("alice", "refused", ["refused-by-git"])
    assert "treeNotSorted" in reason(entry)
    assert entry["updates"] == [{"ref": MAIN, "old": registry.tip(), "new": commit}]
    assert entry["source"]["address"] == HOST


def test_a_damaged_or_missing_pack_is_in_the_log(ssh: Sshd, registry: Server) -> None:
    objects = raw.Objects()
    commit = objects.add("commit", raw.commit_body(objects.tree([]), [registry.tip()]))
    good = raw.Push([(registry.tip(), commit, MAIN)], objects).said()
    flush = good.index(b"0000PACK") + 4
    pushes = {
        "damaged": good[:-30] + b"\xff" * 10 + good[-20:],
        "no pack": good[:flush] + b"JUNK" * 10,
        "cut off": good[:-25],
        "none at all": good[:flush],
    }

    for name, data in pushes.items():
        send(ssh, "alice", raw.Push([], raw=data))
        entry = registry.log()[-1]
        assert told(entry) == ("alice", "refused", ["refused-by-git"]), (name, entry["violations"])
        assert _updates(entry) == [MAIN]
        assert reason(entry)
    assert len(registry.log()) == len(pushes)


def test_a_pack_that_is_too_large_is_in_the_log(ssh: Sshd, registry: Server) -> None:
    objects = raw.Objects()
    # Eleven parts that do not compress, each smaller than what one object may be.
    files = [("100644", f"f{number:02}", objects.blob(os.urandom(10 << 20))) for number in range(11)]
    commit = objects.add("commit", raw.commit_body(objects.tree(files), [registry.tip()]))

    report = send(ssh, "alice", raw.Push([(registry.tip(), commit, MAIN)], objects))

    assert report.refs.get(MAIN) != "ok"
    (entry,) = registry.log()
    assert told(entry) == ("alice", "refused", ["refused-by-git"])
    assert "exceeds maximum allowed size" in reason(entry)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"zzzz", "a packet of length b'zzzz'"),
        (b"0003", "a packet of length b'0003'"),
        (b"ffff" + b"a" * 70000, "a packet of length b'ffff'"),
    ],
)
def test_junk_after_a_ref_update_is_in_the_log(ssh: Sshd, registry: Server, data: bytes, why: str) -> None:
    line = raw.pkt(f"{registry.tip()} {'1' * 40} {MAIN}\0report-status".encode())

    done = ssh.run("alice", PUSH, data=line + data)

    assert done.returncode == 7
    assert why in done.stderr.decode()
    (entry,) = registry.log()
    assert told(entry) == ("alice", "refused", ["refused-by-git"])
    assert reason(entry) == why


def test_endless_ref_updates_are_cut_off(ssh: Sshd, registry: Server) -> None:
    lines = b"".join(raw.pkt(f"{'0' * 40} {'1' * 40} refs/heads/b{number}\0".encode()) for number in range(40_000))

    done = ssh.run("alice", PUSH, data=lines)

    assert done.returncode == 7
    (entry,) = registry.log()
    assert reason(entry) == "more than 2 MiB of ref updates"
    assert len(entry["updates"]) == 1000


def test_what_the_hook_has_decided_is_in_the_log_once(ssh: Sshd, registry: Server, tmp_path: Path) -> None:
    alice = clone(ssh, "alice", tmp_path)
    before = registry.tip()
    alice.git("tag", "-a", "-m", "x", "deploy/staging/risk/fraud/9", "HEAD")
    alice.commit(NEW_VERSION)

    assert not alice.push("origin", "HEAD:main", "refs/tags/deploy/staging/risk/fraud/9").accepted

    (entry,) = registry.log()
    assert told(entry) == ("alice", "refused", ["tag-by-server"])
    assert registry.tip() == before


def test_a_push_that_asks_for_nothing_leaves_no_trace(ssh: Sshd, registry: Server, tmp_path: Path) -> None:
    alice = clone(ssh, "alice", tmp_path)

    assert alice.push().accepted
    assert ssh.run("alice", PUSH, data=b"0000").returncode == 0
    assert ssh.run("alice", PUSH).returncode != 0
    assert registry.log() == []


# Bombs, and clients that misbehave


def shell_of(root: Path, home: Path, command: str = PUSH) -> tuple[list[str], dict[str, str]]:
    """Name the shell as sshd starts it, and its environment."""
    args = [sys.executable, "-I", "-m", "gitreg", "server", "shell", "alice", "--root", str(root)]
    return args, {"PATH": os.environ["PATH"], "HOME": str(home), "SSH_ORIGINAL_COMMAND": command}


def shell(root: Path, home: Path, *, command: str = PUSH) -> subprocess.Popen[bytes]:
    """Start the shell as sshd does."""
    args, environment = shell_of(root, home, command)
    return subprocess.Popen(
        args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", bombs.KINDS)
def test_a_bomb_is_refused_within_seconds_and_512_megabytes(
    root: Path, registry: Server, home: Path, kind: str
) -> None:
    registry.git("config", "gitreg.pushSeconds", "5")
    data = bombs.push(registry.tip(), kind).said()
    assert len(data) < 3 << 20
    begun = time.monotonic()

    done = measured(*shell_of(root, home), data)

    assert b"unpack ok" not in done.output
    assert done.memory < 512 << 20
    assert done.seconds < 15
    assert time.monotonic() - begun < 60
    (entry,) = registry.log()
    assert told(entry) == ("alice", "refused", ["refused-by-git"])


def test_a_client_that_goes_away_in_the_middle_of_its_pack_is_in_the_log(ssh: Sshd, registry: Server) -> None:
    objects = raw.Objects()
    commit = objects.add(
        "commit", raw.commit_body(objects.tree([("100644", "f", objects.blob(os.urandom(1 << 20)))]), [registry.tip()])
    )
    data = raw.Push([(registry.tip(), commit, MAIN)], objects).said()
    client = subprocess.Popen(
        [*ssh.ssh("alice"), f"{ssh.user}@{HOST}", "--", PUSH],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert client.stdin
    client.stdin.write(data[: 1 << 19])
    client.stdin.flush()
    client.kill()
    client.wait()
    client.stdin.close()

    entry = _wait_for_entry(registry)

    assert told(entry) == ("alice", "refused", ["refused-by-git"])
    assert not list((registry.path / "objects").glob("tmp_objdir*"))


def _wait_for_entry(registry: Server) -> dict[str, Any]:
    end = time.monotonic() + 30
    while not registry.log():
        assert time.monotonic() < end, "nothing was logged"
        time.sleep(0.1)
    (entry,) = registry.log()
    return entry


def test_a_client_that_falls_silent_is_sent_away(root: Path, registry: Server, home: Path) -> None:
    registry.git("config", "gitreg.pushIdle", "1")
    process = shell(root, home)
    assert process.stdin
    process.stdin.write(_asking(registry) + b"PACK")
    process.stdin.flush()

    try:
        assert process.wait(60) == 7
    finally:
        said = _close(process)

    assert b"the push was ended: no byte for 1 s" in said
    assert reason(_wait_for_entry(registry)) == "no byte for 1 s"


def test_a_client_that_drips_is_sent_away(root: Path, registry: Server, home: Path) -> None:
    registry.git("config", "gitreg.pushTotal", "2")
    process = shell(root, home)
    # One file of 60,000 bytes, stored as it is, byte by byte.
    pack = b"PACK\0\0\0\2\0\0\0\1" + raw._head(3, 60_000) + b"\x78\x01\x01\xff\xff\0\0"

    def drip() -> None:
        assert process.stdin
        with contextlib.suppress(OSError):
            process.stdin.write(_asking(registry) + pack)
            for _ in range(200):
                process.stdin.write(b"x")
                process.stdin.flush()
                time.sleep(0.1)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        assert process.wait(60) == 7
    finally:
        thread.join()
        _close(process)
    assert reason(_wait_for_entry(registry)) == "not done in 2 s"


def _asking(registry: Server) -> bytes:
    return raw.pkt(f"{registry.tip()} {'1' * 40} {MAIN}\0report-status".encode()) + b"0000"


def _close(process: subprocess.Popen[bytes]) -> bytes:
    """End a process, and give what it said."""
    process.kill()
    process.wait()
    said = process.stderr.read() if process.stderr else b""
    for file in (process.stdin, process.stdout, process.stderr):
        with contextlib.suppress(BrokenPipeError):
            if file:
                file.close()
    return said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_shell_that_is_ended_ends_git_and_tells_the_log(
    root: Path, registry: Server, home: Path, number: signal.Signals
) -> None:
    process = shell(root, home)
    assert process.stdin
    assert process.stdout
    process.stdin.write(_asking(registry) + b"PACK")
    process.stdin.flush()
    process.stdout.read(4)  # git runs
    time.sleep(0.3)

    process.send_signal(number)
    process.communicate(timeout=30)

    assert process.returncode == 7
    assert reason(_wait_for_entry(registry)) == f"ended by {number.name}"


def test_of_pushes_at_once_one_is_accepted_and_the_others_are_told_that_main_moved(
    ssh: Sshd, registry: Server, tmp_path: Path
) -> None:
    clones = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        clones.append(clone(ssh, "alice", tmp_path / str(number)))
        clones[-1].commit(version_file(f"3.{number}.0"))

    with ThreadPoolExecutor(len(clones)) as pool:
        results = list(pool.map(Clone.push, clones))

    assert [each.accepted for each in results].count(True) == 1
    accepted = [entry for entry in registry.log() if entry["verdict"] == "accepted"]
    assert registry.tip() in {entry["updates"][0]["new"] for entry in accepted}
    assert len({entry["source"]["session"] for entry in registry.log()}) == len(registry.log())


def test_a_large_pack_passes_unchanged(ssh: Sshd, registry: Server) -> None:
    objects = raw.Objects()
    files = [("100644", f"f{number:02}", objects.blob(os.urandom(1 << 20))) for number in range(50)]
    commit = objects.add("commit", raw.commit_body(objects.tree(files), [registry.tip()]))

    report = send(ssh, "alice", raw.Push([(registry.tip(), commit, MAIN)], objects))

    assert report.unpacked == "ok"  # whole and undamaged; it is the gate that refuses
    (entry,) = registry.log()
    assert told(entry)[0] == "alice"
    assert "refused-by-git" not in told(entry)[2]


def test_a_line_of_authorized_keys_holds_any_folder(sshd: Sshd, made: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a \"b' $c `d` \\e"
    run(["cp", "-a", str(made), str(odd)], tmp_path)
    authorize(sshd, odd)

    assert MAIN.encode() in sshd.run("alice", "git-upload-pack 'models.git'", data=b"0000").stdout
    assert shlex.quote(str(odd)) in authorized_key("alice", sshd.public_key("alice"), odd).replace('\\"', '"')
