"""Carries out what the planner decides about the memory of a context and the vault beside it."""

from collections.abc import Sequence

from runtime.backends.engines.llama.context import Context
from runtime.backends.engines.llama.plan import Drop, Op, Restore, Save, Share, Trim
from runtime.backends.engines.llama.planner import Planner
from runtime.backends.engines.llama.vault import Vault


class Keeper:
    """The hands of a planner."""

    def __init__(self, context: Context, planner: Planner, vault: Vault | None) -> None:
        self._context = context
        self._planner = planner
        self._vault = vault

    def do(self, ops: Sequence[Op]) -> None:
        """Carry out the operations in their order."""
        for op in ops:
            match op:
                case Share(source, target, length):
                    self._context.share(source, target, length)
                case Drop(holder):
                    self._context.drop(holder)
                case Trim(holder, length):
                    self._context.trim(holder, length)
                case Save(holder, namespace, tokens):
                    self._save(holder, namespace, tokens)
                case Restore():
                    self._restore(op)

    def close(self, deadline_s: float) -> None:
        """Put what is in the context on disk as far as time and room allow."""
        if self._vault is None:
            return

        self.do(self._planner.shelve())
        self._vault.flush(deadline_s)

    def _save(self, holder: int, namespace: str, tokens: Sequence[int]) -> None:
        if self._vault is None or self._vault.renew(namespace, tokens):
            return

        state = self._context.read(holder)
        if state:
            self._vault.put(namespace, tokens, state)

    def _restore(self, op: Restore) -> None:
        state = None if self._vault is None else self._vault.take(op.key)
        if state is None or not self._context.write(op.slot, state):
            if self._vault is not None:
                self._vault.forget(op.key)
            self._context.drop(op.slot)
            self._planner.lost(op.seq)
            return

        self._context.trim(op.slot, op.length)
