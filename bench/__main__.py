"""Runs every benchmark, or the ones named, such as `python -m bench startup journal`.

Each prints what it measured beside its peer, in one run, as a ratio: machines differ, ratios less so.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from bench import gate, journal, serving, startup
from bench.inference import run as inference
from bench.inference.sizes import SIZES
from bench.mcp import run as mcp
from bench.options import Options
from bench.recall import run as recall

BENCHMARKS: dict[str, Callable[[Options], None]] = {
    "startup": lambda _: startup.run(),
    "journal": lambda _: journal.run(),
    "serving": lambda _: serving.run(),
    "inference": inference.run,
    "recall": recall.run,
    "mcp": mcp.run,
    "gate": lambda _: gate.run(),
}
TITLES = {
    "startup": startup.run.__doc__,
    "journal": journal.run.__doc__,
    "serving": serving.run.__doc__,
    "inference": inference.run.__doc__,
    "recall": recall.run.__doc__,
    "mcp": mcp.run.__doc__,
    "gate": gate.run.__doc__,
}


def main() -> None:
    """Run what was asked for."""
    names, options = read_arguments()
    for name in names:
        print(f"\n== {name}: {(TITLES[name] or '').splitlines()[0]}", flush=True)
        BENCHMARKS[name](options)


def read_arguments(arguments: list[str] | None = None) -> tuple[list[str], Options]:
    """Return which benchmarks to run and how. Exits with a message where the arguments make no sense."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="benchmark", help=f"of {', '.join(BENCHMARKS)}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--size", choices=list(SIZES), default="full", help="how large inference's workloads are"
    )
    size.add_argument(
        "--quick", dest="size", action="store_const", const="quick", help="the same as --size quick"
    )
    parser.add_argument("--rounds", type=int, help="how often inference measures each server")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*inference.NAMES, "page"],
        metavar="WORKLOAD",
        help="measure only these of inference; page: none, tell what was measured",
    )
    parser.add_argument("--chunks", nargs="+", type=int, metavar="COUNT", help="sizes of recall's stores")
    parser.add_argument(
        "--write",
        dest="page",
        type=Path,
        metavar="PAGE",
        help="write the report of inference or recall there",
    )
    parser.add_argument("--llama-server", type=Path, help="a binary of your own as inference's peer")
    told = parser.parse_args(arguments)
    unknown = [name for name in told.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"There is no benchmark '{unknown[0]}'. Known: {', '.join(BENCHMARKS)}.")

    names = told.names or list(BENCHMARKS)
    return names, Options(
        told.size, told.rounds, tuple(told.only or ()), tuple(told.chunks or ()), told.page, told.llama_server
    )


if __name__ == "__main__":
    main()
