import pytest
import torch
from spots import CPU, scene

from posekit.errors import PosekitError
from posekit.inference import box_sources
from posekit.inference.box_sources import WholeFrame
from posekit.inference.media import Frame


def test_a_local_detector_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    from torchvision.models import get_model

    name = "ssdlite320_mobilenet_v3_large"
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = folder / f"{name}_coco-12345678.pth"
    torch.save(get_model(name, weights=None, weights_backbone=None).state_dict(), file)
    assert box_sources.local_detector() == (name, file)
    detector = box_sources.open_box_source("auto", CPU)
    assert name in detector.about
    boxes, scores = detector.find(Frame(1, "a", scene(50, 50)))
    assert boxes.shape == (len(scores), 4) and (scores >= 0.5).all()
    file.write_bytes(b"junk")
    with pytest.raises(PosekitError, match=f"holds no weights of {name}"):
        box_sources.open_box_source("detector", CPU)


def test_the_whole_frame_is_searched_in_parts():
    windows = WholeFrame().windows(Frame(1, "a", scene(1, 1)))
    assert windows[0].tolist() == [0, 0, 160, 120]
    assert windows[1:].tolist() == [[0, 0, 90, 120], [35, 0, 125, 120], [70, 0, 160, 120]]


def test_a_home_that_does_not_exist_is_no_file_of_boxes():
    with pytest.raises(PosekitError, match="is missing"):
        box_sources.open_box_source("~nosuchuser/x.json", CPU)
