"""One item of each kind, as the core has it: for tests that must hold of all of them."""

import base64
import zlib

from runtime.core.agents.items import (
    Answered,
    AnyItem,
    Called,
    Citation,
    Compacted,
    Decided,
    Document,
    Listed,
    Picture,
    Refusal,
    Said,
    Text,
    Thought,
    Wanted,
)
from runtime.core.messages import ChosenLogprob, TokenLogprob

_DATA = zlib.compress(b"\0\0\0\0")


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return len(content).to_bytes(4, "big") + checked + zlib.crc32(checked).to_bytes(4, "big")


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", b"\0\0\0\1\0\0\0\1\x08\2\0\0\0")
    + _chunk(b"IDAT", _DATA)
    + _chunk(b"IEND", b"")
)
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"

_HOSTED = {"by_client": False}
SAMPLES: dict[str, tuple[AnyItem, ...]] = {
    "a question": (Said(id="msg_1", role="user", parts=(Text(text="Hello"),)),),
    "a question with a picture": (
        Said(id="msg_1", role="user", parts=(Text(text="What?"), Picture(data=PNG, detail="low"))),
    ),
    "a rule": (Said(id="msg_1", role="developer", parts=(Text(text="Be brief."),)),),
    "an answer": (
        Said(
            id="msg_1",
            role="assistant",
            phase="final_answer",
            parts=(
                Text(
                    text="In a file, and on a page.",
                    citations=(
                        Citation(index=9, file_id="file-1", filename="a.txt"),
                        Citation(url="https://example.org", title="A page", start=3, end=9),
                    ),
                ),
            ),
        ),
    ),
    "a refusal": (Said(id="msg_1", role="assistant", parts=(Refusal(text="No."),)),),
    "an answer that was cut": (
        Said(id="msg_1", role="assistant", parts=(Text(text="In a"),), status="incomplete"),
    ),
    "a thought": (Thought(id="rs_1", text="Hm.", summary=("It hesitates.",)),),
    "a function and its result": (
        Called(id="fc_1", call_id="call_1", name="add", arguments='{"a":1}'),
        Answered(id="fco_1", call_id="call_1", parts=(Text(text="2"),)),
    ),
    "a result with a picture": (
        Called(id="fc_1", call_id="call_1", name="look", arguments="{}"),
        Answered(id="fco_1", call_id="call_1", parts=(Text(text="See:"), Picture(data=PNG))),
    ),
    "a function in a namespace": (
        Called(id="fc_1", call_id="call_1", name="math__add", arguments="{}", tool="add", namespace="math"),
        Answered(id="fco_1", call_id="call_1", parts=(Text(text="2"),)),
    ),
    "a custom tool": (
        Called(id="ctc_1", call_id="call_1", name="patch", arguments="*** Begin", form="custom"),
        Answered(id="fco_1", call_id="call_1", parts=(Text(text="done"),), form="custom"),
    ),
    "a call of a server": (
        Called(
            id="mcp_1",
            call_id="mcp_1",
            name="dice__roll",
            arguments="{}",
            form="mcp",
            server="dice",
            tool="roll",
            approval="mcpr_1",
            **_HOSTED,  # type: ignore[arg-type]  # a dict of keywords has one type for all values
        ),
        Answered(id="res_1", call_id="mcp_1", parts=(Text(text="6"),), form="mcp"),
    ),
    "a call of a server that failed": (
        Called(
            id="mcp_1",
            call_id="mcp_1",
            name="dice__roll",
            arguments="{}",
            form="mcp",
            server="dice",
            tool="roll",
            status="failed",
            by_client=False,
        ),
        Answered(
            id="res_1",
            call_id="mcp_1",
            parts=(Text(text="It fell off."),),
            is_error=True,
            form="mcp",
            status="failed",
        ),
    ),
    "a call that Lar refused": (
        Called(
            id="mcp_1",
            call_id="mcp_1",
            name="dice__roll",
            arguments="{}",
            form="mcp",
            server="dice",
            tool="roll",
            status="failed",
            by_client=False,
        ),
        Answered(
            id="res_1",
            call_id="mcp_1",
            parts=(Text(text="A policy says no."),),
            is_error=True,
            code="denied",
            form="mcp",
            status="failed",
        ),
    ),
    "a call of Lar's own": (
        Called(
            id="fc_1", call_id="fc_1", name="ask_clerk", arguments="{}", by_client=False, tool="ask_clerk"
        ),
        Answered(id="res_1", call_id="fc_1", parts=(Text(text="Done."),)),
    ),
    "a list of tools": (
        Listed(
            id="mcpl_1",
            server="dice",
            tools=({"name": "roll", "description": "Rolls", "input_schema": {}, "annotations": None},),
        ),
    ),
    "a list that failed": (Listed(id="mcpl_1", server="dice", error="unreachable"),),
    "a question to the person": (
        Wanted(id="mcpr_1", call_id="call_1", name="dice__roll", server="dice", tool="roll", arguments="{}"),
    ),
    "a person's answer": (
        Wanted(id="mcpr_1", call_id="call_1", name="dice__roll", server="dice", tool="roll", arguments="{}"),
        Decided(id="mcpa_1", wanted="mcpr_1", is_approved=False, reason="not now"),
    ),
    "a search in files": (
        Called(
            id="fs_1",
            call_id="fs_1",
            name="file_search",
            arguments='{"queries":["cats"]}',
            form="file_search",
            by_client=False,
        ),
        Answered(
            id="res_1",
            call_id="fs_1",
            parts=(Text(text="a.txt: Cats purr."),),
            structured={
                "results": [
                    {
                        "attributes": {"year": 2026.0},
                        "file_id": "file-1",
                        "filename": "a.txt",
                        "score": 0.5,
                        "text": "Cats purr.",
                    }
                ]
            },
            form="file_search",
        ),
    ),
    "a search on the web": (
        Called(
            id="ws_1",
            call_id="ws_1",
            name="web_search",
            arguments='{"query":"cats","queries":["cats"]}',
            form="web_search",
            by_client=False,
        ),
        Answered(
            id="res_1",
            call_id="ws_1",
            parts=(Text(text="https://example.org"),),
            structured={"sources": [{"type": "url", "url": "https://example.org"}]},
            form="web_search",
        ),
    ),
    "a program": (
        Called(
            id="ci_1",
            call_id="ci_1",
            name="code_interpreter",
            arguments='{"code":"print(1)"}',
            form="code_interpreter",
            by_client=False,
            extra={"container_id": "cntr_1"},
        ),
        Answered(
            id="res_1",
            call_id="ci_1",
            parts=(Text(text="1"),),
            structured={"outputs": [{"type": "logs", "logs": "1"}]},
            form="code_interpreter",
        ),
    ),
    "a picture that was made": (
        Called(
            id="ig_1",
            call_id="ig_1",
            name="image_generation",
            arguments='{"prompt":"a cat"}',
            form="image_generation",
            by_client=False,
        ),
        Answered(
            id="res_1",
            call_id="ig_1",
            parts=(Picture(data=PNG),),
            structured={"revised_prompt": "a cat"},
            form="image_generation",
        ),
    ),
    "commands": (
        Called(
            id="sh_1",
            call_id="call_1",
            name="shell",
            arguments='{"commands":["ls"],"timeout_ms":1000}',
            form="shell",
            extra={"environment": {"type": "local"}},
        ),
        Answered(
            id="sho_1",
            call_id="call_1",
            parts=(Text(text="a.txt\n(exit code 2)"),),
            structured=[{"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 2}}],
            form="shell",
            extra={"max_output_length": 100},
        ),
    ),
    "a command": (
        Called(
            id="lsh_1",
            call_id="call_1",
            name="local_shell",
            arguments='{"command":["ls"],"env":{"A":"1"}}',
            form="local_shell",
        ),
        Answered(id="lsho_1", call_id="call_1", parts=(Text(text="a.txt"),), form="local_shell"),
    ),
    "a change of a file": (
        Called(
            id="apc_1",
            call_id="call_1",
            name="apply_patch",
            arguments='{"type":"update_file","path":"a.txt","diff":"-a\\n+b"}',
            form="apply_patch",
        ),
        Answered(
            id="apco_1",
            call_id="call_1",
            parts=(Text(text="no such file"),),
            is_error=True,
            form="apply_patch",
            status="failed",
        ),
    ),
    "a summary": (Compacted(id="cmp_1", summary="They spoke of cats."),),
}
"""By what it is; a call comes with its result."""

LOGPROB = ChosenLogprob(
    token="a", logprob=-0.5, bytes=(97,), top_logprobs=(TokenLogprob(token="b", logprob=-1.5, bytes=(98,)),)
)
DOCUMENT = Document(filename="a.txt", data="data:text/plain;base64,SGk=", text="Hi")
