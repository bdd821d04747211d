"""Weights in and out: complete, or refused with the reason."""

import pytest
import torch
from torch import nn

from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.weights import load_weights, save_weights


def small(name="lpm", **options):
    return create_model(name, num_keypoints=3, width=0.05, **options)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("name", ["lpm", "cpm", "lpm_mobilepose"])
def test_round_trip(tmp_path, name):
    model, other = small(name), small(name)
    save_weights(model, tmp_path / "weights.safetensors", {"dataset": "LSP"})
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]
    report = load_weights(other, tmp_path)  # the run folder
    assert same(model, other)
    assert report.matched == len(model.state_dict())
    assert str(report) == f"loaded all {report.matched} tensors from {tmp_path}/weights.safetensors"


@pytest.mark.parametrize(
    "wrapper", [None, "state_dict", "best_state_dict", "model_state", "network", "state_dict_ema"]
)
@pytest.mark.parametrize("ending", [".pth", ".pt", ".pth.tar"])
def test_training_checkpoints_are_unwrapped(tmp_path, wrapper, ending):
    model, other = small("lpm_mobilepose"), small("lpm_mobilepose")
    content = {f"module.{key}": value for key, value in model.state_dict().items()}
    if wrapper:
        content = {"epoch": 7, wrapper: content, "optimizer": {"state": {}}}
    torch.save(content, tmp_path / f"last{ending}")
    report = load_weights(other, tmp_path / f"last{ending}")
    assert same(model, other)
    assert report.ignored == (("epoch", "optimizer") if wrapper else ())
    assert "prefix module. removed" in report.converted
    assert (f"taken from the entry {wrapper}" in report.converted) == (wrapper is not None)


@pytest.mark.parametrize(
    ("wrap", "steps", "ignored"),
    [
        (lambda s: {"state_dict": {}, "ema": s}, ["taken from the entry ema"], ["state_dict"]),
        (
            lambda s: {"model": {"state_dict": s, "args": 1}, "ema": {"decay": 1.0}},
            ["taken from the entry state_dict of model"],
            ["ema", "args"],
        ),
        (
            lambda s: {"state_dict": {f"model.{name}": value for name, value in s.items()}},
            ["taken from the entry state_dict", "prefix model. removed"],
            [],
        ),
        (
            lambda s: {f"module.model.{name}": value for name, value in s.items()},
            ["prefix module. removed", "prefix model. removed"],
            [],
        ),
        (
            lambda s: {f"net.{name}": value for name, value in s.items()},
            ["prefix net. removed"],
            [],
        ),
    ],
    ids=["empty", "twice", "a trainer's", "parallel trainer's", "net"],
)
def test_wrappers_and_prefixes_of_other_trainers(wrap, steps, ignored):
    model, other = small("lpm_mobilepose"), small("lpm_mobilepose")
    report = load_weights(other, wrap(model.state_dict()))
    assert same(model, other)
    assert (list(report.converted), list(report.ignored)) == (steps, ignored)


def test_a_prefix_that_only_some_names_have_stays():
    model, other = small(), small()
    both = {f"module.{name}": value for name, value in model.state_dict().items()}
    both["gate_bias"] = both["module.gate_bias"] + 1
    with pytest.raises(PosekitError, match=f"{len(both) - 1} unexpected .module"):
        load_weights(other, both)


def test_a_prefix_of_the_network_itself_stays():
    model, other = (nn.Sequential() for _ in range(2))
    for network in (model, other):
        network.add_module("model", nn.Linear(2, 2))
    assert load_weights(other, model.state_dict()).converted == () and same(model, other)
    wrapped = {f"module.{name}": value for name, value in model.state_dict().items()}
    assert load_weights(other, wrapped).converted == ("prefix module. removed",)


def test_old_files_without_step_counts_load():
    model, other = small("lpm_mobilepose"), small("lpm_mobilepose")
    state = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
    assert len(state) < len(model.state_dict())
    load_weights(other, state)
    assert same(model, other)


