"""Caffe's files of CPM and LPM, full size, written here with the golden weights."""

import base64
import os
import struct

import numpy as np
import pytest
import torch

from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.weights import load_weights
from posekit.weights.caffe import ORDER, Blob, assemble, in_our_order, read_blobs
from posekit.weights.caffemodel import parse_caffemodel, read_caffemodel

SLOW = pytest.mark.skipif("POSEKIT_SLOW" not in os.environ, reason="POSEKIT_SLOW=1 runs all files")
FILES = {
    "lpm_train_net": ("lpm", ["lpm_train_net"]),
    "lpm_single_image_premodel": ("lpm", ["lpm_single_image_premodel"]),
    "lpm_deploy": ("lpm", ["lpm_deploy1", "lpm_deploy2"]),
    "cpm_leeds_deploy": ("cpm", ["cpm_leeds_deploy"]),
}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def part(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(values: np.ndarray) -> bytes:
    sizes = b"".join(varint(size) for size in values.shape)
    return part(5, values.astype("<f4").tobytes()) + part(7, part(1, sizes))


def write(path, layers: dict[str, list[np.ndarray]]):
    with path.open("wb") as file:
        file.write(part(1, b"net"))
        for name, blobs in layers.items():
            content = part(1, name.encode()) + b"".join(part(7, blob(b)) for b in blobs)
            file.write(part(100, content))
    return path


@pytest.fixture(scope="session")
def written(golden, golden_values, tmp_path_factory):
    """Writes a net's file from the golden fill, layer by layer as its prototxt has them."""
    folder, nets, memory = tmp_path_factory.mktemp("caffe"), golden("caffe_layers"), {}

    def values(family: str) -> dict[str, np.ndarray]:
        if family not in memory:
            net = {"lpm": "lpm_train_net", "cpm": "cpm_leeds_deploy"}[family]
            keys = {(layer, number): key for layer, number, _, key in nets[net]}
            memory[family] = {
                keys[p["layer"], p["blob"]]: golden_values(
                    p["k"], p["shape"], p["kind"], p["filler"]
                )
                .float()
                .numpy()
                for p in golden(f"caffe_{family}")["params"]
            }
        return memory[family]

    def make(net: str):
        path = folder / f"{net}.caffemodel"
        if not path.exists():
            known, layers = values(net[:3]), {}
            for layer, _, shape, key in nets[net]:
                assert list(known[key].shape) == shape
                layers.setdefault(layer, []).append(known[key])
            write(path, layers)
        return path

    return make


def small_state(model) -> dict[str, torch.Tensor]:
    return {name: torch.randn_like(value) for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=SLOW if n == "lpm_train_net" else ()) for n in FILES]
)
def test_every_net_fills_its_network(name, written, blank, fill_caffe, golden):
    family, nets = FILES[name]
    paths = [written(net) for net in nets]
    caffe = fill_caffe(blank(family), golden(f"caffe_{family}")["params"])
    blobs, copies, ignored = read_blobs(family, paths)
    state = assemble(caffe, blobs, "files")
    assert ignored == []
    rows = [row for net in nets for row in golden("caffe_layers")[net]]
    keys = [key for _, number, shape, key in rows if number or len(shape) > 1]  # no Scale factors
    assert copies == len(keys) - len(set(keys)) and (copies > 0) == (family == "lpm")
    for key, value in caffe.state_dict().items():
        assert torch.equal(state[key], value), key
    model = blank(family)
    report = load_weights(model, paths if len(paths) > 1 else paths[0])
    assert report.matched == len(model.state_dict())
    assert "BGR to RGB" in str(report) and "shared copies equal" in str(report)
    for key, value in in_our_order(state).items():
        assert torch.equal(model.state_dict()[key], value), key


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "height"),
    [
        ("lpm_single_image_premodel", 120),
        ("cpm_leeds_deploy", 120),
        *(pytest.param(name, 128, marks=SLOW) for name in FILES),
    ],
)
def test_golden_outputs_in_our_joints_and_colours(
    name, height, written, blank, golden, clip, same_maps
):
    family, nets = FILES[name]
    model = blank(family).eval()
    load_weights(model, [written(net) for net in nets])
    case = next(c for c in golden(f"caffe_{family}")["cases"] if c["H"] == height)
    frames, centre = clip(case["B"], height, height)
    frames = frames.flip(2)  # the golden pictures are BGR
    beliefs = model(frames if family == "lpm" else frames[:, 0], centre)
    same_maps(beliefs[:, :, np.argsort(ORDER)], case["stages"])


