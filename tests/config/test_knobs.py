"""Knobs of a paper reach its network."""

import pytest
import torch

from posekit.config.resolve import resolve
from posekit.models import create_model


@pytest.mark.parametrize(
    ("paper", "wishes", "options"),
    [
        ("lpm", {}, {}),
        ("lpm", {"weight_init": "he", "width": 0.5}, {"weight_init": "he", "width": 0.5}),
        ("hrnet", {"width": 0.25}, {"width": 0.25}),
        ("lpn", {}, {}),
        ("lpn", {"attention": "none"}, {"attention": None}),
        ("lpn", {"attention": "se", "network": "lpn_101"}, {"attention": "se"}),
        ("lpn", {"network": "lp_net_50", "gcb": False}, {"gcb": False}),
        ("lpn", {"recipe": "lp_net"}, {}),
        (
            "lsdnet",
            {"survival": "constant", "p_last": 0.2},
            {"survival": "constant", "p_last": 0.2},
        ),
        ("lsdnet", {"p_last": 0.5}, {}),
        ("ldcrn", {}, {"weight_init": "he"}),
    ],
)
def test_options_depart_from_what_networks_do_anyway(paper, wishes, options):
    dataset = "LSP" if paper == "lpm" else "COCO"
    usual = {"width": 1.0, "weight_init": "paper"} if paper == "lpm" else {"width": 1.0}
    config = resolve(paper, {"dataset": dataset, "source": "sample", **usual, **wishes})
    assert config.settings.options() == options
    with torch.device("meta"):
        create_model(config.settings.network, **config.settings.options())


def test_lp_net_comes_with_its_own_decoder_and_boxes():
    found = resolve("lpn", {"dataset": "COCO", "source": "sample", "recipe": "lp_net"}).settings
    assert (found.network, found.decoder) == ("lp_net_50", "soft_argmax_lp_net")
    assert found.boxes == "ground_truth"
