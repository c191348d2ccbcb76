"""What is meant to run where, who approved it, and what was reported to run."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from gitreg.digest import Digest
from gitreg.names import EnvironmentName, ModelName, UserName, Version
from gitreg.parsing import API_VERSION, without_empty
from gitreg.records import dataclass
from gitreg.wire import dump, load

if TYPE_CHECKING:
    from gitreg.parsing import Data, Findings


class Verdict(StrEnum):
    """What a reviewer says."""

    APPROVE = "approve"
    REJECT = "reject"


class State(StrEnum):
    """What a reporter saw."""

    LIVE = "live"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The pointer of a model in an environment; a canary gets `canary_percent` (1 to 99) of the requests."""

    environment: EnvironmentName
    model: ModelName
    version: Version
    canary_version: Version | None = None
    canary_percent: int | None = None

    @classmethod
    def parse(cls, data: bytes, path: str | None = None) -> Self:
        """Read a pointer's file; raise InvalidError with everything that is wrong."""
        from gitreg.parsing import Rule, accept
        from gitreg.schema import Kind

        rule = Rule(("version", "canary_version"), _canary)
        return cls.from_data(accept(Kind.DEPLOYMENT, load(data, path), (rule,)).value)

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data, without checking it again."""
        canary, percent = data.get("canary_version"), data.get("canary_percent")
        return cls(
            environment=EnvironmentName(data["environment"]),
            model=ModelName.parse(data["model"]),
            version=Version(data["version"]),
            canary_version=Version(canary) if canary is not None else None,
            canary_percent=int(percent) if percent is not None else None,
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty(
            {
                "api_version": API_VERSION,
                "kind": "Deployment",
                "environment": str(self.environment),
                "model": str(self.model),
                "version": str(self.version),
                "canary_version": str(self.canary_version) if self.canary_version else None,
                "canary_percent": self.canary_percent,
            }
        )

    def to_bytes(self) -> bytes:
        """Write the canonical file."""
        return dump(self.to_data())


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One user's verdict on a version for an environment, bound to the bytes of the manifest that they saw."""

    model: ModelName
    version: Version
    environment: EnvironmentName
    user: UserName
    verdict: Verdict
    manifest_digest: Digest
    comment: str | None = None

    @classmethod
    def parse(cls, data: bytes, path: str | None = None) -> Self:
        """Read an approval's file; raise InvalidError with everything that is wrong."""
        from gitreg.parsing import accept
        from gitreg.schema import Kind

        return cls.from_data(accept(Kind.APPROVAL, load(data, path), ()).value)

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data, without checking it again."""
        return cls(
            model=ModelName.parse(data["model"]),
            version=Version(data["version"]),
            environment=EnvironmentName(data["environment"]),
            user=UserName(data["user"]),
            verdict=Verdict(data["verdict"]),
            manifest_digest=Digest.parse(data["manifest_digest"]),
            comment=data.get("comment"),
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty(
            {
                "api_version": API_VERSION,
                "kind": "Approval",
                "model": str(self.model),
                "version": str(self.version),
                "environment": str(self.environment),
                "user": str(self.user),
                "verdict": str(self.verdict),
                "manifest_digest": str(self.manifest_digest),
                "comment": self.comment,
            }
        )

    def to_bytes(self) -> bytes:
        """Write the canonical file."""
        return dump(self.to_data())


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What was last seen to run somewhere; `reported` is a time in RFC 3339, in UTC."""

    environment: EnvironmentName
    model: ModelName
    version: Version
    state: State
    reported: str
    endpoint: str | None = None
    detail: str | None = None

    @classmethod
    def parse(cls, data: bytes, path: str | None = None) -> Self:
        """Read a status file; raise InvalidError with everything that is wrong."""
        from gitreg.parsing import Rule, accept
        from gitreg.schema import Kind

        rules = (Rule(("reported",), _reported), Rule(("endpoint",), _endpoint))
        return cls.from_data(accept(Kind.STATUS, load(data, path), rules).value)

    @classmethod
    def from_data(cls, data: Data) -> Self:
        """Build from accepted data, without checking it again."""
        return cls(
            environment=EnvironmentName(data["environment"]),
            model=ModelName.parse(data["model"]),
            version=Version(data["version"]),
            state=State(data["state"]),
            reported=data["reported"],
            endpoint=data.get("endpoint"),
            detail=data.get("detail"),
        )

    def to_data(self) -> dict[str, Any]:
        """Give plain data in canonical order."""
        return without_empty(
            {
                "api_version": API_VERSION,
                "kind": "Status",
                "environment": str(self.environment),
                "model": str(self.model),
                "version": str(self.version),
                "state": str(self.state),
                "reported": self.reported,
                "endpoint": self.endpoint,
                "detail": self.detail,
            }
        )

    def to_bytes(self) -> bytes:
        """Write the canonical file."""
        return dump(self.to_data())


def _canary(findings: Findings, data: Data) -> None:
    if "canary_version" in data and data["canary_version"] == data.get("version"):
        findings.add(f"found {data['canary_version']}, which is the version itself", "canary_version")


def _reported(findings: Findings, data: Data) -> None:
    from gitreg.parsing import check_moment

    if "reported" in data:
        check_moment(findings, data["reported"], "reported")


def _endpoint(findings: Findings, data: Data) -> None:
    from gitreg.parsing import check_uri

    check_uri(findings, data.get("endpoint"), "endpoint")
