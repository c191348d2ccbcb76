"""Read and write git repositories; the only package that runs git.

Importing it does not import GitPython: `gitreg.git.remote` does, once it talks to another repository.
"""

from __future__ import annotations

from gitreg.git.commits import Draft, write_commit, write_commits, write_tag
from gitreg.git.compare import PathChange, changed_paths
from gitreg.git.environment import sealed_environment
from gitreg.git.objects import Objects
from gitreg.git.refs import RefEdit, TagRef
from gitreg.git.repository import Repository, global_config, global_section
from gitreg.git.temporary import scratch
from gitreg.git.trees import TreeEntry
from gitreg.git.values import Commit, Object, ObjectInfo, Oid, Signature, Tag

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
    "global_config",
    "global_section",
    "scratch",
    "sealed_environment",
    "write_commit",
    "write_commits",
    "write_tag",
]
