import ast
import json
import os
import weakref
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from spots import CPU, folder_of, scene, spot, written

import posekit
from posekit.config.resolve import resolve
from posekit.data import load
from posekit.data.coco.reader import DETECTIONS
from posekit.errors import PosekitError
from posekit.geometry.skeletons import COCO
from posekit.inference.box_sources import GivenBoxes, HogDetector, WholeFrame
from posekit.inference.media import Frame, Media, open_media
from posekit.inference.tracker import Tracks
from posekit.models import create_model
from posekit.reporting import figures, run_folder
from posekit.weights import save_weights
from posekit.workflows.demo import frames, setup, show
from posekit.workflows.demo.setup import Demo, DemoSettings

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "demo.ipynb"


@pytest.fixture(autouse=True)
def reports(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("POSEKIT_REPORTS", str(tmp_path / "reports"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "reports"


@pytest.fixture
def spots(monkeypatch):
    monkeypatch.setattr(setup, "open_estimator", lambda name, *_, **__: spot(name))


def run(**settings) -> Demo:
    """All cells of the notebook."""
    demo = setup.start(settings)
    demo.text()
    setup.open_networks(demo)
    frames.process(demo)
    for step in (show.poses, show.animation, show.heatmaps, show.scores, show.jitter):
        step(demo)
    show.finish(demo)
    return demo


def refusal(**settings) -> str:
    with pytest.raises(PosekitError) as caught:
        run(**settings)
    return str(caught.value)


def test_parameters_cell_declares_the_settings():
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    source = next("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")
    found = {n.target.id: ast.literal_eval(n.value) for n in ast.parse(source).body}
    assert found == DemoSettings().model_dump()
    assert all(field.description in source for field in DemoSettings.model_fields.values())


def test_a_video_is_followed_and_written(video, spots):
    demo = run(input=str(video), network="spot", beside="other", gif_frames=6, threshold=0.05)
    table = pd.read_csv(demo.results.folder / "keypoints-spot.csv")
    assert len(table) == 24 * 17 and table.frame.max() == 24
    nose = table[table.joint == "nose"]
    assert np.allclose(nose.x, 20 + 4 * np.arange(24), atol=3) and np.allclose(nose.y, 40, atol=3)
    ear = table[table.joint == "right_eye"]  # the third joint: the blue spot
    assert np.allclose(ear.x, nose.x + 10, atol=4) and np.allclose(ear.y, 84, atol=3)
    found = json.loads((demo.results.folder / "keypoints-other.json").read_text(encoding="utf-8"))
    assert [r["image_id"] for r in found] == list(range(1, 25))
    assert found[3]["keypoints"][:2] == pytest.approx([32, 40], abs=3)

    written = open_media(demo.results.folder / "poses.mp4")
    frames = list(written.frames())
    assert written.fps == 20 and len(frames) == 24
    assert frames[0].size[1] > 2 * frames[0].size[0], "two panels"
    assert 3 <= len(demo.gif.items) <= 6
    assert show.jitter(demo)["joints counted"].tolist() == [22 * 17] * 2
    assert show.scores(demo)["mean score"].min() > 0.5
    record = json.loads((demo.results.folder / "demo.json").read_text(encoding="utf-8"))
    assert (record["status"], record["frames"], record["people"]) == ("finished", 24, [24, 24])
    page = (demo.results.folder / "report.html").read_text(encoding="utf-8")
    assert "data:image/webp" in page and "://" not in page and 'href="./poses.mp4"' in page
    hidden = [path.name for path in demo.results.folder.rglob(".*")]
    assert hidden == [".lock"], "nothing half-written"


def test_images_keep_their_numbers_and_given_boxes(tmp_path, spots):
    folder = tmp_path / "some"
    folder.mkdir()
    for number, x in ((7, 50), (12, 70)):
        cv2.imwrite(str(folder / f"{number:012d}.png"), scene(x, 40)[..., ::-1])
    demo = run(input=str(folder), network="spot", boxes="[20, 20, 120, 110]")
    table = pd.read_csv(demo.results.folder / "keypoints-spot.csv").query("joint == 'nose'")
    assert table.frame.tolist() == [7, 12] and np.allclose(table.x, [50, 70], atol=3)
    drawn = sorted(p.name for p in (demo.results.folder / "pictures").iterdir())
    assert drawn == ["000000000007.png.jpg", "000000000012.png.jpg"]
    assert "there is no motion" in show.jitter(demo)
    one = run(input=str(folder / "000000000007.png"), network="spot", boxes="whole")
    assert pd.read_csv(one.results.folder / "keypoints-spot.csv").x[0] == pytest.approx(50, abs=3)
    assert run(input=str(folder), sequence=True, network="spot").media.is_video


def box(image: int, x: int) -> dict:
    """A record with a box about the spots of `scene(x, 40)`."""
    return {"image_id": image, "bbox": [x - 15, 25, 60, 75], "category_id": 1, "score": 0.5}


def noses(demo: Demo) -> dict[tuple[str, int], float]:
    """Picture and its number -> x."""
    table = pd.read_csv(next(demo.results.folder.glob("keypoints-*.csv"))).query("joint == 'nose'")
    return {(row.image, row.frame): row.x for row in table.itertuples()}


def test_boxes_go_to_the_images_that_their_file_names(tmp_path, spots):
    folder = folder_of(tmp_path / "some", a=30, b=60, c=120)
    images = [{"id": 70, "file_name": "val/b.png"}, {"id": 3, "file_name": r"val\c.png"}]
    truth = {"images": images, "annotations": [box(70, 60), box(3, 120), box(1, 30), box(71, 30)]}
    boxes = written(tmp_path / "boxes.json", truth)
    for sequence in (False, True):
        demo = run(input=str(folder), sequence=sequence, network="spot", boxes=boxes)
        found = noses(demo)
        assert list(found) == [("b.png", 70), ("c.png", 3)], "a.png is not listed"
        assert list(found.values()) == pytest.approx([60, 120], abs=3)
        numbers = pd.read_csv(demo.results.folder / "keypoints-spot.csv").person
        assert set(numbers) == ({1, 2} if sequence else {1}), "separate images know no other"
        assert "1 of 3 images have no people: boxes.json does not list them" in demo.text()
        text = (demo.results.folder / "keypoints-spot.json").read_text(encoding="utf-8")
        results = json.loads(text)
        assert [r["image_id"] for r in results] == [70, 3]
    known = {"input": str(folder), "network": "spot", "boxes": boxes}
    for image in ({"id": 4, "file_name": "test/b.png"}, {"id": 70, "file_name": "c.png"}):
        written(tmp_path / "boxes.json", {**truth, "images": [images[0], image]})
        assert "two images by the name or the id of one image" in refusal(**known)
    written(tmp_path / "boxes.json", {**truth, "images": [{"id": "b", "file_name": "b.png"}]})
    assert "boxes.json: image 0 has no field id" in refusal(**known)


def test_proposed_boxes_are_drawn_and_said_to_be_rough(tmp_path, spots, monkeypatch):
    class Proposals(HogDetector):
        def __init__(self):
            pass

        def find(self, frame):
            return np.array([[30.0, 20, 110, 110]]), np.ones(1)

    folder = folder_of(tmp_path / "some", a=60)
    pictures = []
    for source in (Proposals(), GivenBoxes(Proposals().find(None)[0])):
        monkeypatch.setattr(setup, "open_box_source", lambda *_, found=source: found)
        demo = run(input=str(folder), network="spot", boxes="hog")
        path = demo.results.folder / "pictures" / "a.png.jpg"
        pictures.append(cv2.imread(str(path)).astype(int))
        said = "which is rough: of 261 people" in (demo.results.folder / "report.html").read_text()
        assert said == isinstance(source, HogDetector)
    scale = 4  # of the drawn picture
    changed = np.abs(pictures[0] - pictures[1]).max(-1)[40 * scale : 100 * scale] > 60
    assert changed[:, 30 * scale : 31 * scale + 2].any(1).all(), "the left side of the box"
    assert not changed[:, 40 * scale : 100 * scale].any()


def test_boxes_that_name_no_picture_are_refused(tmp_path, spots):
    names, numbers = folder_of(tmp_path / "a", b=30, c=60), folder_of(tmp_path / "b", **{"9": 30})
    boxes = written(tmp_path / "boxes.json", [box(9, 30), box(2, 60)])
    for path in (names, names / "b.png"):
        assert "boxes.json does not say which of its images is b.png" in refusal(
            input=str(path), network="spot", boxes=boxes
        )
    assert list(noses(run(input=str(numbers), network="spot", boxes=boxes))) == [("9.png", 9)]
    written(tmp_path / "boxes.json", [box(9, 60), box(9, 60)])
    one = run(input=str(names / "c.png"), network="spot", boxes=boxes)
    assert noses(one) == {("c.png", 9): pytest.approx(60, abs=3)}
    assert "does not say" in refusal(input=str(names), network="spot", boxes=boxes)


@pytest.mark.parametrize(
    ("rate", "kept", "shown", "speed"),
    [
        (0.5, 0.5, 0.5, ""),
        (23.976, 23.976, 23.976, ""),
        (240.123, 240.12, 240.123, ", at 0.21 times its speed"),
        (480, 480, 480, ", at 0.1 times its speed"),
        (5000, 600, 5000, ", at 0.01 times its speed"),
        (0.001, 0.01, 0.001, ", at 4.6 times its speed"),
    ],
)
def test_a_frame_rate_is_kept_as_far_as_formats_can(
    tmp_path, spots, monkeypatch, rate, kept, shown, speed
):
    frames = [Frame(n, f"{n}", scene(50 + n, 40)) for n in range(1, 4)]
    media = Media(tmp_path / "a.mp4", True, 3, rate, lambda: iter(frames))
    monkeypatch.setattr(setup, "open_media", lambda *_: media)
    demo = run(input="a.mp4", network="spot")
    assert f"frames of a video at {shown:g} a second" in demo.text()
    assert open_media(demo.results.folder / "poses.mp4").fps == pytest.approx(kept, abs=1e-3)
    note = f"poses.mp4 shows {kept:g} frames a second, not {rate:g}"
    assert media.notes == [note] * (kept in (600, 0.01))
    captions = demo.results.record.figures
    assert captions["2-video.gif"] == f"The video with its skeletons, all frames{speed}."


def test_a_diverged_network_leaves_whole_files(video, monkeypatch):
    def broken(name, *_, **__):
        made = spot(name)
        made.task.model.register_forward_hook(lambda model, images, maps: maps * torch.nan)
        return made

    monkeypatch.setattr(setup, "open_estimator", broken)
    for settings in ({}, {"boxes": "10 10 90 110"}):
        demo = run(input=str(video), network="spot", max_frames=4, **settings)
        text = (demo.results.folder / "keypoints-spot.json").read_text(encoding="utf-8")
        found = json.loads(text, parse_constant=pytest.fail)
        assert len(found) == 4 and not any(found[0]["keypoints"]) and found[0]["score"] == 0
        assert demo.media.notes == [
            "spot: 68 joints are not finite, 0 in the json: has the network diverged?"
        ]
        assert pd.read_csv(demo.results.folder / "keypoints-spot.csv").score.isna().all()
    figures.paint_skeleton(scene(9, 9), np.full((17, 2), np.nan), np.zeros(17, bool), COCO)


def test_odd_names_of_pictures(tmp_path, spots):
    folder = tmp_path / os.fsdecode(b"some \xff")
    names = ["a.png", "a.png.jpg", "$x_$.png", "ä" * 125 + ".png", "ä" * 124 + "b.png"]
    names += [os.fsdecode(b"b\xff.png"), os.fsdecode(b"b\xfe.png")]
    folder.mkdir()
    for n, name in enumerate(sorted(names)):
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, scene(30 + 9 * n, 40))[1])
    demo = run(input=str(folder), network="spot")
    assert "some \\udcff: 7 images" in demo.text()
    pictures = sorted(path.name for path in (demo.results.folder / "pictures").iterdir())
    assert len(pictures) == len(noses(demo)) == 7
    assert pictures[:3] == ["$x_$.png.jpg", "a.png.jpg", "a.png.jpg.jpg"]


def test_nothing_given_shows_the_sample_and_says_that_networks_are_untrained():
    demo = setup.start({})
    assert "generated sample" in demo.text()
    assert "NOT TRAINED" in setup.open_networks(demo)
    assert [e.name for e in demo.estimators] == ["lpm", "cpm"]
    assert "-sample-" in demo.results.folder.name
    frames.process(demo)
    show.poses(demo)
    show.finish(demo)
    assert [*demo.results.record.figures] == ["0-best-sample.png", "1-poses-sample.png"]
    page = (demo.results.folder / "report.html").read_text(encoding="utf-8")
    assert "generated sample" in page and "not trained" in page


def test_without_a_run_random_weights_have_to_be_asked_for(monkeypatch, video):
    monkeypatch.delenv("POSEKIT_SMOKE")
    said = refusal(input=str(video))
    assert "there is no finished run to take: train one (python3 run.py)" in said
    assert "random weights by lpm@random" in said
    demo = run(input=str(video), network="lpm@random", max_frames=2)
    assert demo.results.record.trained is False and "NOT TRAINED" in setup.open_networks(demo)


def test_the_latest_finished_run_is_found(reports, monkeypatch):
    clip = setup._sample_clip(small=True)
    monkeypatch.setattr(setup, "_sample_clip", lambda small: clip)
    monkeypatch.delenv("POSEKIT_SMOKE")
    config = resolve("lpm", {"dataset": "PennAction", "source": "sample", "image_size": [64, 64]})
    folders = {}
    for status in ("finished", "interrupted"):
        made = run_folder.Run.open(config)
        folders[status] = made.folder.name
        model = create_model("lpm", width=config.settings.width)
        about = {"skeleton": "pose_machine", "width": str(config.settings.width)}
        save_weights(model, made.folder / "weights.safetensors", about)
        made.end(status)
    demo = setup.start({})
    assert folders["finished"] in setup.open_networks(demo) and len(demo.estimators) == 1
    estimator = demo.estimators[0]
    assert estimator.trained and estimator.framing.image_size == (64, 64)
    assert estimator.task.centre_sigma == config.settings.centre_sigma


def test_memory_does_not_grow_with_the_video(spots, monkeypatch):
    alive, most = [], 0

    def endless():
        nonlocal most
        for number in range(1, 121):
            frame = Frame(number, f"frame {number}", scene(60, 40))
            alive.append(weakref.ref(frame.image))
            most = max(most, sum(picture() is not None for picture in alive))
            yield frame

    media = Media(Path("long.mp4"), True, None, 25.0, endless)
    monkeypatch.setattr(setup, "open_media", lambda *_: media)
    demo = setup.start({"input": "long.mp4", "network": "spot", "gif_frames": 10})
    setup.open_networks(demo)
    frames.process(demo)
    assert most <= 3, "frames held at a time"
    kept = [demo.poses, demo.gif, *demo.heatmaps]
    assert max(len(sample.items) for sample in kept) <= 16 and len(demo.gif.items) >= 5
    assert len(demo.jitter._window) == 3 and len(demo.jitter._window[0][1]) == 1
    assert pd.read_csv(demo.results.folder / "keypoints-spot.csv").frame.nunique() == 120


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (1, 1)])
def test_images_one_pixel_thin_are_drawn(shape):
    frame = Frame(1, "thin", np.zeros((*shape, 3), np.uint8))
    box = np.array([[0.0, 0, shape[1], shape[0]]])
    media = Media(Path("thin.png"), False, 1, 1.0, lambda: iter([frame]))
    demo = Demo(DemoSettings(), media, WholeFrame(), False, CPU, ["spot"], [spot()])
    estimates = [spot().estimate(frame.image, box)]
    nobody = Tracks(box, np.ones(1), np.ones(1, int))
    assert min(frames.draw_frame(demo, frame, nobody, estimates, 720).shape) >= 1


