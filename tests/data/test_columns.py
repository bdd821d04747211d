import pickle

import cv2
import numpy as np
import pytest

from posekit.data import DATASETS, Folder, check, dataset, load
from posekit.errors import PosekitError
from posekit.files.reading import decode


def test_reads_a_picture_as_rgb(tmp_path):
    red = np.zeros((8, 6, 3), np.uint8)
    red[..., 2] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red)
    image = Folder(tmp_path).read("red.png")
    assert image.shape == (8, 6, 3) and image[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("keep", [0, 1, 30, 0.5, -2])
def test_a_cut_jpeg_is_refused_by_name(tmp_path, picture, keep):
    picture(tmp_path / "a.jpg", (64, 64))
    whole = (tmp_path / "a.jpg").read_bytes()
    end = int(len(whole) * keep) if isinstance(keep, float) else keep
    (tmp_path / "a.jpg").write_bytes(whole[:end])
    with pytest.raises(PosekitError, match=r"a\.jpg is not a readable image"):
        Folder(tmp_path).read("a.jpg")
    assert decode(whole + b"\0\0padding", "x").shape == (64, 64, 3)


def test_absent_picture_is_refused_by_name(tmp_path):
    with pytest.raises(PosekitError, match=r"none\.jpg is missing"):
        Folder(tmp_path).read("none.jpg")


def test_presence_comes_from_listings(tmp_path, picture):
    picture(tmp_path / "0001/000001.jpg")
    names = np.array(["0001/000001.jpg", "0001/000002.jpg", "0002/000001.jpg"])
    source = pickle.loads(pickle.dumps(Folder(tmp_path)))
    assert source.present(names).tolist() == [True, False, False]


@pytest.mark.parametrize("folder", ["PennAction", "penn_action", "Penn_Action", "pennaction"])
def test_folder_is_found_whatever_its_case(tmp_path, folder):
    (tmp_path / folder).mkdir()
    assert dataset("penn-action").find(tmp_path) == tmp_path / folder
    assert dataset("LSP").find(tmp_path) is None


def test_unknown_names_are_refused_with_the_known_ones(tmp_path):
    with pytest.raises(PosekitError, match="LSP, MPII, PennAction"):
        load("LPS", "train", tmp_path)
    with pytest.raises(PosekitError, match="train or test"):
        load("LSP", "valid", tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_absent_data_set_says_what_to_download_and_where_to_put_it(tmp_path, name):
    with pytest.raises(PosekitError) as error:
        load(name, "test", tmp_path)
    assert DATASETS[name].page in str(error.value)
    assert str(tmp_path / DATASETS[name].folder) in str(error.value)
    assert len(check(name, tmp_path)) == 1
