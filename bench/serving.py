"""Serving the default model: Lar over HTTP beside llama-cpp-python alone in one process."""

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bench.installed import install_default_model, serve
from runtime.core.settings import DEFAULT_MODEL
from tests.kit.server import RunningServer

TOKENS = 96
PROMPT = "Write a story about a lighthouse keeper who finds a message in a bottle."
PEER = """
import json, sys, time
from llama_cpp import Llama
model = Llama(sys.argv[1], n_ctx=8192, verbose=False)
def ask():
    began, first, count = time.perf_counter(), None, 0
    for chunk in model.create_chat_completion(
        [{"role": "user", "content": sys.argv[2]}], max_tokens=int(sys.argv[3]), stream=True, temperature=0.8
    ):
        if chunk["choices"][0]["delta"].get("content"):
            first, count = first or time.perf_counter() - began, count + 1
    return {"first_s": first, "tokens": count, "seconds": time.perf_counter() - began}
ask()
model.reset()
print(json.dumps(ask()))
"""


class Measured(NamedTuple):
    """What a number of clients at once got."""

    tokens_per_s: float
    """All clients together, from the first request to the last token."""
    first_s: float
    """Median time to the first token."""


def run() -> None:
    """Tokens per second and time to the first token, at 1 and 8 clients; installs the model if need be."""
    installed = install_default_model()
    peer = _peer(installed.python, installed.weights)
    with serve(installed) as server:
        _ask(server)
        one, eight = _measure(server, 1), _measure(server, 8)
    print(
        f"  peer, in process, 1 client  {peer.tokens_per_s:6.1f} tokens/s   first after {peer.first_s:.2f} s"
    )
    for clients, lar in ((1, one), (8, eight)):
        ratio = lar.tokens_per_s / peer.tokens_per_s
        who = f"Lar over HTTP, {clients} client{'s' if clients > 1 else ''}"
        print(
            f"  {who:27} {lar.tokens_per_s:6.1f} tokens/s   first after {lar.first_s:.2f} s   "
            f"ratio {ratio:.2f}"
        )


def _measure(server: RunningServer, clients: int) -> Measured:
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        answers = list(threads.map(lambda _: _ask(server), range(clients)))
    elapsed = time.perf_counter() - began
    firsts = sorted(first for _, first in answers)
    return Measured(sum(tokens for tokens, _ in answers) / elapsed, firsts[len(firsts) // 2])


def _ask(server: RunningServer) -> tuple[int, float]:
    """Return how many tokens came, and after how long the first."""
    began = time.perf_counter()
    first: float | None = None
    tokens = 0
    stream = server.openai(timeout=300).chat.completions.create(
        model=DEFAULT_MODEL,
        messages=[{"role": "user", "content": PROMPT}],
        max_tokens=TOKENS,
        temperature=0.8,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    for chunk in stream:
        if first is None and chunk.choices and chunk.choices[0].delta.content:
            first = time.perf_counter() - began
        if chunk.usage is not None:
            tokens = chunk.usage.completion_tokens
    return tokens, first or 0.0


def _peer(python: Path, weights: Path) -> Measured:
    command = [str(python), "-c", PEER, str(weights), PROMPT, str(TOKENS)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return Measured(told["tokens"] / told["seconds"], told["first_s"])
