"""Attacks on who may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitreg.access import Action, Grant
from gitreg.deployment import Verdict
from gitreg.names import EnvironmentName, UserName
from gitreg.records import replace
from gitreg.settings import EnvironmentRule
from tests.attacks.attack import Attack, row, steps
from tests.attacks.world import (
    ACCESS,
    MODEL,
    OLD_ACCESS,
    PROD,
    PROD_POINTER,
    SETTINGS,
    STAGING,
    STAGING_POINTER,
    World,
    version,
)
from tests.gate.support import (
    DANA,
    ROOT,
    approval_file,
    model_file,
    pointer_file,
    status_file,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.attacks.attack import Make
    from tests.attacks.raw import Push
    from tests.attacks.world import Edit

KEY = b"root@example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
APPROVED = "approvals/risk/fraud/1.0.0/prod/dana.yaml"


def rules(**changes: Any) -> dict[str, Edit]:  # noqa: ANN401 - the rules' own fields
    """Write the rules anew."""
    return {"access.yaml": replace(ACCESS, **changes).to_bytes()}


def text_of_rules(old: bytes, new: bytes) -> Make:
    def make(world: World) -> Push:
        assert old in world.files["access.yaml"]
        return world.main(world.change({"access.yaml": world.files["access.yaml"].replace(old, new)}))

    return make


def settings(**changes: Any) -> dict[str, Edit]:  # noqa: ANN401 - the settings' own fields
    return {"registry.yaml": replace(SETTINGS, **changes).to_bytes()}


def approves(number: str, user: str = "dana", data: bytes | None = None, **rest: object) -> Make:
    """Approve a version as it stands, or other bytes."""

    def make(world: World) -> Push:
        seen = data if data is not None else world.files[f"{MODEL}/{number}.yaml"]
        return world.main(world.change(approval_file(number, UserName(user), data=seen, **rest)))  # type: ignore[arg-type]

    return make


def moves(start: str, to: str) -> Make:
    return lambda world: world.main(world.change({start: None, to: world.files[start]}))


def copies(start: str, to: str) -> Make:
    return lambda world: world.main(world.change({to: world.files[start]}))


def reverted(world: World) -> Push:
    """Revert the commit that took mallory's rights away."""
    return world.main(
        world.change({"access.yaml": OLD_ACCESS.to_bytes()}, message=b'Revert "Change"\n\nThis reverts.\n')
    )


def by_old_rules(world: World) -> Push:
    """Build on the commit at which mallory was admin."""
    return world.main(world.commit(world.tree({"README.md": b"mine"}), world.chain[0]))


def by_old_rules_merged(world: World) -> Push:
    side = world.commit(world.tree({"README.md": b"mine", "access.yaml": OLD_ACCESS.to_bytes()}), world.chain[0])
    return world.main(world.commit(world.tree({"README.md": b"mine"}), world.tip, side))


def approve_and_deploy(world: World) -> Push:
    """One who may approve nothing in prod approves and deploys at once."""
    seen = world.files[f"{MODEL}/1.1.0.yaml"]
    return steps(approval_file("1.1.0", UserName("bob"), data=seen), pointer_file("1.1.0", PROD))(world)


def approve_by_other(world: World) -> Push:
    seen = world.files[f"{MODEL}/1.1.0.yaml"]
    return steps(approval_file("1.1.0", DANA, data=seen), pointer_file("1.1.0", PROD))(world)


def approved_then_edited(world: World) -> Push:
    """Describe a version anew after it was approved, then deploy it by the old approval: as admin."""
    path = f"{MODEL}/1.1.0.yaml"
    seen, edit = world.files[path], version("1.1.0", description="worse")
    return steps(approval_file("1.1.0", ROOT, data=seen), {path: edit}, pointer_file("1.1.0", PROD))(world)


def rollback_to_new(world: World) -> Push:
    """Make a state, leave it, and come back to it: one push, by one who may only roll back."""
    return steps(pointer_file("1.5.0"), pointer_file("1.1.0"), pointer_file("1.5.0"))(world)


