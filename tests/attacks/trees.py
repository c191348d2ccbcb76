"""Attacks by trees: modes, names, shapes, and sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.attacks.attack import Attack, Git, Make, row
from tests.attacks.raw import ZERO, Push
from tests.attacks.world import STAGING_POINTER, World, version

if TYPE_CHECKING:
    from collections.abc import Sequence


FOLDER = "models/risk/fraud"
V2 = f"{FOLDER}/2.0.0.yaml"
GOOD = version("2.0.0")
COMMIT = "1" * 40
Entry = tuple[str, str | bytes, str]


def entries(world: World, folder: str) -> list[Entry]:
    """List a folder of main."""
    oid = world.root
    for name in filter(None, folder.split("/")):
        oid = next(found for _, each, found in world.objects.entries(oid) if each == name)
    return list[Entry](world.objects.entries(oid))


def folder_of(
    folder: str, *more: tuple[str, str | bytes, bytes], ordered: bool = True, first: bool = False, drop: str = ""
) -> Make:
    """Add raw entries to a folder of main: mode, name, and the bytes of a blob that they name."""

    def make(world: World) -> Push:
        old = [entry for entry in entries(world, folder) if entry[1] != drop]
        new = [(mode, name, world.objects.blob(data)) for mode, name, data in more]
        tree = world.objects.tree([*new, *old] if first else [*old, *new], ordered=ordered)
        return world.main(world.commit(hung(world, folder, tree)))

    return make


def hung(world: World, folder: str, tree: str) -> str:
    """Hang a tree into main's in the place of a folder."""
    return world.objects.link(world.root, folder, "40000", tree) if folder else tree


def top(*more: tuple[str, str | bytes, bytes]) -> Make:
    return folder_of("", *more)


def linked(path: str, mode: str, target: str | bytes) -> Make:
    """Put an entry of any mode at a path."""
    return lambda world: world.main(world.change({path: (mode, target)}))


def padded(world: World) -> Push:
    """Give a folder's mode a leading zero, which hides it from whoever looks for 40000."""
    tree = world.objects.link(world.tree({V2: GOOD}), "models", "40000", None)
    models = world.objects.tree([("040000", "risk", world.objects.tree([]))])
    return world.main(world.commit(world.objects.link(tree, "models", "40000", models)))


def raw_tree(body: bytes) -> Make:
    """Put a raw tree object in the place of a model's folder; B in it stands for a blob's id."""

    def make(world: World) -> Push:
        blob = bytes.fromhex(world.objects.blob(GOOD))
        tree = world.objects.add("tree", body.replace(b"<blob>", blob))
        return world.main(world.commit(hung(world, FOLDER, tree)))

    return make


def wrong_kind(path: str, mode: str, kind: str) -> Make:
    """Name an object of another kind than the mode says."""

    def make(world: World) -> Push:
        oid = {"tree": lambda: world.tree({}), "blob": lambda: world.objects.blob(b"x"), "commit": lambda: world.tip}[
            kind
        ]()
        return world.main(world.change({path: (mode, oid)}))

    return make


def deep(levels: int) -> Make:
    """Nest folders in each other."""

    def make(world: World) -> Push:
        tree = world.objects.tree([("100644", "x", world.objects.blob(b"x"))])
        for _ in range(levels):
            tree = world.objects.tree([("40000", "d", tree)])
        return world.main(world.commit(world.objects.link(world.root, "docs", "40000", tree)))

    return make


def fanned(levels: int, width: int) -> Make:
    """Nest folders so that each holds the next many times: a few objects, width ** levels paths."""

    def make(world: World) -> Push:
        tree = world.objects.tree([("100644", "x", world.objects.blob(b"x"))])
        for _ in range(levels):
            tree = world.objects.tree([("40000", f"d{number:03}", tree) for number in range(width)])
        return world.main(world.commit(world.objects.link(world.root, "docs", "40000", tree)))

    return make


def wide(count: int, folder: str = "docs", data: bytes = b"x", name: str = "f{:06}") -> Make:
    """Name one blob many times."""

    def make(world: World) -> Push:
        blob = world.objects.blob(data)
        tree = world.objects.tree([("100644", name.format(number), blob) for number in range(count)])
        return world.main(world.commit(world.objects.link(world.root, folder, "40000", tree)))

    return make


