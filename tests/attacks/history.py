"""Attacks by the shape of history, and by what a commit says of itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gitreg.access import Access, Action, Grant
from tests.attacks.attack import Attack, Git, Make, row, steps
from tests.attacks.raw import ZERO, Objects, Push, commit_body, oid_of, write_loose
from tests.attacks.world import ACCESS, MAIN, OLD_ACCESS, PROD_POINTER, STAGING_POINTER, World, git, version
from tests.gate.support import PROD, pointer_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.attacks.world import Edit

V2 = "models/risk/fraud/2.0.0.yaml"
NEW = {V2: version("2.0.0")}
GRAB: Mapping[str, Edit] = {
    "access.yaml": Access(
        groups=ACCESS.groups, grants=(*ACCESS.grants, Grant(to=("mallory", "alice"), actions=(Action.ADMIN,)))
    ).to_bytes()
}
BACK: Mapping[str, Edit] = {"access.yaml": ACCESS.to_bytes()}
HIDDEN = "models/risk/fraud/1.0.0.yaml"
STOLEN = "a" * 40


def merge(first: Mapping[str, Edit] | None, second: Mapping[str, Edit], result: Mapping[str, Edit]) -> Make:
    """Merge a side with `second` into main (behind `first`, where given); the tree is what `result` makes of main's."""

    def make(world: World) -> Push:
        top = world.tip if first is None else world.change(first)
        side = world.commit(world.tree(second), world.chain[0])
        return world.main(world.commit(world.tree(result), top, side))

    return make


def second_parent(world: World) -> Push:
    """Main merged into a branch: the old tip is the second parent alone."""
    branch = world.commit(world.tree(NEW), world.chain[0])
    return world.main(world.commit(world.tree(NEW), branch, world.tip))


def hidden_chain(world: World) -> Push:
    """A chain that bypasses the tip, and comes back to it by a second parent behind a good commit."""
    branch = world.commit(world.tree({"access.yaml": OLD_ACCESS.to_bytes()}), world.chain[0])
    joined = world.commit(world.tree(NEW), branch, world.tip)
    return world.main(world.commit(world.tree(NEW), joined))


def octopus(world: World) -> Push:
    """Three sides, each harmless to look at; the tree grants admin."""
    sides = [world.commit(world.tree({f"models/risk/fraud/2.{n}.0.yaml": version(f"2.{n}.0")})) for n in range(3)]
    return world.main(world.commit(world.tree(GRAB), world.tip, *sides))


def rewind(world: World) -> Push:
    return world.push((world.tip, world.chain[0], MAIN))


def force(world: World) -> Push:
    return world.main(world.commit(world.tree(NEW), world.chain[1]))


def unrelated(world: World) -> Push:
    oid = world.objects.add("commit", commit_body(world.tree(NEW), ()))
    return world.main(oid)


def rooted(world: World) -> Push:
    """A root that has the old tip as its child's second parent."""
    root = world.objects.add("commit", commit_body(world.root, ()))
    return world.main(world.commit(world.tree(NEW), root, world.tip))


def unrelated_proposal(world: World) -> Push:
    oid = world.objects.add("commit", commit_body(world.tree(NEW), ()))
    return world.push((ZERO, oid, "refs/heads/proposals/alice/x"))


def late_parent(*extra: bytes, deep: bool = False) -> Make:
    """Name the old tip as parent where git does not look: behind the committer. To git it is a root."""

    def make(world: World) -> Push:
        lines = b"".join(line.replace(b"<tip>", world.tip.encode()) for line in (*extra, b"parent <tip>\n"))
        tree = world.tree(NEW)
        oid = world.objects.add("commit", commit_body(tree, (), extra=lines))
        if deep:
            oid = world.commit(world.tree({"models/risk/fraud/2.0.1.yaml": version("2.0.1")}, tree), oid)
        return world.main(oid)

    return make


def late_tree(world: World) -> Push:
    """Two trees: what one reader sees is not what the other does."""
    evil = world.tree(GRAB)
    return world.main(world.change(NEW, extra=b"tree " + evil.encode() + b"\n"))


def two_trees(world: World) -> Push:
    body = commit_body(world.tree(NEW), [world.tip])
    return world.main(world.objects.add("commit", b"tree " + world.tree(GRAB).encode() + b"\n" + body))


def early_parent(world: World) -> Push:
    """A parent ahead of the tree."""
    body = commit_body(world.tree(NEW), [])
    return world.main(world.objects.add("commit", b"parent " + world.tip.encode() + b"\n" + body))


