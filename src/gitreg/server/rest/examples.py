"""Give an example of each value that the interface takes or answers with, by the name of its schema."""

from __future__ import annotations

from typing import Any

COMMIT = "8c1f0a6f2d9be1c77d1c5d3b6a0e4f2b9d8c7a61"
_DIGEST = "sha256:9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
_MANIFEST_DIGEST = "sha256:a263325b032882ac5dbf28670da4a273982498b7ed4dda29542d1f92e1a73369"
_MODEL, _VERSION = "risk/fraud", "1.4.0"
_SIZE = 52_428_800
_CREATED, _LATER = "2026-01-31T12:00:00Z", "2026-02-01T08:00:00Z"
_RUNS: dict[str, Any] = {"environment": "prod", "model": _MODEL, "version": _VERSION}
_PARENT: dict[str, Any] = {"model": _MODEL, "version": "1.3.0", "relation": "finetuned-from"}
_REPORTED: dict[str, Any] = {
    **_RUNS,
    "state": "live",
    "reported": _LATER,
    "endpoint": "https://scoring.example.org/fraud",
}
_MANIFEST: dict[str, Any] = {
    "model": _MODEL,
    "version": _VERSION,
    "created": _CREATED,
    "author": {"name": "Alice Doe", "email": "alice@example.org"},
    "description": "Retrained on January's ledger.",
    "artifacts": [{"path": "model.safetensors", "digest": _DIGEST, "size": _SIZE, "format": "safetensors"}],
    "training": {
        "datasets": [{"name": "ledger", "version": "2026.01"}],
        "hyperparameters": {"learning_rate": 0.001},
    },
    "metrics": {"auc": 0.981},
    "evaluations": [],
    "parents": [_PARENT],
    "license": "Apache-2.0",
    "labels": {"team": "risk"},
    "lifecycle": "active",
}
_APPROVAL: dict[str, Any] = {
    **_RUNS,
    "user": "dana",
    "verdict": "approve",
    "manifest_digest": _MANIFEST_DIGEST,
    "comment": "Looks right.",
}
_KNOWN: dict[str, Any] = {
    "model": _MODEL,
    "description": "Scores payments.",
    "task": "tabular-classification",
    "aliases": {"champion": _VERSION},
}
_COUNTED: dict[str, Any] = {"versions": 7, "latest": _VERSION, "deployed": {"prod": _VERSION, "staging": _VERSION}}

