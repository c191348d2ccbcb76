"""What the post-receive hook writes: deploy tags."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import ConflictError
from gitreg.gate import Code
from gitreg.gate_hooks.configuration import configure_server
from gitreg.gate_hooks.marks import write_marks
from gitreg.git import Repository
from tests.gate.support import PROD, model_file, pointer_file, version_file
from tests.gate_hooks.support import Server, run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gate.support import Edits

MAIN = "refs/heads/main"
POINTER = "deployments/staging/risk/fraud.yaml"
TAGS = "refs/tags/deploy/"


def pushed(server: Server, who: str, edits: Edits, message: str = "Change") -> str:
    done = server.push(who, edits, message)
    assert done.accepted, done.said
    return done.said


def test_a_deployment_gets_its_tag_with_trailers(server: Server) -> None:
    said = pushed(server, "bob", pointer_file("1.0.0"), "Try it\n\nReason: January retrain\n")

    assert "gitreg: marked deploy/staging/risk/fraud/1" in said
    assert server.git("rev-parse", "deploy/staging/risk/fraud/1^{commit}") == server.tip()
    assert server.git("cat-file", "-t", "deploy/staging/risk/fraud/1") == "tag"
    assert server.tag("deploy/staging/risk/fraud/1").startswith("Deploy risk/fraud@1.0.0 to staging\n\nModel: ")
    assert server.trailers("deploy/staging/risk/fraud/1") == {
        "Model": "risk/fraud",
        "Version": "1.0.0",
        "Environment": "staging",
        "Action": "deploy",
        "Actor": "bob",
        "Reason": "January retrain",
        "Audit": server.log()[-1]["hash"],
    }


def test_git_alone_reads_the_trailers(server: Server) -> None:
    pushed(server, "bob", pointer_file("1.0.0"))

    shape = "--format=%(contents:trailers:key=Version,valueonly)"
    assert server.git("for-each-ref", shape, TAGS) == "1.0.0"


def test_the_subject_is_the_reason_where_none_is_given(server: Server) -> None:
    pushed(server, "bob", pointer_file("1.0.0"), "Ship\tthe new \x1b[31mone")

    assert server.trailers("deploy/staging/risk/fraud/1")["Reason"] == "Ship the new [31mone"


def test_tags_count_up_and_name_what_happened(server: Server, tmp_path: Path) -> None:
    pushed(server, "alice", version_file("1.1.0"))
    pushed(server, "bob", pointer_file("1.0.0"))
    pushed(server, "bob", pointer_file("1.0.0", PROD), "Promote\n\nAction: promote\n")
    pushed(server, "bob", pointer_file("1.1.0"), "Next\n\nAction: rollback\n")
    clone = tmp_path / "clone"
    run(["git", "clone", "--quiet", str(server.path), str(clone)], tmp_path)
    run(["git", "revert", "--no-edit", "HEAD"], clone)
    run(["git", "push", "--quiet", "origin", "HEAD:main"], clone, environment={"GL_USER": "carol"})
    server.fetch()
    pushed(server, "carol", {POINTER: None}, "Stop")

    found = [server.trailers(ref.removeprefix("refs/tags/")) for ref in server.refs(TAGS)]

    assert [(each["Environment"], each["Action"], each.get("Version"), each.get("Previous")) for each in found] == [
        ("prod", "promote", "1.0.0", None),
        ("staging", "deploy", "1.0.0", None),
        ("staging", "deploy", "1.1.0", "1.0.0"),
        ("staging", "rollback", "1.0.0", "1.1.0"),
        ("staging", "undeploy", None, "1.0.0"),
    ]
    assert [each["Actor"] for each in found] == ["bob", "bob", "bob", "carol", "carol"]
    assert found[3]["Reason"].startswith('Revert "Next')


def test_a_plain_revert_by_who_may_only_roll_back_is_refused_for_a_deployment(server: Server) -> None:
    pushed(server, "alice", version_file("1.1.0"))
    pushed(server, "bob", pointer_file("1.0.0"))

    assert server.push("carol", pointer_file("1.1.0")).codes == [Code.ACCESS_DENIED]


def test_one_revert_brings_several_pointers_back(server: Server, tmp_path: Path) -> None:
    pushed(server, "bob", pointer_file("1.0.0"))
    pushed(server, "bob", pointer_file("1.0.0", PROD))
    clone = tmp_path / "clone"
    run(["git", "clone", "--quiet", str(server.path), str(clone)], tmp_path)
    run(["git", "revert", "--no-commit", "HEAD", "HEAD~1"], clone)
    run(["git", "commit", "--quiet", "-m", "Back out"], clone)

    done = run(["git", "push", "origin", "HEAD:main"], clone, environment={"GL_USER": "carol"}, check=False)

    assert done.returncode == 0, done.stderr
    assert server.trailers("deploy/staging/risk/fraud/2")["Action"] == "undeploy"
    assert server.trailers("deploy/prod/risk/fraud/2")["Action"] == "undeploy"


def test_several_deployments_in_one_push_get_a_tag_each(server: Server) -> None:
    tip = server.commits(version_file("1.1.0"), pointer_file("1.0.0"), pointer_file("1.1.0"), pointer_file("1.0.0"))

    assert server.send("root", f"{tip}:{MAIN}").accepted
    assert [server.trailers(f"deploy/staging/risk/fraud/{n}")["Action"] for n in (1, 2, 3)] == [
        "deploy",
        "deploy",
        "rollback",
    ]


def test_a_pointer_whose_bytes_alone_changed_gets_no_tag(server: Server) -> None:
    pushed(server, "bob", pointer_file("1.0.0"))
    pushed(server, "bob", {POINTER: pointer_file("1.0.0")[POINTER] + b"# as agreed\n"})

    assert len(server.refs(TAGS)) == 1


def test_a_merge_that_deploys_is_marked(server: Server) -> None:
    base = server.tip()
    side = server.commit(pointer_file("1.0.0"))
    tree = server.client.objects.commit(side).tree
    merge = server.client.run(["commit-tree", "-p", base, "-p", side, "-m", "Merge", tree]).decode().strip()

    assert server.send("bob", f"{merge}:{MAIN}").accepted
    assert server.git("rev-parse", "deploy/staging/risk/fraud/1^{commit}") == merge


def test_a_later_proposal_of_the_same_commit_is_not_who_deployed(server: Server) -> None:
    disable(server)
    pushed(server, "bob", pointer_file("1.0.0"))
    assert server.send("alice", f"{server.tip()}:refs/heads/proposals/alice/x").accepted

    server.hook(b"", name="post-receive.off")

    assert server.trailers("deploy/staging/risk/fraud/1")["Actor"] == "bob"


# Killed, repeated, at once


def disable(server: Server) -> None:
    """Have the hook killed before it does anything."""
    hooks = server.path / "hooks"
    (hooks / "post-receive").rename(hooks / "post-receive.off")


def enable(server: Server) -> None:
    hooks = server.path / "hooks"
    (hooks / "post-receive.off").rename(hooks / "post-receive")


def test_the_next_run_makes_good_what_a_killed_one_left(server: Server) -> None:
    disable(server)
    pushed(server, "alice", version_file("1.1.0"))
    pushed(server, "bob", pointer_file("1.0.0"))
    pushed(server, "root", pointer_file("1.1.0"))
    enable(server)

    pushed(server, "alice", model_file(description="Another."))

    assert [server.trailers(f"deploy/staging/risk/fraud/{n}")["Actor"] for n in (1, 2)] == ["bob", "root"]


@pytest.mark.parametrize("memory", ["before", "missing", "garbage", "unknown"])
def test_marks_are_written_once_whatever_a_killed_run_remembered(server: Server, memory: str) -> None:
    pushed(server, "alice", version_file("1.1.0"))
    pushed(server, "bob", pointer_file("1.0.0"))
    marked = server.path / "gitreg" / "marked"
    earlier = marked.read_text()
    pushed(server, "bob", pointer_file("1.1.0"))
    pushed(server, "carol", pointer_file("1.0.0"))
    before = server.git("for-each-ref", TAGS)
    if memory == "missing":
        marked.unlink()
    else:
        marked.write_text({"before": earlier, "garbage": "\xff--all\n", "unknown": "b" * 40}[memory], "latin-1")

    server.hook(b"", name="post-receive")

    assert server.git("for-each-ref", TAGS) == before
    assert marked.read_text().strip() == server.tip()


def test_a_run_that_was_killed_between_two_tags_is_finished(server: Server) -> None:
    pushed(server, "alice", version_file("1.1.0"))
    pushed(server, "bob", pointer_file("1.0.0"))
    earlier = (server.path / "gitreg" / "marked").read_text()
    pushed(server, "bob", pointer_file("1.1.0"))
    pushed(server, "carol", pointer_file("1.0.0"))
    server.git("update-ref", "-d", f"{TAGS}staging/risk/fraud/3")
    (server.path / "gitreg" / "marked").write_text(earlier)

    server.hook(b"", name="post-receive")

    assert server.trailers("deploy/staging/risk/fraud/3")["Action"] == "rollback"
    assert len(server.refs(TAGS)) == 3


def test_many_runs_at_once_write_each_tag_once(server: Server) -> None:
    disable(server)
    tip = server.commits(*(pointer_file("1.0.0", canary=None) if n % 2 else {POINTER: None} for n in range(1, 7)))
    assert server.send("root", f"{tip}:{MAIN}").accepted

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: server.hook(b"", name="post-receive.off").said, range(4)))

    assert len(server.refs(TAGS)) == 6
    assert sum(each.count("gitreg: marked") for each in said) == 6


def test_a_ref_in_the_way_is_told_and_not_taken_for_done(server: Server) -> None:
    disable(server)
    pushed(server, "bob", pointer_file("1.0.0"))
    server.git("update-ref", "refs/tags/deploy/staging/risk/fraud", server.tip())

    with Repository.open(server.path) as repository, pytest.raises(ConflictError):
        write_marks(repository)

    assert "not written yet" in server.hook(b"", name="post-receive.off").said
    server.git("update-ref", "-d", "refs/tags/deploy/staging/risk/fraud")
    server.hook(b"", name="post-receive.off")
    assert server.refs(TAGS) == [f"{TAGS}staging/risk/fraud/1"]


def test_a_push_that_deploys_nothing_starts_no_python_after_it(server: Server) -> None:
    hook = server.path / "hooks" / "post-receive"
    hook.write_text(hook.read_text().replace("gitreg.gate_hooks.hook import main", "gitreg.nowhere import main"))

    assert "nowhere" not in pushed(server, "alice", version_file("1.1.0"))
    assert "nowhere" in pushed(server, "bob", pointer_file("1.0.0"))


def test_two_pushes_at_once_lose_nothing(server: Server) -> None:
    """One of them wins; the other is refused and wins on the new tip."""

    def register(version: str) -> int:
        for attempt in range(1, 6):
            clone = server.path.parent / f"{version}-{attempt}"
            run(["git", "clone", "--quiet", str(server.path), str(clone)], server.path.parent)
            for path, data in version_file(version).items():
                (clone / path).write_bytes(data)
            run(["git", "add", "--all"], clone)
            run(["git", "commit", "--quiet", "-m", f"Register {version}"], clone)
            done = run(["git", "push", "origin", "HEAD:main"], clone, environment={"GL_USER": "alice"}, check=False)
            if done.returncode == 0:
                return attempt
        return 0

    with ThreadPoolExecutor(3) as pool:
        attempts = list(pool.map(register, ["1.1.0", "1.2.0", "1.3.0"]))

    assert all(attempts)
    names = server.git("ls-tree", "--name-only", "main", "models/risk/fraud/").split()
    assert {name.rpartition("/")[2] for name in names} >= {"1.1.0.yaml", "1.2.0.yaml", "1.3.0.yaml"}


# Written by the client


@pytest.fixture
def clients(server: Server) -> Server:
    """A registry whose clients write deploy tags."""
    server.git("config", "gitreg.deploytags", "client")
    with Repository.open(server.path) as repository:
        configure_server(repository)
    return server


def tag(server: Server, number: int = 1, *, target: str | None = None, **changes: str) -> str:
    trailers = {
        "Model": "risk/fraud",
        "Version": "1.0.0",
        "Environment": "staging",
        "Action": "deploy",
        "Reason": "Ship it",
        **changes,
    }
    lines = "".join(f"{key}: {value}\n" for key, value in trailers.items() if value)
    name = f"deploy/staging/risk/fraud/{number}"
    head = f"object {target or server.tip()}\ntype commit\ntag {name}\ntagger CI <ci@example.org> 1 +0000\n\n"
    return server.client.run(["mktag"], input=f"{head}It runs\n\n{lines}".encode()).decode().strip()


def test_the_exact_tag_is_accepted_from_a_client(clients: Server) -> None:
    pushed(clients, "bob", pointer_file("1.0.0"), "Ship it")
    assert clients.refs(TAGS) == []

    done = clients.send("bob", f"{tag(clients)}:{TAGS}staging/risk/fraud/1")

    assert done.accepted, done.said
    assert clients.refs(TAGS) == [f"{TAGS}staging/risk/fraud/1"]


def test_the_exact_tag_may_come_with_its_commit(clients: Server) -> None:
    tip = clients.commit(pointer_file("1.0.0"), "Ship it")

    forged = tag(clients, target=tip, Actor="root")
    assert clients.send("bob", f"{tip}:{MAIN}", f"{forged}:{TAGS}staging/risk/fraud/1").codes == [Code.TAG_WRONG]
    exact = tag(clients, target=tip, Actor="bob")
    done = clients.send("bob", f"{tip}:{MAIN}", f"{exact}:{TAGS}staging/risk/fraud/1")
    assert done.accepted, done.said


def test_a_wrong_tag_is_refused_from_a_client(clients: Server) -> None:
    before = clients.tip()
    pushed(clients, "bob", pointer_file("1.0.0"), "Ship it")
    ref = f"{TAGS}staging/risk/fraud/1"
    wrong = {
        "version": f"{tag(clients, Version='1.1.0')}:{ref}",
        "action": f"{tag(clients, Action='promote')}:{ref}",
        "actor": f"{tag(clients, Actor='root')}:{ref}",
        "anchor": f"{tag(clients, Audit='f' * 64)}:{ref}",
        "commit": f"{tag(clients, target=before)}:{ref}",
        "number": f"{tag(clients, 2)}:{TAGS}staging/risk/fraud/2",
        "inner name": f"{tag(clients, 2)}:{ref}",
        "environment": f"{tag(clients)}:{TAGS}prod/risk/fraud/1",
        "lightweight": f"{clients.tip()}:{ref}",
    }

    for name, spec in wrong.items():
        assert set(clients.send("root", spec).codes) == {Code.TAG_WRONG}, name
    assert clients.refs(TAGS) == []


def test_a_tag_of_a_client_neither_moves_nor_goes(clients: Server) -> None:
    pushed(clients, "bob", pointer_file("1.0.0"), "Ship it")
    ref = f"{TAGS}staging/risk/fraud/1"
    assert clients.send("bob", f"{tag(clients)}:{ref}").accepted

    assert clients.send("root", f"+{tag(clients, Actor='bob')}:{ref}").codes == [Code.TAG_MOVED]
    assert clients.send("root", f":{ref}").codes == [Code.TAG_MOVED]


def test_forged_tags_of_clients_do_not_make_a_rollback(clients: Server) -> None:
    """Who may only roll back cannot make an earlier state up."""
    pushed(clients, "alice", version_file("1.1.0"))
    pushed(clients, "bob", pointer_file("1.0.0"), "Ship it")
    clients.git("tag", "-a", "-m", "x", "deploy/staging/risk/fraud/1", clients.git("rev-parse", "main^"))

    assert clients.push("carol", pointer_file("1.1.0")).codes == [Code.ACCESS_DENIED]


def test_an_unknown_way_to_write_tags_refuses(server: Server) -> None:
    server.git("config", "gitreg.deploytags", "nobody")

    assert server.push("alice", version_file("1.1.0")).codes == [Code.INTERNAL]
