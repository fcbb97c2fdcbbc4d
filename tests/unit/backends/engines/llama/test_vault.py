"""The vault against what was put into it: nothing false comes out, nothing is lost while there is room."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runtime.backends.engines.llama.vault import Found, Vault
from runtime.backends.engines.llama.vault_disk import Disk
from tests.unit.backends.engines.llama.test_radix import shared

ROOMY = 10**6
TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=8)
NAMESPACES = st.sampled_from(["", "poet"])


class Ticks:
    """A clock that moves on with every look."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1
        return self.now


def blob_of(namespace: str, tokens: list[int]) -> bytes:
    """What the state after these tokens is; about 30 to 60 bytes."""
    return f"{namespace}:{tokens}".encode() + b"." * 25


def size_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


class VaultAgainstPuts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.home = TemporaryDirectory()
        self.folder = Path(self.home.name) / "prefixes"
        self.ticks = Ticks()
        self.puts: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self.reports: list[str] = []
        self.is_sabotaged = False

    @initialize(
        ram_bytes=st.sampled_from([0, 45, 120, ROOMY]),
        disk_bytes=st.sampled_from([None, 0, 300, 1000, ROOMY]),
        is_exact=st.booleans(),
    )
    def open(self, ram_bytes: int, disk_bytes: int | None, is_exact: bool) -> None:
        self.most_ram_bytes, self.most_disk_bytes, self.is_exact = ram_bytes, disk_bytes, is_exact
        self.vaults = [self.make(), self.make()]

    def make(self) -> Vault:
        disk = None
        if self.most_disk_bytes is not None:
            disk = Disk(
                self.folder,
                identity="model",
                most_bytes=self.most_disk_bytes,
                report=self.reports.append,
                now_ns=self.ticks,
            )
        return Vault(ram_bytes=self.most_ram_bytes, disk=disk, is_exact=self.is_exact, now_ns=self.ticks)

    @property
    def is_lossless(self) -> bool:
        """Whether the first vault has had no reason to lose anything."""
        return ROOMY in {self.most_ram_bytes, self.most_disk_bytes} and not self.is_sabotaged

    def brings(self, held: tuple[int, ...], tokens: list[int]) -> int:
        length = shared(list(held), tokens)
        return length if not self.is_exact or length == len(held) else 0

    @rule(namespace=NAMESPACES, tokens=TOKENS)
    def put(self, namespace: str, tokens: list[int]) -> None:
        blob = blob_of(namespace, tokens)
        self.vaults[0].put(namespace, tokens, blob)
        self.puts[namespace, tuple(tokens)] = blob

    @rule(namespace=NAMESPACES, tokens=TOKENS)
    def put_in_another_worker(self, namespace: str, tokens: list[int]) -> None:
        self.vaults[1].put(namespace, tokens, blob_of(namespace, tokens))
        self.is_sabotaged = True

    @rule(namespace=NAMESPACES, tokens=TOKENS, worker=st.integers(0, 1))
    def look_and_take(self, namespace: str, tokens: list[int], worker: int) -> None:
        found = self.vaults[worker].find(namespace, tokens)
        if worker == 0 and self.is_lossless:
            longest = max(
                (self.brings(held, tokens) for place, held in self.puts if place == namespace), default=0
            )
            assert (0 if found is None else found.length) == longest
        if found is None:
            return

        held = self.vaults[worker]._tree.tokens_of(found.key)
        assert (found.length, found.total) == (self.brings(tuple(held), tokens), len(held))
        assert found.length > 0
        blob = self.vaults[worker].take(found.key)
        assert blob is not None or not self.is_lossless
        if blob is None:
            assert not found.is_in_memory
            assert self.vaults[worker].take(found.key) is None
        else:
            assert blob == blob_of(namespace, held)

    @rule(namespace=NAMESPACES, tokens=TOKENS)
    def renew(self, namespace: str, tokens: list[int]) -> None:
        before = len(self.vaults[0])
        if self.vaults[0].renew(namespace, tokens):
            self.vaults[0].put(namespace, tokens, b"not even looked at")
            assert len(self.vaults[0]) == before

    @rule(namespace=NAMESPACES, tokens=TOKENS)
    def forget(self, namespace: str, tokens: list[int]) -> None:
        found = self.vaults[0].find(namespace, tokens)
        if found is not None:
            self.vaults[0].forget(found.key)
            assert self.vaults[0].take(found.key) is None
            self.is_sabotaged = True

    @rule()
    def tidy(self) -> None:
        for _ in range(100):
            if not self.vaults[0].tidy():
                return

        raise AssertionError("tidying never ends")

    @precondition(lambda self: self.most_disk_bytes == ROOMY)
    @rule()
    def begin_again(self) -> None:
        self.vaults[0].flush(1.0, now=lambda: 0.0)
        self.vaults[0] = self.make()

    @precondition(lambda self: self.folder.exists() and any(self.folder.iterdir()))
    @rule(data=st.data(), harm=st.sampled_from(["flip", "cut", "grow", "remove"]))
    def harm(self, data: st.DataObject, harm: str) -> None:
        path = data.draw(st.sampled_from(sorted(self.folder.iterdir())))
        content = bytearray(path.read_bytes()) or bytearray(1)
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= 1
        match harm:
            case "flip":
                path.write_bytes(content)
            case "cut":
                path.write_bytes(content[:place])
            case "grow":
                path.write_bytes(content + b"x")
            case _:
                path.unlink()
        self.is_sabotaged = True

    @invariant()
    def it_stays_within_bounds(self) -> None:
        if not hasattr(self, "vaults"):
            return

        for vault in self.vaults:
            blobs = [entry.blob for entry in vault._entries.values() if entry.blob is not None]
            assert vault.ram_bytes == sum(map(len, blobs)) <= self.most_ram_bytes
            assert len(vault) == len(vault._tree)
            assert set(vault._in_memory) == {
                key for key, entry in vault._entries.items() if entry.blob is not None
            }
            assert all(entry.blob is not None or entry.name is not None for entry in vault._entries.values())
        if self.most_disk_bytes is not None:
            grown = len(list(self.folder.iterdir()))  # each may have been harmed by a byte
            assert size_on_disk(self.folder) <= self.most_disk_bytes + grown
        assert self.reports == []

    @invariant()
    def no_prefix_is_held_twice_in_a_tier(self) -> None:
        for vault in getattr(self, "vaults", ()):
            entries = [(vault._tree.tokens_of(key), entry) for key, entry in vault._entries.items()]
            for one, entry in entries:
                for other, longer in entries:
                    if entry.namespace == longer.namespace and entry is not longer:
                        is_covered = one == other[: len(one)] and not self.is_exact
                        assert one != other
                        assert not (is_covered and entry.blob is not None and longer.blob is not None)
                        assert not (is_covered and entry.name is not None and longer.name is not None)

    def teardown(self) -> None:
        self.home.cleanup()


