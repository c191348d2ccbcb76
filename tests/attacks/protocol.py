"""Attacks by the protocol and by the names of refs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.attacks.attack import Attack, Git, Make, row
from tests.attacks.raw import ZERO, ZERO256, Push, pack, pkt
from tests.attacks.world import MAIN, World, version

if TYPE_CHECKING:
    from collections.abc import Sequence

NEW = {"models/risk/fraud/2.0.0.yaml": version("2.0.0")}
TAG = "refs/tags/deploy/prod/risk/fraud/1"
MINE = "refs/heads/proposals/alice/next"


def creates(ref: str | bytes, *more: str) -> Make:
    """Create refs at a commit that may well go to main."""

    def make(world: World) -> Push:
        new = world.change(NEW)
        return world.push(*((ZERO, new, each) for each in (ref, *more)))

    return make


def at_tip(ref: str) -> Make:
    """Create a ref at main's tip, which brings no object at all."""
    return lambda world: world.push((ZERO, world.tip, ref))


def deletes(ref: str, old: str | None = None, new: str = ZERO) -> Make:
    """Delete a ref, whatever its old value is claimed to be (by default what it is)."""

    def make(world: World) -> Push:
        now = {MAIN: world.tip, "refs/heads/proposals/frank/next": world.proposal}.get(ref, ZERO)
        return world.push((old or now, new, ref))

    return make


def said(*lines: bytes, after: bytes = b"", rest: bool = True) -> Make:
    """Say these lines to receive-pack; T, N and Z in them stand for main's tip, a good new commit, and zeros."""

    def make(world: World) -> Push:
        new = world.change(NEW)
        values = {b"<tip>": world.tip, b"<new>": new, b"<zero>": ZERO}
        text = b""
        for number, line in enumerate(lines):
            for word, value in values.items():
                line = line.replace(word, value.encode())  # noqa: PLW2901
            text += pkt(line + (b"\0 report-status\n" if number == 0 else b"\n"))
        if rest:
            text += b"0000" + after + pack(world.push((world.tip, new, MAIN)).objects)
        return Push([], raw=text)

    return make


def twice(world: World) -> Push:
    """First what is right, then what is wrong."""
    good, bad = world.change(NEW), world.change({"access.yaml": None})
    return world.push((world.tip, good, MAIN), (good, bad, MAIN))


def twice_the_same(world: World) -> Push:
    good = world.change(NEW)
    return world.push((world.tip, good, MAIN), (world.tip, good, MAIN))


def away_and_back(world: World) -> Push:
    """Delete main, then create it anew: as two updates."""
    orphan = world.objects.add("commit", world.objects[world.change(NEW)][1].replace(b"parent ", b"parent ", 1))
    return world.push((world.tip, ZERO, MAIN), (ZERO, orphan, MAIN))


def stale(old: str) -> Make:
    return lambda world: world.push((old, world.change(NEW), MAIN))


def behind(world: World) -> Push:
    """A good commit upon an old tip, which is claimed to be main's."""
    return world.push((world.chain[0], world.commit(world.tree(NEW), world.chain[0]), MAIN))


def many(count: int) -> Make:
    return lambda world: world.push(*((ZERO, world.tip, f"refs/heads/proposals/alice/{n}") for n in range(count)))


def with_main(ref: str) -> Make:
    """Bring a good commit to main, and a ref beside it."""

    def make(world: World) -> Push:
        new = world.change(NEW)
        return world.push((world.tip, new, MAIN), (ZERO, new, ref))

    return make


def as_root(world: World) -> Push:
    """Claim in push options, in the commit and in the capabilities to be root."""
    root = b"root <root@example.org> 1767225600 +0000"
    new = world.change({"README.md": b"mine\n"}, author=root, committer=root, message=b"x\n\nActor: root\n")
    options = [b"GL_USER=root", b"actor=root", b"skip-hooks", b"gitreg.identity=account"]
    return world.main(new, capabilities="report-status push-options agent=root", options=options)


def shallow(world: World) -> Push:
    """Say that history begins with the new commit, so that nobody asks for what came before."""
    new = world.objects.add("commit", world.objects[world.change(NEW)][1])
    orphan = world.commit(world.tree({"access.yaml": None}), "1" * 40)
    return world.push((world.tip, orphan, MAIN), before=[b"shallow " + orphan.encode(), b"shallow " + new.encode()])


