"""Knobs of loading reach the training clips, and these alone."""

import pytest

from posekit.data import crop_cache
from posekit.errors import PosekitError
from posekit.workflows import training as lab


@pytest.mark.parametrize(
    "paper, more", [("simplebaseline", {}), ("lpm", {"dataset": "PennAction+LSP"})]
)
def test_training_alone_uses_the_crop_cache_and_shares_decoding(paper, more, tmp_path, monkeypatch):
    monkeypatch.setattr(crop_cache, "project_root", lambda: tmp_path)
    knobs = {"source": "sample", "crop_cache": True, "share_decode": True, "epochs": 1}
    exp = lab.start(paper, knobs | more)
    lab.load(exp)
    assert exp.train.crops and exp.train.share_decode
    assert not any(part.crops or part.share_decode for part in (exp.val, exp.test))
    lab.build(exp)
    lab.train(exp)
    assert [*tmp_path.rglob("crops/*/*.jpg")]
    assert exp.batches(exp.train, shuffle=True).sampler.images is not None


def test_they_are_off_by_default_and_checked():
    exp = lab.start("simplebaseline", {"source": "sample"})
    lab.load(exp)
    assert exp.train.crops is None and not exp.train.share_decode
    with pytest.raises(PosekitError, match="crop_cache='perhaps'"):
        lab.start("simplebaseline", {"source": "sample", "crop_cache": "perhaps"})
