"""Feeds every decoder of the project with damaged input: `make fuzz SECONDS=60 SEED=1`.

    python -m tests.fuzz [--seconds N] [--seed S] [--input FILE] [TARGET...]

What is found is printed and kept below `--out`, one file an input, to be fed again with `--input`. Exits with 1 then.
`python -m tests.fuzz.state` does the same to the state transition.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.fuzz.engine import Course, Finding, Target, feed
from tests.fuzz.targets import files, network, payments, proofs, rpc, scale

MEMORY = Path("/dev/shm")
"""A folder in memory, where there is one: files are written ten times as fast."""


@contextmanager
def all_targets() -> Iterator[list[Target]]:
    """Every decoder."""
    with (
        TemporaryDirectory(prefix="aitoken-fuzz-", dir=MEMORY if MEMORY.is_dir() else None) as folder,
        rpc.target() as requests,
    ):
        yield [
            *scale.targets(), *network.targets(), *proofs.targets(), *payments.targets(), *files.targets(Path(folder)),
            requests,
        ]  # fmt: skip


@click.command()
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--seed", default=1, show_default=True, help="Which inputs.")
@click.option("--input", "file", type=click.Path(path_type=Path, exists=True), help="Only this input.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("fuzz-findings"), show_default=True)
@click.argument("names", nargs=-1)
def main(seconds: float, seed: int, file: Path | None, out: Path, names: Sequence[str]) -> None:
    """Feed decoders with damaged input."""
    logging.disable(logging.CRITICAL)
    with all_targets() as targets:
        wanted = [each for each in targets if not names or any(each.name.startswith(name) for name in names)]
        if file is not None:
            for each in wanted:
                print(each.name, each.read(file.read_bytes()))
            return
        courses = [Course(each, seed) for each in wanted]
        found = [finding for course in courses for finding in course.check_seeds()]
        end = time.monotonic() + seconds
        found += feed(courses, lambda: time.monotonic() >= end)
        for course in courses:
            read = course.accepted / max(1, course.count)
            print(
                f"{course.target.name:<24} {course.count:>9,} inputs  {read:>4.0%} read  "
                f"{len(course.seen):>4} outcomes  slowest {course.slowest * 1e3:>6.1f} ms"
            )
    _keep(found, out)
    sys.exit(1 if found else 0)


def _keep(found: Sequence[Finding], out: Path) -> None:
    for finding in found:
        out.mkdir(exist_ok=True)
        name = f"{finding.target}-{blake2b(finding.data, digest_size=6).hexdigest()}"
        (out / name).write_bytes(finding.data)
        print(f"{finding}\n  kept as {out / name}", file=sys.stderr)


if __name__ == "__main__":
    main()
