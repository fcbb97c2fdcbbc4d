"""llama-server inside the peer's interpreter: `python peer_server.py WEIGHTS PORT THREADS SETTING`.

Runs outside this project's environment, hence imports only the peer. SETTING is a JSON object with `slots`,
`is_unified` and, where the server's own default shall not stand, `context` and `batch`. It serves until its
standard input ends.
"""

import json
import sys

import xllamacpp  # type: ignore[import-not-found]  # lives in the peer's environment alone


def main() -> None:
    """Serve until nobody holds the other end of standard input."""
    weights, port, threads, told = sys.argv[1:]
    setting = json.loads(told)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = weights
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = int(port)
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = int(threads)
    parameters.n_parallel = setting["slots"]
    parameters.kv_unified = setting["is_unified"]
    parameters.ui = False
    parameters.verbosity = 1
    if setting["context"]:
        parameters.n_ctx = setting["context"]
    if setting["batch"]:
        parameters.n_batch = parameters.n_ubatch = setting["batch"]

    server = xllamacpp.Server(parameters)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    main()