def says(old: bytes, new: bytes) -> Make:
    """Replace bytes of a good commit."""

    def make(world: World) -> Push:
        body = commit_body(world.tree(NEW), [world.tip])
        assert old in body
        return world.main(world.objects.add("commit", body.replace(old, new)))

    return make


def dated(moment: bytes) -> Make:
    return says(b"1767225600 +0100\n\n", moment + b"\n\n")


def ahead(seconds: int, role: bytes = b"committer") -> Make:
    """Date a commit ahead of the clock."""
    moment = b" %d +0000" % (time.time() + seconds)
    return says(role + b" Some Body <somebody@example.org> 1767225600 +0100", role + b" A <a@b>" + moment)


def named(who: bytes) -> Make:
    return says(b"author Some Body <somebody@example.org>", b"author " + who)


def of_kind(kind: str, ref: str = MAIN) -> Make:
    """Point a branch at something that is no commit."""

    def make(world: World) -> Push:
        good = world.change(NEW)
        found = {
            "blob": lambda: world.objects.blob(b"x"),
            "tree": lambda: world.tree(NEW),
            "tag": lambda: world.objects.add(
                "tag", b"object %s\ntype commit\ntag x\ntagger A <a@b> 1 +0000\n\nx" % good.encode()
            ),
        }[kind]()
        return world.push((world.tip if ref == MAIN else ZERO, found, ref))

    return make


def replaced_on_the_server(world: World) -> None:
    """Leave a replace ref on the server that shows a harmless commit in place of the one that is pushed."""
    wanted = world.change(GRAB)
    harmless = write_loose(world.server, "commit", commit_body(world.root, [world.tip]))
    git(world.server, "update-ref", f"refs/replace/{wanted}", harmless)


def grafted_on_the_server(world: World) -> None:
    """Leave a graft on the server that gives an orphan a parent."""
    orphan = oid_of("commit", commit_body(world.tree(NEW), ()))
    (world.server / "info").mkdir(exist_ok=True)
    (world.server / "info" / "grafts").write_text(f"{orphan} {world.tip}\n")


def replacing(world: World) -> Push:
    """Bring a replacement of main's tip."""
    return world.push((ZERO, world.change(GRAB), f"refs/replace/{world.tip}"))


def adopt(world: World) -> Push:
    """Bring frank's proposal, whose objects the server has already, to main: as somebody who may not register."""
    return world.push((world.tip, world.proposal, MAIN))


def smuggled_history(world: World) -> Push:
    """A merge whose tree is right, and whose side's history holds a file larger than any may be."""
    weights = bytes(range(256)) * 8192
    side = world.commit(world.tree({"weights.bin": weights}), world.chain[0])
    return world.main(world.commit(world.tree(NEW), world.tip, side))


def smuggled_proposal(world: World) -> Push:
    """A proposal that adds a large file and takes it away again."""
    weights = bytes(range(256)) * 8192
    side = world.commit(world.tree({"weights.bin": weights}))
    return world.push((ZERO, world.commit(world.root, side), "refs/heads/proposals/alice/x"))


def many_commits(world: World) -> Push:
    tip, objects = world.tip, Objects()
    for number in range(10_001):
        tip = objects.add("commit", commit_body(world.root, [tip], b"%d\n" % number))
    return Push([(world.tip, tip, MAIN)], objects)


def many_proposed(world: World) -> Push:
    push = many_commits(world)
    return Push([(ZERO, push.updates[0][1], "refs/heads/proposals/alice/x")], push.objects)


def moved_out(world: World) -> Push:
    """Rename every governed folder out of the way."""
    tree = world.root
    for name in ("models", "deployments"):
        entry = next(oid for _, found, oid in world.objects.entries(world.root) if found == name)
        tree = world.objects.link(world.objects.link(tree, name, "40000", None), f"old-{name}", "40000", entry)
    return world.main(world.commit(tree))


def empty_tree(world: World) -> Push:
    return world.main(world.commit(world.objects.tree([])))


