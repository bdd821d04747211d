"""The steps of a training notebook, in its order.

Each takes the experiment that `start` returns and gives back what its cell shows.
"""

from .architecture import architecture, source
from .building import build, first_loss
from .fitting import curves, train
from .ideas import idea
from .live import browse
from .loading import load
from .opening import start
from .pictures import clip_gif, codec_check, error_gallery, heatmaps, sample_grid
from .scoring import evaluate, evaluate_leniently, finish, protocols