def test_what_is_wrong_is_said_in_one_message(tmp_path, video, spots):
    data, empty, loose = video.read_bytes(), tmp_path / "empty", tmp_path / "loose"
    empty.mkdir()
    loose.mkdir()
    cut, text, picture = tmp_path / "cut.mp4", tmp_path / "a.mp4", tmp_path / "a.jpg"
    cut.write_bytes(data[: len(data) // 2])
    text.write_text("no video", encoding="utf-8")
    picture.write_bytes(cv2.imencode(".jpg", scene(9, 9))[1].tobytes()[:-200])
    cv2.imwrite(str(loose / "1.png"), scene(9, 9))
    cv2.imwrite(str(loose / "2.png"), scene(9, 9)[:50])
    known = {"input": str(video), "network": "spot"}
    assert "no such image, folder or video" in refusal(input=str(tmp_path / "none.mp4"))
    assert "nor a video that OpenCV can read" in refusal(input=str(text))
    assert "encode it as mp4" in refusal(input=str(cut))
    assert "no image (" in refusal(input=str(empty))
    assert "not a readable image" in refusal(input=str(picture), network="spot")
    assert "unset sequence" in refusal(input=str(loose), sequence=True, network="spot")
    assert "does not lie inside jump frame 1, which is 160 x 120" in refusal(
        **known, boxes="10 10 200 90"
    )
    assert "write auto, detector, hog, whole" in refusal(**known, boxes="here")
    assert "no weights of a person detector" in refusal(**known, boxes="detector")
    assert "set network as well" in refusal(beside="spot")
    assert "did you mean input" in refusal(inputs=str(video))
    assert "threshold='high'" in refusal(threshold="high")
    assert not list(tmp_path.rglob("keypoints-*")), "nothing half-written after an error"
    assert not list(tmp_path.rglob(".*.partial*"))
    assert "image_size item 0=0: must be" in refusal(image_size=[0, 0])


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("annotations/person_keypoints_val2017.json", 0.5647),
        (DETECTIONS["test"], 0.3088),
    ],
    ids=["annotated", "detected"],
)
def test_real_boxes_score_as_in_the_evaluation(file, expected):
    real = os.environ.get("POSEKIT_REAL_DATA")
    if not real:
        pytest.skip("POSEKIT_REAL_DATA names no folder of real samples")
    network = str(Path(real, "checkpoints", "ultralight_nano_simplepose_256x192.onnx"))
    folder = Path(real, "coco")
    demo = setup.start(
        {
            "input": str(folder / "images" / "val2017"),
            "network": network,
            "boxes": str(folder / file),
            "flip_test": True,
        }
    )
    setup.open_networks(demo)
    frames.process(demo)
    found = next(demo.results.folder.glob("keypoints-*.json"))
    assert posekit.score("COCO", found, root=real).mean == pytest.approx(expected, abs=5e-5)


