"""Which models leave memory when another must come in. Pure; the pool loads and evicts."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from runtime.core.ids import ModelId


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """Memory that a model takes; 0 where nobody can tell."""

    main_bytes: int = 0
    device_bytes: int = 0


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """Memory that may still be taken; less than 0 where too much is. None: unknown, so nothing is refused."""

    main_bytes: int | None = None
    device_bytes: int | None = None

    def with_back(self, given: Iterable[Needs]) -> "Room":
        """Return the room once these are given back."""
        back = list(given)
        main_bytes, device_bytes = self.main_bytes, self.device_bytes
        if main_bytes is not None:
            main_bytes += sum(each.main_bytes for each in back)
        if device_bytes is not None:
            device_bytes += sum(each.device_bytes for each in back)
        return Room(main_bytes=main_bytes, device_bytes=device_bytes)

    def fits(self, needs: Needs) -> bool:
        """Whether a model that needs so much has room."""
        is_main_enough = self.main_bytes is None or needs.main_bytes <= self.main_bytes
        return is_main_enough and (
            self.device_bytes is None or needs.device_bytes == 0 or needs.device_bytes <= self.device_bytes
        )


class Occupant(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is in memory, on its way in, or on its way out."""

    model: ModelId
    leases: int
    """Runs that hold it."""
    last_used: float
    """Monotonic seconds."""
    gives: Needs = Needs()
    """What comes free when it leaves."""
    is_leaving: bool = False
    """It has been asked out: its memory comes back without more being done."""

    @property
    def is_idle(self) -> bool:
        """Whether it may be asked out now."""
        return self.leases == 0 and not self.is_leaving


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Load the wanted model once these are gone; ask again then."""

    evict: tuple[ModelId, ...] = ()


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Busy models hold what it takes: ask again when one falls idle or is gone."""


class Refuse(msgspec.Struct, frozen=True, kw_only=True):
    """It would not fit even if every other model left."""

    at_best: Room
    """The room there would be then."""


def decide_placement(
    occupants: Sequence[Occupant], max_loaded: int, needs: Needs | None = None, room: Room | None = None
) -> Load | Wait | Refuse:
    """Say how a model that is not resident can come in: the least recently used idle ones make room."""
    needs, room = needs or Needs(), room or Room()
    at_best = room.with_back(each.gives for each in occupants)
    if not at_best.fits(needs):
        return Refuse(at_best=at_best)

    staying = [each for each in occupants if not each.is_leaving]
    later = room.with_back(each.gives for each in occupants if each.is_leaving)

    def is_enough(evicted: Sequence[Occupant]) -> bool:
        has_place = len(staying) - len(evicted) < max_loaded
        return has_place and later.with_back(each.gives for each in evicted).fits(needs)

    chosen = _choose(
        sorted((each for each in occupants if each.is_idle), key=lambda each: each.last_used), is_enough
    )
    if chosen is None:
        return Wait()

    if not chosen and (len(occupants) >= max_loaded or not room.fits(needs)):
        return Wait()  # those who leave already make the room

    return Load(evict=tuple(each.model for each in chosen))


def _choose(
    idle: Sequence[Occupant], is_enough: Callable[[Sequence[Occupant]], bool]
) -> list[Occupant] | None:
    """Return the least recently used that have to go, without those whose going changes nothing."""
    for count in range(len(idle) + 1):
        if is_enough(idle[:count]):
            chosen = list(idle[:count])
            for spared in reversed(idle[:count]):
                rest = [each for each in chosen if each is not spared]
                if is_enough(rest):
                    chosen = rest
            return chosen

    return None


def decide_idle(occupants: Sequence[Occupant], now: float, idle_unload_s: float) -> tuple[ModelId, ...]:
    """Return the models that nobody has used for `idle_unload_s`."""
    return tuple(each.model for each in occupants if each.is_idle and now - each.last_used >= idle_unload_s)
