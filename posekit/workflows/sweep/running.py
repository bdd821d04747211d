"""Run the jobs of a sweep on a Dask cluster, and keep its board up to date.

A job is what `python -m posekit run` does, in a process of its own: finished ones are left out,
interrupted ones go on, one that fails does not stop the others. When a sweep is killed, its jobs
stop with it.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...config.machine import usable_cores
from ...errors import PosekitError
from ...files.paths import reports_root
from ...files.progress import clock
from ...reporting.record import FoundRun, all_runs
from .. import notebooks
from .jobs import Job, read_jobs, write_board


def sweep(path: Path, scheduler: str | None = None, cores: int = 2) -> int:
    """Run all jobs of a sweep's file that are not finished, and write its board.

    Args:
        path: of the file, `sweeps/<name>.yaml`.
        scheduler: address of a Dask scheduler whose workers see the same folders, have one thread
            each and posekit installed; None for processes on this machine.
        cores: processors of a job on this machine where it has no GPU.

    Returns:
        How many jobs have not finished.

    Raises:
        PosekitError: a job cannot run, before any of them starts; no such scheduler.
    """
    jobs = read_jobs(path)
    folder = reports_root() / f"sweep-{path.stem}"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    runs = all_runs()
    left = [number for number, job in enumerate(jobs) if not _finished(job.run(runs))]
    print(f"{path.stem}: {len(jobs)} jobs, {len(jobs) - len(left)} of them finished", flush=True)
    board = write_board(folder, jobs)
    if left:
        with _cluster(scheduler, cores, len(left)) as client:
            _follow(client, folder, jobs, left)
    print(f"board: {board}")
    runs = all_runs()
    return sum(not _finished(job.run(runs)) for job in jobs)


def _finished(run: FoundRun | None) -> bool:
    return run is not None and run[1].status == "finished"


def _follow(client: Any, folder: Path, jobs: Sequence[Job], left: Sequence[int]) -> None:
    """Submit the jobs that are left, and print a line for each that ends."""
    from dask.distributed import as_completed

    began, at_once = time.monotonic(), min(len(client.nthreads()), len(left))
    print(f"{len(left)} to do, {at_once} at once; output of each: {folder / 'logs'}", flush=True)
    numbers = {}
    for number in left:
        job, log = jobs[number], folder / "logs" / f"{number + 1}.txt"
        call = (job.paper, job.config.settings.dataset, dict(job.parameters), log)
        numbers[client.submit(_run, *call, pure=False)] = number
    for done, future in enumerate(as_completed(numbers), 1):
        number, error = numbers[future], future.exception()
        run = jobs[number].run(all_runs())
        score = run and run[1].headline
        result = f"{run[1].metric} {score:.4g}" if score is not None else "no score"
        status = run[1].status if run else "failed"
        if error or not _finished(run):
            status += f" ({error or 'see its output'}: {folder / 'logs' / f'{number + 1}.txt'})"
        seconds = (time.monotonic() - began) / done * (len(left) - done)
        rest = f"; about {clock(seconds)} left" if done < len(left) else ""
        print(f"[{done}/{len(left)}] {jobs[number].name}: {result}, {status}{rest}", flush=True)
        write_board(folder, jobs)


def _run(paper: str, dataset: str, parameters: dict[str, Any], log: Path) -> None:
    """One job, in a worker of the cluster."""
    from dask.distributed import get_worker

    if devices := int(os.environ.get("POSEKIT_SWEEP_DEVICES", 0)):  # workers are numbered from 0
        os.environ["CUDA_VISIBLE_DEVICES"] = str(int(get_worker().name) % devices)
    with log.open("w", encoding="utf-8") as file:
        with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
            notebooks.run(paper, dataset, parameters)


@contextlib.contextmanager
def _cluster(scheduler: str | None, cores: int, most: int) -> Iterator[Any]:
    """A client of the scheduler, or of a cluster here with one worker a GPU, or a few cores."""
    try:
        import dask
        import torch
        from dask.distributed import Client, LocalCluster
    except ImportError as error:
        raise PosekitError('a sweep needs dask: pip install "posekit[sweep]"') from error
    if scheduler:
        try:
            with Client(scheduler, timeout="20s") as client:
                _check_workers(client)
                yield client
        except (OSError, ValueError) as error:
            raise PosekitError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        return
    devices = torch.cuda.device_count()
    workers = min(devices or max(1, usable_cores() // cores), most)
    environment = {"POSEKIT_SWEEP_DEVICES": str(devices)}
    if not devices:
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", str(cores))
    # A job that kills its worker has failed; the others go on.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        local = {"n_workers": workers, "threads_per_worker": 1, "env": environment}
        quiet = {"dashboard_address": ":0", "memory_limit": None, "silence_logs": 50}
        with LocalCluster(**local, **quiet) as cluster, Client(cluster) as client:
            yield client


def _check_workers(client: Any) -> None:
    threads = client.nthreads()
    if not threads:
        raise PosekitError("the Dask scheduler has no worker: start some with --nthreads 1")
    if max(threads.values()) > 1:
        raise PosekitError("each Dask worker runs one job: start them with --nthreads 1")
