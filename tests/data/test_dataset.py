"""The registry of data sets, and a data set from outside the package."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

import posekit
from posekit import data
from posekit.data import DATASETS, dataset, register
from posekit.data.sample import ensure_sample
from posekit.errors import PosekitError
from posekit.geometry.skeletons import LSP, SKELETONS, Skeleton

TOY_MODULE = """
import numpy as np
from posekit.data import DataSet, PckScorer
from posekit.geometry.skeletons import Skeleton
from posekit.metrics.score import Protocol

HAND = Skeleton("hand", ("wrist", "tip"), (("wrist", "tip"),), {"Tip": ("tip",)})


def read(folder, split):
    table = np.loadtxt(folder / f"{split}.csv", delimiter=",", ndmin=2)
    low, high = table.reshape(-1, 2, 2).min(1), table.reshape(-1, 2, 2).max(1)
    return {
        "keypoints": table.reshape(-1, 2, 2).astype(np.float32),
        "visible": np.ones((len(table), 2), bool),
        "boxes": np.concatenate([low, high], 1).astype(np.float32),
        "reference": np.full(len(table), 10, np.float32),
        "image": np.array([f"{split}{i}.jpg" for i in range(len(table))]),
    }


SPEC = DataSet(
    name="Hands",
    folder="hands",
    page="https://example.org/hands",
    download="hands.zip",
    skeleton=HAND,
    read=read,
    scorer=PckScorer(Protocol("Hands", "PCK@0.5", HAND, 0.5, "PCK@0.5 of 10 pixels")),
    unit="images",
)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch, picture):
    """A module outside the package, and a data root with its data."""
    (tmp_path / "toy_hands.py").write_text(TOY_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "Hands").mkdir()
    for split in ("train", "test"):
        (tmp_path / "Hands" / f"{split}.csv").write_text("1,2,11,12\n3,4,13,14\n")
        for i in (0, 1):
            picture(tmp_path / f"Hands/{split}{i}.jpg")
    yield tmp_path
    DATASETS.pop("Hands", None)
    SKELETONS.pop("hand", None)


def test_a_data_set_from_outside_is_named_as_a_module_and_known_from_then_on(toy):
    table = data.load("toy_hands:SPEC", "test", toy)
    assert len(table) == 2 and table.read(1).shape == (24, 32, 3)
    assert data.dataset_name("hands") == "Hands" and data.check("HANDS", toy) == []
    assert posekit.skeleton("hand") is table.skeleton
    assert posekit.score("Hands", table.keypoints, root=toy).mean == 100
    score = posekit.score("toy_hands:SPEC", table.keypoints + [0, 5.5], root=toy)
    assert score.mean == 0 and score.per_joint == {"Tip": 0}
    with pytest.raises(PosekitError, match="Hands has no generated sample: Download hands.zip"):
        ensure_sample("Hands")


@pytest.mark.parametrize("name", ["nowhere:SPEC", "toy_hands:NOTHING", "toy_hands:HAND", ":", "a:"])
def test_a_module_without_a_data_set_is_refused(toy, name):
    with pytest.raises(PosekitError, match="data ?set"):
        dataset(name)


def test_columns_that_a_reader_leaves_out(toy):
    table = data.load("toy_hands:SPEC", "train", toy)
    assert table.image_id.tolist() == [1, 2] and table.image_id.dtype == np.int64
    assert table.annotation_id.tolist() == [-1, -1] and table.group.tolist() == table.image.tolist()
    assert table.frame.tolist() == [1, 1] and not table.occluded.any() and table.score.all()
    held = table.rows(np.array([1]), "val")
    assert (held.split, held.file_split, held.image_id.tolist()) == ("val", "train", [2])
    assert held.group.tolist() == ["train1.jpg"]


def test_names_and_skeletons_that_could_be_mistaken_are_refused():
    spec = DATASETS["LSP"]
    for name in ("lsp", "L S P", "my/set", "", "../x"):
        with pytest.raises(PosekitError, match="choose a name"):
            register(replace(spec, name=name))
    other = Skeleton("lsp", ("a", "b"), (), {})
    with pytest.raises(PosekitError, match="exists with other joints"):
        register(replace(spec, name="Other", skeleton=other))
    with pytest.raises(PosekitError, match="not a str"):
        register("LSP")
    assert DATASETS["LSP"] is spec and "Other" not in DATASETS and SKELETONS["lsp"] is LSP


def test_splits_have_the_names_of_their_files():
    assert dataset("MPII").split("valid") == "test" == dataset("COCO").split("val2017")
    with pytest.raises(PosekitError, match="LSP has no split 'valid': choose train or test"):
        dataset("LSP").split("valid")


def test_a_split_without_ground_truth_is_there_when_its_list_is(toy):
    spec = register(replace(dataset("toy_hands:SPEC"), unscored={"blind": "blind.csv"}))
    assert spec.split("blind") == "blind" and spec.unscored_in(toy / "Hands") == []
    assert data.check("Hands", toy) == []
    with pytest.raises(PosekitError, match=r"blind\.csv is missing, the list of blind: copy"):
        data.load("Hands", "blind", toy)
    (toy / "Hands/blind.csv").write_text("1,2,11,12\n")
    assert data.check("Hands", toy) == ["blind: 1 of 1 images have no image file (blind0.jpg)"]
    shutil.copy(toy / "Hands/test0.jpg", toy / "Hands/blind0.jpg")
    people = data.load("Hands", "blind", toy)
    assert (people.split, people.file_split, len(people)) == ("blind", "blind", 1)
    assert data.check("Hands", toy) == []
    with pytest.raises(PosekitError, match="Hands has no split 'val': choose train or test or bl"):
        spec.split("val")
    run = toy / "run"
    run.mkdir()
    (run / "metrics.json").write_text('{"dataset": "Hands", "split": "blind", "source": "real"}')
    with pytest.raises(PosekitError, match=r"a run on blind, .*submit its prediction file there"):
        posekit.score("Hands", run, root=toy)


def test_ids_and_groups_of_the_four():
    for name, spec in DATASETS.items():
        root = ensure_sample(name, smoke=True)
        table = data.load(name, "train", root, source="sample")
        group = table.sequence if spec.video else table.image
        assert np.array_equal(table.group, group)
        pairs = set(zip(table.image_id.tolist(), table.group.tolist(), strict=True))
        assert len(pairs) == len(np.unique(table.image_id)) == len(np.unique(table.group))
        assert (table.annotation_id >= 0).all() == (name == "COCO")
        assert spec.label_files(spec.need(root))
