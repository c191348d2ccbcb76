"""Attacks by deploy tags."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.attacks.attack import Attack, Git, Make, row
from tests.attacks.raw import PERSON, ZERO, Push, tag_body
from tests.attacks.world import MAIN, World
from tests.gate.support import pointer_file

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "deploy/staging/risk/fraud/{}"
TAG = "refs/tags/deploy/staging/risk/fraud/{}"
RIGHT = {
    "Model": "risk/fraud",
    "Version": "1.5.0",
    "Environment": "staging",
    "Action": "deploy",
    "Previous": "1.1.0",
    "Reason": "Change",
}


def by_clients(world: World) -> None:
    """Let clients write deploy tags, as on a server without gitreg's own."""
    for args in (["--unset-all", "receive.hideRefs"], ["gitreg.deploytags", "client"]):
        subprocess.run(["git", "config", *args], cwd=world.server, check=False)


def message(**changes: str | None) -> str:
    """Write the right message, but for these trailers; None leaves one out."""
    trailers = {**RIGHT, **changes}
    lines = [f"{key}: {value}" for key, value in trailers.items() if value is not None]
    return "\n".join(["Deploy risk/fraud@1.5.0 to staging", "", *lines, ""])


def tagged(
    text: str | None = None,
    *,
    number: str = "3",
    name: str | None = None,
    kind: str = "commit",
    tagger: bytes | None = PERSON,
    at: str = "new",
) -> Make:
    """Deploy, and mark it in the same push: rightly, but for what is given."""

    def make(world: World) -> Push:
        new = world.change(pointer_file("1.5.0"))
        target = {
            "new": new,
            "tip": world.tip,
            "tree": world.root,
            "blob": world.objects.blob(b"x"),
            "tag": world.tags[TAG.format(2)],
            "off": world.commit(world.tree(pointer_file("1.5.0"))),
        }[at]
        if at == "off":
            target = world.commit(world.tree(pointer_file("1.5.0")), message=b"Another\n")
        body = tag_body(target, name or NAME.format(number), text or message(), kind=kind, tagger=tagger)
        return world.push((world.tip, new, MAIN), (ZERO, world.objects.add("tag", body), TAG.format(number)))

    return make


def nested(world: World) -> Push:
    new = world.change(pointer_file("1.5.0"))
    inner = world.objects.add("tag", tag_body(new, NAME.format(3), message()))
    outer = world.objects.add("tag", tag_body(inner, NAME.format(3), message(), kind="tag"))
    return world.push((world.tip, new, MAIN), (ZERO, outer, TAG.format(3)))


def alone(world: World) -> Push:
    """A right tag of a deployment that never came."""
    new = world.change(pointer_file("1.5.0"))
    return world.push((ZERO, world.objects.add("tag", tag_body(new, NAME.format(3), message())), TAG.format(3)))


def moved(world: World) -> Push:
    ref = TAG.format(2)
    other = world.objects.add("tag", tag_body(world.tip, NAME.format(2), message()))
    return world.push((world.tags[ref], other, ref))


def moved_as_new(world: World) -> Push:
    return world.push((ZERO, moved(world).updates[0][1], TAG.format(2)))


def gone(world: World) -> Push:
    return world.push((world.tags[TAG.format(2)], ZERO, TAG.format(2)))


def gone_as_new(world: World) -> Push:
    return world.push((ZERO, ZERO, TAG.format(2)))


def light(ref: str) -> Make:
    return lambda world: world.push((ZERO, world.tip, ref))


def elsewhere(ref: str) -> Make:
    """Write the tag of the new deployment under another name."""

    def make(world: World) -> Push:
        new = world.change(pointer_file("1.5.0"))
        body = tag_body(new, ref.removeprefix("refs/tags/"), message())
        return world.push((world.tip, new, MAIN), (ZERO, world.objects.add("tag", body), ref))

    return make


def as_server(name: str, make: Make, codes: str = "tag-by-server", git: Git = Git.PLAIN) -> Attack:
    """Where the server writes deploy tags, none comes from outside."""
    return row(f"{name}, where the server marks", "root", make, codes, git)


def client(name: str, make: Make, codes: str = "tag-wrong", git: Git = Git.OPEN, bare: str = "") -> Attack:
    """Where clients write deploy tags, only the one that history implies."""
    return row(f"{name}, where clients mark", "bob", make, codes, git, bare=bare, setup=by_clients)


def wrong(key: str, value: str | None) -> Attack:
    what = "left out" if value is None else f"that says {value[:20]!r}"
    return client(f"a tag with a {key} {what}", tagged(message(**{key: value})))