ACCESS_ROWS: Sequence[Attack] = (
    # The rules themselves
    row(
        "rights granted to oneself",
        "alice",
        rules(grants=(*ACCESS.grants, Grant(to=("alice",), actions=(Action.ADMIN,)))),
        "access-denied",
    ),
    row("a denial of oneself taken away", "olaf", rules(deny=()), "access-denied"),
    row(
        "oneself taken into a group",
        "mallory",
        rules(groups={**ACCESS.groups, "admins": (UserName("adam"), UserName("mallory"))}),
        "access-denied",
    ),
    row("rules with something beside them", "root", {**rules(deny=()), "README.md": b"x"}, "policy-mixed"),
    row(
        "rules and then something else, in one push", "root", steps(rules(deny=()), {"README.md": b"x"}), "policy-mixed"
    ),
    row(
        "something else and then rules, in one push", "root", steps({"README.md": b"x"}, rules(deny=())), "policy-mixed"
    ),
    row("rules with a deployment beside them", "root", {**rules(deny=()), **pointer_file("1.5.0")}, "policy-mixed"),
    row(
        "keys with a version beside them",
        "root",
        {"keys/allowed_signers": KEY, f"{MODEL}/2.0.0.yaml": version()},
        "policy-mixed",
    ),
    row("rules removed", "root", {"access.yaml": None}, "policy-missing"),
    row("settings removed", "root", {"registry.yaml": None}, "policy-missing"),
    row("rules and settings removed", "root", {"access.yaml": None, "registry.yaml": None}, "policy-missing"),
    row(
        "the rules moved into a folder",
        "root",
        lambda w: w.main(w.change({"access.yaml": None, "rules/access.yaml": w.files["access.yaml"]})),
        "policy-missing policy-mixed",
    ),
    row("the last admin removed", "root", rules(grants=ACCESS.grants[:-1]), "last-admin"),
    row(
        "the last admin denied",
        "root",
        rules(deny=(Grant(to=("root", "group:admins"), actions=(Action.ADMIN,)),)),
        "last-admin",
    ),
    row(
        "the last admin's group emptied",
        "root",
        rules(
            groups={**ACCESS.groups, "admins": ()},
            grants=(*ACCESS.grants[:-1], Grant(to=("group:admins",), actions=(Action.ADMIN,))),
        ),
        "last-admin",
    ),
    row(
        "admin of one model alone left",
        "root",
        rules(grants=(*ACCESS.grants[:-1], Grant(to=("root",), actions=(Action.ADMIN,), models=("risk/*",)))),
        "last-admin",
    ),
    row("a last admin of no possible name", "root", text_of_rules(b"- root\n", b"- Root\n"), "file-invalid"),
    row(
        "an unknown key among the rules",
        "root",
        lambda w: w.main(w.change({"access.yaml": w.files["access.yaml"] + b"allow: []\n"})),
        "file-invalid",
    ),
    row(
        "an unknown key in a rule",
        "root",
        text_of_rules(b"deny:\n  - to:", b"deny:\n  - except: x\n    to:"),
        "file-invalid",
    ),
    row("an unknown action", "root", text_of_rules(b"- rollback", b"- rewind"), "file-invalid"),
    row("an action of everything", "root", text_of_rules(b"- rollback", b'- "*"'), "file-invalid"),
    row("a grant to everybody", "root", text_of_rules(b"- carol", b'- "*"'), "file-invalid"),
    row("a group that is none", "root", text_of_rules(b"group:contractors", b"group:nobody"), "file-invalid"),
    row("a group that shadows a user", "root", text_of_rules(b"contractors:", b"carol:"), "file-invalid"),
    row("a group inside a group", "root", text_of_rules(b"    - olaf\ngrants", b"    - team\ngrants"), "file-invalid"),
    row(
        "a group of a group's full name",
        "root",
        text_of_rules(b"    - olaf\ngrants", b"    - group:team\ngrants"),
        "file-invalid",
    ),
    row("a pattern that climbs", "root", text_of_rules(b"risk/*", b"risk/**/*"), "file-invalid"),
    row("a pattern that is a regular expression", "root", text_of_rules(b"risk/*", b"risk/.+"), "file-invalid"),
    row(
        "environments where there are none",
        "root",
        text_of_rules(b"      - read\n", b"      - read\n    environments: [prod]\n"),
        "file-invalid",
    ),
    row(
        "rules twice in one file",
        "root",
        lambda w: w.main(w.change({"access.yaml": w.files["access.yaml"] * 2})),
        "file-invalid",
    ),
    row("an older rule set by a revert", "mallory", reverted, "access-denied"),
    row("a commit upon an older rule set", "mallory", by_old_rules, "main-rewound"),
    row("a merge of a line of an older rule set", "mallory", by_old_rules_merged, "access-denied"),
    row("an older rule set by who only registers", "alice", reverted, "access-denied"),
    row("keys by who only registers", "alice", {"keys/allowed_signers": KEY}, "access-denied"),
    row("keys that are no keys", "root", {"keys/allowed_signers": b"junk\n"}, "file-invalid"),
    row("keys for everybody", "root", {"keys/allowed_signers": b"*" + KEY[len(b"root@example.org") :]}, "file-invalid"),
    row(
        "keys of a certificate authority",
        "root",
        {"keys/allowed_signers": KEY.replace(b" ssh", b" cert-authority ssh", 1)},
        "file-invalid",
    ),
    # The settings
    row("settings by who only registers", "alice", settings(required=()), "access-denied"),
    row(
        "required metadata loosened and used at once",
        "root",
        steps(settings(required=()), {f"{MODEL}/2.0.0.yaml": version("2.0.0", license=None)}),
        "policy-mixed metadata-missing",
    ),
    row(
        "formats loosened and used at once",
        "root",
        steps(
            settings(formats=("pickle",)),
            {f"{MODEL}/2.0.0.yaml": version().replace(b"format: safetensors", b"format: pickle")},
        ),
        "policy-mixed format-refused",
    ),
    row(
        "approvals loosened and used at once",
        "root",
        steps(
            settings(
                environments=(
                    EnvironmentRule(name=STAGING),
                    EnvironmentRule(name=PROD),
                    EnvironmentRule(name=EnvironmentName("lab")),
                )
            ),
            pointer_file("1.5.0", PROD),
        ),
        "policy-mixed order approvals",
    ),
    row(
        "an environment taken away that is in use",
        "root",
        settings(environments=(EnvironmentRule(name=STAGING),)),
        "environment-in-use",
    ),
    row(
        "an environment with an alias's name",
        "root",
        settings(environments=(*SETTINGS.environments, EnvironmentRule(name=EnvironmentName("champion")))),
        "alias-reserved",
    ),
    row(
        "an environment that comes after itself",
        "root",
        lambda w: w.main(
            w.change({"registry.yaml": w.files["registry.yaml"].replace(b"after: staging", b"after: prod")})
        ),
        "file-invalid",
    ),
    row(
        "a number of approvals below zero",
        "root",
        lambda w: w.main(
            w.change({"registry.yaml": w.files["registry.yaml"].replace(b"approvals: 1", b"approvals: -1")})
        ),
        "file-invalid",
    ),
    row("the store led elsewhere by who only registers", "alice", settings(store="s3://mine/x"), "access-denied"),
    row("the store with a password", "root", settings(store="s3://a:b@mine/x"), "file-invalid"),
    row("a store of an unknown kind", "root", settings(store="http://127.0.0.1/"), "file-invalid"),
    row(
        "an unknown setting",
        "root",
        lambda w: w.main(w.change({"registry.yaml": w.files["registry.yaml"] + b"hooks: off\n"})),
        "file-invalid",
    ),
    row("signatures asked for where nobody has a key", "root", settings(identity="signature"), "policy-missing"),
    # Versions and models
    row("a version by who may only read", "mallory", {f"{MODEL}/2.0.0.yaml": version()}, "access-denied"),
    row(
        "a version of another project",
        "alice",
        {"models/vision/ocr/model.yaml": b"api_version: gitreg/v1\nkind: Model\nmodel: vision/ocr\n"},
        "access-denied",
    ),
    row(
        "a version of a project that begins alike",
        "alice",
        {"models/risk2/x/model.yaml": b"api_version: gitreg/v1\nkind: Model\nmodel: risk2/x\n"},
        "access-denied",
    ),
    row("an alias by who may only deploy", "bob", model_file(aliases={"champion": "1.1.0"}), "access-denied"),
    row("a card by who may only deploy", "bob", {f"{MODEL}/README.md": b"x"}, "access-denied"),
    row("a card removed by who may only deploy", "bob", {f"{MODEL}/README.md": None}, "access-denied"),
    row("a readme at the top by who only registers", "alice", {"README.md": b"mine"}, "access-denied"),
    row("a readme removed by who only registers", "alice", {"README.md": None}, "access-denied"),
    # Deployments
    row("a deployment by who only registers", "alice", pointer_file("1.5.0"), "access-denied"),
    row("a deployment to prod by who may in staging", "dave", pointer_file("1.1.0", PROD), "access-denied approvals"),
    row(
        "a deployment by a contractor, whom a rule denies it",
        "olaf",
        pointer_file("1.1.0", PROD),
        "access-denied approvals",
    ),
    row("a new state by who may only roll back", "carol", pointer_file("1.5.0"), "access-denied"),
    row("a new canary by who may only roll back", "carol", pointer_file("1.1.0", canary="1.5.0"), "access-denied"),
    row("a state made, left and come back to by who may only roll back", "carol", rollback_to_new, "access-denied"),
    row(
        "a state of another environment by who may only roll back",
        "carol",
        pointer_file("1.1.0", PROD),
        "access-denied approvals",
    ),
    row("a deployment without approval", "bob", pointer_file("1.1.0", PROD), "approvals"),
    row("a canary without approval", "bob", pointer_file("1.0.0", PROD, canary="1.1.0"), "approvals"),
    row("a deployment out of order", "bob", pointer_file("1.5.0", PROD), "approvals order"),
    row("a canary out of order", "bob", pointer_file("1.0.0", PROD, canary="1.5.0"), "approvals order"),
    row(
        "staging and prod in one commit",
        "bob",
        {**pointer_file("1.5.0"), **pointer_file("1.5.0", PROD)},
        "one-pointer approvals",
    ),
    row(
        "two models' pointers in one commit",
        "bob",
        {
            **pointer_file("1.5.0"),
            "deployments/staging/risk/other.yaml": pointer_file("0.1.0")[STAGING_POINTER].replace(
                b"risk/fraud", b"risk/other"
            ),
        },
        "one-pointer",
    ),
    row("a version that is not there", "bob", pointer_file("7.0.0"), "version-unknown"),
    row("a version that was deleted", "bob", pointer_file("1.3.0"), "version-unknown"),
    row("a version that is yanked", "bob", pointer_file("1.2.0"), "version-state"),
    row("a version that is archived", "bob", pointer_file("1.4.0"), "version-state"),
    row("a yanked version as canary", "bob", pointer_file("1.1.0", canary="1.2.0"), "version-state"),
    row(
        "a canary that is the version itself",
        "bob",
        lambda w: w.main(
            w.change(
                {STAGING_POINTER: pointer_file("1.1.0", canary="1.5.0")[STAGING_POINTER].replace(b"1.5.0", b"1.1.0")}
            )
        ),
        "file-invalid",
    ),
    row(
        "a canary of 100 per cent",
        "bob",
        {STAGING_POINTER: pointer_file("1.1.0", canary="1.5.0")[STAGING_POINTER].replace(b"10", b"100")},
        "file-invalid",
    ),
    row(
        "a canary of no share",
        "bob",
        {STAGING_POINTER: pointer_file("1.1.0", canary="1.5.0")[STAGING_POINTER].replace(b"canary_percent: 10\n", b"")},
        "file-invalid",
    ),
    row(
        "an environment that there is not",
        "bob",
        {"deployments/dev/risk/fraud.yaml": pointer_file("1.5.0")[STAGING_POINTER].replace(b"staging", b"dev")},
        "environment-unknown",
    ),
    row(
        "a version registered, deployed and never tried",
        "root",
        steps({f"{MODEL}/2.0.0.yaml": version()}, pointer_file("2.0.0", PROD)),
        "approvals order",
    ),
    row("an undeployment by who only registers", "alice", {STAGING_POINTER: None}, "access-denied"),
    row("an undeployment in prod by who may in staging", "dave", {PROD_POINTER: None}, "access-denied"),
    row(
        "a pointer rewritten in other bytes by who may not",
        "alice",
        lambda w: w.main(w.change({STAGING_POINTER: b"# mine\n" + w.files[STAGING_POINTER]})),
        "access-denied",
    ),
    # Approvals
    row("an approval in somebody else's name", "dana", approves("1.1.0", "olaf"), "approval-foreign"),
    row("an approval in somebody else's name, by an admin", "root", approves("1.1.0"), "approval-foreign"),
    row("an approval by who may not", "alice", approves("1.1.0", "alice"), "access-denied"),
    row(
        "an approval by who may not, in the name of who may",
        "alice",
        approves("1.1.0"),
        "access-denied approval-foreign",
    ),
    row(
        "an approval by a contractor of his own deployment",
        "olaf",
        lambda w: steps(
            approval_file("1.1.0", UserName("olaf"), data=w.files[f"{MODEL}/1.1.0.yaml"]), pointer_file("1.1.0", PROD)
        )(w),
        "access-denied",
    ),
    row("an approval of other bytes", "dana", approves("1.1.0", data=b"other"), "approval-stale"),
    row("an approval of what is not there", "dana", approves("7.0.0", data=b"x"), "version-unknown"),
    row("an approval of what was deleted", "dana", approves("1.3.0"), "version-unknown"),
    row(
        "an approval for an environment that there is not",
        "dana",
        approves("1.1.0", environment=EnvironmentName("dev")),
        "environment-unknown access-denied",
    ),
    row("an approval elsewhere than one may", "dana", approves("1.1.0", environment=STAGING), "access-denied"),
    row("an approval taken away by somebody else", "root", {APPROVED: None}, "approval-foreign"),
    row(
        "an approval turned into a rejection by somebody else",
        "olaf",
        approves("1.0.0", verdict=Verdict.REJECT),
        "approval-foreign",
    ),
    row(
        "an approval moved to another version",
        "dana",
        moves(APPROVED, "approvals/risk/fraud/1.1.0/prod/dana.yaml"),
        "path-mismatch",
    ),
    row(
        "an approval copied to another user's name",
        "dana",
        copies(APPROVED, "approvals/risk/fraud/1.0.0/prod/olaf.yaml"),
        "path-mismatch approval-foreign",
    ),
    row(
        "an approval moved to another environment",
        "dana",
        moves(APPROVED, "approvals/risk/fraud/1.0.0/staging/dana.yaml"),
        "path-mismatch access-denied",
    ),
    row("approved by oneself, who may not, and deployed", "bob", approve_and_deploy, "access-denied approvals"),
    row("approved in somebody else's name and deployed", "bob", approve_by_other, "access-denied approval-foreign"),
    row("approved, then edited, then deployed", "root", approved_then_edited, "approvals"),
    # Reports
    row("a report by who may not", "bob", status_file("1.1.0"), "access-denied"),
    row("a report of what is not there", "rita", status_file("7.0.0"), "version-unknown"),
    row("a report from the future", "rita", status_file("1.1.0", "2999-01-01T00:00:00Z"), "time-in-future"),
    row(
        "a report with a password",
        "rita",
        {
            "status/staging/risk/fraud.yaml": next(iter(status_file("1.1.0").values()))
            + b"endpoint: https://a:b@example.org\n"
        },
        "file-invalid",
    ),
    row("a report taken away by who may not", "bob", {"status/staging/risk/fraud.yaml": None}, "access-denied"),
)
