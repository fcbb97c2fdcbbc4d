"""Runs every benchmark, or the ones named: `python -m bench [startup] [journal] [serving]`.

Each prints what it measured beside its peer, in one run, as a ratio: machines differ, ratios less so.
"""

import sys

from bench import journal, serving, startup

BENCHMARKS = {"startup": startup.run, "journal": journal.run, "serving": serving.run}


def main() -> None:
    """Run what was asked for."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.exit(f"There is no benchmark '{unknown[0]}'. Known: {', '.join(BENCHMARKS)}.")

    for name in names:
        print(f"\n== {name}: {(BENCHMARKS[name].__doc__ or '').splitlines()[0]}")
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