@torch.no_grad()
@pytest.mark.parametrize("family", ["lpm", "cpm"])
def test_order_of_joints_and_colours_is_all_that_changes(family):
    torch.manual_seed(0)
    theirs, ours = (create_model(family, width=0.05).eval() for _ in range(2))
    state = {name: value * 0.05 for name, value in small_state(theirs).items()}
    theirs.load_state_dict(state)
    ours.load_state_dict(in_our_order(state))
    frames, centre = torch.randn(1, 3, 3, 32, 32), torch.rand(1, 1, 32, 32)
    frames = frames if family == "lpm" else frames[:, 0]
    expected = theirs(frames.flip(-3), centre)[:, :, ORDER]
    torch.testing.assert_close(ours(frames, centre), expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(expected, expected[:, :, ORDER])


def test_joints_are_those_of_the_released_networks():
    assert ORDER == [10, 9, 8, 11, 12, 13, 6, 7, 1, 0, 4, 3, 2, 5, 14]


@pytest.mark.parametrize("net", ["lpm_deploy1", "lpm_deploy2"])
def test_a_part_of_a_network_is_refused(net, written):
    model = create_model("lpm")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(PosekitError) as caught:
        load_weights(model, written(net))
    lacking = {
        "lpm_deploy1": [
            "gates_x.weight.f",
            "gates_h.bias.i",
            "gate_bias.f",
        ],
        "lpm_deploy2": ["stage1.conv1.weight"],
    }
    assert all(name in str(caught.value) for name in lacking[net])
    assert "give both files as a list" in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("part", ["gates_x.bias.f", "gate_bias.o", "head.conv1.weight"])
def test_no_part_may_lack_and_none_may_be_left(part):
    model, blobs = create_model("lpm", width=0.05), {}
    for name, value in model.state_dict().items():
        gates = [f".{gate}" for gate in "iogf"] if name.startswith("gate") else [""]
        for gate, block in zip(gates, value.chunk(len(gates)), strict=True):
            blobs[name + gate] = Blob(name, block.numpy())
    state = assemble(model, blobs, "a.caffemodel")
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    with pytest.raises(PosekitError, match="a.caffemodel: the network has no head.conv9.weight"):
        assemble(model, blobs | {"head.conv9.weight": blobs[part]}, "a.caffemodel")
    del blobs[part]
    with pytest.raises(PosekitError, match=f"a.caffemodel: 1 parts of lpm.*{part}"):
        assemble(model, blobs, "a.caffemodel")


def test_numbers_that_are_nan_are_no_missing_part(written, tmp_path):
    model, layers = create_model("cpm"), read_caffemodel(written("cpm_leeds_deploy"))
    layers = {name: [blob.copy() for blob in blobs] for name, blobs in layers.items()}
    layers["Mconv1_stage3"][1][:] = np.nan
    report = load_weights(model, write(tmp_path / "a.caffemodel", layers))
    assert report.not_finite == ("stage3.head.conv1.bias",)


def test_copies_that_differ_are_refused(tmp_path):
    ones = np.ones((2, 48, 11, 11), np.float32)
    layers = {"g_stage2": [np.ones(4), np.zeros(4)], "Mconv1_stage2": [ones[:, :4]]}
    layers["Mres1_stage3"] = [2 * ones[:, :4]]
    model = create_model("lpm", width=0.05)
    layers["g_stage2"][1] = np.zeros(model.features.channels + 16)
    first = model.head.conv1.weight.shape
    layers["Mconv1_stage2"], layers["Mres1_stage3"] = [np.ones(first)], [np.zeros(first)]
    with pytest.raises(PosekitError, match="Mres1_stage3.*differs from layer Mconv1_stage2"):
        load_weights(model, write(tmp_path / "a.caffemodel", layers))


@pytest.mark.parametrize(
    ("layers", "name", "message"),
    [
        ({"fc8": [np.zeros(3)]}, "lpm", "is neither CPM nor LPM, its layers are fc8;"),
        ({"\x1b[31mfc8\n": [np.zeros(3)]}, "lpm", r"its layers are \[31mfc8;"),
        ({"g_stage2": [np.ones(48)] * 3}, "lpm", "a.caffemodel: layer g_stage2, blob 2: no layer"),
        ({"g_stage2": [np.ones(4)]}, "cpm", r"holds lpm, not cpm: create_model\('lpm'\)"),
        ({"Mconv1_stage4": [np.ones(4)]}, "lpm", "holds cpm, not lpm"),
        ({"g_stage2": [np.full(48, 2.0)]}, "lpm", "this one multiplies as well"),
        ({"g_stage2": [np.ones(48), np.ones(47)]}, "lpm", r"is \[47\], gate_bias needs \[48\]"),
        ({"g_stage2": [np.ones(4)]}, "hrnet_w32", "load it into create_model"),
        ({"relu": []}, "lpm", "holds no layer with weights"),
    ],
)
def test_files_of_other_networks_are_refused(tmp_path, layers, name, message):
    with torch.device("meta"):
        model = create_model(name, 14)
    with pytest.raises(PosekitError, match=message):
        load_weights(model, write(tmp_path / "a.caffemodel", layers))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_valid_files_read(golden, version):
    record = golden("caffemodel")
    layers = parse_caffemodel(base64.b64decode(record[f"{version}_base64"]))
    expected = record[f"{version}_expected"]
    assert {name for name, blobs in layers.items() if blobs} == set(expected)
    for name, blobs in expected.items():
        for got, want in zip(layers[name], blobs, strict=True):
            assert got.dtype == np.float32 and list(got.shape) == want["shape"]
            np.testing.assert_array_equal(got.ravel(), np.float32(want["values"]))


def test_hostile_files_are_refused(golden, tmp_path):
    for name, content in golden("caffemodel")["must_raise_base64"].items():
        path = tmp_path / f"{name}.caffemodel"
        path.write_bytes(base64.b64decode(content))
        with pytest.raises(PosekitError, match=f"{name}.caffemodel: is no whole caffemodel"):
            read_caffemodel(path)


def test_any_change_of_a_file_ends_in_numbers_or_in_one_error(golden):
    """Bounded fuzzing: cut, flip and splice a valid file at random."""
    rng = np.random.default_rng(0)
    whole = base64.b64decode(golden("caffemodel")["v2_base64"])
    read = refused = 0
    for _ in range(3000):
        content = bytearray(whole)
        for at in rng.integers(0, len(content), rng.integers(1, 6)).tolist():
            content[at] = int(rng.integers(256))
        start, stop = sorted(rng.integers(0, len(content), 2).tolist())
        content = content[: int(rng.integers(1, len(content)))] if rng.random() < 0.3 else content
        content += content[start:stop] if rng.random() < 0.3 else b""
        try:
            layers = parse_caffemodel(content)
        except ValueError:
            refused += 1
        else:
            read += 1
            stored = sum(blob.nbytes for blobs in layers.values() for blob in blobs)
            assert stored <= len(content)
    assert read > 100 and refused > 100


def test_many_small_pieces_cost_no_memory():
    single = varint(5 << 3 | 5) + struct.pack("<f", 1.5)
    numbers = single * 20_000 + part(5, struct.pack("<f", 2.5)) * 20_000
    layer = part(1, b"a") + part(7, numbers + part(7, part(1, varint(40_000))))
    (values,) = parse_caffemodel(part(100, layer))["a"]
    assert values.shape == (40_000,) and values[0] == 1.5 and values[-1] == 2.5
    with pytest.raises(ValueError, match="more than 4096 layers"):
        parse_caffemodel(b"".join(part(100, part(1, b"%d" % i)) for i in range(5000)))
