"""Surroundings of the scripted engine where time is moved by hand, and accidents are noted, not done."""


class Accident(BaseException):
    """What stands in for the end of the process; no code under test may catch it."""


class QuietSurroundings:
    """Counts time in `now`, which moves by `pace` with every look at it; keeps a list of accidents."""

    def __init__(self, pace: float = 0.0) -> None:
        self.now = 100.0
        self.accidents: list[str] = []
        self._pace = pace

    def monotonic(self) -> float:
        self.now += self._pace
        return self.now

    def crash(self) -> None:
        self.accidents.append("crash")
        raise Accident

    def hang(self) -> None:
        self.accidents.append("hang")
        raise Accident

    def freeze(self) -> None:
        self.accidents.append("freeze")

    def make_noise(self) -> None:
        self.accidents.append("noise")