def spread(commits: int, each: int) -> Make:
    """Change fewer paths in each commit than one push may, and more in all."""

    def make(world: World) -> Push:
        tip = world.tip
        for number in range(commits):
            blob = world.objects.blob(b"%d" % number)
            tree = world.objects.tree([("100644", f"f{name:06}", blob) for name in range(each)])
            tip = world.commit(world.objects.link(world.root, "docs", "40000", tree), tip)
        return world.main(tip)

    return make


def proposed(make: Make) -> Make:
    """Propose what would else go to main."""

    def wrapped(world: World) -> Push:
        push = make(world)
        return Push([(ZERO, push.updates[0][1], "refs/heads/proposals/alice/x")], push.objects, push.entries)

    return wrapped


def large(path: str, size: int) -> Make:
    """A file of zeros, which takes a thousandth of itself in the pack."""

    def make(world: World) -> Push:
        return world.main(world.change({path: b"\0" * size}))

    return make


def dotted(name: str | bytes) -> Make:
    """A file of this name at the top."""
    return top(("100644", name, b"x"))


def folder_named(name: str | bytes) -> Make:
    def make(world: World) -> Push:
        below = world.objects.tree([("100644", "config", world.objects.blob(b"[core]\n\tfsmonitor = id\n"))])
        return world.main(world.commit(world.objects.tree([*entries(world, ""), ("40000", name, below)])))

    return make


def beside(name: str | bytes, folder: str = FOLDER) -> Make:
    """A good manifest's bytes under another name."""
    return folder_of(folder, ("100644", name, GOOD))