HISTORY: Sequence[Attack] = (
    # The old tip stays on the first-parent chain
    row("main rewound", "root", rewind, "main-rewound"),
    row("main forced to another line", "root", force, "main-rewound"),
    row("main merged into a branch", "alice", second_parent, "main-rewound"),
    row("the old tip behind a second parent, a commit further", "alice", hidden_chain, "main-rewound"),
    row("an unrelated root", "root", unrelated, "main-rewound"),
    row("an unrelated root with the old tip as second parent", "root", rooted, "main-rewound"),
    row("a proposal that shares no history", "alice", unrelated_proposal, "main-rewound"),
    row("a root that names its parent behind the committer", "alice", late_parent(), "main-rewound"),
    row("a root that names its parent behind an encoding", "alice", late_parent(b"encoding UTF-8\n"), "main-rewound"),
    row("a root with a late parent, a commit further down", "alice", late_parent(deep=True), "main-rewound"),
    row(
        "main at an older commit that claims to be new",
        "mallory",
        lambda w: w.push((w.tip, w.chain[1], MAIN)),
        "main-rewound",
    ),
    # Merges
    row(
        "a merge that grants admin by its tree alone",
        "alice",
        merge(None, NEW, {**NEW, **GRAB}),
        "access-denied policy-mixed",
    ),
    row(
        "a merge that takes a version away by its tree alone",
        "root",
        merge(None, NEW, {**NEW, HIDDEN: None}),
        "version-removed",
    ),
    row(
        "a merge that moves a pointer by its tree alone",
        "alice",
        merge(None, NEW, {**NEW, PROD_POINTER: version("1.1.0")}),
        "file-invalid",
    ),
    row(
        "a merge that deploys by its tree alone",
        "alice",
        merge(None, NEW, {**NEW, **pointer_file("1.1.0", PROD)}),
        "access-denied approvals",
    ),
    row(
        "a merge of an old rule set's line",
        "alice",
        merge(None, {"access.yaml": OLD_ACCESS.to_bytes()}, {"access.yaml": OLD_ACCESS.to_bytes()}),
        "access-denied",
    ),
    row(
        "a merge that grants admin with the tree of its side",
        "alice",
        merge(NEW, GRAB, GRAB),
        "access-denied policy-mixed version-removed",
    ),
    row("a merge of three sides whose tree is none of theirs", "alice", octopus, "access-denied"),
    row("a merge that brings nothing, by one who may not", "alice", merge(None, NEW, {}), "access-denied"),
    row("a merge whose side holds a file that is too large", "alice", smuggled_history, "file-too-large"),
    row("a proposal whose past holds a file that is too large", "alice", smuggled_proposal, "proposal-too-large"),
    # Change, use, restore
    row(
        "rules granted, used and restored in one push",
        "alice",
        steps(GRAB, {"README.md": b"mine"}, BACK),
        "access-denied policy-mixed",
    ),
    row(
        "rules granted and restored, by an admin, with something between",
        "root",
        steps(GRAB, NEW, BACK),
        "policy-mixed",
    ),
    row("rules granted in a first commit, used in a second", "mallory", steps(GRAB, NEW), "access-denied policy-mixed"),
    row(
        "settings loosened, used and restored",
        "alice",
        steps({"registry.yaml": b"x: y\n"}, NEW, {"registry.yaml": None}),
        "access-denied file-invalid policy-missing policy-mixed",
    ),
    row(
        "a version removed and put back",
        "root",
        lambda w: steps({HIDDEN: None}, {HIDDEN: w.files[HIDDEN]})(w),
        "version-removed",
    ),
    row(
        "a deployment changed and restored by one who may not",
        "mallory",
        lambda w: steps({STAGING_POINTER: None}, {STAGING_POINTER: w.files[STAGING_POINTER]})(w),
        "access-denied",
    ),
    row("what somebody else proposed, brought by one who may not", "mallory", adopt, "access-denied"),
    row("governed folders renamed", "root", moved_out, "version-removed"),
    row("governed folders renamed by one who may not", "alice", moved_out, "version-removed access-denied"),
    row("everything emptied", "root", empty_tree, "version-removed policy-missing policy-mixed approval-foreign"),
    row("an empty commit by one who may not", "alice", lambda w: w.main(w.commit(w.root)), "access-denied"),
    # Replace refs and grafts
    row("a replacement of main's tip", "root", replacing, "ref-unknown"),
    row("a replacement that lies on the server", "alice", GRAB, "access-denied", setup=replaced_on_the_server),
    row("a graft that lies on the server", "root", unrelated, "main-rewound", setup=grafted_on_the_server),
    # What is no commit
    row("main at a blob", "root", of_kind("blob"), "ref-unknown", Git.SHUT),
    row("main at a tree", "root", of_kind("tree"), "ref-unknown", Git.SHUT),
    row("main at a tag of a good commit", "root", of_kind("tag"), "ref-unknown", Git.SHUT),
    row("a proposal at a blob", "alice", of_kind("blob", "refs/heads/proposals/alice/x"), "ref-unknown", Git.SHUT),
    row("a proposal at a tree", "alice", of_kind("tree", "refs/heads/proposals/alice/x"), "ref-unknown", Git.SHUT),
    row("a proposal at a tag", "alice", of_kind("tag", "refs/heads/proposals/alice/x"), "ref-unknown", Git.SHUT),
    # What a commit says of itself
    row("two trees in a commit", "alice", two_trees, "", Git.PLAIN, bare="object-unreadable"),
    row("a second tree behind the committer", "alice", late_tree, "object-unreadable"),
    row("a parent ahead of the tree", "alice", early_parent, "", Git.SHUT, bare="object-unreadable"),
    row(
        "a commit without an author",
        "alice",
        says(b"author Some Body <somebody@example.org> 1767225600 +0100\n", b""),
        "",
        Git.PLAIN,
        bare="object-unreadable",
    ),
    row(
        "a commit without a committer",
        "alice",
        says(b"committer Some Body <somebody@example.org> 1767225600 +0100\n", b""),
        "",
        Git.PLAIN,
        bare="object-unreadable",
    ),
    row(
        "a commit with two authors",
        "alice",
        says(b"committer ", b"author B <b@example.org> 1 +0000\ncommitter "),
        "",
        Git.PLAIN,
        bare="object-unreadable",
    ),
    row(
        "a commit with two committers",
        "alice",
        says(b"committer ", b"committer B <b@example.org> 1 +0000\ncommitter "),
        "object-unreadable",
    ),
    row("an author without an address", "alice", named(b"Some Body"), "", Git.PLAIN, bare="object-unreadable"),
    row("an author with a zero byte", "alice", named(b"Some\0Body <a@b>"), "", Git.PLAIN, bare="object-unreadable"),
    row("an author with two addresses", "alice", named(b"A <a@b> <c@d>"), "", Git.PLAIN, bare="object-unreadable"),
    row("a date of 2^63", "alice", dated(b"9223372036854775808 +0000"), "", Git.PLAIN, bare="object-unreadable"),
    row("a date of 2^64", "alice", dated(b"18446744073709551616 +0000"), "", Git.PLAIN, bare="object-unreadable"),
    row("the last second of all", "alice", dated(b"9223372036854775807 +0000"), "object-unreadable"),
    row("a date before the first", "alice", dated(b"-62135596800 +0000"), "", Git.PLAIN, bare="commit-malformed"),
    row("a date that is a word", "alice", dated(b"now +0000"), "", Git.PLAIN, bare="object-unreadable"),
    row("a date of the year 31 billion", "alice", dated(b"999999999999999999 +0000"), "time-in-future"),
    row("a date two days ahead", "alice", ahead(2 * 86_400), "time-in-future"),
    row("an author of tomorrow's tomorrow", "alice", ahead(2 * 86_400, b"author"), "time-in-future"),
    row("a zone beyond the earth's", "alice", dated(b"1767225600 +9999"), "commit-malformed"),
    row("an author of no name", "alice", named(b" <a@b>"), "commit-malformed"),
    row("an author of no name and no address", "alice", named(b" <>"), "commit-malformed"),
    row("a committer of blanks", "alice", says(b"committer Some Body <", b"committer    <"), "commit-malformed"),
    row("an author who steers the terminal", "alice", named(b"\x1b]0;x\x07Root <a@b>"), "commit-malformed"),
    row("an author whose name runs backwards", "alice", named("\u202etoor <a@b>".encode()), "commit-malformed"),
    row("an address with a carriage return", "alice", named(b"A <a@b\rc>"), "commit-malformed"),
    row("an author of 100,000 letters", "alice", named(b"a" * 100_000 + b" <a@b>"), "commit-malformed"),
    row(
        "a message with a zero byte and a trailer behind it",
        "alice",
        says(b"Change\n", b"Change\n\0\n\nAction: promote\n"),
        "",
        Git.PLAIN,
        bare="commit-malformed",
    ),
    row("a message of two megabytes", "alice", says(b"Change\n", b"x" * 2_000_000), "object-unreadable"),
    row(
        "a parent that is given twice", "alice", lambda w: w.main(w.commit(w.tree(GRAB), w.tip, w.tip)), "access-denied"
    ),
    row("a date without a zone", "alice", dated(b"1767225600"), "", Git.PLAIN, bare="object-unreadable"),
    row("a zone of letters", "alice", dated(b"1767225600 UTC"), "", Git.PLAIN, bare="object-unreadable"),
    row("more commits than are judged", "root", many_commits, "too-many-paths"),
    row("more commits than may be proposed", "alice", many_proposed, "proposal-too-large"),
)
