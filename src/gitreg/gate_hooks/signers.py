"""Find out who signed: read signatures, judge them by the listed keys, have ssh-keygen verify what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.gate import Code, Violation
from gitreg.gate.signing import Moments, SignatureFact, Signer, Signing, judge_signature
from gitreg.git.signatures import Job, SshSignature, read_signed, verify
from gitreg.keys import AllowedSigners
from gitreg.layout import ALLOWED_SIGNERS, SETTINGS, proposal_user
from gitreg.records import dataclass, field, replace
from gitreg.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from gitreg.gate import RefUpdate
    from gitreg.git import Repository
    from gitreg.names import UserName

_PORTION = 512


@dataclass(frozen=True, slots=True)
class Signers:
    """Who signed what, by object id, and why the rest does not count."""

    users: Mapping[str, UserName] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True)
class _Item:
    """One object whose signature is asked for."""

    oid: str
    what: str
    when: Moments


def judge_chain(repository: Repository, chain: Sequence[str], rules: Signing, now: int) -> Signers:
    """Judge the signature of every commit of a first-parent chain, oldest first, but the one that it begins upon."""
    items = []
    before = repository.objects.commit(chain[0]).committer.time
    for start in range(1, len(chain), _PORTION):
        portion = chain[start : start + _PORTION]
        repository.objects.prefetch(portion)
        for oid in portion:
            claimed = repository.objects.commit(oid).committer.time
            items.append(_Item(oid, "the commit", Moments(claimed, before, now)))
            before = claimed
    return _judge(repository, items, rules)


def judge_proposal(repository: Repository, update: RefUpdate, old: str | None, rules: Signing, now: int) -> Signers:
    """Judge by its tip whose a proposal is, where the server names nobody: its owner has signed it.

    Anybody could bring back what the owner once signed, so it has to follow from what is there, or be newer.
    """
    owner = proposal_user(update.ref)
    commit = repository.objects.commit(update.new)
    before = repository.objects.commit(commit.parents[0]).committer.time if commit.parents else None
    item = _Item(update.new, "the proposal's tip", Moments(commit.committer.time, before, now))
    found = _judge(repository, [item], replace(rules, who=owner))
    if found.violations or old is None or _follows(repository, old, update.new):
        return found
    message = f"{update.ref} would go back to an older commit, and nobody can tell whether {owner} wants that"
    back = Violation(Code.PROPOSAL_FOREIGN, message, "sign a new commit, or push another branch", commit=update.new)
    return Signers(violations=(back,))


def _follows(repository: Repository, old: str, new: str) -> bool:
    from gitreg.git.history import merge_base

    one, other = repository.objects.commit(old), repository.objects.commit(new)
    return other.committer.time > one.committer.time or merge_base(repository, old, new) == old


def judge_tag(repository: Repository, oid: str, rules: Signing, now: int) -> Signers:
    """Judge the signature of an annotated tag of a commit."""
    tag = repository.objects.tag(oid)
    if tag.tagger is None or tag.target_type != "commit":
        broken = Violation(Code.SIGNATURE_INVALID, "the tag names no tagger, or marks no commit")
        return Signers(violations=(broken,))
    before = repository.objects.commit(tag.target).committer.time
    return _judge(repository, [_Item(oid, f"the tag {tag.name}", Moments(tag.tagger.time, before, now))], rules)


def _judge(repository: Repository, items: Sequence[_Item], rules: Signing) -> Signers:
    """Judge what is cheap first: only a key that is listed, at a time that fits, is worth a process."""
    found: list[Signer] = []
    jobs: dict[int, Job] = {}
    for index, item in enumerate(items):
        fact, signature = _read(repository, item.oid)
        signer = judge_signature(fact, item.when, rules, item.what, item.oid)
        key = rules.signers.find(signature.key) if signature else None
        if signer.user is not None and signature is not None and key is not None:
            jobs[index] = Job(item.oid, signature, key)
        found.append(signer)
    for (index, job), fault in zip(jobs.items(), verify(repository, list(jobs.values())), strict=True):
        if fault is not None:
            item, fact = items[index], SignatureFact(job.signature.key, fault)
            found[index] = judge_signature(fact, item.when, rules, item.what, item.oid)
    return _together(items, found, jobs)


def _together(items: Iterable[_Item], found: Iterable[Signer], verified: Collection[int]) -> Signers:
    """Gather what was found; whose signature ssh-keygen was not asked about, and nothing is said against, is nobody."""
    users: dict[str, UserName] = {}
    violations: list[Violation] = []
    for index, (item, signer) in enumerate(zip(items, found, strict=True)):
        violations += signer.violations
        if signer.user is not None and index in verified:
            users[item.oid] = signer.user
        elif not signer.violations:
            message = f"the signature of {item.what} was neither verified nor refused"
            violations.append(Violation(Code.INTERNAL, message, "tell the server's owner", commit=item.oid))
    return Signers(users, tuple(violations))


def _read(repository: Repository, oid: str) -> tuple[SignatureFact, SshSignature | None]:
    try:
        armor = read_signed(repository, oid).armor
        signature = SshSignature.parse(armor) if armor is not None else None
    except InvalidError as error:
        return SignatureFact(fault=str(error)), None
    return SignatureFact(key=signature.key if signature else None), signature


# What history tells


def signers_of(repository: Repository, commits: Iterable[str]) -> dict[str, str]:
    """Tell who signed commits that are on main, by the settings and keys of the state before each.

    Of a commit from a time when signatures were no identity, or whose signature does not hold, nothing is told.
    """
    lists: dict[tuple[str, str], AllowedSigners | None] = {}
    jobs: dict[str, Job] = {}
    for oid in commits:
        commit = repository.objects.commit(oid)
        signers = _listed_at(repository, commit.parents[0], lists) if commit.parents else None
        if signers is None:
            continue
        _, signature = _read(repository, oid)
        key = signers.find(signature.key) if signature else None
        if signature and key and key.counts_at(commit.committer.time):
            jobs[oid] = Job(oid, signature, key)
    faults = verify(repository, list(jobs.values()))
    return {oid: str(job.key.user) for (oid, job), fault in zip(jobs.items(), faults, strict=True) if fault is None}


def _listed_at(
    repository: Repository, commit: str, lists: dict[tuple[str, str], AllowedSigners | None]
) -> AllowedSigners | None:
    """Give the keys that count at a commit; None where signatures are no identity there."""
    names = [repository.objects.info(f"{commit}:{path}") for path in (SETTINGS, ALLOWED_SIGNERS)]
    settings, signers = names
    if settings is None or signers is None:
        return None
    place = (settings.oid, signers.oid)
    if place not in lists:
        lists[place] = None
        try:
            if Settings.parse(repository.objects.read(settings.oid).data).by_signature:
                lists[place] = AllowedSigners.parse(repository.objects.read(signers.oid).data)
        except InvalidError:
            return None
    return lists[place]
