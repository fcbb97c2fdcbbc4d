"""The gate: how long a decision takes, under the shipped policies and under fifty of all kinds."""

import time
from collections.abc import Callable

import cedarpy

from runtime.core.gate.cedar_request import write_request
from runtime.core.gate.policy_files import PolicyTexts, read_texts
from runtime.core.gate.policy_set import PolicySet
from runtime.core.gate.policy_words import PolicyFile
from runtime.core.gate.principals import OWNER
from runtime.core.gate.words import GateResource, Question

ROUNDS = 20
CALLS = 200
NOW = 1_700_000_000.0
_OWN = """@id("own{0}")
permit (principal == Key::"key_{0}", action == Action::"call_tool", resource == Tool::"mcp__files__tool{0}")
when {{
  context.arguments.hasTag("path") && context.arguments.getTag("path") like "/home/*" &&
  context.time.hour < {0}
}};
"""


def run() -> None:
    """Microseconds for one decision; the peer is cedarpy that reads its policies for every one."""
    texts = read_texts(None)
    own = "".join(_OWN.format(number) for number in range(50 - len(texts.compiled().rules)))
    fifty = PolicyTexts((*texts.files, PolicyFile("own.cedar", "own", own)), texts.schema)
    question = _question()
    shipped, grown = texts.compiled(), fifty.compiled()
    everything = "\n".join(each.text for each in fifty.files)
    request = write_request(question, NOW)

    def new_tool() -> None:
        shipped.judge(_question(f"mcp__files__tool{time.perf_counter_ns()}"), NOW)

    rows = (
        ("shipped policies, asked before", lambda: _judge(shipped, question)),
        ("shipped policies, a new tool", new_tool),
        ("50 policies, with arguments and time", lambda: _judge(grown, question)),
        (
            "peer, cedarpy from text",
            lambda: cedarpy.is_authorized(request.as_dict(), everything, request.entities),
        ),
    )
    for name, work in rows:
        print(f"  {name:40s} {_best(work) * 1e6:8.0f} µs")
    began = time.perf_counter()
    fifty.compiled()
    print(f"  {'reading and checking 50 policies':40s} {(time.perf_counter() - began) * 1e3:8.1f} ms")


def _question(tool: str = "mcp__files__write") -> Question:
    attributes = {"server": "files", "name": "write", "trust": "approved"}
    return Question(
        principal=OWNER,
        action="call_tool",
        resource=GateResource(kind="Tool", id=tool, attributes=attributes),
        arguments={"path": "/home/ana/notes.txt", "text": "words " * 50, "options": {"append": True}},
    )


def _judge(policies: PolicySet, question: Question) -> None:
    assert policies.judge(question, NOW).outcome == "ask"


def _best(work: Callable[[], object]) -> float:
    """Return the mean of the best round: the machine does other things, too."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(CALLS):
            work()
        best = min(best, (time.perf_counter() - began) / CALLS)
    return best
