"""The command line: the same questions and commands as over HTTP, and the work around them."""

import sys


def main() -> None:
    """The `dealtrace` program."""
    from api.cli.program import run_program

    sys.exit(run_program(sys.argv[1:]))