TREES: Sequence[Attack] = (
    # Modes
    row("a version is a symbolic link", "alice", linked(V2, "120000", b"1.0.0.yaml"), "file-mode"),
    row(
        "a pointer is a symbolic link to another's",
        "bob",
        linked(STAGING_POINTER, "120000", b"../../prod/risk/fraud.yaml"),
        "file-mode",
    ),
    row("the rules are a symbolic link", "root", linked("access.yaml", "120000", b"README.md"), "file-mode"),
    row("models is a symbolic link", "root", linked("models", "120000", b"elsewhere"), "file-mode version-removed"),
    row("keys is a symbolic link out of the repository", "root", linked("keys", "120000", b"/etc/ssh"), "file-mode"),
    row(
        "the folder of keys holds a symbolic link",
        "root",
        linked("keys/allowed_signers", "120000", b"/etc/passwd"),
        "file-mode",
    ),
    row("a version is executable", "alice", linked(V2, "100755", GOOD), "file-mode"),
    row(
        "a registered version turns executable",
        "alice",
        lambda w: w.main(w.change({f"{FOLDER}/1.0.0.yaml": ("100755", w.files[f"{FOLDER}/1.0.0.yaml"])})),
        "file-mode",
    ),
    row(
        "the rules are executable",
        "root",
        lambda w: w.main(w.change({"access.yaml": ("100755", w.files["access.yaml"])})),
        "file-mode",
    ),
    row("a version is a submodule", "alice", linked(V2, "160000", COMMIT), "file-mode"),
    row("models is a submodule", "root", linked("models", "160000", COMMIT), "file-mode version-removed"),
    row("a submodule beside the governed folders", "root", linked("vendor", "160000", COMMIT), "file-mode"),
    row(
        "a submodule beside the governed folders, by one who may not",
        "alice",
        linked("vendor", "160000", COMMIT),
        "file-mode",
    ),
    row("a symbolic link out of the repository", "alice", linked("docs", "120000", b"/etc/passwd"), "access-denied"),
    row("a mode that git forgot: 100664", "alice", linked(V2, "100664", GOOD), "", Git.PLAIN, bare="file-mode"),
    row("a mode of zero", "alice", linked(V2, "0", GOOD), "", Git.PLAIN, bare="tree-malformed"),
    row("a set-uid file", "alice", linked(V2, "104755", GOOD), "", Git.PLAIN, bare="tree-malformed"),
    row("a mode with a leading zero", "alice", linked(V2, "0100644", GOOD), "", Git.PLAIN, bare="tree-malformed"),
    row("a folder's mode with a leading zero", "alice", padded, "", Git.PLAIN, bare="tree-malformed"),
    row(
        "a folder with rights: 40755",
        "alice",
        lambda w: w.main(w.commit(w.objects.link(w.root, "docs", "40755", w.tree({})))),
        "",
        Git.PLAIN,
        bare="tree-malformed",
    ),
    row("a mode that is a word", "alice", linked(V2, "blob", GOOD), "", Git.SHUT, bare="tree-malformed"),
    row("a device", "alice", linked(V2, "20644", GOOD), "", Git.PLAIN, bare="tree-malformed"),
    # Kinds
    row("a file's mode on a folder", "alice", wrong_kind(V2, "100644", "tree"), "", Git.SHUT, bare="tree-malformed"),
    row("a file's mode on a commit", "alice", wrong_kind(V2, "100644", "commit"), "", Git.SHUT, bare="tree-malformed"),
    row("a folder's mode on a file", "alice", wrong_kind(V2, "40000", "blob"), "", Git.SHUT, bare="tree-malformed"),
    row(
        "a folder's mode on a commit",
        "alice",
        wrong_kind("docs", "40000", "commit"),
        "",
        Git.SHUT,
        bare="tree-malformed",
    ),
    row("an entry that points at nothing", "alice", linked(V2, "100644", ZERO), "", Git.SHUT, bare="tree-malformed"),
    # Shapes of trees
    row(
        "a name that stands twice",
        "alice",
        folder_of(FOLDER, ("100644", "2.0.0.yaml", GOOD), ("100644", "2.0.0.yaml", b"x")),
        "",
        Git.PLAIN,
        bare="tree-malformed",
    ),
    row(
        "a registered name that stands twice",
        "alice",
        folder_of(FOLDER, ("100644", "1.0.0.yaml", GOOD)),
        "",
        Git.PLAIN,
        bare="tree-malformed",
    ),
    row(
        "access.yaml stands twice",
        "mallory",
        top(("100644", "access.yaml", b"kind: Access\n")),
        "",
        Git.PLAIN,
        bare="tree-malformed",
    ),
    row(
        "a file and a folder of one name",
        "alice",
        lambda w: w.main(
            w.commit(hung(w, FOLDER, w.objects.tree([*entries(w, FOLDER), ("40000", "1.0.0.yaml", w.tree({}))])))
        ),
        "",
        Git.PLAIN,
        bare="tree-malformed",
    ),
    row(
        "names out of order",
        "alice",
        folder_of(FOLDER, ("100644", "2.0.0.yaml", GOOD), ordered=False, first=True),
        "",
        Git.PLAIN,
        bare="tree-malformed",
    ),
    row("a tree that is cut off", "alice", raw_tree(b"100644 2.0.0.yaml\0short"), "", Git.SHUT, bare="tree-malformed"),
    row("a tree that is text", "alice", raw_tree(b"100644 blob 2.0.0.yaml\n"), "", Git.SHUT, bare="tree-malformed"),
    row("a tree without a mode", "alice", raw_tree(b" 2.0.0.yaml\0<blob>"), "", Git.SHUT, bare="tree-malformed"),
    row(
        "a tree in the place of a file",
        "alice",
        lambda w: w.main(w.change({f"{FOLDER}/1.0.0.yaml/x": b"x"})),
        "version-removed file-invalid access-denied",
    ),
    row("a file in the place of a model's folder", "root", {FOLDER: b"x"}, "version-removed file-invalid"),
    row(
        "an empty folder",
        "alice",
        lambda w: w.main(w.commit(w.objects.link(w.root, "docs", "40000", w.objects.tree([])))),
        "access-denied",
    ),
    # Names
    row("a name with a slash", "alice", beside("x/y.yaml"), "", Git.PLAIN, bare="tree-malformed"),
    row("an empty name", "alice", beside(""), "", Git.SHUT, bare="tree-malformed"),
    row("the name .", "alice", beside("."), "", Git.PLAIN, bare="tree-malformed"),
    row("the name ..", "alice", beside(".."), "", Git.PLAIN, bare="tree-malformed"),
    row("a name with a line end", "alice", beside("2.0.0.yaml\n"), "tree-malformed"),
    row("a name with a line end in front", "alice", beside("\n2.0.0.yaml"), "tree-malformed"),
    row("a name with a tab", "alice", beside("2.0.0\t.yaml"), "tree-malformed"),
    row("a name that steers the terminal", "alice", beside("\x1b[2J.yaml"), "tree-malformed"),
    row("a name that is no UTF-8", "alice", beside(b"2.0.0\xff.yaml"), "tree-malformed"),
    row("a name in Latin-1", "root", dotted(b"caf\xe9"), "tree-malformed"),
    row("a name with half of a surrogate pair", "root", dotted(b"\xed\xa0\x80"), "tree-malformed"),
    row("a name with an overlong slash", "root", dotted(b"..\xc0\xaf"), "tree-malformed"),
    row("a name with a backslash", "alice", beside("..\\2.0.0.yaml"), "tree-malformed"),
    row("a name that ends in a dot", "alice", beside("2.0.0.yaml."), "file-invalid"),
    row("a name that ends in a space", "alice", beside("2.0.0.yaml "), "file-invalid"),
    row("a name of 300 bytes", "alice", beside("x" * 300), "tree-malformed"),
    row("a version in capitals", "alice", beside("2.0.0-RC.1.yaml"), "file-invalid"),
    row("model.yaml in capitals", "alice", beside("MODEL.yaml"), "file-invalid"),
    row("a card in small letters", "alice", beside("readme.md"), "file-invalid"),
    row("the ending .yml", "alice", beside("2.0.0.yml"), "file-invalid"),
    row("the ending .YAML", "alice", beside("2.0.0.YAML"), "file-invalid"),
    row("the ending .json", "alice", beside("2.0.0.json"), "file-invalid"),
    row("no ending", "alice", beside("2.0.0"), "file-invalid"),
    row("an ending alone", "alice", beside(".yaml"), "file-invalid"),
    row("a version with a leading v", "alice", beside("v2.0.0.yaml"), "file-invalid"),
    row("a version with a leading zero", "alice", beside("02.0.0.yaml"), "file-invalid"),
    row("a version of two parts", "alice", beside("2.0.yaml"), "file-invalid"),
    row("a version with build metadata", "alice", beside("2.0.0+1.yaml"), "file-invalid"),
    row("a version in Arabic digits", "alice", beside("\u0662.0.0.yaml"), "file-invalid"),
    row("a version of 129 characters", "alice", beside("2.0.0-" + "a" * 123 + ".yaml"), "file-invalid"),
    row("a model in capitals", "alice", {"models/risk/Fraud/model.yaml": b"x"}, "file-invalid"),
    row("models in capitals", "root", {"Models/risk/fraud/2.0.0.yaml": GOOD}, "file-invalid"),
    row("models with a zero-width character", "root", {"mod\u200cels/x": b"x"}, "file-invalid"),
    row("access.yaml in capitals", "root", {"ACCESS.yaml": b"x"}, "file-invalid"),
    row("access.yaml as a folder beside it", "root", {"Access.yaml/x": b"x"}, "file-invalid"),
    row("registry.yaml with a long s", "root", {"regi\u017ftry.yaml": b"x"}, "file-invalid"),
    row("two names that differ by case alone", "root", {"readme.md": b"x"}, "tree-malformed"),
    row(
        "two names that differ by Unicode form alone", "root", {"caf\u00e9": b"x", "cafe\u0301": b"x"}, "tree-malformed"
    ),
    row("two folders that differ by case alone", "root", {"docs/a": b"x", "Docs/b": b"x"}, "tree-malformed"),
    row("a model whose name ends in .lock", "alice", {"models/risk/x.lock/model.yaml": b"x"}, "file-invalid"),
    row("a model whose name begins with a dash", "alice", {"models/risk/-x/model.yaml": b"x"}, "file-invalid"),
    row("a project whose name is shell", "alice", {"models/$(id)/x/model.yaml": b"x"}, "file-invalid"),
    # Git's own names
    row("a folder .git", "root", folder_named(".git"), "", Git.PLAIN, bare="tree-malformed"),
    row("a folder .GIT", "root", folder_named(".GIT"), "", Git.PLAIN, bare="tree-malformed"),
    row("a folder git~1", "root", folder_named("git~1"), "", Git.PLAIN, bare="tree-malformed"),
    row("a folder .g<zero width>it", "root", folder_named(".g\u200cit"), "", Git.PLAIN, bare="tree-malformed"),
    row("a folder .git with a dot behind", "root", folder_named(".git."), "", Git.PLAIN, bare="tree-malformed"),
    row("a folder .git with a space behind", "root", folder_named(".git "), "", Git.PLAIN, bare="tree-malformed"),
    row(
        "a folder .git as a stream",
        "root",
        folder_named(".git::$INDEX_ALLOCATION"),
        "",
        Git.PLAIN,
        bare="tree-malformed",
    ),
    row(".gitattributes in a governed folder", "alice", beside(".gitattributes"), "file-invalid"),
    row(".gitattributes at the top of the models", "alice", {"models/.gitattributes": b"* filter=x\n"}, "file-invalid"),
    row(".gitignore in a governed folder", "alice", beside(".gitignore"), "file-invalid"),
    row(
        ".gitattributes at the top, by one who may not",
        "alice",
        {".gitattributes": b"*.yaml filter=x\n"},
        "access-denied",
    ),
    row(
        ".gitmodules at the top, by one who may not",
        "alice",
        {".gitmodules": b'[submodule "x"]\n\tpath = x\n\turl = ./x\n'},
        "file-invalid",
    ),
    row(
        ".gitmodules with a command for a URL",
        "root",
        {".gitmodules": b'[submodule "x"]\n\tpath = x\n\turl = --upload-pack=id\n'},
        "",
        Git.PLAIN,
        bare="file-invalid",
    ),
    row(
        ".gitmodules that climbs",
        "root",
        {".gitmodules": b'[submodule "../../x"]\n\tpath = x\n\turl = ./x\n'},
        "",
        Git.PLAIN,
        bare="file-invalid",
    ),
    row(
        ".gitmodules as a symbolic link",
        "root",
        linked(".gitmodules", "120000", b"README.md"),
        "",
        Git.PLAIN,
        bare="file-invalid",
    ),
    row(".lfsconfig by one who may not", "alice", {".lfsconfig": b"[lfs]\n\turl = http://x\n"}, "access-denied"),
    row("a workflow by one who may not", "alice", {".github/workflows/x.yml": b"on: push\n"}, "access-denied"),
    row("code owners by one who may not", "alice", {"CODEOWNERS": b"* @alice\n"}, "access-denied"),
    row("GitLab's pipeline by one who may not", "alice", {".gitlab-ci.yml": b"x: {}\n"}, "access-denied"),
    row(
        "git's mailmap by one who may not",
        "alice",
        {".mailmap": b"root <root@example.org> <alice@example.org>\n"},
        "access-denied",
    ),
    row("the schemas by one who may not", "alice", {".gitreg/schemas/manifest.schema.json": b"{}\n"}, "access-denied"),
    # Paths that no rule names
    row("a file directly in models", "alice", {"models/2.0.0.yaml": GOOD}, "file-invalid"),
    row("a file directly in a project", "alice", {"models/risk/2.0.0.yaml": GOOD}, "file-invalid"),
    row("a folder in a model", "alice", {f"{FOLDER}/x/2.0.0.yaml": GOOD}, "file-invalid"),
    row("a pointer directly in its environment", "bob", {"deployments/staging/fraud.yaml": b"x"}, "file-invalid"),
    row("a pointer without an environment", "bob", {"deployments/risk/fraud.yaml": b"x"}, "file-invalid"),
    row("a file beside the keys", "root", {"keys/other": b"x"}, "file-invalid"),
    row("weights in a model's folder", "alice", {f"{FOLDER}/model.safetensors": b"x"}, "file-invalid"),
    # Size
    row("a file of more than a megabyte", "alice", large(V2, (1 << 20) + 1), "file-too-large"),
    row("a free-form file of more than a megabyte", "root", large("weights.bin", (1 << 20) + 1), "file-too-large"),
    row(
        "a symbolic link of more than a megabyte",
        "root",
        linked("link", "120000", b"\0x" * (1 << 20)),
        "file-too-large",
    ),
    row("a file of 64 MB of zeros", "alice", large(V2, 64 << 20), "file-too-large"),
    row("a proposal of a file of 64 MB of zeros", "alice", proposed(large("x.bin", 64 << 20)), "proposal-too-large"),
    row("10,001 paths in one commit", "root", wide(10_001), "too-many-paths"),
    row("10,001 paths in several commits", "root", spread(3, 3_400), "too-many-paths"),
    row("100,000 paths in one folder", "root", wide(100_000), "too-many-paths"),
    row("10,001 paths in a proposal", "alice", proposed(wide(10_001)), "too-many-paths"),
    row("a million paths out of a dozen objects", "root", fanned(6, 10), "too-many-paths"),
    row("10 to the 24th paths out of a few objects", "root", fanned(12, 100), "too-many-paths"),
    row("10 to the 24th paths in a proposal", "alice", proposed(fanned(12, 100)), "too-many-paths"),
    row("2 to the 60th paths out of a few objects", "root", fanned(60, 2), "too-many-paths"),
    row("folders 17 deep", "root", deep(17), "too-many-paths"),
    row("folders 2,000 deep", "root", deep(2_000), "too-many-paths"),
    row(
        "a megabyte of YAML under 1,000 versions' names",
        "alice",
        wide(1_000, "models/risk/new", b"#" * (1 << 20), "1.{}.0.yaml"),
        "too-many-paths",
    ),
)
