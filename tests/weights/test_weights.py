"""Weights in and out: complete, or refused with the reason."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
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


@pytest.mark.parametrize("wrapper", [None, "state_dict", "best_state_dict", "model_state"])
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


@pytest.mark.parametrize(
    "spoil",
    [lambda t: t.to_sparse(), lambda t: t.to("meta"), lambda t: t.to(torch.complex64)],
    ids=["sparse", "meta", "complex"],
)
def test_tensors_that_are_not_plain_change_nothing(spoil):
    model, state = create_model("lpm", width=0.02), create_model("lpm", width=0.02).state_dict()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["head.conv5.weight"] = spoil(state["head.conv5.weight"])
    with pytest.raises(PosekitError, match="head.conv5.weight.*only plain tensors"):
        load_weights(model, state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_owner_of_other_weights_is_named(tmp_path):
    save_weights(small("cpm"), tmp_path / "a.safetensors")
    with pytest.raises(PosekitError, match="another network: create_model.'cpm'"):
        load_weights(small(), tmp_path / "a.safetensors")
    with pytest.raises(PosekitError, match="another network: create_model.'lpm_mobilepose'"):
        load_weights(small(), small("lpm_mobilepose").state_dict())
    with pytest.raises(PosekitError, match="compare num_keypoints, width"):
        load_weights(small(), create_model("lpm", num_keypoints=4, width=0.05).state_dict())


def test_the_advice_names_options_that_change_the_tensors():
    with torch.device("meta"):
        plain = create_model("lp_net_50", 16, gcb=False).state_dict()
    old = {k: torch.zeros(v.shape) for k, v in plain.items() if "num_batches" not in k}
    with pytest.raises(PosekitError, match=r"create_model\('lp_net_50', gcb=False, ...\)"):
        load_weights(create_model("lp_net_50", 16), old)


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


@pytest.mark.parametrize("name", ["bomb.pth", "bomb.pth.tar"])
def test_files_with_code_are_refused_unrun(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    if name == "bomb.pth":
        torch.save({"state_dict": Bomb()}, name)
    else:
        Path(name).write_bytes(pickle.dumps({"state_dict": Bomb()}, protocol=2))
    with pytest.raises(PosekitError, match="cannot be read as weights"):
        load_weights(small(), name)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("form", ["archive", "legacy", "NumPy 1"])
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.bool_])
def test_numpy_numbers_in_a_checkpoint_are_read_past(tmp_path, form, kind):
    model, other, path = small(), small(), tmp_path / "a.pth"
    content = {"epoch": 3, "state_dict": model.state_dict(), "perf": kind(0.7)}
    torch.save(content, path, _use_new_zipfile_serialization=form == "archive")
    if form == "NumPy 1":
        path.write_bytes(path.read_bytes().replace(b"numpy._core.", b"numpy.core."))
    assert load_weights(other, path).ignored == ("epoch", "perf") and same(model, other)
    assert np.dtype not in torch.serialization.get_safe_globals()


def test_arrays_and_code_beside_numpy_numbers_stay_refused(tmp_path):
    for odd in (np.ones(2), Bomb()):
        torch.save({"state_dict": {}, "perf": np.float64(0.7), "odd": odd}, tmp_path / "a.pth")
        with pytest.raises(PosekitError) as caught:
            load_weights(small(), tmp_path / "a.pth")
        message = str(caught.value)
        assert "unsupported global" in message.lower()
        assert len(message) < 450 and message.isprintable()
        assert "add_safe_globals" not in message and "Weights only load" not in message


@pytest.mark.parametrize("bomb", ["deflated", "overlapping"])
def test_archives_larger_than_their_file_are_refused_unread(tmp_path, monkeypatch, bomb):
    path, whole = tmp_path / "a.pth", tmp_path / "whole.pth"
    torch.save({"a": torch.zeros(10_000)}, whole)
    if bomb == "deflated":
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, old.read(name))
    else:
        with zipfile.ZipFile(path, "w") as new:
            new.writestr("a/data.pkl", b"x" * 1000)
            new.filelist += new.filelist * 9
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(PosekitError, match="a.pth: cannot be read.*compressed archive"):
        load_weights(small(), path)


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


@pytest.mark.parametrize(
    "source", [[], ["x.pth"], [Path("a.caffemodel"), "x.pth"], ("run",)], ids=str
)
def test_lists_are_of_caffemodels(source):
    with pytest.raises(PosekitError, match="only .caffemodel files may be given as a list"):
        load_weights(small(), source)


@pytest.mark.parametrize("name", ["cut.safetensors", "cut.pth"])
@pytest.mark.parametrize("size", [0, 5, 1000])
def test_broken_files_are_refused(tmp_path, name, size):
    path = tmp_path / name
    model = small()
    if path.suffix == ".pth":
        torch.save(model.state_dict(), path)
    else:
        save_weights(model, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(PosekitError, match=f"{name}: cannot be read as weights"):
        load_weights(model, path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.pth", "no such weight file"),
        ("net.caffemodel", "is no whole caffemodel"),
        ("net.caffemodel.h5", "inside HDF5 cannot be read"),
        ("net.onnx", "not a kind of weight file"),
        ("number.pth", "holds a int"),
        ("empty.pth", "holds no weights"),
    ],
)
def test_other_files_are_refused(tmp_path, name, message):
    if name == "number.pth":
        torch.save(3, tmp_path / name)
    elif name == "empty.pth":
        torch.save({"epoch": 3}, tmp_path / name)
    elif name != "absent.pth":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(PosekitError, match=message):
        load_weights(create_model("lpm", width=0.05), tmp_path / name)


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


@pytest.mark.real
@pytest.mark.skipif("POSEKIT_REAL_DATA" not in os.environ, reason="POSEKIT_REAL_DATA is not set")
@pytest.mark.parametrize("name", ["mean_lsp.pth.tar", "movenet_mbv3_e81_valacc0.78953.pth"])
def test_published_files_of_other_networks_are_refused(name):
    path = Path(os.environ["POSEKIT_REAL_DATA"]) / "checkpoints" / name
    with pytest.raises(PosekitError, match="belongs to another network"):
        load_weights(small(), path)
