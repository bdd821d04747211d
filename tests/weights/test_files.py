"""Weight files: what may be in them, and what is no weight file at all."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.weights import load_weights, save_weights
from posekit.weights.identify import identify


def small(name="lpm", **options):
    return create_model(name, num_keypoints=3, width=0.05, **options)


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


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


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "legacy"])
def test_what_trainers_store_is_read_past(tmp_path, archive):
    model, other, path = small(), small(), tmp_path / "a.pth"
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    content = {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": torch.optim.lr_scheduler.MultiStepLR(optimizer, [170, 200]).state_dict(),
        "parameters": list(model.parameters()),
        "scores": [np.float32(n / 7) for n in range(2000)] + [np.bool_(1)] * 2000,
        "losses": tuple(n / 7 for n in range(20_000)),
        "others": [torch.Size((3, 4)), torch.device("cpu"), torch.float16, {1, 2}, b"bytes" * 999],
        ("coco", 17): {(b, e): b for b in range(30) for e in range(30)},
        "seed": torch.get_rng_state(),
    }
    torch.save(content, path, _use_new_zipfile_serialization=archive)
    report = load_weights(other, path)
    assert same(model, other) and len(report.ignored) == len(content) - 1


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
def test_archives_larger_than_their_file_are_refused(tmp_path, bomb):
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
    with pytest.raises(PosekitError, match="a.pth: cannot be read.*compressed archive"):
        load_weights(small(), path)


@pytest.mark.parametrize(
    "source", [[], ["x.pth"], [Path("a.caffemodel"), "x.pth"], ("run",)], ids=str
)
def test_lists_are_of_caffemodels(source):
    with pytest.raises(PosekitError, match="only .caffemodel files may be given as a list"):
        load_weights(small(), source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "the source is of type NoneType; give a state dict"),
        (5, "the source is of type int"),
        (b"a.pth", "the source is of type bytes"),
        ([5], "may be given as a list, here are none"),
        ("x" * 400 + ".pth", "x.pth: cannot be opened: .*too long; give another path"),
        ("x" * 400 + ".caffemodel", "x.caffemodel: cannot be opened: .*too long"),
        ("a\0b.pth", r"'a\\x00b.pth': a path holds no zero"),
        ("\ud800.pth", "cannot be opened: .*surrogates"),
        ("~/no such.pth", f"{Path.home()}/no such.pth: no such weight file"),
    ],
    ids=range(9),
)
def test_sources_that_are_none_are_refused(source, message):
    with pytest.raises(PosekitError, match=message):
        load_weights(create_model("lpm", width=0.05), source)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders are never closed here")
def test_closed_folders_are_told(tmp_path, monkeypatch):
    def closed(path, *_, **__):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "stat", closed)
    for name in ("a.pth", "a.safetensors", "a.caffemodel", "a.onnx"):
        said = identify(tmp_path / name)
        assert said == "does not load: cannot be opened: Permission denied; give another path."
    with pytest.raises(PosekitError, match="a.pth: cannot be opened: Permission denied"):
        load_weights(small(), tmp_path / "a.pth")


@pytest.mark.parametrize("ending", [".pth", ".safetensors", ".caffemodel", ".onnx"])
def test_pipes_folders_and_endless_files_are_refused_unread(tmp_path, ending):
    pipe, folder, endless = (tmp_path / f"{name}{ending}" for name in ("pipe", "folder", "endless"))
    os.mkfifo(pipe)
    folder.mkdir()
    with endless.open("wb") as file:
        file.truncate(2**33)
    for path in (pipe, folder, endless):
        assert identify(path).startswith("does not load: ")
    assert "8.6 GB, more than any" in identify(endless)


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


@pytest.mark.real
@pytest.mark.skipif("POSEKIT_REAL_DATA" not in os.environ, reason="POSEKIT_REAL_DATA is not set")
@pytest.mark.parametrize("name", ["mean_lsp.pth.tar", "movenet_mbv3_e81_valacc0.78953.pth"])
def test_published_files_of_other_networks_are_refused(name):
    path = Path(os.environ["POSEKIT_REAL_DATA"]) / "checkpoints" / name
    with pytest.raises(PosekitError, match="belongs to another network"):
        load_weights(small(), path)
