"""What doctor says about weight files."""

import pytest
import torch

from posekit import export_onnx
from posekit.errors import PosekitError
from posekit.models import create_model
from posekit.weights import identify as identification
from posekit.weights import save_weights
from posekit.weights.lsdnet import worth
from posekit.workflows import doctor


def test_a_bad_width_is_said_of_its_file_alone(tmp_path):
    network = create_model("hourglass_1", 16, width=0.1)
    for width in ("abc", "nan", "-1", "1e9", ""):
        save_weights(network, tmp_path / "a.safetensors", {"width": width})
        said = identification.identify(tmp_path / "a.safetensors")
        assert said.startswith("does not load: ") and "width=" in said


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "weight_folders", lambda: [tmp_path / "data/weights"])
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    for name in ("data/weights", "reports/hrnet-COCO-1", "mine"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def test_every_kind_of_file_is_named(project):
    torch.manual_seed(0)
    stored, run, mine = project / "data/weights", project / "reports/hrnet-COCO-1", project / "mine"
    network = create_model("hourglass_1", 16, width=0.1)
    save_weights(network, run / "weights.safetensors", {"width": "0.1", "run": run.name})
    export_onnx(create_model("pose_resnet_50", 17, width=0.1), mine / "a.onnx", (64, 64))
    state = {f"module.{k}": v for k, v in create_model("hourglass_2", 17).state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, stored / "b.pth.tar")
    torch.save({"conv1.weight": torch.zeros(1), "fc.weight": torch.zeros(1)}, stored / "c.pth")
    torch.save({"else.weight": torch.zeros(1)}, stored / "d.pth")
    state = create_model("lsdnet_w32", 16, width=0.25).state_dict()
    lacks = worth(state).copied + worth(state).silenced
    torch.save({n: t for n, t in state.items() if n not in lacks}, stored / "released.pth")
    state = create_model("lpn_50", 17, attention="se").state_dict()
    torch.save(state, stored / "lpn_se.pth")
    (stored / "e.caffemodel").write_bytes(b"\x00broken")
    (stored / "f.safetensors").write_bytes(b"broken")
    (stored / "readme.txt").write_text("no weights")
    files = doctor.weight_files(mine)
    said = {path.name: identification.identify(path) for path in files}
    assert len(files) == 9 and files[-1] == run / "weights.safetensors"
    assert said["weights.safetensors"] == (
        "hourglass_1, 16 joints, width 0.1, run hrnet-COCO-1: loads"
    )
    assert said["a.onnx"] == "pose_resnet_50 as ONNX, 17 maps (coco), 64 x 64 pixels: loads"
    assert said["b.pth.tar"] == "hourglass_2, 17 joints: loads"
    assert "a classifier" in said["c.pth"] and "does not load" in said["d.pth"]
    assert said["lpn_se.pth"] == "lpn_50, 17 joints, attention se: loads"
    assert said["released.pth"].startswith("lsdnet_w32 or lsdnet_w48 of another size")
    assert said["e.caffemodel"].startswith("does not load: is no whole caffemodel")
    assert said["f.safetensors"].startswith("does not load: cannot be read")
    with pytest.raises(PosekitError, match="no such folder of weights"):
        doctor.weight_files(project / "absent")


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's, of kinds it means to drop
@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.to(torch.complex64),
        lambda t: torch.empty(t.shape, dtype=torch.bits8),
        lambda t: t.to_sparse(),
        lambda t: t.to("meta"),
        lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    ],
    ids=["complex", "bits", "sparse", "meta", "quantised"],
)
def test_tensors_that_do_not_load_are_not_said_to(tmp_path, spoil):
    state = create_model("hourglass_1", 16).state_dict()
    torch.save(state, tmp_path / "a.pth")
    assert identification.identify(tmp_path / "a.pth") == "hourglass_1, 16 joints: loads"
    torch.save(state | {"conv1.weight": spoil(state["conv1.weight"])}, tmp_path / "a.pth")
    assert identification.identify(tmp_path / "a.pth").startswith("does not load: ")


def test_what_a_file_says_of_itself_is_printable(tmp_path):
    about = {"run": "\x1b[31mrun\n" * 99}
    save_weights(create_model("hourglass_1", 16), tmp_path / "a.safetensors", about)
    said = identification.identify(tmp_path / "a.safetensors")
    assert said.isprintable() and len(said) < 200


def test_what_a_name_says_and_what_has_to_be_said(tmp_path):
    torch.save(create_model("hourglass_1", 16).state_dict(), tmp_path / "hg_384x288.pth")
    assert identification.identify(tmp_path / "hg_384x288.pth") == (
        "hourglass_1, 16 joints, 384 x 288 pixels by its name: loads"
    )
    model = create_model("cpm_mobilepose", trained_on="MPII")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "cpm_best.pth.tar")
    assert identification.identify(tmp_path / "cpm_best.pth.tar") == (
        "cpm_mobilepose, 14 joints: loads; trained_on: colours and sides of MobilePose-master "
        "depend on the data set, which the file does not say: add -p trained_on LSP or MPII or "
        "PennAction"
    )
    save_weights(model, tmp_path / "own.safetensors")
    own = identification.identify(tmp_path / "own.safetensors")
    assert own == "cpm_mobilepose, 14 joints: loads"
