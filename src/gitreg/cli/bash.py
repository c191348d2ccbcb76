"""Complete in bash, which takes `@`, `:` and `=` for the ends of words."""

from __future__ import annotations

import os
from typing import ClassVar

from click.shell_completion import BashComplete, add_completion_class, split_arg_string

# Bash hands its own idea of the words over; the line tells what was typed. Of each completion, what lies before the
# last such character is on the line already and must not be given again.
_SCRIPT = """\
%(complete_func)s() {
    local IFS=$'\\n' line="${COMP_LINE:0:$COMP_POINT}" current start completion kind value
    current="${line##*[[:space:]]}"
    start="${current%%"${current##*["$COMP_WORDBREAKS"]}"}"
    COMPREPLY=()
    for completion in $(COMP_LINE="$line" %(complete_var)s=bash_complete "$1"); do
        kind="${completion%%%%,*}" value="${completion#*,}"
        case "$kind" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${value#"$start"}") ;;
        esac
    done
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class BashLineComplete(BashComplete):
    """Click's completion for bash, on the line as it was typed."""

    source_template: ClassVar[str] = _SCRIPT

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line up to the cursor into the words before it and the one at it."""
        line = os.environ.get("COMP_LINE", "")
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]


def register() -> None:
    """Put it in the place of click's own."""
    add_completion_class(BashLineComplete)
