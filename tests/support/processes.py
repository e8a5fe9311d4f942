"""Run a task in several processes. Each is spawned, not forked.

A fork copies the locks that the threads of PyAV, OpenCV and NumPy hold at that moment, and not the threads,
so that the child may wait forever. Ruff refuses the ways to fork elsewhere (`banned-api`, pyproject.toml).
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor  # noqa: TID251  (the one place)
from multiprocessing.context import SpawnContext
from typing import TypeVar

Result = TypeVar("Result")


def spawn_context() -> SpawnContext:
    """Return the context for spawned processes: their work is pickled, and they import their modules."""
    return multiprocessing.get_context("spawn")  # noqa: TID251  (the one place)


def shared(
    work: Callable[..., Result],
    shares: Iterable[tuple[object, ...]],
    jobs: int,
    *,
    begin: Callable[[], object] | None = None,
) -> Iterator[Result]:
    """Yield `work(*share)` of each share, in order, done by at most `jobs` processes.

    `begin` is called in each of them first. Raises what `work` raises, SystemExit too, and BrokenProcessPool
    if a process dies (multiprocessing's own Pool would wait forever).
    """
    tasks = list(shares)
    with ProcessPoolExecutor(
        max(1, min(jobs, len(tasks))), mp_context=spawn_context(), initializer=begin
    ) as pool:
        futures = [pool.submit(work, *share) for share in tasks]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