TestVaultAgainstPuts = VaultAgainstPuts.TestCase
TestVaultAgainstPuts.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def make_disk(folder: Path, ticks: Ticks, most_bytes: int = ROOMY) -> Disk:
    return Disk(folder, identity="model", most_bytes=most_bytes, report=lambda text: None, now_ns=ticks)


def make_vault(disk: Disk | None, ticks: Ticks, *, ram_bytes: int = 100, is_exact: bool = False) -> Vault:
    return Vault(ram_bytes=ram_bytes, disk=disk, is_exact=is_exact, now_ns=ticks)


def test_what_was_used_least_leaves_memory_first(tmp_path: Path) -> None:
    ticks = Ticks()
    vault = make_vault(make_disk(tmp_path, ticks), ticks)
    vault.put("", [1], b"a" * 40)
    vault.put("", [2], b"b" * 40)
    first = vault.find("", [1])
    assert first is not None
    vault.take(first.key)

    vault.put("", [3], b"c" * 40)

    assert [found.is_in_memory for token in (1, 2, 3) if (found := vault.find("", [token]))] == [
        True,
        False,
        True,
    ]
    assert (vault.ram_bytes, vault.spilled, vault.dropped) == (80, 1, 0)


def test_a_blob_from_disk_goes_to_memory_where_room_is_left(tmp_path: Path) -> None:
    ticks = Ticks()
    vault = make_vault(make_disk(tmp_path, ticks), ticks)
    for token in range(3):
        vault.put("", [token], bytes([token]) * 40)
    spilled, other = vault.find("", [0]), vault.find("", [1])
    assert spilled is not None
    assert other is not None
    assert not spilled.is_in_memory

    assert vault.take(spilled.key) == b"\0" * 40
    assert vault.find("", [0]) == spilled

    vault.forget(other.key)
    assert vault.take(spilled.key) == b"\0" * 40
    assert vault.find("", [0]) == Found(1, spilled.key, 1, is_in_memory=True)
    assert (vault.hits, vault.ram_bytes, vault.spilled) == (2, 80, 1)


def test_without_a_disk_the_least_used_is_lost_and_counted() -> None:
    vault = make_vault(None, Ticks())
    for token in range(3):
        vault.put("", [token], b"x" * 40)

    assert vault.find("", [0]) is None
    assert (vault.dropped, vault.disk_bytes) == (1, 0)


