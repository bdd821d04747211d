"""Networks out to ONNX and in again; strangers' files."""

import json
import os

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import posekit
from posekit.errors import PosekitError
from posekit.models import create_model, list_models
from posekit.models.complexity import onnx_cost
from posekit.weights.identify import identify
from posekit.weights.onnx_reader import METADATA, load_onnx

# One of each architecture; the others differ in depth alone.
EACH = (
    "cpm cpm_mobilepose hourglass_2 hrnet_w32 ldcrn lp_net_50 lpm lpm_mobilepose "
    "lpm_mobilepose_unshared lpn_50 lsdnet_w32 pose_resnet_50"
).split()
SLOW = pytest.mark.skipif("POSEKIT_SLOW" not in os.environ, reason="POSEKIT_SLOW=1 runs all depths")


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "name", [n if n in EACH else pytest.param(n, marks=SLOW) for n in list_models()]
)
def test_every_network_exports_and_agrees(name, tmp_path):
    model = create_model(name, width=0.06).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    report = posekit.export_onnx(model, tmp_path / "net.onnx", (64, 128))
    assert report.difference <= 1e-4 and "opset 20" in str(report)
    assert model.training and all(
        torch.equal(before[key], value) for key, value in model.state_dict().items()
    )
    names = ["net-first.onnx", "net.md", "net.onnx"] if name == "lpm" else ["net.md", "net.onnx"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    told = json.loads(
        {p.key: p.value for p in onnx.load(tmp_path / "net.onnx").metadata_props}[METADATA]
    )
    about = model.description
    assert (told["name"], told["paper"], told["colour"]) == (name, about.paper, about.colour)
    assert told["image_size"] == [64, 128] and told["skeleton"] in ("coco", "pose_machine")
    assert told["half_pixel"] == about.half_pixel and tuple(told["mean"]) == about.mean
    assert about.paper in (tmp_path / "net.md").read_text()


@torch.no_grad()
def test_a_stream_by_two_graphs_is_the_clip(tmp_path):
    model = create_model("lpm", width=0.1, weight_init="he").eval()
    posekit.export_onnx(model, tmp_path / "lpm.onnx", (32, 40))
    frames, centre = torch.randn(2, 4, 3, 32, 40), torch.rand(2, 1, 32, 40)
    expected = model(frames, centre).numpy()
    first, later = (
        onnxruntime.InferenceSession(tmp_path / name) for name in ("lpm-first.onnx", "lpm.onnx")
    )
    state = {}
    for t, frame in enumerate(frames.unbind(1), start=1):
        session = later if state else first
        values = session.run(None, {"frame": frame.numpy(), "centre": centre.numpy()} | state)
        state = dict(zip(("belief", "hidden", "cell"), values, strict=True))
        np.testing.assert_allclose(state["belief"], expected[:, t], rtol=0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["pose_resnet_50", "cpm"])
def test_an_exported_network_comes_back(name, tmp_path):
    model = create_model(name, width=0.1).eval()
    posekit.export_onnx(model, tmp_path / "net.onnx", (64, 128))
    network = load_onnx(tmp_path / "net.onnx")
    assert network.described and network.input_size == (64, 128)
    skeleton = {"cpm": "pose_machine", "pose_resnet_50": "coco"}[name]
    assert network.description.skeleton == skeleton
    assert network.description.colour == model.description.colour
    inputs = (torch.randn(3, 3, 64, 128), torch.rand(3, 1, 64, 128))[: 1 + (name == "cpm")]
    torch.testing.assert_close(network(*inputs), model(*inputs), rtol=1e-4, atol=1e-5)
    params = sum(p.numel() for p in model.parameters())
    price = posekit.models.cost(model, *inputs)
    size = onnx_cost(tmp_path / "net.onnx", 64, 128)
    assert abs(size.params - params) < 0.1 * params  # batch normalisation is folded away
    assert size.gmacs == pytest.approx(price.gmacs / 3, rel=0.01)
    with pytest.raises(PosekitError, match=r"images of 64 x 128 only: set image_size=\[h, w\]"):
        network(torch.zeros(1, 3, 64, 64), *inputs[1:])


def stranger(path, batch=1, maps=17, channels=3):
    """A convolution with a fixed batch and no metadata, as other projects write them."""
    value = onnx.helper.make_tensor_value_info
    weight = np.random.default_rng(0).normal(size=(maps, channels, 4, 4)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["data", "w"], ["maps"], strides=[4, 4])],
        "net",
        [value("data", onnx.TensorProto.FLOAT, [batch, channels, 32, 24])],
        [value("maps", onnx.TensorProto.FLOAT, [batch, maps, 8, 6])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path, torch.from_numpy(weight)


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_strangers_file_takes_any_batch(tmp_path, batch):
    path, weight = stranger(tmp_path / "a.onnx", batch)
    network = load_onnx(path)
    about = network.description
    assert not network.described and (about.skeleton, about.colour) == ("coco", "RGB")
    assert about.mean == (123.675, 116.28, 103.53) and not about.half_pixel
    images = torch.randn(3, 3, 32, 24)
    expected = torch.nn.functional.conv2d(images, weight, stride=4)
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-4)
    assert onnx_cost(path, 32, 24) == (17 * 48, 17 * 48 * 48 / 1e9, (1, 17, 8, 6))


