"""What is done when a run's prompt gets too long: its beginning is summarised, or the oldest is left out."""

from runtime.core.agents.compaction import Compaction, decide_compaction, may_compact, plan_compaction
from runtime.core.agents.items import Compacted
from runtime.core.agents.ledger import Ledger
from runtime.core.agents.moves import Summarise, Summarised
from runtime.core.agents.steps import ContextCompacted
from runtime.core.agents.trimming import decide_hidden, hide_half
from runtime.core.errors import Fault


class Shortening:
    """Keeps the prompts of one run short enough for its model."""

    def __init__(self, ledger: Ledger) -> None:
        self.context_tokens: int | None = None
        """Of the model, where it is known."""
        self._ledger = ledger
        self._compaction: Compaction | None = None
        self._may_compact = True
        """Until a summary was tried; after a turn that went well again."""
        self._least_hidden = 0
        self._fault: Fault | None = None
        """Of the prompt that was too long, until a turn goes well."""

    @property
    def is_compacting(self) -> bool:
        """Whether a summary is on its way."""
        return self._compaction is not None

    def settle(self) -> None:
        """Take it that a turn went well."""
        self._may_compact, self._fault = True, None

    def change_model(self) -> None:
        """Forget what was known of the model that is gone."""
        self.context_tokens = None

    def give_up(self) -> None:
        """Wait for no summary any longer."""
        self._compaction = None

    def prepare(self) -> int | None:
        """Return how many items the next prompt leaves out; None: a summary is wanted first."""
        state = self._ledger.state
        compaction = decide_compaction(state, self.context_tokens) if self._may_compact else None
        if compaction is None:
            return max(self._least_hidden, decide_hidden(state, self.context_tokens))

        self._compact(compaction)
        return None

    def shorten(self, fault: Fault) -> bool:
        """Make a prompt that was too long shorter; say whether that can be done.

        It is done at once, or a summary is wanted first.
        """
        state = self._ledger.state
        self._fault = fault
        if self._may_compact and may_compact(state):
            compaction = plan_compaction(state, self.context_tokens or 0)
            if compaction is not None:
                self._compact(compaction)
                return True

        first = max(state.dropped, state.hidden)
        cut = hide_half(state.conversation, first) if self._may_trim else None
        if cut is None:
            return False

        self._least_hidden = cut
        return True

    def take(self, told: Summarised) -> Fault | None:
        """Take the summary that was wanted; returns why the run cannot go on where there is none."""
        compaction, self._compaction = self._compaction, None
        if compaction is None:
            return None

        if told.text.strip():
            self._store(compaction, told.text.strip())
        elif self._may_trim:
            self._least_hidden = compaction.dropped
        else:
            return self._fault
        return None

    @property
    def _may_trim(self) -> bool:
        plan = self._ledger.state.plan
        return plan.is_truncated or plan.door != "responses"

    def _compact(self, compaction: Compaction) -> None:
        self._compaction = compaction
        self._may_compact = False
        model = self._ledger.state.model
        self._ledger.order(
            Summarise(model=model, items=compaction.items, limit_tokens=compaction.limit_tokens)
        )

    def _store(self, compaction: Compaction, text: str) -> None:
        summary = Compacted(id=self._ledger.mint("cmp_"), summary=text)
        self._ledger.store(
            ContextCompacted(
                at=self._ledger.now,
                summary=summary,
                dropped=compaction.dropped,
                is_output=compaction.is_output,
            )
        )
        if compaction.is_output:
            self._ledger.tell_whole(len(self._ledger.state.places) - 1, summary)
