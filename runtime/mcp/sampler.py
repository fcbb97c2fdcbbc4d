"""Answers the sampling requests of servers with Lar's own default model, as a run like any other.

A server asks as a principal of its own (`mcp-server:<name>`, role user), so that policies can tell it apart.
"""

from runtime.core.driver import RunHandle
from runtime.core.errors import Fault, LarError
from runtime.core.gate.principals import Principal
from runtime.core.ids import PrincipalId
from runtime.core.messages import Broke, ChatRequest, Delta, Ended, Message
from runtime.core.messages import Sampling as Choosing
from runtime.core.ports import Models
from runtime.core.readiness import decide_readiness
from runtime.core.states import ModelState
from runtime.core.tools import Sampled, Sampling
from runtime.mcp.servers.inference import Starter

ROUTE = "mcp sampling"
_STOPPED = Fault(code="shutting_down", message="The run was stopped before it ended.", retry_after_s=5.0)


class Sampler:
    """Lar's models as servers may ask them; `ask` fulfils `core.tools.Sample`."""

    def __init__(self, runs: Starter, models: Models) -> None:
        self._runs = runs
        self._models = models

    async def ask(self, asked: Sampling) -> Sampled | str:
        """Return what the model says, or why it says nothing."""
        model = self._default()
        if model is None:
            return "Lar has no model that could answer now."

        system = [Message(role="system", content=asked.system)] if asked.system else []
        request = ChatRequest(
            model=model.id,
            priority="agent",
            messages=(*system, *(Message(role=role, content=text) for role, text in asked.messages)),
            sampling=Choosing(max_tokens=asked.max_tokens, temperature=asked.temperature, stop=asked.stop),
        )
        principal = Principal(id=PrincipalId(f"mcp-server:{asked.server}"), role="user")
        try:
            handle = await self._runs.start(request, principal, route=ROUTE, is_stream=False)
            return Sampled(model=model.id, text=await _read(handle))
        except LarError as problem:
            return problem.fault.message

    def _default(self) -> ModelState | None:
        """Return the model to ask: the default one; nothing is installed on a server's account."""
        able = [
            each
            for each in self._models.list_models()
            if "chat" in each.features and each.stage != "available" and decide_readiness(each) is None
        ]
        return min(able, key=lambda each: (not each.is_default, each.stage != "loaded"), default=None)


async def _read(handle: RunHandle) -> str:
    """Return the answer's text; leaving stops the run. Raises LarError."""
    text: list[str] = []
    try:
        async for piece in handle.outputs:
            match piece.output:
                case Broke(fault=fault):
                    raise LarError(fault)
                case Ended() as ended if ended.reason != "cancelled":
                    return "".join(text)
                case Delta() as delta:
                    text.append(delta.text)
                case _:
                    continue
        raise LarError(handle.fault or _STOPPED)
    finally:
        handle.cancel("nobody waits for it any more")  # after its end this does nothing
        handle.outputs.close()
