"""List every command: its section of the help, where it lives, what it is for.

The help and the completion of command names read this table alone; a command's module is imported when it runs. A
test holds the table and the commands together.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """A command: the section that lists it (None hides it), `module:attribute` under gitreg.cli, its short help."""

    section: str | None
    target: str
    help: str


COMMANDS: dict[str, Entry] = {
    "init": Entry("Set up", "init:init", "Make a registry."),
    "clone": Entry("Set up", "clone:clone", "Clone a registry, with hooks that check before a push."),
    "config": Entry("Set up", "config:config", "Show or change this machine's settings."),
    "credential": Entry("Set up", "credential:credential", "Tell git the token for a gitreg server."),
    "doctor": Entry("Set up", "doctor:doctor", "Find out whether hooks and settings are in force."),
    "register": Entry("Publish", "register:register", "Register a new version of a model."),
    "import": Entry("Publish", "imports:import_version", "Take a version over from another registry."),
    "sign": Entry("Publish", "sign:sign", "Sign files before they are registered."),
    "inspect": Entry("Publish", "inspect:inspect", "Show what model files hold, without loading them."),
    "update": Entry("Publish", "update:update", "Change what may change of a version or a model."),
    "alias": Entry("Publish", "alias:alias", "Set, move or remove an alias."),
    "yank": Entry("Publish", "lifecycle:yank", "Hide a version from resolution."),
    "archive": Entry("Publish", "lifecycle:archive", "Keep a version for the record; it cannot be deployed."),
    "delete": Entry("Publish", "lifecycle:delete", "Replace a version by a tombstone."),
    "list": Entry("Find", "list:list_models", "List the models."),
    "show": Entry("Find", "show:show", "Show a version."),
    "versions": Entry("Find", "versions:versions", "List the versions of a model."),
    "search": Entry("Find", "search:search", "Find versions by their fields."),
    "recommend": Entry("Find", "recommend:recommend", "Find the models that suit a NEED told in words."),
    "diff": Entry("Find", "diff:diff", "Compare two versions."),
    "compare": Entry("Find", "compare:compare", "Set versions side by side."),
    "plot": Entry("Find", "plot:plot", "Draw metrics over the versions of a model."),
    "lineage": Entry("Find", "lineage:lineage", "Show what a version came from."),
    "pull": Entry("Find", "pull:pull", "Download the files of a version."),
    "lock": Entry("Find", "lock:lock", "Write down which versions a project uses."),
    "verify": Entry("Find", "verify:verify", "Read every byte of a pulled folder, and tell what is wrong."),
    "approve": Entry("Deploy", "approve:approve", "Approve or reject a version for an environment."),
    "deploy": Entry("Deploy", "deploy:deploy", "Point an environment at a version."),
    "promote": Entry("Deploy", "deploy:promote", "Deploy what runs in one environment to the next."),
    "rollback": Entry("Deploy", "deploy:rollback", "Point an environment back at what ran before."),
    "undeploy": Entry("Deploy", "deploy:undeploy", "Take a model out of an environment."),
    "report": Entry("Deploy", "report:report", "Report what really runs in an environment."),
    "status": Entry("Deploy", "status:status", "Show what is deployed, and what was reported to run."),
    "history": Entry("Deploy", "history:history", "List the deployments of a model."),
    "check": Entry("Govern", "check:check", "Judge a checkout or a range of commits as the server would."),
    "access": Entry("Govern", "access:access", "Explain who may do what."),
    "log": Entry("Govern", "log:log", "List what happened on main."),
    "audit": Entry("Govern", "audit:audit", "Verify and export the log of the gate's decisions."),
    "store": Entry("Keep", "store:store", "Try out the store and its mirrors, and bring mirrors up to date."),
    "cache": Entry("Keep", "cache:cache", "Show and shrink the cache of pulled files."),
    "fsck": Entry("Keep", "fsck:fsck", "Find weights that are missing or damaged, and repair them."),
    "gc": Entry("Keep", "collect:gc", "Take weights out of the store that no version needs."),
    "bundle": Entry("Keep", "bundle:bundle", "Write models, history and weights into one file."),
    "unbundle": Entry("Keep", "bundle:unbundle", "Verify a bundle, and take it into a registry."),
    "index": Entry("Keep", "index:index", "Build the index for searches, and publish a static one."),
    "upkeep": Entry("Keep", "upkeep:upkeep", "Keep the repository quick to read, fetch and clone."),
    "mark": Entry("Keep", "mark:mark", "Write the deploy tags that are missing."),
    "serve": Entry("Serve", "serve:serve", "Serve a bare registry over HTTP: REST, git and pages."),
    "server": Entry("Serve", "server:server", "Set up a registry on a server, and serve it over ssh."),
    "demo": Entry("Try", "demo:demo", "See a registry at work, in a folder of its own."),
    "completion": Entry("Try", "completion:completion", "Print the script for your shell's completion."),
    "no-model-files": Entry(None, "model_files:no_model_files", "Refuse model files: a pre-commit hook."),
}
