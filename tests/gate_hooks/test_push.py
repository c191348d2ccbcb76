"""Real pushes to a real registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.access import Action
from gitreg.gate import Code
from gitreg.git import write_commit
from tests.gate.support import (
    BOB,
    PROD,
    approval_file,
    model_file,
    only,
    pointer_file,
    start,
    tombstone_file,
    version_file,
)
from tests.gate_hooks.support import SOMEBODY, ZERO, Server, run

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "refs/heads/main"


def test_who_may_registers(server: Server) -> None:
    before = server.tip()

    pushed = server.push("alice", version_file("1.1.0"))

    assert pushed.accepted, pushed.said
    assert server.git("rev-parse", f"{MAIN}^") == before


def test_who_may_not_is_refused_and_nothing_moves(server: Server) -> None:
    before = server.tip()

    pushed = server.push("bob", version_file("1.1.0"))

    assert not pushed.accepted
    assert pushed.codes == [Code.ACCESS_DENIED]
    assert "bob may not register risk/fraud" in pushed.said
    assert "may: alice, root" in pushed.said
    assert server.tip() == before


def test_author_and_committer_are_no_identity(server: Server) -> None:
    """The commit says that root wrote it."""
    root = type(SOMEBODY)("root", "root@example.org", SOMEBODY.time)
    oid = write_commit(server.client, parent=server.tip(), edits={"x": b"x"}, message="x", author=root, committer=root)

    assert server.send("bob", f"{oid}:{MAIN}").codes == [Code.ACCESS_DENIED]


def test_push_options_are_no_identity(server: Server) -> None:
    server.git("config", "receive.advertisePushOptions", "true")
    oid = server.commit({"x": b"x"})

    pushed = server.send("bob", f"{oid}:{MAIN}", options=["-o", "GL_USER=root", "-o", "actor=root"])

    assert pushed.codes == [Code.ACCESS_DENIED]


@pytest.mark.parametrize("who", [None, "", "Alice", "group:team", "../root", "eve"])
def test_an_actor_whom_the_server_does_not_name_or_the_rules_do_not_know_is_refused(
    server: Server, who: str | None
) -> None:
    pushed = server.push(who, version_file("1.1.0"))

    assert not pushed.accepted
    assert Code.ACTOR_UNKNOWN in pushed.codes


def test_no_source_of_identity_refuses(server: Server) -> None:
    server.git("config", "--unset", "gitreg.identity")
    assert server.push("root", {"x": b"x"}).codes == [Code.ACTOR_UNKNOWN]

    server.git("config", "gitreg.identity", "GL_USERS")
    pushed = server.push("root", {"x": b"x"})
    assert not pushed.accepted
    assert "did you mean GL_USER" in pushed.said


def test_every_violation_of_every_commit_comes_at_once(server: Server) -> None:
    tip = server.commits(
        version_file("1.1.0", labels={"a": "b"}), {"models/risk/fraud/1.0.0.yaml": None}, {"models/x": b""}
    )

    assert server.send("alice", f"{tip}:{MAIN}").codes == [
        Code.VERSION_REMOVED,
        Code.ACCESS_DENIED,
        Code.FILE_INVALID,
    ]


# History


def test_each_commit_is_judged_even_where_the_last_puts_it_right(server: Server) -> None:
    tip = server.commits({"models/risk/fraud/1.0.0.yaml": None}, version_file())

    assert Code.VERSION_REMOVED in server.send("root", f"{tip}:{MAIN}").codes


def test_main_is_never_rewound(server: Server) -> None:
    old = server.tip()
    assert server.push("alice", version_file("1.1.0")).accepted

    assert server.send("root", f"+{old}:{MAIN}").codes == [Code.MAIN_REWOUND]
    assert server.send("root", f"+{server.commit({'x': b'x'}, parent=old)}:{MAIN}").codes == [Code.MAIN_REWOUND]


def test_an_unrelated_history_is_refused(server: Server) -> None:
    orphan = write_commit(server.client, parent=None, edits=start(), message="x", author=SOMEBODY, committer=SOMEBODY)

    assert server.send("root", f"+{orphan}:{MAIN}").codes == [Code.MAIN_REWOUND]


def merge(server: Server, parents: list[str], tree_of: str) -> str:
    tree = server.client.objects.commit(tree_of).tree
    above = [arg for parent in parents for arg in ("-p", parent)]
    return server.client.run(["commit-tree", *above, "-m", "Merge", tree]).decode().strip()


def test_a_merge_is_judged_by_all_that_it_brings(server: Server) -> None:
    base = server.tip()
    good = server.commit(version_file("1.1.0"))
    bad = server.commit({"README.md": b"mine\n"})

    assert server.send("alice", f"{merge(server, [base, bad], bad)}:{MAIN}").codes == [Code.ACCESS_DENIED]
    assert server.send("alice", f"{merge(server, [base, good], good)}:{MAIN}").accepted


def test_a_merge_whose_tree_is_that_of_neither_side_is_judged_by_its_tree(server: Server) -> None:
    base = server.tip()
    side = server.commit(version_file("1.1.0"))
    evil = server.commit({"models/risk/fraud/1.0.0.yaml": None})

    assert Code.VERSION_REMOVED in server.send("root", f"{merge(server, [base, side], evil)}:{MAIN}").codes


def test_the_old_tip_is_on_the_first_parent_chain_of_the_new_one(server: Server) -> None:
    """Main merged into a branch, not the branch into main."""
    base = server.tip()
    branch = server.commit(version_file("1.1.0"), parent=base)
    assert server.push("alice", version_file("1.2.0")).accepted
    both = server.commit(version_file("1.1.0"))

    pushed = server.send("alice", f"{merge(server, [branch, server.tip()], both)}:{MAIN}")

    assert pushed.codes == [Code.MAIN_REWOUND]
    assert "merge your branch into main" in pushed.said


def test_an_empty_commit_needs_admin(server: Server) -> None:
    assert server.push("alice", {}).codes == [Code.ACCESS_DENIED]
    assert server.push("root", {}).accepted


def test_a_merge_that_brings_nothing_is_an_empty_commit(server: Server) -> None:
    base = server.tip()
    side = server.commit(version_file("1.1.0"))

    assert server.send("alice", f"{merge(server, [base, side], base)}:{MAIN}").codes == [Code.ACCESS_DENIED]


def test_a_plain_revert_of_a_registration_is_refused_with_the_way_out(server: Server, tmp_path: Path) -> None:
    assert server.push("alice", version_file("1.1.0")).accepted
    clone = tmp_path / "clone"
    run(["git", "clone", "--quiet", str(server.path), str(clone)], tmp_path)
    run(["git", "revert", "--no-edit", "HEAD"], clone)

    done = run(["git", "push", "origin", "HEAD:main"], clone, environment={"GL_USER": "alice"}, check=False)

    assert done.returncode != 0
    assert "[version-removed] models/risk/fraud/1.1.0.yaml" in done.stderr
    assert "gitreg yank risk/fraud@1.1.0" in done.stderr
    assert "gitreg delete risk/fraud@1.1.0" in done.stderr


# Rules


def test_rules_and_what_they_allow_do_not_come_in_one_push(server: Server) -> None:
    granted = {"access.yaml": only(BOB, Action.REGISTER).to_bytes()}
    tip = server.commits(granted, version_file("1.1.0"))

    assert server.send("root", f"{tip}:{MAIN}").codes == [Code.POLICY_MIXED]


def test_the_rules_from_before_the_push_decide(server: Server) -> None:
    text = start()["access.yaml"].replace(b"- bob", b"- bob\n  - eve")
    tip = server.commits({"access.yaml": text}, version_file("1.1.0"))

    codes = server.send("bob", f"{tip}:{MAIN}").codes

    assert codes.count(Code.ACCESS_DENIED) == 2
    assert Code.POLICY_MIXED in codes


def test_the_last_admin_stays(server: Server) -> None:
    text = start()["access.yaml"].replace(b"root", b"nobody")
    assert server.push("root", {"access.yaml": text}).accepted
    assert server.push("nobody", {"access.yaml": text.replace(b"admin", b"read")}).codes != []


# Objects


def test_links_programs_and_submodules_stay_out_of_governed_folders(server: Server) -> None:
    blob = (
        server.client.run(["hash-object", "-w", "--stdin"], input=version_file("1.1.0").popitem()[1]).decode().strip()
    )
    for mode, oid in (("120000", blob), ("100755", blob), ("160000", server.tip())):
        tip = with_entry(server, mode, oid, "models/risk/fraud/1.1.0.yaml")
        assert Code.FILE_MODE in server.send("root", f"{tip}:{MAIN}").codes, mode


def with_entry(server: Server, mode: str, oid: str, path: str) -> str:
    """Write a commit that has an entry of any mode."""
    index = {"GIT_INDEX_FILE": str(server.client.git_dir / "forged")}
    (server.client.git_dir / "forged").unlink(missing_ok=True)
    server.client.run(["read-tree", server.tip()], environment=index)
    server.client.run(["update-index", "--add", "--cacheinfo", f"{mode},{oid},{path}"], environment=index)
    tree = server.client.run(["write-tree"], environment=index).decode().strip()
    return server.client.run(["commit-tree", "-p", server.tip(), "-m", "x", tree]).decode().strip()


def raw_tree(server: Server, *entries: tuple[bytes, bytes, str]) -> str:
    data = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
    args = ["hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
    return server.client.run(args, input=data).decode().strip()


@pytest.mark.parametrize(
    "names", [(b"a", b"a"), (b"b", b"a"), (b".GIT",), (b"..",), (b"a\nb",), (b"a\xff",), (b"a\\b",)]
)
def test_a_tree_that_lies_is_refused_even_where_git_does_not_look(server: Server, names: tuple[bytes, ...]) -> None:
    server.git("config", "receive.fsckObjects", "false")
    blob = server.client.run(["hash-object", "-w", "--stdin"], input=b"x").decode().strip()
    tree = raw_tree(server, *((b"100644", name, blob) for name in names))
    tip = server.client.run(["commit-tree", "-p", server.tip(), "-m", "x", tree]).decode().strip()

    assert server.send("root", f"{tip}:{MAIN}").codes == [Code.TREE_MALFORMED]


def test_a_tree_that_expands_without_bound_is_refused_at_once(server: Server) -> None:
    blob = server.client.run(["hash-object", "-w", "--stdin"], input=b"x").decode().strip()
    tree = raw_tree(server, *((b"100644", b"%02d" % n, blob) for n in range(100)))
    for _ in range(8):
        tree = raw_tree(server, *((b"40000", b"%02d" % n, tree) for n in range(100)))
    tip = server.client.run(["commit-tree", "-p", server.tip(), "-m", "x", tree]).decode().strip()

    pushed = server.send("root", f"{tip}:{MAIN}")

    assert pushed.codes == [Code.TOO_MANY_PATHS]
    assert "split it" in pushed.said


def test_a_path_is_not_nested_without_bound(server: Server) -> None:
    deep = "/".join("d" * 20)

    assert server.push("root", {deep: b"x"}).codes == [Code.TOO_MANY_PATHS]
    assert server.push("root", {"/".join("d" * 15): b"x"}).accepted


def test_a_large_file_is_refused(server: Server) -> None:
    assert server.push("root", {"notes.txt": b"x" * ((1 << 20) + 1)}).codes == [Code.FILE_TOO_LARGE]


def test_main_points_at_a_commit(server: Server) -> None:
    oid = server.commit({"x": b"x"})
    tag = server.client.run(
        ["mktag"], input=f"object {oid}\ntype commit\ntag x\ntagger A <a@b> 1 +0000\n\nx\n".encode()
    )
    tree = server.client.objects.commit(oid).tree

    assert server.send("root", f"{tag.decode().strip()}:{MAIN}").accepted is False
    assert server.send("root", f"{tree}:{MAIN}").accepted is False
    assert server.hook(f"{server.tip()} {tag.decode().strip()} {MAIN}\n".encode()).accepted is False


# Refs


def test_main_is_not_deleted(server: Server) -> None:
    server.git("config", "receive.denyDeleteCurrent", "ignore")

    assert server.send("root", f":{MAIN}").codes == [Code.MAIN_DELETED]
    assert server.hook(f"{ZERO} {ZERO} {MAIN}\n".encode()).accepted is False
    assert server.tip()


def test_the_first_state_comes_from_the_server_s_owner(server: Server) -> None:
    tip = server.commit({"x": b"x"})
    server.git("update-ref", "-d", MAIN)

    pushed = server.send("root", f"{tip}:{MAIN}")

    assert pushed.codes == [Code.MAIN_CREATED]
    assert "gitreg init" in pushed.said


@pytest.mark.parametrize("ref", ["refs/heads/feature", "refs/tags/v1", "refs/notes/x", "refs/replace/" + "a" * 40])
def test_another_ref_refuses_the_whole_push(server: Server, ref: str) -> None:
    tip = server.commit(version_file("1.1.0"))

    pushed = server.send("root", f"{tip}:{MAIN}", f"{tip}:{ref}")

    assert pushed.codes == [Code.REF_UNKNOWN]
    assert server.refs() == [MAIN]


def test_a_deploy_tag_refuses_the_whole_push(server: Server) -> None:
    tip = server.commit(version_file("1.1.0"))

    pushed = server.send("root", f"{tip}:{MAIN}", f"{tip}:refs/tags/deploy/prod/risk/fraud/1")

    assert pushed.codes == [Code.TAG_BY_SERVER]
    assert server.refs() == [MAIN]


# Proposals


def test_one_s_own_proposal_comes_is_forced_and_goes(server: Server) -> None:
    mine = "refs/heads/proposals/dana/idea"
    first, second = server.commit({"models/x": b"not valid yet"}), server.commit({"y": b"y"})

    assert server.send("dana", f"{first}:{mine}").accepted
    assert server.send("dana", f"+{second}:{mine}").accepted
    assert server.ref(mine) == second
    assert server.send("dana", f":{mine}").accepted
    assert server.ref(mine) is None


def test_somebody_else_s_proposal_is_left_alone(server: Server) -> None:
    oid = server.commit({"y": b"y"})
    assert server.send("dana", f"{oid}:refs/heads/proposals/dana/idea").accepted

    assert server.send("root", f"+{server.tip()}:refs/heads/proposals/dana/idea").codes == [Code.PROPOSAL_FOREIGN]
    assert server.send("root", ":refs/heads/proposals/dana/idea").codes == [Code.PROPOSAL_FOREIGN]


def test_a_proposal_is_bounded(server: Server) -> None:
    mine = "refs/heads/proposals/dana/idea"
    large = server.commit({"weights.bin": b"x" * ((1 << 20) + 1)})
    orphan = write_commit(
        server.client, parent=None, edits={"x": b"x"}, message="x", author=SOMEBODY, committer=SOMEBODY
    )

    assert server.send("dana", f"{large}:{mine}").codes == [Code.PROPOSAL_TOO_LARGE]
    assert server.send("dana", f"{orphan}:{mine}").codes == [Code.MAIN_REWOUND]


def test_a_proposal_is_judged_when_it_reaches_main(server: Server) -> None:
    oid = server.commit({"models/x": b"not valid"})
    assert server.send("alice", f"{oid}:refs/heads/proposals/alice/x").accepted

    assert server.send("alice", f"{oid}:{MAIN}").codes == [Code.FILE_INVALID]


# The hook itself


@pytest.mark.parametrize(
    "data", [b"", b"x\n", b"\0" * 100, b"a" * (3 << 20), ("a" * 40 + " " + "b" * 40 + " " + MAIN).encode()]
)
def test_malformed_input_refuses(server: Server, data: bytes) -> None:
    assert server.hook(data).codes == [Code.REF_MALFORMED]


def test_duplicate_lines_refuse(server: Server) -> None:
    line = f"{server.tip()} {server.tip()} {MAIN}\n".encode()

    assert server.hook(line).accepted
    assert server.hook(line + line).codes == [Code.REF_DUPLICATE]


def test_a_claimed_old_value_is_not_believed(server: Server) -> None:
    assert server.push("alice", version_file("1.1.0")).accepted
    older = server.git("rev-parse", f"{MAIN}^")

    assert server.hook(f"{older} {server.tip()} {MAIN}\n".encode()).codes == [Code.REF_STALE]


def test_an_object_that_is_not_there_refuses(server: Server) -> None:
    assert server.hook(f"{server.tip()} {'b' * 40} {MAIN}\n".encode()).accepted is False


@pytest.mark.parametrize("path", ["access.yaml", "registry.yaml"])
def test_damaged_rules_let_nothing_in(server: Server, path: str) -> None:
    server.move(MAIN, broken := damaged(server, path))

    pushed = server.send("root", f"{server.commit({'x': b'x'}, parent=broken)}:{MAIN}")

    assert pushed.codes == [Code.INTERNAL]


def damaged(server: Server, path: str) -> str:
    """Put a state on the server that no gate let in."""
    oid = server.commit({path: b"not: [valid"})
    server.git("fetch", "--quiet", str(server.client.git_dir), "+refs/heads/*:refs/heads/proposals/root/*")
    server.client.run(["update-ref", "refs/heads/broken", oid])
    server.git("fetch", "--quiet", str(server.client.git_dir), "+refs/heads/broken:refs/heads/proposals/root/broken")
    return oid


def test_a_store_that_is_gone_refuses_versions(server: Server) -> None:
    (server.path.parent / "store").rename(server.path.parent / "elsewhere")

    assert server.push("alice", version_file("1.1.0")).codes == [Code.STORE_UNAVAILABLE]
    assert server.push("alice", model_file(description="Other.")).accepted


def test_a_hook_whose_interpreter_is_gone_refuses(server: Server) -> None:
    hook = server.path / "hooks" / "pre-receive"
    hook.write_text(
        hook.read_text().replace("gitreg.gate_hooks.hook import main", "gitreg.gate_hooks.gone import main")
    )

    assert not server.push("alice", version_file("1.1.0")).accepted


def test_a_log_that_cannot_be_written_refuses(server: Server) -> None:
    (server.path / "gitreg" / "audit.jsonl").unlink()
    (server.path / "gitreg" / "audit.jsonl").mkdir()

    pushed = server.push("alice", version_file("1.1.0"))

    assert not pushed.accepted
    assert "audit log" in pushed.said


def test_what_is_pushed_does_not_steer_the_pusher_s_terminal(server: Server) -> None:
    pushed = server.push("root", {"models/\x9b31mred": b"x", "models/\u202egpj": b"x"})

    assert not pushed.accepted
    assert "\x9b" not in pushed.said
    assert "\u202e" not in pushed.said


# Several at once, end to end


def test_a_version_goes_its_whole_way(server: Server) -> None:
    steps = [
        ("alice", version_file("1.1.0")),
        ("bob", pointer_file("1.1.0")),
        ("dana", approval_file("1.1.0")),
        ("bob", pointer_file("1.1.0", PROD)),
        ("alice", model_file(aliases={"champion": "1.1.0"})),
        ("erin", version_file(lifecycle="yanked")),
        ("erin", tombstone_file(data=version_file(lifecycle="yanked").popitem()[1])),
        ("alice", version_file(lifecycle="yanked")),
    ]
    for who, edits in steps:
        pushed = server.push(who, edits)
        assert pushed.accepted, (who, list(edits), pushed.said)
