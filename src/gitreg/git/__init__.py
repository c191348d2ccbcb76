"""Read and write git repositories; the only package that runs git.

Nothing here imports GitPython: `gitreg.git.remote` and `gitreg.git.checkout` do, inside the functions that need it.
"""

from __future__ import annotations

from gitreg.git.commits import Draft, write_commit, write_commits, write_tag
from gitreg.git.environment import sealed_environment
from gitreg.git.objects import Object, ObjectInfo, Objects
from gitreg.git.refs import RefEdit, TagRef
from gitreg.git.repository import Repository
from gitreg.git.trees import PathChange, TreeEntry, changed_paths
from gitreg.git.values import Commit, Oid, Signature, Tag

__all__ = [
    "Commit",
    "Draft",
    "Object",
    "ObjectInfo",
    "Objects",
    "Oid",
    "PathChange",
    "RefEdit",
    "Repository",
    "Signature",
    "Tag",
    "TagRef",
    "TreeEntry",
    "changed_paths",
    "sealed_environment",
    "write_commit",
    "write_commits",
    "write_tag",
]
