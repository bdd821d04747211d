"""One picture for each paper that only its network has: its idea at work in the trained network.

All look through forward hooks; the networks are left as they are.
"""

from typing import Any

from matplotlib import rc_context

from ....models.cpm import CPM
from ....models.hourglass import StackedHourglass
from ....models.hrnet import HRNet
from ....models.ldcrn import LDCRN
from ....models.lpm import LPM
from ....models.lpn import LPN
from ....models.lsdnet import LSDNet
from ....models.simplebaseline import PoseResNet
from ....reporting.figures import STYLE
from ..experiment import Experiment
from .pose_machine import memory, receptive_fields
from .top_down import attention, dense_reuse, resolutions, stacks, survival, upsampling

PICTURES = {
    CPM: receptive_fields,
    LPM: memory,
    PoseResNet: upsampling,
    StackedHourglass: stacks,
    HRNet: resolutions,
    LPN: attention,
    LDCRN: dense_reuse,
    LSDNet: survival,
}


@rc_context(STYLE)
def idea(exp: Experiment) -> Any:
    """The picture that only this network's paper has, of the network as it is trained.

    Args:
        exp: after `train`.
    """
    draw = PICTURES.get(type(exp.task.model))
    exp.task.model.eval()
    if draw is None or (drawn := draw(exp)) is None:
        print(f"{exp.about.name} as it is built here has no picture in {__name__}")
        return None
    figure, title, caption = drawn
    figure.suptitle(f"{title}: {exp.run.label}", parse_math=False)
    return exp.run.figure("6-idea", figure, caption)
