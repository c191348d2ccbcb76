"""`gitreg completion`."""

from __future__ import annotations

import click

from gitreg.cli.session import Session, command


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
def completion(session: Session, shell: str) -> None:
    r"""Print the script for your shell's completion.

    \b
      bash   echo 'eval "$(gitreg completion bash)"' >> ~/.bashrc
      zsh    echo 'eval "$(gitreg completion zsh)"' >> ~/.zshrc
      fish   gitreg completion fish > ~/.config/fish/completions/gitreg.fish
    """
    from gitreg.cli.complete import script

    text = script(click.get_current_context().find_root().command, shell)
    session.answer({"shell": shell, "script": text}, lambda _screen, value: click.echo(value["script"]))
