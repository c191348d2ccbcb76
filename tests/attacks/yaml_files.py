"""Attacks by YAML, by schemas, and by what files say against what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.attacks.attack import Attack, Make, row, steps
from tests.attacks.world import MODEL, OTHER, RICH, STAGING, STAGING_POINTER, World, version
from tests.gate.support import (
    BLOB,
    approval_file,
    model_file,
    pointer_file,
    status_file,
    tombstone_file,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.attacks.raw import Push

V2 = f"{MODEL}/2.0.0.yaml"
GOOD = version("2.0.0")


def added(*lines: bytes) -> Make:
    """Register a good manifest with more lines at its end."""
    return lambda world: world.main(world.change({V2: GOOD + b"".join(line + b"\n" for line in lines)}))


def said(old: bytes, new: bytes, path: str = V2, text: bytes = GOOD) -> Make:
    """Register a manifest of which some bytes differ."""

    def make(world: World) -> Push:
        assert old in text
        return world.main(world.change({path: text.replace(old, new)}))

    return make


def whole(data: bytes, path: str = V2) -> Make:
    return lambda world: world.main(world.change({path: data}))


def edited(number: str, old: bytes, new: bytes) -> Make:
    """Edit a manifest that is registered."""

    def make(world: World) -> Push:
        path = f"{MODEL}/{number}.yaml"
        assert old in world.files[path], world.files[path].decode()
        return world.main(world.change({path: world.files[path].replace(old, new)}))

    return make


def changed(number: str, **fields: object) -> Make:
    """Register again what is registered, with other fields."""
    base = RICH if number == "1.5.0" else {}
    return lambda world: world.main(world.change({f"{MODEL}/{number}.yaml": version(number, **{**base, **fields})}))


def moved(start: str, to: str) -> Make:
    """Move a file."""
    return lambda world: world.main(world.change({start: None, to: world.files[start]}))


def made(**fields: object) -> dict[str, bytes]:
    return {V2: version("2.0.0", **fields)}


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (at, at, b",".join([b"*%c" % (at - 1)] * 9)) for at in range(ord("b"), ord("j"))
)
OFTEN = {f"{MODEL}/9.{number}.0.yaml": version(f"9.{number}.0") for number in range(3)}

YAML: Sequence[Attack] = (
    # Strict reading
    row("an alias bomb", "alice", whole(BOMB), "file-invalid"),
    row("an anchor", "alice", added(b"labels: &x {a: b}"), "file-invalid"),
    row("an alias", "alice", added(b"labels: *x"), "file-invalid"),
    row("a merge key", "alice", added(b"labels:", b"  <<: {a: b}"), "file-invalid"),
    row("a tag of Python's", "alice", added(b"description: !!python/object/apply:os.system ['id']"), "file-invalid"),
    row("a tag of one's own", "alice", added(b"description: !x y"), "file-invalid"),
    row("a tag that makes a number text", "alice", said(b"auc: 0.9", b"auc: !!str 0.9"), "file-invalid"),
    row("a binary", "alice", added(b"description: !!binary eA=="), "file-invalid"),
    row("a set", "alice", added(b"labels: !!set {a, b}"), "file-invalid"),
    row("a directive", "alice", whole(b"%TAG ! tag:x,2000:\n---\n" + GOOD), "file-invalid"),
    row("YAML 1.1 by directive", "alice", whole(b"%YAML 1.1\n---\n" + GOOD), "file-invalid"),
    row("a key that stands twice", "alice", added(b"version: 2.0.0"), "file-invalid"),
    row("a key that stands twice, once in quotes", "alice", added(b'"version": 3.0.0'), "file-invalid"),
    row("a key that stands twice, once in escapes", "alice", added(b'"\\u0076ersion": 3.0.0'), "file-invalid"),
    row("a key that stands twice, once as a block", "alice", added(b"? |-", b"  version", b": 3.0.0"), "file-invalid"),
    row("a key inside that stands twice", "alice", added(b"labels: {a: b, a: c}"), "file-invalid"),
    row("a second document", "alice", added(b"---", b"version: 3.0.0"), "file-invalid"),
    row("an end of the document and more behind it", "alice", added(b"...", b"version: 3.0.0"), "file-invalid"),
    row("a byte order mark", "alice", whole(b"\xef\xbb\xbf" + GOOD), "file-invalid"),
    row("a byte order mark inside", "alice", added("description: a\ufeffb".encode()), "file-invalid"),
    row("UTF-16", "alice", whole(GOOD.decode().encode("utf-16")), "file-invalid"),
    row("UTF-32 without a mark", "alice", whole(GOOD.decode().encode("utf-32-le")), "file-invalid"),
    row("Latin-1", "alice", added(b"description: caf\xe9"), "file-invalid"),
    row("an overlong encoding", "alice", added(b"description: \xc0\xaf"), "file-invalid"),
    row("half of a surrogate pair", "alice", added(b"description: \xed\xa0\x80"), "file-invalid"),
    row("half of a surrogate pair, escaped", "alice", added(b'description: "\\ud800"'), "file-invalid"),
    row("a zero byte", "alice", added(b"description: a\0b"), "file-invalid"),
    row("a zero byte, escaped", "alice", added(b'description: "\\0"'), "file-invalid"),
    row("a control character", "alice", added(b"description: \x1b[2J"), "file-invalid"),
    row("a control character, escaped", "alice", added(b'description: "\\e[2J"'), "file-invalid"),
    row(
        "a next-line mark that breaks lines in YAML 1.1",
        "alice",
        added("description: a\u0085version: 3.0.0".encode()),
        "file-invalid",
    ),
    row("a line separator", "alice", added("description: a\u2028version: 3.0.0".encode()), "file-invalid"),
    row("carriage returns alone", "alice", whole(GOOD.replace(b"\n", b"\r")), "file-invalid"),
    row("a tab for a space of indentation", "alice", added(b"labels:", b"\ta: b"), "file-invalid"),
    row("nothing at all", "alice", whole(b""), "file-invalid"),
    row("a comment alone", "alice", whole(b"# nothing\n"), "file-invalid"),
    row("a list", "alice", whole(b"- a\n"), "file-invalid"),
    row("a lone word", "alice", whole(b"a\n"), "file-invalid"),
    row("JSON of a list", "alice", whole(b"[]"), "file-invalid"),
    row("a number of 5,000 digits", "alice", said(b"auc: 0.9", b"auc: " + b"9" * 5_000), "file-invalid"),
    row(
        "a number of 5,000 digits in hexadecimal", "alice", said(b"auc: 0.9", b"auc: 0x" + b"f" * 5_000), "file-invalid"
    ),
    row("a size of 2^64", "alice", said(b"size: 7", b"size: 18446744073709551616"), "file-invalid"),
    row("a size of 7.5", "alice", said(b"size: 7", b"size: 7.5"), "file-invalid"),
    row("a size that is negative", "alice", said(b"size: 7", b"size: -7"), "file-invalid"),
    row("1e999", "alice", said(b"auc: 0.9", b"auc: 1e999"), "file-invalid"),
    row("infinity", "alice", said(b"auc: 0.9", b"auc: .inf"), "file-invalid"),
    row("minus infinity", "alice", said(b"auc: 0.9", b"auc: -.INF"), "file-invalid"),
    row("no number", "alice", said(b"auc: 0.9", b"auc: .nan"), "file-invalid"),
    row("infinity in a hyperparameter", "alice", added(b"training: {hyperparameters: {a: .inf}}"), "file-invalid"),
    row("infinity as a word", "alice", said(b"auc: 0.9", b"auc: Infinity"), "file-invalid"),
    row("digits with underscores", "alice", said(b"auc: 0.9", b"auc: 1_000"), "file-invalid"),
    row("a number to the base of 60", "alice", said(b"auc: 0.9", b"auc: 1:30"), "file-invalid"),
    row("octal as YAML 1.1 has it", "alice", said(b"auc: 0.9", b"auc: 0b11"), "file-invalid"),
    row("a metric that is yes", "alice", said(b"auc: 0.9", b"auc: yes"), "file-invalid"),
    row("a metric that is true", "alice", said(b"auc: 0.9", b"auc: true"), "file-invalid"),
    row("a metric that is nothing", "alice", said(b"auc: 0.9", b"auc: ~"), "file-invalid"),
    row("a metric in Arabic digits", "alice", said(b"auc: 0.9", "auc: \u0661".encode()), "file-invalid"),
    row("a metric in quotes", "alice", said(b"auc: 0.9", b'auc: "0.9"'), "file-invalid"),
    row("lists 100,000 deep", "alice", added(b"x: " + b"[" * 100_000 + b"]" * 100_000), "file-invalid"),
    row("mappings 100,000 deep", "alice", added(b"x: " + b"{a: " * 100_000 + b"}" * 100_000), "file-invalid"),
    row("blocks 500 deep", "alice", added(b"x:", *(b" " * (at + 1) + b"a:" for at in range(500))), "file-invalid"),
    row("60,000 keys", "alice", added(b"labels:", *(b"  k%d: v" % number for number in range(60_000))), "file-invalid"),
    row("a text of a megabyte", "alice", added(b"description: " + b"x" * 1_000_000), "file-invalid"),
    row("a key of a megabyte", "alice", added(b"? " + b"x" * 1_000_000, b": y"), "file-invalid"),
    row("a comment of a megabyte with tabs", "alice", whole(b"#\t\n" * 300_000), "file-invalid"),
    row("a list for a key", "alice", added(b"? [a]", b": b"), "file-invalid"),
    row("a number for a key", "alice", added(b"labels: {1: a}"), "file-invalid"),
    row("a key of __proto__", "alice", added(b"__proto__: {admin: true}"), "file-invalid"),
    # Schemas
    row("an unknown field", "alice", added(b"licence: MIT"), "file-invalid"),
    row("a reference to the network", "alice", added(b"$ref: http://127.0.0.1:9/x.json"), "file-invalid"),
    row("a schema of one's own", "alice", added(b"$schema: http://127.0.0.1:9/x.json"), "file-invalid"),
    row(
        "a version with a line end in quotes", "alice", said(b"version: 2.0.0", b'version: "2.0.0\\n"'), "file-invalid"
    ),
    row(
        "a model with a line end in quotes",
        "alice",
        said(b"model: risk/fraud", b'model: "risk/fraud\\n"'),
        "file-invalid",
    ),
    row(
        "a digest with a line end in quotes",
        "alice",
        said(str(BLOB).encode(), b'"' + str(BLOB).encode() + b'\\n"'),
        "file-invalid",
    ),
    row(
        "a digest in capitals",
        "alice",
        said(str(BLOB).encode(), b"sha256:" + BLOB.hex.upper().encode()),
        "file-invalid",
    ),
    row("a digest of another kind", "alice", said(str(BLOB).encode(), b"sha1:" + b"a" * 40), "file-invalid"),
    row("a version that is a number", "alice", said(b"version: 2.0.0", b"version: 2.0"), "file-invalid"),
    row("a version with build metadata inside", "alice", said(b"version: 2.0.0", b"version: 2.0.0+x"), "file-invalid"),
    row("a version in capitals inside", "alice", said(b"version: 2.0.0", b"version: 2.0.0-RC"), "file-invalid"),
    row("a version in full width", "alice", said(b"version: 2.0.0", "version: \uff12.0.0".encode()), "file-invalid"),
    row("another format's version", "alice", said(b"gitreg/v1", b"gitreg/v2"), "file-invalid"),
    row("another kind", "alice", said(b"ModelVersion", b"Deployment"), "file-invalid"),
    row("a kind of a megabyte", "alice", said(b"ModelVersion", b"x" * 1_000_000), "file-invalid"),
    row("artifacts and external", "alice", added(b"external: {provider: x, id: y}"), "file-invalid"),
    row(
        "an artifact that climbs",
        "alice",
        said(b"path: model.safetensors", b"path: ../model.safetensors"),
        "file-invalid",
    ),
    row(
        "an artifact of an absolute path",
        "alice",
        said(b"path: model.safetensors", b"path: /etc/passwd"),
        "file-invalid",
    ),
    row("an artifact on a drive", "alice", said(b"path: model.safetensors", b"path: C:\\x"), "file-invalid"),
    row(
        "an artifact in .git",
        "alice",
        said(b"path: model.safetensors", b"path: .git/hooks/post-checkout"),
        "file-invalid",
    ),
    row("an artifact with a line end", "alice", said(b"path: model.safetensors", b'path: "a\\nb"'), "file-invalid"),
    row(
        "a URL with a password",
        "alice",
        added(b"training: {code: {repository: 'https://a:b@example.org/x', commit: " + b"a" * 40 + b"}}"),
        "file-invalid",
    ),
    row("30 February", "alice", said(b"2025-12-31T", b"2025-02-30T"), "file-invalid"),
    row("a time with a zone", "alice", said(b"12:00:00Z", b"12:00:00+01:00"), "file-invalid"),
    row("a time in the future", "alice", said(b"2025-12-31T", b"2999-12-31T"), "time-in-future"),
    row("a pickle by its format", "alice", said(b"format: safetensors", b"format: pickle"), "format-refused"),
    row(
        "a pickle by its name",
        "alice",
        said(b"model.safetensors", b"model.pkl", text=GOOD.replace(b"    format: safetensors\n", b"")),
        "format-refused",
    ),
    row("required metadata left out", "alice", {V2: version("2.0.0", license=None)}, "metadata-missing"),
    row(
        "required metadata left empty",
        "alice",
        {V2: GOOD.replace(b"license: Apache-2.0", b'license: ""')},
        "file-invalid",
    ),
    row("required metadata taken away", "alice", changed("1.5.0", license=None), "metadata-missing"),
    row("a blob that the store does not have", "alice", said(BLOB.hex.encode(), b"0" * 64), "blob-missing"),
    row("a blob of another size", "alice", said(b"size: 7", b"size: 8"), "blob-size"),
    # Path and content
    row("a manifest of another version", "alice", {V2: version("2.0.1")}, "path-mismatch"),
    row("a manifest of another model", "alice", {V2: version("2.0.0", OTHER)}, "path-mismatch"),
    row(
        "a manifest of a model elsewhere",
        "alice",
        {V2: GOOD.replace(b"risk/fraud", b"vision/ocr")},
        "path-mismatch model-missing",
    ),
    row(
        "a model's file of another model",
        "alice",
        {f"{MODEL}/model.yaml": model_file(OTHER)["models/risk/other/model.yaml"]},
        "path-mismatch",
    ),
    row(
        "a pointer of another environment",
        "bob",
        {STAGING_POINTER: pointer_file("1.5.0", STAGING)[STAGING_POINTER].replace(b"staging", b"lab")},
        "path-mismatch",
    ),
    row(
        "a pointer of another model",
        "bob",
        {STAGING_POINTER: pointer_file("1.5.0")[STAGING_POINTER].replace(b"risk/fraud", b"risk/other")},
        "path-mismatch",
    ),
    row(
        "an approval of another version",
        "dana",
        lambda w: w.main(
            w.change(
                {
                    "approvals/risk/fraud/1.1.0/prod/dana.yaml": next(
                        iter(approval_file("1.0.0", data=w.files[f"{MODEL}/1.0.0.yaml"]).values())
                    )
                }
            )
        ),
        "path-mismatch",
    ),
    row(
        "a status of another environment",
        "rita",
        {"status/lab/risk/fraud.yaml": next(iter(status_file("1.0.0").values()))},
        "path-mismatch",
    ),
    row(
        "a manifest copied from another version",
        "alice",
        lambda w: w.main(w.change({V2: w.files[f"{MODEL}/1.0.0.yaml"]})),
        "path-mismatch",
    ),
    # Versions
    row("a registered version removed", "root", {f"{MODEL}/1.5.0.yaml": None}, "version-removed"),
    row(
        "a registered version renamed",
        "root",
        moved(f"{MODEL}/1.5.0.yaml", f"{MODEL}/1.6.0.yaml"),
        "version-removed path-mismatch",
    ),
    row(
        "a whole model removed",
        "root",
        lambda w: w.main(w.change({path: None for path in w.files if path.startswith("models/risk/other/")})),
        "version-removed",
    ),
    row("a model's file removed", "root", {"models/risk/other/model.yaml": None}, "model-missing"),
    row(
        "a version without a model",
        "alice",
        {"models/risk/new/1.0.0.yaml": version("1.0.0", type(OTHER)("risk", "new"))},
        "model-missing",
    ),
    row("a card without a model", "alice", {"models/risk/new/README.md": b"x"}, "model-missing"),
    row("a new version that is deprecated", "alice", made(lifecycle="deprecated"), "version-state"),
    row("a new version that is archived", "alice", made(lifecycle="archived"), "version-state"),
    row(
        "a parent that is not there",
        "alice",
        made(parents=[{"model": "risk/fraud", "version": "7.0.0", "relation": "finetuned-from"}]),
        "parent-unknown",
    ),
    row(
        "a parent that was deleted",
        "alice",
        made(parents=[{"model": "risk/fraud", "version": "1.3.0", "relation": "finetuned-from"}]),
        "parent-unknown",
    ),
    row(
        "a parent that is itself",
        "alice",
        made(parents=[{"model": "risk/fraud", "version": "2.0.0", "relation": "finetuned-from"}]),
        "file-invalid",
    ),
    row(
        "parents in a circle",
        "alice",
        {
            **made(parents=[{"model": "risk/fraud", "version": "2.0.1", "relation": "finetuned-from"}]),
            f"{MODEL}/2.0.1.yaml": version(
                "2.0.1", parents=[{"model": "risk/fraud", "version": "2.0.0", "relation": "finetuned-from"}]
            ),
        },
        "parent-unknown",
    ),
    *(
        row(
            f"a registered version's {field} rewritten",
            "alice",
            changed("1.5.0", **{field: value}),
            "version-immutable",
        )
        for field, value in {
            "created": "2025-12-30T12:00:00Z",
            "author": {"name": "Mallory", "email": "m@example.org"},
            "training": {"datasets": [{"name": "ledger", "version": "2026.02"}], "hyperparameters": {"epochs": 20}},
            "parents": [],
            "base": {"uri": "hf://org/model@other"},
            "signature": {"inputs": [{"name": "x", "dtype": "float64", "shape": [1, 3]}]},
        }.items()
    ),
    row(
        "a registered version's artifact renamed",
        "alice",
        edited("1.5.0", b"path: model.safetensors", b"path: evil.safetensors"),
        "version-immutable",
    ),
    row(
        "a registered version's digest rewritten",
        "alice",
        edited("1.5.0", BLOB.hex.encode(), b"0" * 64),
        "version-immutable",
    ),
    row(
        "a registered version's integer turned into a float",
        "alice",
        edited("1.5.0", b"epochs: 20", b"epochs: 20.0"),
        "version-immutable",
    ),
    row(
        "a registered version's integer turned into text",
        "alice",
        edited("1.5.0", b"epochs: 20", b'epochs: "20"'),
        "version-immutable",
    ),
    row(
        "a registered version turned into an external one",
        "alice",
        changed("1.5.0", artifacts=None, external={"provider": "x", "id": "y"}),
        "version-immutable",
    ),
    row(
        "a registered version's number rewritten",
        "alice",
        edited("1.5.0", b"version: 1.5.0", b"version: 1.5.1"),
        "version-immutable",
    ),
    row("a metric rewritten", "alice", edited("1.5.0", b"auc: 0.9", b"auc: 0.99"), "measurement-rewritten"),
    row(
        "a metric rewritten by the last digit",
        "alice",
        edited("1.5.0", b"auc: 0.9", b"auc: 0.9000000000000001"),
        "measurement-rewritten",
    ),
    row("a metric taken away", "alice", changed("1.5.0", metrics={}), "measurement-rewritten"),
    row("an evaluation rewritten", "alice", edited("1.5.0", b"auc: 0.8", b"auc: 0.99"), "measurement-rewritten"),
    row("an evaluation taken away", "alice", changed("1.5.0", evaluations=[]), "measurement-rewritten"),
    row(
        "an evaluation of another split",
        "alice",
        edited("1.5.0", b"split: test", b"split: train"),
        "measurement-rewritten",
    ),
    row("a version yanked by who may only update", "alice", changed("1.5.0", lifecycle="yanked"), "access-denied"),
    row("a version archived by who may only update", "alice", changed("1.5.0", lifecycle="archived"), "access-denied"),
    row("a yank taken back by who may only update", "alice", changed("1.2.0", lifecycle="active"), "access-denied"),
    row(
        "an archived version made active by who may only update",
        "alice",
        changed("1.4.0", lifecycle="active"),
        "access-denied",
    ),
    row(
        "a yanked version relabelled as deprecated", "alice", changed("1.2.0", lifecycle="deprecated"), "access-denied"
    ),
    row(
        "a description changed by who may only yank",
        "erin",
        changed("1.2.0", lifecycle="active", description="x"),
        "access-denied",
    ),
    row(
        "a lifecycle that there is none of",
        "erin",
        edited("1.5.0", b"lifecycle: active", b"lifecycle: gone"),
        "file-invalid",
    ),
    # Tombstones
    row(
        "a version deleted that runs",
        "erin",
        lambda w: w.main(w.change(tombstone_file("1.1.0", w.files[f"{MODEL}/1.1.0.yaml"]))),
        "version-in-use",
    ),
    row(
        "a version deleted that an alias names",
        "erin",
        lambda w: w.main(w.change(tombstone_file("1.0.0", w.files[f"{MODEL}/1.0.0.yaml"]))),
        "version-in-use",
    ),
    row(
        "a version deleted by who may not",
        "alice",
        lambda w: w.main(w.change(tombstone_file("1.5.0", w.files[f"{MODEL}/1.5.0.yaml"]))),
        "access-denied",
    ),
    row("a version deleted with the wrong digest", "erin", tombstone_file("1.5.0", b"other bytes"), "tombstone"),
    row("a tombstone for nothing", "erin", tombstone_file("7.0.0", b"x"), "tombstone"),
    row("a tombstone edited", "root", tombstone_file("1.3.0", version("1.3.0"), reason="another reason"), "tombstone"),
    row("a tombstone removed", "root", {f"{MODEL}/1.3.0.yaml": None}, "version-removed"),
    row(
        "a tombstone's number taken by other bytes",
        "alice",
        {f"{MODEL}/1.3.0.yaml": version("1.3.0", description="x")},
        "tombstone",
    ),
    row("a tombstone that loses a comment", "alice", {f"{MODEL}/1.3.0.yaml": b"# x\n" + version("1.3.0")}, "tombstone"),
    row(
        "a version deleted and taken by other bytes in one push",
        "root",
        lambda w: steps(
            tombstone_file("1.5.0", w.files[f"{MODEL}/1.5.0.yaml"]), {f"{MODEL}/1.5.0.yaml": version("1.5.0")}
        )(w),
        "tombstone",
    ),
    row(
        "a tombstone with the digest of bytes to come",
        "erin",
        steps(
            tombstone_file("1.5.0", version("1.5.0", description="evil")),
            {f"{MODEL}/1.5.0.yaml": version("1.5.0", description="evil")},
        ),
        "tombstone access-denied",
    ),
    # Aliases
    row("an alias of nothing", "alice", model_file(aliases={"champion": "7.0.0"}), "version-unknown"),
    row("an alias of what was deleted", "alice", model_file(aliases={"champion": "1.3.0"}), "version-unknown"),
    row(
        "an alias with an environment's name",
        "alice",
        model_file(aliases={"champion": "1.0.0", "prod": "1.0.0"}),
        "alias-reserved",
    ),
    row(
        "an alias called latest",
        "alice",
        {f"{MODEL}/model.yaml": model_file(aliases={"x": "1.0.0"})[f"{MODEL}/model.yaml"].replace(b"x:", b"latest:")},
        "file-invalid",
    ),
    row(
        "101 aliases",
        "alice",
        {
            f"{MODEL}/model.yaml": b"api_version: gitreg/v1\nkind: Model\nmodel: risk/fraud\naliases:\n"
            + b"".join(b"  a%d: 1.0.0\n" % n for n in range(101))
        },
        "file-invalid",
    ),
)
