"""The file that a worker process is started with, in whatever environment its engine has.

That environment holds the engine's library and msgspec, but not Lar; so `runtime` is made importable from
the folder of this file, and nothing else that lies beside it.
"""

import importlib.util
import sys
from pathlib import Path


def _expose_runtime() -> None:
    """Register the package `runtime` without putting its surroundings on `sys.path`."""
    root = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(
        "runtime", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["runtime"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    _expose_runtime()
    from runtime.backends.worker import main

    main(engine_name=sys.argv[1])