def test_the_caller_knows_better(tmp_path):
    path, _ = stranger(tmp_path / "a.onnx")
    about = load_onnx(path, colour="BGR", mean=(0.0, 0.0, 0.0), skeleton=None).description
    assert (about.colour, about.mean, about.skeleton) == ("BGR", (0.0, 0.0, 0.0), "coco")
    for known, message in (
        ({"skeleton": "mpii"}, "mpii has 16 joints, the network 17"),
        ({"skeleton": "dog"}, "skeleton='dog': .*choose one of coco"),
        ({"std": (1.0, 0.0, 1.0)}, "std.1=0.0: Input should be greater than 0"),
        ({"colour": "GRB"}, "colour='GRB': Input should be 'RGB' or 'BGR'"),
    ):
        with pytest.raises(PosekitError, match=message):
            load_onnx(path, **known)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "no such ONNX file"),
        (lambda p: p.write_bytes(b"no graph"), "cannot be read as ONNX"),
        (lambda p: stranger(p, channels=1), r"takes float images \(B, 3, h, w\)"),
        (lambda p: p.write_bytes(stranger(p)[0].read_bytes()[:500]), "cannot be read as ONNX"),
    ],
    ids=["absent", "noise", "grey", "cut"],
)
def test_other_files_are_refused(tmp_path, make, message):
    path = tmp_path / "a.onnx"
    make(path)
    with pytest.raises(PosekitError, match=message):
        load_onnx(path)


def graph(path, inputs, outputs):
    """A file with these shapes and nothing else; each output is the constant 0."""
    value, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node(
            "Constant",
            [],
            [f"out{i}"],
            value=onnx.helper.make_tensor("v", floats, shape, np.zeros(shape).ravel()),
        )
        for i, shape in enumerate(outputs)
    ]
    made = onnx.helper.make_graph(
        nodes,
        "net",
        [value(f"in{i}", floats, shape) for i, shape in enumerate(inputs)],
        [value(f"out{i}", floats, shape) for i, shape in enumerate(outputs)],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(made, opset_imports=opset, ir_version=8), path)


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([], [(1, 17, 8, 6)], "has 0 inputs"),
        ([(7,)], [(1, 2)], r"its input in0 is \[7\]"),
        ([(None, 7)], [(1, 2)], r"its input in0 is \["),
        ([()], [(1, 2)], r"its input in0 is "),
        ([(1, 3, 8, 6)], [(1, 2)], r"its output out0 is \[1, 2\]"),
    ],
    ids=str,
)
def test_tables_and_other_shapes_are_refused(tmp_path, inputs, outputs, message):
    path = tmp_path / "a.onnx"
    graph(path, inputs, outputs)
    with pytest.raises(PosekitError, match=f"a.onnx: .*{message}"):
        load_onnx(path)
    assert identify(path).startswith("does not load: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"skeleton": ["coco"]},
        {"skeleton": 3},
        {"mean": ["a", "b", "c"]},
        {"mean": "abc"},
        {"mean": [1, 2]},
        {"mean": [1, 2, float("nan")]},
        {"std": [1, 2, float("inf")]},
        {"std": [1, 2, 10**400]},
        {"std": [1, 2, 0]},
        {"std": [True, True, True]},
        {"half_pixel": "no"},
        {"background": 1},
        {"centre_map": None},
        {"num_keypoints": "17"},
        {"name": 5},
        {"kind": ["image"]},
        {"family": "bottom_up"},
        {"stem": "../../elsewhere"},
        {"recipe": "../secret"},
    ],
    ids=str,
)
def test_metadata_of_other_types_are_refused(tmp_path, changes):
    path, _ = stranger(tmp_path / "a.onnx")
    content = onnx.load(path)
    told = {"mean": [0, 0, 0], "std": [1, 1, 1]}
    onnx.helper.set_model_props(content, {METADATA: json.dumps(told)})
    onnx.save(content, path)
    assert load_onnx(path).described
    onnx.helper.set_model_props(content, {METADATA: json.dumps(told | changes)})
    onnx.save(content, path)
    [field] = changes
    with pytest.raises(PosekitError, match=f"a.onnx: .*{field}"):
        load_onnx(path)


