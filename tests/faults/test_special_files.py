"""Pipes, devices, folders and small files that unfold: refused at once, in little memory."""

import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib

import pytest
import torch
from test_mutants import FILES, in_child, originals  # noqa: F401

from posekit.errors import PosekitError
from posekit.files.reading import decode
from posekit.files.yaml_files import load_yaml
from posekit.inference.stored_settings import run_settings
from posekit.metrics.coco_ap import read_results
from posekit.reporting.board import board
from posekit.weights.onnx_reader import load_onnx

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks and limits memory")

LEFT_OUT = {("record", "pipe"), ("record", "device"), ("record", "folder")}
LEFT_OUT |= {("log", "pipe"), ("log", "device")}  # what goes on without them
ROOM = 600_000_000  # bytes that the process may grow by


def refuses(read, path) -> None:
    """In a forked process, within seconds and in little memory."""
    started = time.monotonic()

    def work():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            read(path)
        except PosekitError as error:
            assert len(str(error)) < 2000
        else:
            os._exit(7)
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < ROOM

    def timed():
        signal.alarm(60)
        work()

    status = in_child(timed)
    assert status == 0, f"status {status} after {time.monotonic() - started:.0f} s"


@pytest.mark.parametrize("special", ["pipe", "device", "folder"])
@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_file_is_refused(originals, tmp_path, kind, special):  # noqa: F811
    path, read = originals[kind]
    kept = tmp_path / "kept"
    path.rename(kept)
    try:
        if special == "pipe":
            os.mkfifo(path)
        elif special == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        if (kind, special) in LEFT_OUT:
            assert in_child(lambda: read(path)) == 0
        else:
            refuses(read, path)
    finally:
        path.rmdir() if special == "folder" else path.unlink()
        kept.rename(path)