def test_a_longer_prefix_stands_for_a_shorter_one() -> None:
    vault = make_vault(None, Ticks())
    vault.put("", [1, 2], b"x" * 40)
    vault.put("", [1, 2, 3], b"y" * 60)

    assert (len(vault), vault.ram_bytes, vault.dropped) == (1, 60, 0)
    found = vault.find("", [1, 2, 9])
    assert found is not None
    assert (found.length, found.total) == (2, 3)
    assert vault.renew("", [1, 2])


def test_an_exact_state_is_used_whole_or_not_at_all() -> None:
    vault = make_vault(None, Ticks(), is_exact=True)
    vault.put("", [1, 2], b"x" * 40)
    vault.put("", [1, 2, 3], b"y" * 60)

    found = vault.find("", [1, 2, 9])
    assert found is not None
    assert vault.take(found.key) == b"x" * 40
    assert vault.find("", [1]) is None
    assert not vault.renew("", [1])


def test_of_equals_the_one_in_memory_then_the_smallest_is_found(tmp_path: Path) -> None:
    ticks = Ticks()
    vault = make_vault(make_disk(tmp_path, ticks), ticks)
    vault.put("", [1, 2, 3, 4], b"a" * 40)
    vault.put("", [1, 2, 5], b"b" * 40)
    vault.put("", [1, 2, 6, 7], b"c" * 40)

    totals = []
    for _ in range(2):
        found = vault.find("", [1, 2, 9])
        assert found is not None
        totals.append((found.total, found.is_in_memory))
        vault.forget(found.key)

    assert totals == [(3, True), (4, True)]
    last = vault.find("", [1, 2, 9])
    assert last is not None
    assert (last.total, last.is_in_memory) == (4, False)


def test_a_flush_writes_what_was_used_last_within_the_bound(tmp_path: Path) -> None:
    ticks = Ticks()
    disk = make_disk(tmp_path, ticks, most_bytes=2500)
    vault = make_vault(disk, ticks, ram_bytes=ROOMY)
    for token in range(4):
        vault.put("", [token], b"x" * 1000)

    vault.flush(1.0, now=lambda: 0.0)

    again = make_vault(make_disk(tmp_path, ticks, most_bytes=2500), ticks)
    assert [again.find("", [token]) is not None for token in range(4)] == [False, False, True, True]
    assert size_on_disk(tmp_path) <= 2500


def test_a_flush_begins_nothing_after_its_deadline(tmp_path: Path) -> None:
    ticks = Ticks()
    vault = make_vault(make_disk(tmp_path, ticks), ticks, ram_bytes=ROOMY)
    for token in range(4):
        vault.put("", [token], b"x" * 1000)
    times = iter([0.0, 0.5, 0.9, 1.0])

    vault.flush(1.0, now=lambda: next(times))

    assert vault.spilled == 2


def test_tidying_writes_ahead_and_costs_no_memory_later(tmp_path: Path) -> None:
    ticks = Ticks()
    vault = make_vault(make_disk(tmp_path, ticks), ticks)
    vault.put("", [1], b"x" * 40)
    assert not vault.tidy()
    vault.put("", [2], b"x" * 40)

    assert vault.tidy()
    assert vault.tidy()
    assert not vault.tidy()

    assert vault.spilled == 2
    assert vault.ram_bytes == 80
    vault.put("", [3], b"x" * 40)
    assert vault.spilled == 2


def test_a_blob_larger_than_memory_goes_to_disk_and_disturbs_nobody(tmp_path: Path) -> None:
    ticks = Ticks()
    vault = make_vault(make_disk(tmp_path, ticks), ticks)
    vault.put("", [1], b"x" * 40)

    vault.put("", [2], b"y" * 500)

    found = vault.find("", [2])
    assert found is not None
    assert vault.take(found.key) == b"y" * 500
    assert vault.ram_bytes == 40


def test_adapters_share_nothing() -> None:
    vault = make_vault(None, Ticks())
    vault.put("poet", [1, 2], b"x")

    assert vault.find("", [1, 2]) is None
    assert vault.find("poet", [1, 2]) is not None


def test_a_blob_from_disk_is_not_kept_beside_a_longer_one_in_memory(tmp_path: Path) -> None:
    ticks = Ticks()
    before = make_vault(make_disk(tmp_path, ticks), ticks)
    before.put("", [1, 2], b"x" * 10)
    before.flush(1.0, now=lambda: 0.0)
    vault = make_vault(make_disk(tmp_path, ticks), ticks)
    found = vault.find("", [1, 2])
    assert found is not None

    vault.put("", [1, 2, 3], b"y" * 20)

    assert vault.take(found.key) == b"x" * 10
    assert vault.ram_bytes == 20