def test_real_network_on_a_real_clip():
    real = os.environ.get("POSEKIT_REAL_DATA")
    if not real:
        pytest.skip("POSEKIT_REAL_DATA names no folder of real samples")
    network = str(Path(real, "checkpoints", "ultralight_nano_simplepose_256x192.onnx"))
    clip = run(input=str(Path(real, "clips", "penn_action_0502.mp4")), network=network)
    table = pd.read_csv(next(clip.results.folder.glob("keypoints-*.csv")))
    penn = load("PennAction", "test", Path(real), allow_partial=True)
    rows = np.flatnonzero(penn.sequence == 502)
    for joint in ("left_shoulder", "right_shoulder", "left_elbow", "right_hip"):
        found = table[table.joint == joint][["x", "y"]].to_numpy()
        [column] = penn.skeleton.index(joint)
        distance = np.linalg.norm(found - penn.keypoints[rows, column], axis=-1)
        near = distance < 0.2 * (penn.boxes[rows, 2:] - penn.boxes[rows, :2]).max(-1)
        assert near[penn.visible[rows, column]].mean() > 0.9, joint


def test_a_file_of_mobilepose_asks_what_it_was_trained_on(tmp_path, video):
    torch.save(create_model("cpm_mobilepose").state_dict(), path := tmp_path / "cpm_LSP_best.tar")
    given = {"input": str(video), "network": f"cpm_mobilepose@{path}"}
    with pytest.raises(PosekitError, match="add -p trained_on LSP if its name is right"):
        setup.open_networks(setup.start(given))
    demo = setup.start(given | {"trained_on": "penn_action"})
    setup.open_networks(demo)
    assert demo.estimators[0].task.model.exchanged