TAGS: Sequence[Attack] = (
    as_server("the right tag", tagged()),
    as_server("a tag that blocks a whole environment", light("refs/tags/deploy/lab")),
    as_server("a tag that blocks a whole project", light("refs/tags/deploy/lab/risk")),
    as_server("a tag that blocks a model", light("refs/tags/deploy/lab/risk/fraud")),
    as_server("a tag below another", light(TAG.format("1/x")), git=Git.SHUT),
    as_server("a tag deleted", gone),
    as_server("a tag deleted as if new", gone_as_new),
    as_server("a tag moved", moved),
    row("a tag deploy that blocks all of them", "root", light("refs/tags/deploy"), "ref-unknown", Git.SHUT),
    row("a tag beside the folder of deploy tags", "root", light("refs/tags/deployed/x/1"), "ref-unknown"),
    row("a release tag", "alice", light("refs/tags/v1.0.0"), "ref-unknown"),
    row("a deploy tag in capitals", "root", light("refs/tags/Deploy/lab/risk/fraud/1"), "ref-unknown"),
    client("a plain ref", light(TAG.format(3))),
    client("a plain ref at a tree", lambda w: w.push((ZERO, w.root, TAG.format(3)))),
    client("a tag of a tag", nested),
    client("a tag of a tag that was there", tagged(at="tag", kind="tag")),
    client("a tag of a tree", tagged(at="tree", kind="tree")),
    client("a tag of a blob", tagged(at="blob", kind="blob")),
    client("a tag of the commit before", tagged(at="tip")),
    client("a tag of a commit off main", tagged(at="off")),
    client("a tag without its deployment", alone),
    client("a tag with a gap before its number", tagged(number="4")),
    client("a tag that calls itself otherwise", tagged(name=NAME.format(4))),
    client("a tag that calls itself by its full ref", tagged(name=TAG.format(3))),
    client("a tag moved", moved, "tag-moved"),
    client("a tag moved as if new", moved_as_new, "tag-moved", Git.SHUT),
    client("a tag deleted", gone, "tag-moved"),
    client("a tag deleted as if new", gone_as_new, "tag-moved"),
    client("a tag of number 0", tagged(number="0"), "ref-unknown"),
    client("a tag of number 03", tagged(number="03"), "ref-unknown"),
    client("a tag of number +3", tagged(number="+3"), "ref-unknown"),
    client("a tag of number 3e0", tagged(number="3e0"), "ref-unknown"),
    client("a tag of number 0x3", tagged(number="0x3"), "ref-unknown"),
    client("a tag of number -1", tagged(number="-1"), "ref-unknown"),
    client("a tag of a billion", tagged(number="999999999")),
    client("a tag of 200 digits", tagged(number="9" * 200), "ref-unknown"),
    client("a tag that blocks an environment", light("refs/tags/deploy/lab"), "ref-unknown"),
    client("a tag deploy that blocks all", light("refs/tags/deploy"), "ref-unknown", Git.SHUT),
    client("a tag of another environment", elsewhere("refs/tags/deploy/prod/risk/fraud/2")),
    client("a tag of an environment that there is not", elsewhere("refs/tags/deploy/dev/risk/fraud/1")),
    client("a tag of another model", elsewhere("refs/tags/deploy/staging/risk/other/1")),
    client("a tag of a model in capitals", elsewhere("refs/tags/deploy/staging/risk/Fraud/1"), "ref-unknown"),
    wrong("Model", "risk/other"),
    wrong("Version", "1.0.0"),
    wrong("Environment", "prod"),
    wrong("Action", "promote"),
    wrong("Previous", "1.0.0"),
    wrong("Reason", "because"),
    wrong("Actor", "root"),
    wrong("Audit", "0" * 64),
    *(wrong(key, None) for key in RIGHT),
    client("a tag with a trailer more", tagged(message(Approved="yes"))),
    client("a tag with a trailer twice", tagged(message() + "Version: 1.5.0\n")),
    client("a tag with a trailer in small letters", tagged(message(Version=None) + "version: 1.5.0\n")),
    client("a tag with a folded trailer", tagged(message(Reason="Change\n more"))),
    client("a tag with a body", tagged(message().replace("\n\n", "\n\nA body.\n\n", 1))),
    client("a tag with a steered terminal", tagged(message().replace("Deploy", "\x1b[2JDeploy", 1))),
    client("a tag with nothing but trailers", tagged(message().partition("\n\n")[2])),
    client("a tag without a message", tagged("\n")),
    client("a tag with junk for a signature", tagged(message() + "-----BEGIN JUNK-----\nVersion: 9.9.9\n")),
    client("a tag by nobody", tagged(tagger=None), "", Git.PLAIN, bare="tag-by-server"),
    client("a tag whose tagger steers the terminal", tagged(tagger=b"\x1b[2J <a@b> 1 +0000"), "tag-wrong"),
    client("a tag whose tagger has no date", tagged(tagger=b"A <a@b>"), "", Git.PLAIN, bare="tag-by-server"),
    client("a tag of no time zone", tagged(tagger=b"A <a@b> 1767225600 +9999"), "tag-wrong"),
)
