"""`gitreg cache`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command, group
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.objects.eviction import Pruned, Usage


@group("cache")
def cache() -> None:
    """Show and shrink the cache of pulled files."""


@command("show")
def show(session: Session) -> None:
    """Show where the cache is, what lies in it, and its limit."""
    from gitreg.objects import Cache

    session.answer(Cache.of_user(os.environ).usage(), _render)


@command("prune")
@click.option("--size", metavar="SIZE", help="How much may stay, such as 10GiB; default: the limit, or 0 without one.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
def prune(session: Session, size: str | None, dry_run: bool) -> None:
    """Remove from the cache what was used longest ago.

    What a running process uses stays, and what it gave out as a model's folder within a day. Folders that were pulled
    to are not touched: they keep their files.
    """
    from gitreg.objects import Cache
    from gitreg.objects.eviction import parse_size

    opened = Cache.of_user(os.environ)
    limit = parse_size(size) if size is not None else opened.limit or 0
    session.answer(
        opened.prune(limit, dry_run=dry_run), lambda screen, pruned: _render_pruned(screen, pruned, dry_run=dry_run)
    )


cache.add_command(show)
cache.add_command(prune)


def _render(screen: Screen, usage: Usage) -> None:
    screen.fields(
        [
            ("folder", usage.folder),
            ("used", human_size(usage.bytes)),
            ("limit", human_size(usage.limit) if usage.limit is not None else "none; GITREG_CACHE_SIZE sets one"),
            ("files", f"{usage.blobs} ({human_size(usage.blob_bytes)})"),
            ("unfinished", f"{usage.partial} ({human_size(usage.partial_bytes)})" if usage.partial else None),
            ("folders given out", usage.versions or None),
            ("in use by", f"{usage.in_use} processes" if usage.in_use else None),
        ]
    )


def _render_pruned(screen: Screen, pruned: Pruned, *, dry_run: bool) -> None:
    parts = [
        f"{count} {what}"
        for count, what in (
            (pruned.blobs, "file" if pruned.blobs == 1 else "files"),
            (pruned.partial, "unfinished"),
            (pruned.versions, "folder" if pruned.versions == 1 else "folders"),
        )
        if count
    ]
    verb = "would remove" if dry_run else "removed"
    screen.line(f"{verb} {', '.join(parts) or 'nothing'} ({human_size(pruned.freed)}); {human_size(pruned.left)} stay")
