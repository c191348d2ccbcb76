"""The settings of a registry: its name, its store, its environments, what it demands of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from gitreg.names import EnvironmentName, did_you_mean
from gitreg.parsing import API_VERSION, carries_credentials, check_uri, without_empty
from gitreg.records import dataclass, field
from gitreg.wire import dump, load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.parsing import Data, Findings

SIGNATURE = "signature"
SIGNED = "signed"
REQUIRED = "required"
STORE_SCHEMES = ("file", "s3", "gs", "az")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentRule:
    """An environment, the one that a version must have run in before, and how many approvals it takes."""

    name: EnvironmentName
    after: EnvironmentName | None = None
    approvals: int = 0

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        after = data.get("after")
        return cls(
            name=EnvironmentName(data["name"]),
            after=EnvironmentName(after) if after is not None else None,
            approvals=int(data.get("approvals", 0)),
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        after = str(self.after) if self.after is not None else None
        return without_empty({"name": str(self.name), "after": after, "approvals": self.approvals or None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long weights are kept that nothing needs: time spans as written, such as `14d`; None is the default.

    `grace` is for what no version ever named, `deleted` for deleted versions (None: for ever), `trash` for what gc
    took; `hold` are patterns of models that keep all.
    """

    grace: str | None = None
    deleted: str | None = None
    trash: str | None = None
    hold: tuple[str, ...] = ()

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data."""
        return cls(
            grace=data.get("grace"),
            deleted=data.get("deleted"),
            trash=data.get("trash"),
            hold=tuple(data.get("hold", ())),
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty(
            {"grace": self.grace, "deleted": self.deleted, "trash": self.trash, "hold": list(self.hold)}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A registry's settings.

    `store` is a URI, and so is each of `mirrors`; a relative `file:` path counts from the git directory. `required`
    holds dotted fields of the manifest. `formats` None allows all but pickles. `identity` is `signature` where the
    actor is who signed, `deploy_tags` is `signed` where deploy tags need a signature, `signatures` is `required` where
    a version's files do.
    """

    name: str
    description: str | None = None
    store: str | None = None
    mirrors: tuple[str, ...] = ()
    environments: tuple[EnvironmentRule, ...] = ()
    required: tuple[str, ...] = ()
    formats: tuple[str, ...] | None = None
    identity: str | None = None
    deploy_tags: str | None = None
    signatures: str | None = None
    retention: Retention = field(default_factory=Retention)

    @classmethod
    def parse(cls, data: bytes, path: str | None = None) -> Self:
        """Read `registry.yaml`; raise InvalidError with everything that is wrong."""
        from gitreg.parsing import Rule, accept
        from gitreg.schema import Kind

        rules = (
            Rule(("store",), _store),
            Rule(("mirrors",), _mirrors),
            Rule(("environments",), _environments),
            Rule(("required",), _required),
        )
        return cls.from_data(accept(Kind.REGISTRY, load(data, path), rules).value)

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data, without checking it again."""
        formats = data.get("formats")
        return cls(
            name=data["name"],
            description=data.get("description"),
            store=data.get("store"),
            mirrors=tuple(data.get("mirrors", ())),
            environments=tuple(map(EnvironmentRule.from_data, data.get("environments", ()))),
            required=tuple(data.get("required", ())),
            formats=tuple(formats) if formats is not None else None,
            identity=data.get("identity"),
            deploy_tags=data.get("deploy_tags"),
            signatures=data.get("signatures"),
            retention=Retention.from_data(data.get("retention", {})),
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty(
            {
                "api_version": API_VERSION,
                "kind": "Registry",
                "name": self.name,
                "description": self.description,
                "store": self.store,
                "mirrors": list(self.mirrors),
                "environments": [rule.to_data() for rule in self.environments],
                "required": list(self.required),
                "formats": list(self.formats) if self.formats is not None else None,
                "identity": self.identity,
                "deploy_tags": self.deploy_tags,
                "signatures": self.signatures,
                "retention": self.retention.to_data(),
            }
        )

    def to_bytes(self) -> bytes:
        """Write the canonical file."""
        return dump(self.to_data())

    @property
    def by_signature(self) -> bool:
        """Whether the actor of a commit is who signed it."""
        return self.identity == SIGNATURE

    @property
    def signed_tags(self) -> bool:
        """Whether deploy tags carry a signature."""
        return self.deploy_tags == SIGNED

    @property
    def signed_models(self) -> bool:
        """Whether a new version needs a signature of its files."""
        return self.signatures == REQUIRED

    def environment(self, name: str) -> EnvironmentRule | None:
        """Find the rule of an environment, or None."""
        return next((rule for rule in self.environments if rule.name == name), None)


def _store(findings: Findings, data: Data) -> None:
    uri = data.get("store")
    check_uri(findings, uri, "store")
    if uri is not None and not carries_credentials(uri) and (complaint := _complaint(uri)):
        findings.add(complaint, "store")


def _mirrors(findings: Findings, data: Data) -> None:
    mirrors = data.get("mirrors", ())
    if mirrors and "store" not in data:
        findings.add("mirrors stand in for a store; name the primary one as `store`", "mirrors")
    for index, uri in enumerate(mirrors):
        check_uri(findings, uri, "mirrors", index)
        if not carries_credentials(uri) and (complaint := _complaint(uri)):
            findings.add(complaint, "mirrors", index)
        if uri == data.get("store") or uri in mirrors[:index]:
            findings.add("it is there twice; leave one out", "mirrors", index)


def _complaint(uri: str) -> str | None:
    """Say what is wrong with a store's URI, if anything."""
    scheme, _, rest = uri.partition(":")
    if scheme not in STORE_SCHEMES:
        known = ", ".join(f"{each}:" for each in STORE_SCHEMES)
        return f"found {scheme}:, allowed: {known}"
    if scheme == "file":
        foreign = rest.startswith("//") and not rest.startswith("///")
        return "names a host; write file:relative/path or file:///absolute/path" if foreign else None
    if "?" in rest or "#" in rest:
        return "found a query or a fragment, where keys and tokens end up; write the bucket and the prefix alone"
    bucket = rest.removeprefix("//").partition("/")[0]
    return None if rest.startswith("//") and bucket else f"names no bucket; write {scheme}://bucket/prefix"