def test_partial_weights_change_nothing():
    model, other = small(), small()
    before = {key: value.clone() for key, value in other.state_dict().items()}
    state = model.state_dict()
    state["head.conv6.bias"] = state.pop("gate_bias")
    state["head.conv5.bias"] = torch.zeros(9)
    with pytest.raises(PosekitError) as caught:
        load_weights(other, state)
    for part in (
        "1 missing (gate_bias)",
        "1 unexpected (head.conv6.bias)",
        "1 wrongly shaped (head.conv5.bias (9,) instead of (4,))",
    ):
        assert part in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in other.state_dict().items())


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of kinds it means to drop or change
@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.to_sparse(),
        lambda t: t.to("meta"),
        lambda t: t.to(torch.complex64),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        lambda t: torch.empty(t.shape, dtype=torch.bits8),
        lambda t: torch.empty(t.shape, dtype=torch.uint4),
        lambda t: torch.nested.nested_tensor([t, t]),
    ],
    ids=["sparse", "meta", "complex", "quantised", "bits", "uint4", "nested"],
)
def test_tensors_that_are_not_dense_and_real_change_nothing(spoil):
    model, state = create_model("lpm", width=0.02), create_model("lpm", width=0.02).state_dict()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["head.conv5.weight"] = spoil(state["head.conv5.weight"])
    with pytest.raises(PosekitError, match="head.conv5.weight.*only dense tensors"):
        load_weights(model, state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_network_without_memory_is_refused():
    with torch.device("meta"):
        model = small()
    with pytest.raises(PosekitError, match="lpm has no memory.*on the device meta.*to_empty"):
        load_weights(model, small().state_dict())


@pytest.mark.parametrize("number", [float("nan"), float("-inf"), 1e300])
def test_numbers_that_are_not_finite_are_told(number):
    model, state = small(), small().state_dict()
    state["gate_bias"] = state["gate_bias"].double()
    state["gate_bias"][0] = number
    report = load_weights(model, state)
    assert report.not_finite == ("gate_bias",)
    assert "1 tensors hold NaN or infinite numbers (gate_bias)" in str(report)
    assert load_weights(model, small().state_dict()).not_finite == ()


def test_the_owner_of_other_weights_is_named(tmp_path):
    save_weights(small("cpm"), tmp_path / "a.safetensors")
    with pytest.raises(PosekitError, match="another network: create_model.'cpm'"):
        load_weights(small(), tmp_path / "a.safetensors")
    with pytest.raises(PosekitError, match="another network: create_model.'lpm_mobilepose'"):
        load_weights(small(), small("lpm_mobilepose").state_dict())
    with pytest.raises(PosekitError, match="compare num_keypoints, width"):
        load_weights(small(), create_model("lpm", num_keypoints=4, width=0.05).state_dict())
    with pytest.raises(PosekitError, match="another network: create_model.'lpn_50'"):
        load_weights(small(), create_model("lpn_50", 16).state_dict())


def test_the_advice_names_options_that_change_the_tensors():
    with torch.device("meta"):
        plain = create_model("lp_net_50", 16, gcb=False).state_dict()
    old = {k: torch.zeros(v.shape) for k, v in plain.items() if "num_batches" not in k}
    with pytest.raises(PosekitError, match=r"create_model\('lp_net_50', gcb=False, ...\)"):
        load_weights(create_model("lp_net_50", 16), old)


class Unspeakable(tuple):
    def __str__(self):
        raise AssertionError("written out")

    __repr__ = __str__


def test_keys_that_are_no_text_are_named_by_their_type():
    model, other = small(), small()
    odd = {Unspeakable((1,)): 3, 7: torch.zeros(1), 8: torch.zeros(2)}
    report = load_weights(other, {**model.state_dict(), **odd})
    assert report.ignored == ("a key of type Unspeakable", "a key of type int")
    assert same(model, other)
    load_weights(other, {"state_dict": model.state_dict(), **odd})
    with pytest.raises(PosekitError, match="holds no weights, only a key of type Unspeakable"):
        load_weights(other, odd)
    for key in ("x" * 10**6, "\x1b[31m" * 10**5):
        with pytest.raises(PosekitError, match="1 unexpected") as caught:
            load_weights(other, {**model.state_dict(), key: torch.zeros(1)})
        assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


def test_weights_survive_a_failed_save(tmp_path):
    path = tmp_path / "weights.safetensors"
    model = small()
    save_weights(model, path)
    before = path.read_bytes()
    with pytest.raises(PosekitError, match="cannot write"):
        save_weights(model, tmp_path / "no folder" / "weights.safetensors")
    with pytest.raises(TypeError):
        save_weights(nn.Linear(2, 2), path, {"not a string": 3})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["weights.safetensors"]
