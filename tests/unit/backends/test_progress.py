"""What an install's output says of its progress, and how often that is passed on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.backends.progress import INTERVAL_S, Measure, Meter, Phase, read_line
from runtime.core.events import Progress

BUILD = """\
Collecting llama-cpp-python==0.3.36
  Downloading llama_cpp_python-0.3.36.tar.gz (76.6 MB)
Progress 0 of 76589250
Progress 76589250 of 76589250
  Installing build dependencies: started
    Downloading scikit_build_core-1.1.2-py3-none-any.whl (295 kB)
  Installing build dependencies: finished with status 'done'
  Downloading https://****@index.example/files/numpy-2.4.6-cp311-cp311-linux_x86_64.whl (16.9 MB)
  Downloading numpy-2.4.6-cp311-cp311-linux_x86_64.whl.metadata (6.6 kB)
Building wheels for collected packages: llama-cpp-python
  Building wheel for llama-cpp-python (pyproject.toml): started
  *** Configuring CMake...
  -- The C compiler identification is GNU 12.2.0
  *** Building project with Ninja...
  [1/193] /usr/bin/g++ -DGGML_BUILD -o ggml.cpp.o -c ggml.cpp
  [193/193] : && /usr/bin/g++ -fPIC -shared -o libmtmd.so
  *** Making wheel...
  Building wheel for llama-cpp-python (pyproject.toml): finished with status 'done'
"""
"""Lines of a real build, shortened."""


def test_a_build_is_read_from_its_output() -> None:
    read = [found for line in BUILD.splitlines() if (found := read_line(line))]

    assert read == [
        Phase("fetching llama_cpp_python-0.3.36"),
        Measure(0, 76589250, "bytes"),
        Measure(76589250, 76589250, "bytes"),
        Phase("fetching the build tools"),
        Phase("fetching scikit_build_core-1.1.2"),
        Phase("fetching numpy-2.4.6"),
        Phase("building llama-cpp-python"),
        Measure(1, 193, "steps"),
        Measure(193, 193, "steps"),
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[ 42%] Building CXX object llama.cpp.o", Measure(42, 100, "steps")),
        ("[100%] Built target llama", Measure(100, 100, "steps")),
        ("[7/3] nonsense", None),
        ("Progress 5 of 0", None),
        ("Progress 5 of many", None),
        ("array[1/2]", None),
        ("", None),
    ],
)
def test_other_tools_are_understood_and_nonsense_is_not(line: str, expected: Measure | None) -> None:
    assert read_line(line) == expected


def test_measures_are_passed_on_a_few_times_a_second_with_rate_and_time_left() -> None:
    meter = Meter()
    meter.phase("fetching", 10.0)

    assert meter.measure(Measure(0, 1000, "bytes"), 10.0) is None
    assert meter.measure(Measure(50, 1000, "bytes"), 10.1) is None
    told = meter.measure(Measure(250, 1000, "bytes"), 10.5)

    assert told == Progress(
        phase="fetching", done=250, total=1000, unit="bytes", rate_per_s=500.0, left_s=1.5
    )


def test_the_last_measure_is_passed_on_however_soon_it_comes() -> None:
    meter = Meter()
    meter.phase("building", 1.0)

    told = meter.measure(Measure(3, 3, "steps"), 1.01)

    assert told is not None
    assert told.done == 3
    assert meter.flush(1.02) is None


def test_what_was_held_back_is_said_at_the_next_tick() -> None:
    meter = Meter()
    meter.phase("building", 1.0)
    assert meter.measure(Measure(1, 3, "steps"), 1.1) is None

    assert meter.tick(1.2) is None
    assert meter.tick(1.3) == meter.latest
    assert meter.tick(9.0) is None


def test_a_new_phase_is_said_at_once_and_begins_without_numbers() -> None:
    meter = Meter()
    meter.phase("fetching", 1.0)
    meter.measure(Measure(1, 3, "bytes"), 1.1)

    assert meter.phase("building", 1.11) == Progress(phase="building")
    assert meter.phase("building", 1.12) is None


def test_a_rate_forgets_the_distant_past_of_a_download() -> None:
    meter = Meter()
    for second in range(100):
        meter.measure(Measure(second * 10, 100_000, "bytes"), float(second))
    for second in range(100, 130):
        meter.measure(Measure(1000 + (second - 100) * 1000, 100_000, "bytes"), float(second))

    assert meter.latest.rate_per_s == pytest.approx(1000.0)


def test_a_second_file_does_not_inherit_the_rate_of_the_first() -> None:
    meter = Meter()
    meter.measure(Measure(0, 100, "bytes"), 1.0)
    meter.measure(Measure(100, 100, "bytes"), 2.0)

    meter.measure(Measure(0, 500, "bytes"), 3.0)

    assert meter.latest.rate_per_s is None


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 2)), min_size=1))
def test_never_two_measures_closer_than_the_interval_save_the_last_of_a_phase(
    steps: list[tuple[int, float]],
) -> None:
    meter, now, told_at = Meter(), 0.0, float("-inf")
    for done, passed in steps:
        now += passed
        told = meter.measure(Measure(done, 50, "steps"), now)
        if told is not None:
            assert done == 50 or now - told_at >= INTERVAL_S
            told_at = now
            assert told.left_s is None or told.left_s >= 0

    meter.flush(now)
    assert meter.flush(now) is None
