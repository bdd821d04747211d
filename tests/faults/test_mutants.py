"""Damaged files of every kind that is read: they load or are refused in one clear error.

Each kind is read in a forked process, which a crash or an endless reader ends: the test then names
the damage that did it.
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from faults import SLOW

import posekit
from posekit import data
from posekit.data.annotations import Folder
from posekit.data.frame_store import FrameStore, _environment, build
from posekit.data.predictions import Predictions, read_predictions, write_predictions
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.inference.coco_boxes import CocoBoxes
from posekit.inference.stored_settings import run_settings
from posekit.models import create_model
from posekit.reporting.pages import build_index
from posekit.train.checkpoints import Checkpoints
from posekit.train.hooks import Log
from posekit.weights import identify, load_weights, save_weights
from posekit.weights.onnx_reader import load_onnx

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and limits memory")

EACH = 130 if SLOW else 5  # mutants of each file
SECONDS, WAITING = 5, 60  # of computing and of the clock, which other jobs slow down
ROOM = 1_500_000_000  # bytes that a reader may take beyond what the process has
NUMBERS = b'1e300 -1e300 -1e9 NaN -Infinity null true [] {} "1" -1 0'.split()
NUMBERS += [b"9" * 400, b'"\\ud800"', b"[" * 3000, b"2147483648", b"1e-320"]
RAW = [struct.pack("<d", value) for value in (1e300, -1e9, float("nan"), float("inf"), 5e-324)]
RAW += [b"\xff" * 8, b"\0" * 8, struct.pack("<q", 2**62), struct.pack("<ff", 1e38, -1e38)]


def mutant(content: bytes, rng: random.Random) -> bytes:
    """Damaged in one of five ways: bits, numbers, cut off, pieces lost or repeated."""
    found, way = bytearray(content), rng.choice(["bits", "number", "number", "cut", "piece"])
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?(e-?\d+)?", content[:200_000]))
    if way == "bits":
        for _ in range(rng.choice([1, 1, 4, 40])):
            found[place(rng, found)] ^= 1 << rng.randrange(8)
    elif way == "number" and content[:1] in b"[{d" and numbers:
        chosen = rng.sample(numbers, min(rng.choice([1, 3]), len(numbers)))
        for one in sorted(chosen, key=lambda found: -found.start()):
            found[one.start() : one.end()] = rng.choice(NUMBERS)
    elif way == "number":
        at = place(rng, found) // 8 * 8
        found[at : at + 8] = rng.choice(RAW)
    elif way == "cut":
        del found[place(rng, found) :]
    else:
        at, length = place(rng, found), rng.choice([1, 8, 512, 5000])
        piece = bytes(found[at : at + length])
        found[at : at + length] = rng.choice([b"", piece * 2, bytes(length), piece[::-1]])
    return bytes(found)


def place(rng: random.Random, found: bytearray) -> int:
    """Anywhere in a file, most often in its tables at both ends."""
    end = len(found)
    table = rng.randrange(min(end, 400))
    return rng.choice([rng.randrange(end), table, end - 1 - table])


def read_store(path: Path) -> None:
    _environment.cache_clear()
    store = FrameStore(path)
    for name in store.names()[:3]:
        store.read(name)


def read_index(path: Path) -> None:
    os.environ["POSEKIT_REPORTS"] = str(path.parents[1])
    assert path.parent.name in build_index().read_text("utf-8")


def read_results(path: Path) -> None:
    posekit.score("COCO", path, root=path.parents[1])


def labels(name: str, split: str = "train"):
    return lambda path: data.load(
        name, split, next(p for p in path.parents if (p / "root").exists())
    )


def weights(path: Path) -> None:
    load_weights(create_model("cpm", width=0.02), path)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A whole file of every kind and what reads it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("whole")
    for name in ("LSP", "MPII", "PennAction", "COCO"):
        root = ensure_sample(name, smoke=True)
    data_root = folder / "data"
    shutil.copytree(root, data_root, ignore=shutil.ignore_patterns(".*"))
    (data_root / "root").touch()
    people = data.load("PennAction", "train", data_root)
    build(people.rows(np.arange(12)), data_root / "store" / "train.lmdb")
    run = folder / "reports" / "run"
    run.mkdir(parents=True)
    count, joints = len(people), len(people.skeleton)
    found = Predictions(np.zeros((count, joints, 2)), np.ones((count, joints)))
    write_predictions(run / "predictions.npz", people, found, people.skeleton)
    network = create_model("cpm", width=0.02)
    state = {"model": network.state_dict(), "epoch": 1, "best": 1.0, "optimiser": {}, "scaler": {}}
    Checkpoints(run / "checkpoints").save(state, best=True)
    torch.save({"state_dict": network.state_dict()}, run / "a.pth")
    save_weights(network, run / "a.safetensors")
    (run / "metrics.json").write_text(json.dumps(RECORD))
    line = {"epoch": 1, "loss": 0.5, "lr": 0.1, "seconds": 1.5, "val": 20.0}
    (run / "log.jsonl").write_text("".join(json.dumps(line | {"epoch": n}) + "\n" for n in (1, 2)))
    write_params(run)
    onnx = pytest.importorskip("onnx")
    posekit.export_onnx(create_model("lpn_50", 17, width=0.02).eval(), run / "a.onnx", (64, 64))
    assert onnx.load(run / "a.onnx").graph.node
    coco = data_root / "coco"
    truth = json.loads((coco / "annotations/person_keypoints_val2017.json").read_text())
    results = [
        {"image_id": p["image_id"], "category_id": 1, "keypoints": p["keypoints"], "score": 0.5}
        for p in truth["annotations"]
    ]
    (coco / "results.json").write_text(json.dumps(results))
    image = next(coco.glob("images/val2017/*"))
    detections = next(coco.glob("person_detection_results/*"))
    files = {
        "LSP": (next((data_root / "LSP").glob("*.mat")), labels("LSP")),
        "MPII": (data_root / "mpii/annot/train.json", labels("MPII")),
        "MPII's truth": (data_root / "mpii/annot/gt_valid.mat", labels("MPII", "test")),
        "Penn Action": (data_root / "PennAction/labels/0001.mat", labels("PennAction")),
        "COCO": (coco / "annotations/person_keypoints_val2017.json", labels("COCO", "test")),
        "COCO's results": (coco / "results.json", read_results),
        "detections": (detections, lambda path: CocoBoxes(path)),
        "image": (image, lambda path: Folder(path.parent).read(path.name)),
        "LMDB": (data_root / "store/train.lmdb/data.mdb", lambda path: read_store(path.parent)),
        "predictions": (run / "predictions.npz", read_predictions),
        "checkpoint": (run / "checkpoints/last.pt", lambda p: Checkpoints(p.parent).load_last()),
        "record": (run / "metrics.json", read_index),
        "log": (run / "log.jsonl", lambda path: Log(path).on_start(9)),
        "settings": (run / "params.yaml", lambda path: run_settings(path.parent)),
        "pth": (run / "a.pth", weights),
        "safetensors": (run / "a.safetensors", weights),
        "ONNX": (run / "a.onnx", lambda p: load_onnx(p)(torch.zeros(1, 3, 64, 64))),
    }
    for path, read in files.values():
        with redirect_stdout(sys.stderr):
            read(path)
    with pytest.MonkeyPatch.context() as patch:
        if not SLOW:  # an error names the network that a file is of: a second each to try
            patch.setattr(identify, "list_models", lambda: ["cpm", "lpm"])
        with pytest.raises(PosekitError, match="does not fit"):
            load_weights(create_model("lpm", width=0.02), run / "a.pth")
        yield files


RECORD = {
    "paper": "lpm", "model": "lpm", "dataset": "PennAction", "source": "sample", "split": "test",
    "metric": "PCK", "metrics": {"Mean": 80.5}, "baseline": {"mean_pose": 20.25}, "seed": 0,
    "params_count": 1000, "gmacs": 1.5, "epochs_done": 3, "train_seconds": 12.5, "started": "2026",
    "status": "finished", "figures": {"a.png": "a figure"}, "notes": ["a note"],
}  # fmt: skip


def write_params(run: Path) -> None:
    from posekit.config.resolve import resolve

    settings = resolve("lpm", {"source": "sample"}).settings
    text = "".join(f"{n}: {json.dumps(v)}\n" for n, v in settings.model_dump(mode="json").items())
    (run / "params.yaml").write_text(text)


FILES = (
    "LSP", "MPII", "MPII's truth", "Penn Action", "COCO", "COCO's results", "detections", "image",
    "LMDB", "predictions", "checkpoint", "record", "log", "settings", "pth", "safetensors", "ONNX",
)  # fmt: skip


def in_child(work) -> int:
    """The exit status of a function in a forked process, -signal if one ended it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = 1
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + ROOM
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            torch.set_num_threads(1)
            work()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read_mutants(path: Path, read, count: int, told: Path) -> None:
    """Read mutants of a file in place of it; a line is told of each before and after."""
    content = path.read_bytes()
    with told.open("w", buffering=1) as lines:
        for seed in range(count):
            path.unlink(missing_ok=True)
            path.write_bytes(mutant(content, random.Random(seed)))
            lines.write(f"{seed} ")
            signal.alarm(WAITING)
            started = time.process_time()
            try:
                read(path)
                outcome = "loads"
            except PosekitError:
                outcome = "refused"
            except BaseException as error:  # whatever else it is, the test tells
                outcome = f"{type(error).__name__}: {error}".replace("\n", " ")
            signal.alarm(0)
            if (seconds := time.process_time() - started) > SECONDS:
                outcome = f"{seconds:.1f} s"
            lines.write(f"{outcome}\n")


counts = {}


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_load_or_are_refused(originals, tmp_path, kind):
    path, read = originals[kind]
    content, told = path.read_bytes(), tmp_path / "told"
    try:
        status = in_child(lambda: read_mutants(path, read, EACH, told))
    finally:
        path.write_bytes(content)
    lines = [line.partition(" ") for line in told.read_text().splitlines()]
    strange = [(seed, said) for seed, _, said in lines if said not in ("loads", "refused")]
    assert status == 0 and not strange, (status, strange)
    assert len(lines) == EACH
    counts[kind] = sum(said == "refused" for *_, said in lines), len(lines)


def test_how_many_were_read():
    refused, read = (sum(one) for one in zip(*counts.values(), strict=True))
    print(f"{read} mutants of {len(counts)} kinds of files, {refused} refused: {counts}")
    assert len(counts) == len(FILES) and read >= (2000 if SLOW else 80) and refused > read / 4