def test_a_home_that_does_not_exist_is_no_file():
    with pytest.raises(PosekitError, match="no such ONNX file"):
        load_onnx("~nosuchuser/a.onnx")


def test_one_step_of_a_video_network_is_no_image_network(tmp_path):
    posekit.export_onnx(create_model("lpm", width=0.05), tmp_path / "lpm.onnx", (32, 32))
    with pytest.raises(PosekitError, match="one step of a video network|takes frame, centre"):
        load_onnx(tmp_path / "lpm.onnx")


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("a.pth", {}, "has to end in .onnx"),
        ("no/where.onnx", {}, "cannot write"),
        ("a.onnx", {"skeleton": "dog"}, "skeleton='dog'"),
        ("a.onnx", {"skeleton": "lsp"}, "skeleton='lsp': cpm with 14 joints can have pose_machine"),
        ("a.onnx", {"input_size": (60, 64)}, "multiples of 8"),
        ("a.onnx", {"input_size": (-64, 64)}, r"input_size=\(-64, 64\) must be"),
        ("a.onnx", {"input_size": (64.0, 64)}, "two whole numbers"),
        ("a.onnx", {"input_size": (0, 64)}, "two whole numbers"),
        ("a.onnx", {"input_size": (64,)}, "two whole numbers"),
        ("a.onnx", {"input_size": 64}, "two whole numbers"),
        ("a.onnx", {"input_size": (True, 64)}, "two whole numbers"),
    ],
)
def test_impossible_exports_leave_nothing(tmp_path, path, options, message):
    model = create_model("cpm", width=0.05)
    with pytest.raises(PosekitError, match=message):
        posekit.export_onnx(model, tmp_path / path, **({"input_size": (64, 64)} | options))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "joints", "skeleton", "message"),
    [
        ("pose_resnet_50", 17, "mpii", "'mpii': pose_resnet_50 with 17 joints can have coco"),
        ("lpm", 16, "pose_machine", "'pose_machine': lpm with 16 joints can have mpii"),
    ],
)
def test_joints_that_are_not_the_networks_are_refused(tmp_path, name, joints, skeleton, message):
    model = create_model(name, joints, width=0.05)
    with pytest.raises(PosekitError, match=f"a.onnx: skeleton={message}"):
        posekit.export_onnx(model, tmp_path / "a.onnx", (64, 64), skeleton)
    assert not list(tmp_path.iterdir())


def test_a_network_of_other_joints_than_its_papers_comes_back(tmp_path):
    posekit.export_onnx(create_model("cpm", 16, width=0.05), tmp_path / "a.onnx", (64, 64))
    assert load_onnx(tmp_path / "a.onnx").description.skeleton == "mpii"


def test_numbers_that_are_not_finite_are_no_agreement(tmp_path):
    model = create_model("pose_resnet_50", width=0.05)
    model.final_layer.weight.data.fill_(float("nan"))
    with pytest.raises(
        PosekitError,
        match="a.onnx: .*differs .* by nan.*NaN or infinite numbers; check its weights",
    ):
        posekit.export_onnx(model, tmp_path / "a.onnx", (64, 64))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("taken", ["lpm.onnx", "lpm.md", "lpm-first.onnx"])
def test_a_folder_in_the_way_leaves_nothing(tmp_path, taken):
    (tmp_path / taken).mkdir()
    with pytest.raises(PosekitError, match=f"cannot write .*{taken}: a folder"):
        posekit.export_onnx(create_model("lpm", width=0.05), tmp_path / "lpm.onnx", (32, 32))
    assert [path.name for path in tmp_path.iterdir()] == [taken]