def certified(world: World) -> Push:
    """Wrap the commands into a push certificate signed by nobody."""
    new = world.change({"README.md": b"mine\n"})
    lines = [
        b"push-cert\0 report-status\n",
        b"certificate version 0.1\n",
        b"pusher root <root@example.org> 1767225600 +0000\n",
        b"nonce 1-1\n",
        b"\n",
        f"{world.tip} {new} {MAIN}\n".encode(),
        b"-----BEGIN SSH SIGNATURE-----\n",
        b"junk\n",
        b"-----END SSH SIGNATURE-----\n",
        b"push-cert-end\n",
    ]
    objects = world.main(new).objects
    return Push([(world.tip, new, MAIN)], raw=b"".join(map(pkt, lines)) + b"0000" + pack(objects))


def missing_pack(world: World) -> Push:
    new = world.change(NEW)
    return Push([(world.tip, new, MAIN)])


def missing_blob(world: World) -> Push:
    """Leave the new manifest's blob out of the pack."""
    push = world.main(world.change(NEW))
    kept = {oid: each for oid, each in push.objects.items() if each[0] != "blob"}
    return Push(push.updates, kept)


def missing_tree(world: World) -> Push:
    push = world.main(world.change(NEW))
    kept = {oid: each for oid, each in push.objects.items() if each[0] != "tree"}
    return Push(push.updates, kept)


def missing_commit(world: World) -> Push:
    push = world.main(world.steps(NEW, {"README.md": b"x"}))
    first = world.objects[push.updates[0][1]][1].split(b"parent ")[1][:40].decode()
    return Push(push.updates, {oid: each for oid, each in push.objects.items() if oid != first})


def rename_conflict(world: World) -> Push:
    return world.push((ZERO, world.change(NEW), "refs/heads/main/x"))


