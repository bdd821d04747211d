"""Damaged weight files of every kind: loaded or refused, never anything else."""

import struct
import sys
import tracemalloc
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.weights import load_weights, save_weights

BOUNDED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Of traced memory: the readers' own tables and messages, then copies of the file.
ROOM, COPIES = 4_000_000, 20
RESIDENT = 150_000_000  # by how much the process may grow, for memory that is not traced
Edit = tuple[int, int | None, bytes]  # place, bytes taken out (None: as many as come in), bytes


def most_resident() -> int:
    """Bytes that the process has held at most; 0 where the system does not say it."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def part(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def caffe_layer(name: str, *values: torch.Tensor) -> bytes:
    blobs = b""
    for value in values:
        sizes = b"".join(varint(size) for size in value.shape)
        numbers = struct.pack(f"<{value.numel()}f", *value.flatten().tolist())
        blobs += part(7, part(5, numbers) + part(7, part(1, sizes)))
    return part(100, part(1, name.encode()) + blobs)


def caffe_content(model: torch.nn.Module) -> bytes:
    """A whole caffemodel of a narrow CPM."""
    state, layers = model.state_dict(), {}
    for name in state:
        layers.setdefault(name.rpartition(".")[0], []).append(name)
    content = part(1, b"net")
    for layer, names in layers.items():
        values = [state[name] for name in names]
        content += caffe_layer(caffe_name(layer), *values)
    return content


def caffe_name(layer: str) -> str:
    """Name in CPM's release of one of our layers, such as stage3.head.conv1."""
    stage, *middle, last = layer.split(".")
    if stage == "trunk":
        return f"{last}_stage2"
    number = stage.removeprefix("stage")
    if last == "features":
        return f"conv{4 if number == '2' else 1}_stage{number}"
    return f"M{last}_stage{number}" if "head" in middle else f"{last}_stage{number}"


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model("cpm", width=0.02)


@pytest.fixture(scope="module")
def contents(network, tmp_path_factory) -> dict[str, bytes]:
    """The whole files, each of which loads."""
    folder = tmp_path_factory.mktemp("whole")
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, folder / "a.pth")
    save_weights(network, folder / "a.safetensors", {"width": "0.02"})
    (folder / "a.caffemodel").write_bytes(caffe_content(network))
    for path in folder.iterdir():
        report = load_weights(create_model("cpm", width=0.02), path)
        assert report.matched == len(network.state_dict())
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@st.composite
def damages(draw, size: int) -> tuple[list[Edit], int]:
    """Bytes changed, put in or taken out, most of them in a file's tables; where it is cut off."""
    tables, tail = st.integers(0, 400), st.integers(size - 400, size - 1)
    place = tables | tail | st.integers(0, size - 1)
    piece = st.binary(max_size=9) | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\x7f" * 4])
    edits = draw(st.lists(st.tuples(place, st.none() | st.integers(0, 9), piece), max_size=4))
    return edits, draw(place) if draw(st.integers(0, 3)) == 3 else size * 2


def damage(content: bytes, edits: list[Edit], end: int) -> bytes:
    data = bytearray(content)
    for at, length, piece in edits:
        data[at : at + (len(piece) if length is None else length)] = piece
    return bytes(data[:end])


@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".caffemodel"])
def test_damaged_files_load_or_are_refused(ending, contents, network, tmp_path):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    path: Path = tmp_path / f"damaged{ending}"
    refused = []

    @BOUNDED
    @given(damages(len(contents[ending])))
    def attempt(damaged: tuple[list[Edit], int]) -> None:
        path.write_bytes(damage(contents[ending], *damaged))
        tracemalloc.start()
        try:
            load_weights(network, path)
        except PosekitError as error:
            refused.append(str(error))
            after = network.state_dict()
            assert all(
                torch.equal(before[name].view(torch.uint8), after[name].view(torch.uint8))
                for name in before
            )
        else:
            network.load_state_dict(before)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < ROOM + COPIES * len(contents[ending])

    grown = most_resident()
    attempt()
    assert most_resident() - grown < RESIDENT
    assert refused and all(path.name in message for message in refused)
