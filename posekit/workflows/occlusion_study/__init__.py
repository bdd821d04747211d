"""The steps of notebooks/occlusion.ipynb: what networks make of people whose parts are covered.

Everybody is scored twice, as they are and with one joint or part covered, in points of 0..100 per
visible joint: on COCO the joint's term of OKS, elsewhere whether it is within the data set's PCK
threshold. A drop is the difference over the people who have what is covered, all their visible
joints counted, the covered ones too.
"""

from ...data.occlusion.regions import EFFECTS
from ...geometry.body_parts import PARTS
from .figures import before_and_after, glimpse, sizes, who_suffers
from .measure import measure
from .setup import CLEAN, Cover, Study, StudyRecipe, start, text
from .tables import bootstrap, drops, finish, intervals, published, suffering

__all__ = [
    "CLEAN",
    "EFFECTS",
    "PARTS",
    "Cover",
    "Study",
    "StudyRecipe",
    "before_and_after",
    "bootstrap",
    "drops",
    "finish",
    "glimpse",
    "intervals",
    "measure",
    "published",
    "sizes",
    "start",
    "suffering",
    "text",
    "who_suffers",
]
