"""Any network as a thing that looks at people: boxes in, joints out, frame after frame."""

from .look import Estimator, Look
from .opening import Wanted, open_estimator, untrained

__all__ = ["Estimator", "Look", "Wanted", "open_estimator", "untrained"]