EXAMPLES: dict[str, dict[str, Any]] = {
    # What is taken.
    "Alias": {"model": _MODEL, "alias": "champion", "version": _VERSION},
    "Promote": {"model": _MODEL, "source": "staging", "reason": "January retrain"},
    "UpdateModel": {"task": "tabular-classification", "labels": {"team": "risk"}},
    "UpdateVersion": {"metrics": {"auc_march": 0.975}, "lifecycle": "deprecated"},
    "Verdict": {"comment": "Looks right."},
    "Upload": {"digest": _DIGEST, "size": _SIZE},
    "Import": {
        "origin": {"url": "https://host/r.git", "commit": COMMIT, "name": "corp"},
        "versions": ["api_version: gitreg/v1\nkind: ModelVersion\nmodel: risk/fraud\nversion: 1.4.0\n…\n"],
        "models": {_MODEL: {"model": "api_version: gitreg/v1\nkind: Model\nmodel: risk/fraud\n", "card": "# Fraud\n"}},
    },
    # What is answered.
    "Written": {
        "commit": COMMIT,
        "ref": "refs/heads/main",
        "subject": "Deploy risk/fraud@1.4.0 to prod",
        "paths": ["deployments/prod/risk/fraud.yaml"],
        "dry_run": False,
        "violations": [],
        "notes": [],
        "about": _RUNS,
    },
    "Manifest": _MANIFEST,
    "VersionDetails": {
        "manifest": _MANIFEST,
        "manifest_digest": _MANIFEST_DIGEST,
        "aliases": ["champion"],
        "deployed": ["staging", "prod"],
        "approvals": [_APPROVAL],
        "registry_commit": COMMIT,
    },
    "Approval": _APPROVAL,
    "Model": {**_KNOWN, "owners": ["alice"], "labels": {"team": "risk"}},
    "ModelSummary": {**_KNOWN, **_COUNTED},
    "EnvironmentRule": {"name": "prod", "after": "staging", "approvals": 1},
    "StatusRow": {**_RUNS, "lifecycle": "active", "reported": _REPORTED},
    "Status": _REPORTED,
    "VersionSummary": {
        "model": _MODEL,
        "version": _VERSION,
        "created": _CREATED,
        "author": "Alice Doe",
        "lifecycle": "active",
        "metrics": {"auc": 0.981},
        "labels": {"team": "risk"},
        "size": _SIZE,
        "aliases": ["champion"],
        "deployed": ["prod"],
    },
    "LineageNode": {
        "name": "risk/fraud@1.4.0",
        "parents": [{"name": "risk/fraud@1.3.0", "relation": "finetuned-from", "parents": [], "children": []}],
        "children": [],
    },
    "ManifestDiff": {
        "left": "risk/fraud@1.3.0",
        "right": "risk/fraud@1.4.0",
        "metrics": [{"name": "auc", "left": 0.972, "right": 0.981, "delta": 0.009}],
        "hyperparameters": [{"name": "learning_rate", "left": 0.01, "right": 0.001}],
        "datasets": [{"name": "ledger", "right": {"name": "ledger", "version": "2026.01"}}],
        "artifacts": [],
        "fields": [],
    },
    "Comparison": {
        "versions": ["risk/fraud@1.3.0", "risk/fraud@1.4.0"],
        "created": ["2025-12-31T12:00:00Z", _CREATED],
        "sizes": [_SIZE, _SIZE],
        "metrics": [{"name": "auc", "goal": "maximize", "values": [0.972, 0.981], "deltas": [0.0, 0.009], "best": [1]}],
        "hyperparameters": [{"name": "learning_rate", "values": [0.01, 0.001]}],
        "datasets": [],
        "artifacts": [],
        "fields": [],
    },
    "Recommendation": {
        "need": "score payments",
        "model": "wordllama l2_supercat_256",
        "aims": ["auc"],
        "considered": 12,
        "places": [
            {
                "key": "risk/fraud@1.4.0",
                "relevance": 0.57,
                "similarity": 0.57,
                "shared": ["payments"],
                "measures": {"auc": 0.981},
                "reasons": ["its texts have payments", "similarity 0.57"],
            }
        ],
        "notes": [],
    },
    "DeploymentRecord": {
        **_RUNS,
        "number": 3,
        "action": "promote",
        "commit": COMMIT,
        "time": _LATER,
        "author": "Carol Lee",
        "actor": "carol",
        "reason": "January retrain",
        "marked": True,
    },
    "LogEntry": {
        "commit": COMMIT,
        "time": _LATER,
        "author": "Carol Lee",
        "subject": "Deploy risk/fraud@1.4.0 to prod",
        "changes": ["prod: risk/fraud 1.3.0 → 1.4.0"],
    },
    "Verified": {
        "entries": 7,
        "accepted": 6,
        "refused": 1,
        "landed": 6,
        "superseded": 0,
        "commits": 7,
        "older": 0,
        "anchors": 1,
        "head": "9928d606c2d08b0af962fc32ea6c0f2d9f2308549a6068ceb471919a15580d57",
        "damage": 0,
        "findings": [],
        "notes": [],
    },
}
# Those of answers that have no schema of their own, by their paths.
OF_PATHS: dict[str, Any] = {
    "/": {"service": "gitreg", "version": "0.1.0", "git": "/registry.git", "registry": "acme", "commit": COMMIT},
    "/models/{project}/{model}": {**EXAMPLES["Model"], **_COUNTED},
    "/audit": {
        "items": [
            {
                "seq": 2,
                "time": _LATER,
                "actor": "carol",
                "verdict": "accepted",
                "models": [_MODEL],
                "source": {"address": "192.0.2.7", "identity": "token:y7v7rnfsw7"},
                "updates": [{"ref": "refs/heads/main", "old": "1cc2ab81" * 5, "new": COMMIT}],
                "violations": [],
                "previous": "f7d6c852" * 8,
                "hash": "50fcf3f8" * 8,
            }
        ],
        "next": None,
    },
    "/trees/": {"commit": COMMIT, "oid": "f1b53477" * 5, "entries": [{"name": "models", "type": "tree", "oid": None}]},
    "/trees/{path}": {
        "commit": COMMIT,
        "oid": "c39f7e0e" * 5,
        "entries": [{"name": "risk", "type": "tree", "oid": "da9c9884" * 5}],
    },
    "/uploads": {
        "present": False,
        "received": 0,
        "url": f"/uploads/sha256/{_DIGEST.removeprefix('sha256:')}",
        "method": "PUT",
        "headers": {"Content-Type": "application/octet-stream"},
    },
    "/uploads/sha256/{hex}": {"present": True, "digest": _DIGEST, "size": _SIZE},
}
COMING = {"present": False, "received": 1_048_576, "size": _SIZE}