PROTOCOL: Sequence[Attack] = (
    # Refs that only look known
    row("a tag called main is no main", "root", creates("refs/tags/main"), "ref-unknown"),
    row("a branch below main", "root", creates("refs/heads/main/x"), "ref-unknown", Git.SHUT),
    row("a branch Main beside main", "root", creates("refs/heads/Main"), "ref-unknown"),
    row("a branch MAIN beside main", "root", at_tip("refs/heads/MAIN"), "ref-unknown"),
    row("a branch master beside main", "root", creates("refs/heads/master"), "ref-unknown"),
    row("a branch heads/main, which shortens to main", "root", creates("refs/heads/heads/main"), "ref-unknown"),
    row("a tag refs/heads/main", "root", creates("refs/tags/refs/heads/main"), "ref-unknown"),
    row("a remote's main", "root", creates("refs/remotes/origin/main"), "ref-unknown"),
    row("a main with a Cyrillic a", "root", creates("refs/heads/m\u0430in"), "ref-malformed"),
    row("a main with a zero-width space", "root", creates("refs/heads/main\u200b"), "ref-malformed"),
    row("a main that is no UTF-8", "root", creates(b"refs/heads/main\xff"), "ref-malformed"),
    row("a main of full width", "root", creates("refs/heads/\uff4dain"), "ref-malformed"),
    row("a lock file's name", "root", creates("refs/heads/main.lock"), "ref-malformed", Git.SHUT),
    row("HEAD itself", "root", creates("HEAD"), "ref-malformed", Git.SHUT),
    row("a ref outside refs/", "root", creates("config"), "ref-malformed", Git.SHUT),
    row("a ref in one level", "root", creates("refs/stash"), "ref-unknown", Git.SHUT),
    row("notes", "root", creates("refs/notes/commits"), "ref-unknown"),
    row("gitreg's own refs", "root", creates("refs/gitreg/marked"), "ref-unknown"),
    row("a forge's merge requests", "root", creates("refs/merge-requests/1/head"), "ref-unknown"),
    row("a forge's pull requests", "root", creates("refs/pull/1/head"), "ref-unknown"),
    row("a forge's configuration", "root", creates("refs/meta/config"), "ref-unknown"),
    row("a code review's magic branch", "root", creates("refs/for/refs/heads/main"), "ref-unknown"),
    row("worktree refs", "root", creates("refs/worktree/x"), "ref-unknown"),
    row("bisect refs", "root", creates("refs/bisect/bad"), "ref-unknown"),
    row("the quarantine's folder as a ref", "root", creates("refs/../objects/x"), "ref-malformed", Git.SHUT),
    row("a ref that climbs out of refs", "root", creates("refs/heads/../../config"), "ref-malformed", Git.SHUT),
    row("a ref with an empty part", "root", creates("refs/heads//main"), "ref-malformed", Git.SHUT),
    row("a ref that ends in a slash", "root", creates("refs/heads/main/"), "ref-malformed", Git.SHUT),
    row("a ref that ends in a dot", "root", creates("refs/heads/main."), "ref-malformed", Git.SHUT),
    row("a ref with @{", "root", creates("refs/heads/main@{0}"), "ref-malformed", Git.SHUT),
    row("a ref with a pattern", "root", creates("refs/heads/*"), "ref-malformed", Git.SHUT),
    row("a ref with a space", "root", creates("refs/heads/a b"), "ref-malformed", Git.SHUT),
    row("a ref with a line end", "root", creates("refs/heads/x\nrefs/heads/main"), "ref-malformed", Git.SHUT),
    row("a ref with a control character", "root", creates("refs/heads/x\x1b[2J"), "ref-malformed", Git.SHUT),
    row("an option-like branch", "root", creates("refs/heads/--upload-pack=x"), "ref-unknown"),
    row("a shell-like branch", "root", creates("refs/heads/$(touch${IFS}x)"), "ref-unknown"),
    row("a branch with a command behind it", "root", creates("refs/heads/x;id"), "ref-unknown"),
    row("a ref of 1,200 characters", "root", creates("refs/heads/" + ("a" * 200 + "/") * 6 + "x"), "ref-malformed"),
    # Proposals
    row("the folder of proposals as a branch", "alice", creates("refs/heads/proposals"), "ref-unknown", Git.SHUT),
    row("one's folder of proposals as a branch", "alice", creates("refs/heads/proposals/alice"), "ref-unknown"),
    row(
        "a folder of proposals with nothing behind",
        "alice",
        creates("refs/heads/proposals/alice/"),
        "ref-malformed",
        Git.SHUT,
    ),
    row("somebody else's proposal", "alice", creates("refs/heads/proposals/bob/x"), "proposal-foreign"),
    row("somebody else's proposal, by an admin", "root", creates("refs/heads/proposals/bob/x"), "proposal-foreign"),
    row("a proposal in capitals", "alice", creates("refs/heads/proposals/Alice/x"), "ref-unknown"),
    row("proposals in capitals", "alice", creates("refs/heads/Proposals/alice/x"), "ref-unknown"),
    row("a proposal of a group", "alice", creates("refs/heads/proposals/team/x"), "proposal-foreign"),
    row("a proposal that climbs", "alice", creates("refs/heads/proposals/alice/../bob/x"), "ref-malformed", Git.SHUT),
    row("an option-like proposal", "alice", creates("refs/heads/proposals/alice/-x"), "ref-unknown"),
    row("an option-like part of a proposal", "alice", creates("refs/heads/proposals/alice/a/--exec=x"), "ref-unknown"),
    row("a shell-like proposal", "alice", creates("refs/heads/proposals/alice/$(id)"), "ref-unknown"),
    row("a proposal with a back-tick", "alice", creates("refs/heads/proposals/alice/`id`"), "ref-unknown"),
    row("a proposal with a pipe", "alice", creates("refs/heads/proposals/alice/x|sh"), "ref-unknown"),
    row("a proposal with a quote", "alice", creates("refs/heads/proposals/alice/x';id;'"), "ref-unknown"),
    row(
        "a proposal that no file system can name",
        "alice",
        creates("refs/heads/proposals/alice/" + "x" * 260),
        "ref-unknown",
        Git.SHUT,
    ),
    row("somebody else's proposal deleted", "alice", deletes("refs/heads/proposals/frank/next"), "proposal-foreign"),
    row(
        "somebody else's proposal deleted as if new",
        "alice",
        deletes("refs/heads/proposals/frank/next", ZERO),
        "proposal-foreign",
    ),
    row(
        "somebody else's proposal moved",
        "alice",
        lambda w: w.push((w.proposal, w.change(NEW), "refs/heads/proposals/frank/next")),
        "proposal-foreign",
    ),
    row("a good proposal and a bad ref beside it", "alice", creates(MINE, "refs/heads/x"), "ref-unknown"),
    # Deletions in every spelling
    row("main deleted", "root", deletes(MAIN), "main-deleted", Git.SHUT),
    row("main deleted as if it were not there", "root", deletes(MAIN, ZERO), "main-deleted ref-stale"),
    row("main deleted from a wrong value", "root", deletes(MAIN, "1" * 40), "main-deleted ref-stale", Git.SHUT),
    row("main deleted with the zeros of SHA-256", "root", deletes(MAIN, None, ZERO256), "", Git.SHUT),
    row("main deleted with the zeros of SHA-256 on both sides", "root", deletes(MAIN, ZERO256, ZERO256), "", Git.SHUT),
    row("a deploy tag deleted", "root", lambda w: w.push((w.tags[TAG], ZERO, TAG)), "tag-by-server", Git.PLAIN),
    row(
        "an unknown ref deleted", "root", lambda w: w.push((w.tip, ZERO, "refs/heads/nothing")), "ref-unknown", Git.SHUT
    ),
    row("main deleted and made anew", "root", away_and_back, "ref-duplicate main-deleted ref-stale", Git.SHUT),
    row("main deleted by nobody", None, deletes(MAIN, ZERO), "actor-unknown"),
    # Old values and several updates
    row("main claimed not to exist", "alice", stale(ZERO), "ref-stale", Git.SHUT),
    row("main claimed to be what it was before", "alice", behind, "ref-stale", Git.SHUT),
    row("main claimed to be an object that is not there", "alice", stale("1" * 40), "ref-stale", Git.SHUT),
    row("main updated twice, the second time badly", "alice", twice, "ref-duplicate ref-stale"),
    row("main updated twice alike", "alice", twice_the_same, "ref-duplicate", Git.SHUT),
    row("more refs than are read", "alice", many(1001), "ref-malformed"),
    row("a good commit with a foreign proposal", "alice", with_main("refs/heads/proposals/bob/x"), "proposal-foreign"),
    row(
        "a good commit with a deploy tag",
        "alice",
        with_main("refs/tags/deploy/prod/risk/fraud/2"),
        "tag-by-server",
        Git.PLAIN,
    ),
    row("a good commit with an unknown ref", "alice", with_main("refs/heads/x"), "ref-unknown"),
    # Identity
    row(
        "push options, capabilities and author say root",
        "mallory",
        as_root,
        "access-denied",
        configure={"receive.advertisePushOptions": "true"},
    ),
    row("a push certificate signed by nobody", "mallory", certified, "access-denied", leaves=1),
    row("nobody pushes", None, NEW, "actor-unknown"),
    row("an empty name pushes", "", NEW, "actor-unknown"),
    row("a name with a line end pushes", "root\n", NEW, "actor-unknown"),
    row("a name in capitals pushes", "ROOT", NEW, "actor-unknown"),
    row("a group pushes", "group:admins", NEW, "actor-unknown"),
    row("a group's bare name pushes", "admins", NEW, "actor-unknown"),
    row("somebody unknown pushes", "eve", NEW, "actor-unknown"),
    row("somebody unknown proposes", "eve", creates("refs/heads/proposals/eve/x"), "actor-unknown"),
    row("somebody unknown pushes what is there", "eve", lambda w: w.push((w.tip, w.tip, MAIN)), "actor-unknown"),
    row("the name of a look-alike pushes", "r\u043eot", NEW, "actor-unknown"),
    # Objects that do not come
    row("a pack without the commit", "alice", missing_pack, "object-unreadable", Git.SHUT),
    row("a pack without a blob", "alice", missing_blob, "", Git.SHUT, bare="object-unreadable"),
    row("a pack without a tree", "alice", missing_tree, "", Git.SHUT, bare="object-unreadable"),
    row("a pack without a commit between", "alice", missing_commit, "", Git.SHUT, bare="object-unreadable"),
    row("a history that is said to be shallow", "alice", shallow, "object-unreadable", Git.SHUT),
    # Lines that git itself does not take
    row("a line without an old value", "root", said(b"<new> refs/heads/main"), "", Git.SHUT),
    row("a line with a short id", "root", said(b"1234 <new> refs/heads/main"), "", Git.SHUT),
    row(
        "a line with an id in capitals",
        "root",
        said(b"<tip> " + b"A" * 40 + b" refs/heads/main"),
        "object-unreadable",
        Git.SHUT,
    ),
    row("a line without a ref", "root", said(b"<tip> <new> "), "ref-malformed", Git.SHUT),
    row("a line with two spaces", "root", said(b"<tip>  <new> refs/heads/main"), "", Git.SHUT),
    row("no flush after the lines", "root", said(b"<tip> <zero> refs/heads/main", rest=False), "", Git.SHUT),
    row(
        "a ref behind a zero byte", "root", said(b"<zero> <tip> refs/heads/x\0refs/heads/main"), "ref-unknown", Git.SHUT
    ),
)