def png(width: int, height: int) -> bytes:
    """A black picture in which everything is in order."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer, rows = zlib.compressobj(9), bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(rows * 100) for _ in range(height // 100))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", pixels + packer.flush()), chunk(b"IEND", b"")]
    )


def test_a_picture_of_gigabytes_in_a_small_file(tmp_path):
    small, large = png(400, 300), png(30_000, 30_000)
    assert decode(small, "small").shape == (300, 400, 3) and len(large) < 200_000
    (tmp_path / "large.png").write_bytes(large)
    # OpenCV reads its limit when it is imported, here perhaps before posekit.
    code = "import posekit; from posekit.data.annotations import Folder; from pathlib import Path\n"
    code += f"Folder(Path({str(tmp_path)!r})).read('large.png')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "PosekitError" in done.stderr and "large.png is not a readable image" in done.stderr


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [LAUGHS + "network: *a11\n", "network: " + "[" * 100_000, "a: " + "{b: " * 50_000, "\0", "- 1"],
    ids=["laughs", "nested lists", "nested mappings", "zero", "no mapping"],
)
def test_settings_that_unfold_are_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    refuses(load_yaml, tmp_path / "params.yaml")
    refuses(run_settings, tmp_path)


def test_json_that_is_nested_deeply(originals):  # noqa: F811
    path, read = originals["COCO"]
    kept = path.read_bytes()
    try:
        path.write_bytes(b"[" * 1_000_000)
        refuses(read, path)
        path.write_bytes(b'{"images": ' * 200_000)
        refuses(read, path)
    finally:
        path.write_bytes(kept)


def test_a_stored_network_that_never_ends(tmp_path):
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    def value(name, kind=TensorProto.FLOAT, shape=None):
        return helper.make_tensor_value_info(name, kind, shape)

    truth = TensorProto.BOOL
    steps = [helper.make_node("Identity", [name], [f"{name}2"]) for name in "ca"]
    count, inputs = value("i", TensorProto.INT64, []), [value("c", truth, []), value("a")]
    body = helper.make_graph(steps, "body", [count, *inputs], [value("c2", truth, []), value("a2")])
    ends = [helper.make_tensor("n", TensorProto.INT64, [], [2**62])]
    ends += [helper.make_tensor("t", truth, [], [True])]
    shape = ["b", 3, 64, 64]
    graph = helper.make_graph(
        [helper.make_node("Loop", ["n", "t", "x"], ["y"], body=body)],
        "graph",
        [value("x", shape=shape)],
        [value("y", shape=shape)],
        ends,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "loop.onnx")
    refuses(lambda path: load_onnx(path)(torch.zeros(1, 3, 64, 64)), tmp_path / "loop.onnx")


ON_A_SMALL_MACHINE = """
import os, resource, torch
from posekit.errors import PosekitError
from posekit.weights.onnx_reader import load_onnx
sizes = {{"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**28 // 4096}}
os.sysconf = sizes.get
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_onnx({path!r})(torch.zeros(1, 3, 64, 64))
except PosekitError as error:
    print(error, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_stored_network_that_asks_for_much_memory(tmp_path):
    """Half a gigabyte, where there is a quarter of one."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Tile", ["x", "times"], ["large"]),
        helper.make_node("ReduceMean", ["large"], ["y"], axes=[1]),
    ]
    shape, times = ["b", 3, 64, 64], helper.make_tensor("times", 7, [4], [1, 10_000, 1, 1])
    ends = [value(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph(nodes, "graph", ends[:1], ends[1:], [times])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "large.onnx"
    onnx.save(model, path)
    code = ON_A_SMALL_MACHINE.format(path=str(path))
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    text, _, megabytes = said.stdout.rpartition(" ")
    assert "large.onnx: the runtime stopped: " in text and "Available memory" in text, said
    assert int(megabytes) < 300


@pytest.mark.parametrize("number", [1e300, -1e9, float("nan"), float("inf"), "1", 10**400, None])
def test_numbers_that_nothing_measured_can_have(originals, number):  # noqa: F811
    result = {"image_id": 1, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5}
    assert len(read_results([result]).scores) == 1
    with pytest.raises(PosekitError, match="COCO result 0"):
        read_results([result | {"keypoints": [1.0] * 50 + [number]}])
    with pytest.raises(PosekitError, match="COCO result 0"):
        read_results([result | {"score": number}])
    if not isinstance(number, float):
        return
    from scipy.io import loadmat, savemat

    for kind, field in (("LSP", "joints"), ("MPII's truth", "headboxes_src"), ("Penn Action", "x")):
        path, read = originals[kind]
        kept, content = path.read_bytes(), loadmat(path)
        try:
            values = content[field].astype(float)
            values.flat[0] = number
            fields = {n: v for n, v in content.items() if not n.startswith("__")}
            savemat(path, fields | {field: values})
            with pytest.raises(PosekitError, match=f"field {field} holds values"):
                read(path)
        finally:
            path.write_bytes(kept)


LINE = b'{"epoch": 1, "loss": 0.5}\n'
DAMAGED_LOG = b'{"epoch": ' + b"9" * 400 + b"}\n\xff\n" + b"[" * 100_000 + b"\n[]\n1\n" + LINE


@pytest.mark.parametrize("name", ["params.yaml", "log.jsonl", "demo.json", ".lock"])
def test_the_board_reads_runs_of_others_with_care(tmp_path, monkeypatch, name):
    """Pipes, devices, gigabytes and nonsense in one file each, beside a run that is whole."""
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path))
    kinds = "whole", "pipe", "device", "folder", "large", "nonsense"
    for kind in kinds:
        file = tmp_path / kind / name
        file.parent.mkdir()
        if name != "demo.json":
            (tmp_path / kind / "metrics.json").write_text('{"status": "running"}')
        if kind == "whole":
            file.write_bytes(b'{"paper": "demo"}' if name == "demo.json" else LINE)
        elif kind == "pipe":
            os.mkfifo(file)
        elif kind == "device":
            file.symlink_to("/dev/zero")
        elif kind == "folder":
            file.mkdir()
        elif kind == "large":
            with file.open("wb") as sparse:
                sparse.truncate(2**36)
        else:
            file.write_bytes(DAMAGED_LOG)

    def look():
        signal.alarm(60)
        runs = {run["name"]: run for run in board()["runs"]}
        assert runs.keys() == set(kinds)
        if name == "log.jsonl":
            assert runs["whole"]["curve"] == [[1, 0.5, None]]
            assert runs["nonsense"]["curve"] == [[None] * 3, [1, 0.5, None]]
            assert not any(runs[kind]["curve"] for kind in kinds[1:-1])

    assert in_child(look) == 0
