"""Measure rows and write reports/benchmark-<date>/: `python -m benchmarks [KEY ...]`.

Every row has a process of its own, with one thread, and so has every point of the growth. Without
keys everything is measured; with keys (and `growth`) these, and the day's other rows are kept.
"""

import argparse
import gc
import importlib
import json
import os
import pkgutil
import platform
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import benchmarks
from posekit.files.paths import project_root, reports_root

from .harness import GROWTHS, ROWS, NotHere, measure
from .report import write_pages

SIZES = (1_000, 10_000, 100_000, 1_000_000)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LIBRARIES = "numpy torch opencv-contrib-python scipy pycocotools faster-coco-eval onnxruntime "
_LIBRARIES += "orjson"
_BESIDE = {"__main__", "harness", "report"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="run.py bench", description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="KEY")
    parser.add_argument("--list", action="store_true", help="print the keys and what they are")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name not in _BESIDE:
            importlib.import_module(f"benchmarks.{module.name}")
    if asked.child:
        asked.child.write_text(json.dumps(_in_child(*asked.keys)))
        return 0
    if asked.list:
        for one in ROWS.values():
            print(f"{one.key:28}at least {one.goal:g} x {one.against}")
        return 0
    if unknown := set(asked.keys) - {*ROWS, "growth"}:
        parser.error(f"no rows {', '.join(sorted(unknown))}: choose of {', '.join(ROWS)}, growth")
    folder = reports_root() / f"benchmark-{time.strftime('%Y%m%d')}"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "benchmark.json"
    record = json.loads(kept.read_text()) if kept.exists() and asked.keys else {}
    record |= {"machine": _machine(), "rows": record.get("rows", {})}
    for key in ROWS:
        if not asked.keys or key in asked.keys:
            record["rows"][key] = _row(key)
            _write(folder, record)
    if not asked.keys or "growth" in asked.keys:
        record["growth"] = {key: _growth(key) for key in GROWTHS}
    _write(folder, record)
    print(f"report {folder / 'report.html'}")
    return int(any(one["status"] == "failed" for one in record["rows"].values()))


def _write(folder: Path, record: dict[str, Any]) -> None:
    rows = record["rows"].values()
    record["ratios"] = {one["key"]: one["ratio"] for one in rows if one["status"] == "measured"}
    (folder / "benchmark.json").write_text(json.dumps(record, indent=1))
    write_pages(folder, record)


def _row(key: str) -> dict[str, Any]:
    one = ROWS[key]
    print(f"{key:28}", end="", flush=True)
    head = {"key": key, "goal": one.goal, "against": one.against}
    found = head | {"measured_at": time.strftime("%F %T")} | _child(key)
    if found["status"] == "measured":
        mark = "" if found["met"] else "  GOAL MISSED" if found["equal"] else "  NOT EQUAL"
        print(f"{found['ratio']:8.2f} x, goal {one.goal:g}{mark}   {found['equality']}")
    else:
        print(f"{found['status']}: {found['problem']}")
    return found


def _growth(key: str) -> list[dict[str, Any]]:
    points = []
    for size in SIZES:
        points.append({"people": size} | _child(key, str(size)))
        text = "{seconds:.3f} s, {megabytes:.0f} MB more".format_map(
            {"seconds": float("nan"), "megabytes": float("nan")} | points[-1]
        )
        print(f"{key:40}{size:10,} people  {text}", flush=True)
    return points


def _child(*words: str) -> dict[str, Any]:
    """What a new process with one thread finds out about a row or a point of growth."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        command = [sys.executable, "-m", "benchmarks", *words, "--child", result]
        # A row may set more threads for itself.
        environment = os.environ | dict.fromkeys(_THREADS, "1")
        done = subprocess.run(command, cwd=project_root(), env=environment, stdout=sys.stderr)
        if done.returncode:
            return {"status": "failed", "problem": f"its process ended with {done.returncode}"}
        return json.loads(result.read_text())


def _in_child(key: str, size: str = "") -> dict[str, Any]:
    import cv2

    cv2.setNumThreads(0)
    try:
        found = _grown(key, int(size)) if size else measure(ROWS[key])
        return {"status": "measured"} | found
    except NotHere as error:
        return {"status": "not here", "problem": str(error)}
    except Exception as error:  # whatever a row's own lines raise
        traceback.print_exc()
        return {"status": "failed", "problem": f"{type(error).__name__}: {error}"}


def _grown(key: str, size: int) -> dict[str, float]:
    """User seconds of one call, after one on a thousand people, and how far memory rises in it."""
    GROWTHS[key].prepare(1000)()
    work = GROWTHS[key].prepare(size)
    gc.collect()
    memory = Path("/proc/self")
    if memory.exists():
        (memory / "clear_refs").write_text("5")  # the peak begins at what there is now
    before, start = _megabytes("VmRSS"), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    kept = work()
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - start
    del kept
    return {"seconds": seconds, "megabytes": max(0.0, _megabytes("VmHWM") - before)}


def _megabytes(kind: str) -> float:
    """Of this process, by Linux; 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{kind}:"))


def _machine() -> dict[str, Any]:
    versions = {}
    for name in _LIBRARIES.split():
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor() or "unknown")


if __name__ == "__main__":
    sys.exit(main())
