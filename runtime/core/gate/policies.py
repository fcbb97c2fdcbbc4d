"""The policies that decide now: loaded at the start, replaced as a whole when files change.

A set with anything wrong in it is not used: the last good one stays, and the fault is told.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import watchfiles

from runtime.core.clock import Clock
from runtime.core.gate.policy_files import PolicyTexts, add_policy, read_texts
from runtime.core.gate.policy_lines import policy_id
from runtime.core.gate.policy_set import Judgement, PolicySet
from runtime.core.gate.policy_words import Explanation, PoliciesRefused, PolicyFault, PolicyState
from runtime.core.gate.words import Approval, Outcome, Question
from runtime.core.tool_facts import PolicyLoaded, PolicyRefused

logger = logging.getLogger(__name__)

_AGAIN_S = 10.0
"""After the folder could not be watched."""


class PolicyKeeper:
    """Fulfils the port Policies. `open_keeper` makes one."""

    def __init__(
        self,
        own: Path,
        current: PolicySet,
        clock: Clock,
        publish: Callable[[PolicyLoaded | PolicyRefused], None],
    ) -> None:
        self._own = own
        self._current = current
        self._clock = clock
        self._publish = publish
        self._loaded_at = clock.now()
        self._faults: tuple[PolicyFault, ...] = ()
        self._turn = anyio.Lock()
        self._stop = anyio.Event()
        self._tell_loaded()

    def judge(self, question: Question) -> Judgement:
        """Decide by the policies of now."""
        return self._current.judge(question, self._clock.now())

    def outlook(self, question: Question) -> Outcome:
        """Return the best that can come of a question whose arguments are not known yet."""
        return self._current.outlook(question, self._clock.now())

    def state(self) -> PolicyState:
        """Return the set that decides now, and what is wrong with newer files."""
        return PolicyState(
            rules=tuple(self._current.rules.values()),
            digest=self._current.digest,
            loaded_at=self._loaded_at,
            folder=str(self._own),
            faults=self._faults,
        )

    def explain(self, question: Question, at: float | None = None) -> Explanation:
        """Say what would be decided, and why. Raises as `PolicySet.explain` does."""
        return self._current.explain(question, self._clock.now() if at is None else at)

    async def reload(self) -> PolicyState:
        """Read the files again now. A broken set is told in `faults`, the last good one stays."""
        async with self._turn:
            await self._reload()
        return self.state()

    async def add_forever(self, approval: Approval) -> None:
        """Write the policy of an approval, and decide by it. Raises PoliciesRefused, OSError."""
        async with self._turn:
            name = policy_id(approval.id)
            await anyio.to_thread.run_sync(add_policy, self._own, approval.policy_line, name)
            await self._reload()
            if self._faults:
                raise PoliciesRefused(self._faults)

    async def watch_forever(self) -> None:
        """Reload whenever a file in the folder of own policies changes, until `stop`.

        Where the folder cannot be watched it is looked at now and then.
        """
        is_told = False
        while not self._stop.is_set():
            try:
                await self.reload()  # what has changed while nobody watched
                async for _ in watchfiles.awatch(self._own, recursive=False, stop_event=self._stop):
                    await self.reload()
            except (OSError, RuntimeError):  # RuntimeError: what the watcher raises where the folder goes
                if not is_told:
                    logger.exception("watching the folder of policies; it is looked at now and then instead")
                is_told = True
            with anyio.move_on_after(_AGAIN_S):
                await self._stop.wait()

    def stop(self) -> None:
        """Let `watch_forever` end; its thread does not feel a cancellation for seconds."""
        self._stop.set()

    async def _reload(self) -> None:
        try:
            texts = await anyio.to_thread.run_sync(read_texts, self._own)
            if texts.digest == self._current.digest:
                self._faults = ()
                return
            self._current = await anyio.to_thread.run_sync(PolicyTexts.compiled, texts)
        except PoliciesRefused as refused:
            self._refuse(refused.faults)
            return
        except OSError as problem:
            path = problem.filename or self._own
            self._refuse((PolicyFault(file=str(path), line=0, message=problem.strerror or str(problem)),))
            return

        self._faults = ()
        self._loaded_at = self._clock.now()
        self._tell_loaded()

    def _refuse(self, faults: tuple[PolicyFault, ...]) -> None:
        if faults == self._faults:
            return  # told already

        self._faults = faults
        message = "\n".join(str(each) for each in faults)
        logger.error("new policies are broken; the last good ones stay", extra={"faults": message})
        self._publish(PolicyRefused(message=message))

    def _tell_loaded(self) -> None:
        self._publish(PolicyLoaded(policies=len(self._current.rules), digest=self._current.digest))
