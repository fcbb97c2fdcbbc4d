"""Who had how much of the model: the tokens computed for each principal that has work here. Pure.

Whoever comes new begins level with those who had least, so that no newcomer catches up on the past.
"""

from collections.abc import Iterable


class Shares:
    """What each principal has spent."""

    def __init__(self) -> None:
        self._spent: dict[str, int] = {}

    def spent(self, principal: str) -> int:
        """Return the tokens of a principal."""
        return self._spent.get(principal, 0)

    def enter(self, principal: str) -> None:
        """Note that a principal has work."""
        if principal not in self._spent:
            self._spent[principal] = min(self._spent.values(), default=0)

    def charge(self, principal: str, tokens: int) -> None:
        """Add what was computed."""
        self._spent[principal] = self.spent(principal) + tokens

    def keep(self, principals: Iterable[str]) -> None:
        """Forget everybody but those who have work."""
        self._spent = {each: self.spent(each) for each in principals}