def _environments(findings: Findings, data: Data) -> None:
    earlier: list[str] = []
    for index, rule in enumerate(data.get("environments", ())):
        name, after = rule["name"], rule.get("after")
        if name in earlier:
            findings.add(f"{name} is there twice; leave one out", "environments", index, "name")
        if after is not None and after not in earlier:
            listed = ", ".join(earlier) or "none"
            findings.add(f"found {after}, want an environment listed earlier: {listed}", "environments", index, "after")
        earlier.append(name)


def _required(findings: Findings, data: Data) -> None:
    for index, name in enumerate(data.get("required", ())):
        if complaint := _unknown(name):
            findings.add(complaint, "required", index)


def _unknown(name: str) -> str | None:
    """Say what is wrong with a dotted name of a manifest's field, by the manifest's schema."""
    from gitreg.schema import Kind, schema

    root: Mapping[str, Any] = schema(Kind.MANIFEST)
    node, known = root, ""
    for part in name.split("."):
        fields: Mapping[str, Any] = node.get("properties", {})
        free = node.get("additionalProperties")
        if part not in fields and not isinstance(free, dict):
            near = did_you_mean(part, fields)
            question = f"; did you mean {known}{near}?" if near else ""
            return f"{name} is no field of a manifest{question}"
        node = _resolved(root, fields.get(part, free))
        known += f"{part}."
    return None


def _resolved(root: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = node.get("$ref", "")
    found: Mapping[str, Any] = root["$defs"][reference.removeprefix("#/$defs/")] if reference else node
    return found
