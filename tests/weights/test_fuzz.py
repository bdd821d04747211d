"""Damaged weight files of every kind: loaded or refused, never anything else."""

import io
import itertools
import struct
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posekit.errors import PosekitError
from posekit.files import isolated
from posekit.models import create_model
from posekit.weights import load_weights, read_weights, save_weights

BOUNDED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Of traced memory: the readers' own tables and messages, then copies of the file.
ROOM, COPIES = 4_000_000, 20
RESIDENT = 150_000_000  # by how much the process may grow, for memory that is not traced
SECONDS = 10  # for a hostile file of at most a few megabytes, on a busy machine
Edit = tuple[int, int | None, bytes]  # place, bytes taken out (None: as many as come in), bytes


def most_resident(children: bool = False) -> int:
    """Bytes that this process or an ended child held at most; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    who = resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF
    return resource.getrusage(who).ru_maxrss * unit


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


# Pickles written instruction by instruction, as torch.save writes none.
def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)


def called(name: str, *arguments: bytes) -> bytes:
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def tensor(numbers: int, size: int, stride: int, key: str = "0") -> bytes:
    """Floats in one dimension; with stride 0 they look more than they are."""
    kept = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu")
    sizes = number(0) + number(size) + b"\x85" + number(stride) + b"\x85"
    kept += number(numbers) + b"tQ"
    return called("torch._utils._rebuild_tensor_v2", kept, sizes, b"\x89", b"}")


def doubled(empty: bytes, again: bytes) -> bytes:
    """Something empty, and sixty times something that holds the one before it twice."""
    return empty + b"q\0" + again * 60


def value(content: bytes) -> bytes:
    return text("a") + content + b"s"


WIDE = tensor(16, 400_000_000, 0)
TUPLES, LISTS = doubled(b")", b"h\0\x86q\0"), doubled(b"]", b"q\1]h\1ah\1aq\0")
TO_DOUBLE = "torch._utils._rebuild_device_tensor_from_cpu_tensor"
SPELLINGS = ("".join(letters) for letters in itertools.product(*["aA"] * 10))
HEX = text("hex") + b"\x86R"
COLLIDING = [number((2**61 - 1) * i) for i in range(50_000)]
PAIRS = b"](" + b"".join(b"](" + n + b"Ne" for n in COLLIDING) + b"e"
# What is done to an empty dict.
HOSTILE = {
    "a key that unfolds": TUPLES + b"Ns",
    "a deep key": b")" + b"\x85" * 500_000 + b"Ns",
    "colliding keys": b"(" + b"".join(n + b"N" for n in COLLIDING) + b"u",
    "colliding names": value(called("collections.OrderedDict") + PAIRS + b"b"),
    "a large buffer": value(called("builtins.bytearray", number(3 * 10**9))),
    "a large buffer of Python 2": value(called("__builtin__.bytearray", number(3 * 10**9))),
    "growing text": value(b"c_codecs\nencode\n" * 20 + text("ab" * 2000) + HEX * 20),
    "text copied often": value(
        (b"c_codecs\nencode\nq\0" + text("a" * 10**5) + b"q\1" + text("latin1") + b"q\2(")
        + (b"h\0h\1h\2\x86R" * 50_000 + b"t")
    ),
    "a tensor made dense": value(
        called(TO_DOUBLE, WIDE, b"ctorch\nfloat64\n", text("cpu"), b"\x89")
    ),
    "a tensor by its class": value(called("torch.FloatTensor", number(3 * 10**9))),
    "a tensor gone through": value(called("builtins.set", WIDE)),
    "a tensor as arguments": value(b"cbuiltins\nset\n" + WIDE + b"R"),
    "a list copied often": value(
        b"cbuiltins\nset\nq\0](" + b"K\0" * 10**5 + b"eq\1(" + b"h\0h\1\x85R" * 50_000 + b"t"
    ),
    "an endless message": value(
        called("torch._utils._rebuild_parameter_with_state", WIDE, b"\x89}(", LISTS, b"NNt")
    ),
    "numbers under many names": value(
        b"(" + b"".join(tensor(10**5, 10**5, 1, key) for key in SPELLINGS) + b"t"
    ),
}


def as_archive(pickle: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/DATA.pkl", pickle)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", bytes(64))
        archive.writestr("archive/data/aaaaaaaaaa", bytes(4 * 10**5))
    return file.getvalue()


def as_old_file(pickle: bytes) -> bytes:
    whole = io.BytesIO()
    torch.save({}, whole, _use_new_zipfile_serialization=False)
    return whole.getvalue().replace(b"}q\x00.", pickle[2:], 1)


@pytest.mark.parametrize("written", [as_archive, as_old_file])
@pytest.mark.parametrize("kind", HOSTILE)
def test_little_that_grows_is_refused(kind, written, tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "SECONDS", 0.5)
    path = tmp_path / "hostile.pth"
    path.write_bytes(written(b"\x80\x02}" + HOSTILE[kind] + b"."))
    grown, children, start = most_resident(), most_resident(children=True), time.perf_counter()
    with pytest.raises(PosekitError, match="hostile.pth: cannot be read as weights"):
        read_weights(path)
    assert time.perf_counter() - start < SECONDS and most_resident() - grown < RESIDENT
    room = isolated.ROOM + isolated.COPIES * path.stat().st_size
    assert most_resident(children=True) <= max(children, most_resident() + room)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data, _: data + b"PK\5\6",
        lambda data, _: data + data[-22:],
        lambda data, table: data[:table] + bytes(46) + data[table:],
        lambda data, _: data[:-2] + b"\1\0x",
        lambda data, _: data,
    ],
    ids=["another end", "two ends", "another table", "a comment", "packed"],
)
def test_archives_that_readers_see_differently_are_refused(spoil, tmp_path):
    path, packed = tmp_path / "a.pth", io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", value(b"N"))
        archive.writestr("a/data/0", bytes(10**8))
    path.write_bytes(spoil(packed.getvalue(), packed.getvalue().rindex(b"PK\1\2")))
    with pytest.raises(
        PosekitError, match="a.pth: cannot be read as weights.*(archive|zip|directory)"
    ):
        read_weights(path)
