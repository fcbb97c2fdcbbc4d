"""`python -m runtime` is the `lar` command."""

import sys


def main() -> None:
    """Run the command and exit with its status."""
    from runtime.cli.entry import run  # here, so that an import failure meets the same border

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
