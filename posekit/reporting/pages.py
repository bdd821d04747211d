"""Pages to read in a browser: a run's report.html and the index of all runs.

They are rendered from the templates beside this module; whatever comes from records is escaped. A
report carries its images inside and makes no network request.
"""

import base64
import io
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image, ImageSequence

from ..files.paths import reports_root
from ..files.writing import write_text, writing
from .board import PLOTLY, board, copy_plotly
from .run_folder import Results, Run
from .tables import as_text

_IMAGE = '<img alt="{alt}"{tall} style="--size: {size}px" src="data:image/webp;base64,{data}">'
_FILM = '<div class="film" data-pause="{pause}">{frames}</div>'
_TALL = 1000  # pixels of the screen from which a figure is cut until it is opened
_FIRST = "0-"  # what the names of pictures begin with that stand beside the result


def _image(path: Path, alt: str) -> Markup:
    """A picture as an element that holds it."""
    fine = 1 if path.name.startswith(_FIRST) else 2  # figures are drawn twice as fine
    with Image.open(path) as picture:
        return _element(picture, alt, fine, quality=88)


def _film(path: Path) -> Markup:
    """The frames of a clip side by side, which clips.js shows one after another."""
    with Image.open(path) as clip:
        frames = enumerate(ImageSequence.Iterator(clip), start=1)
        shown = (_element(frame, f"frame {n}", 1, quality=75) for n, frame in frames)
        frames = Markup("").join(shown)
        return Markup(_FILM).format(pause=clip.info.get("duration", 200), frames=frames)


def _element(picture: Image.Image, alt: str, fine: int, quality: int) -> Markup:
    """A picture as WebP, which is small, of so many pixels for one of the screen."""
    picture.save(buffer := io.BytesIO(), "WEBP", quality=quality, method=2)
    data = base64.b64encode(buffer.getvalue()).decode()
    tall = Markup(' class="tall"') if picture.height // fine > _TALL else ""
    return Markup(_IMAGE).format(alt=alt, tall=tall, size=picture.width // fine, data=data)


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.policies["json.dumps_kwargs"] = {}  # columns in their order
_TEMPLATES.filters |= {
    "as_text": as_text,
    "anchor": lambda title: re.sub(r"\W+", "-", title),
    "film": _film,
    "image": _image,
    "quoted": lambda name: quote(os.fsencode(name)),
}


def write_page(path: Path, template: str, **values: Any) -> Path:
    """Render a template to a file.

    Args:
        path: of the page.
        template: a file in posekit/reporting/templates/.
        values: what the template uses.

    Returns:
        The path.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _TEMPLATES.get_template(template).render(values))
    return path


def files_of(results: Results) -> list[str]:
    """The names of what lies in a folder of results, or will, for people to open."""
    hidden = "figures", "report.html"
    found = [path for path in results.folder.iterdir() if path.name not in hidden]
    names = {path.name + "/" * path.is_dir() for path in found if not path.name.startswith(".")}
    return sorted(names | ({"run.ipynb"} if "POSEKIT_RUN_LINK" in os.environ else set()))


def write_results(results: Results, template: str, **values: Any) -> Path:
    """Write report.html of a folder of results, with its pictures and links to its files.

    Args:
        results: with its figures.
        template: a file in posekit/reporting/templates/.
        values: what else the template uses.

    Returns:
        The path of report.html.
    """
    groups = {"first": [], "clips": [], "curves": [], "pictures": []}
    for name, caption in sorted(results.record.figures.items()):
        kinds = {"first": name.startswith(_FIRST), "clips": name.endswith(".gif")}
        kinds |= {"curves": name.startswith("3-curves"), "pictures": True}
        group = next(kind for kind, fits in kinds.items() if fits)
        groups[group].append((results.folder / "figures" / name, caption))
    page = results.folder / "report.html"
    return write_page(page, template, **groups, files=files_of(results), **values)


def write_report(run: Run, network: str, cells: list[str]) -> Path:
    """Write report.html from the run's records.

    Args:
        run: the run, with its scores, tables and figures.
        network: the network's table as text.
        cells: source of the notebook's code cells, folded away at the end.

    Returns:
        The path of report.html.
    """
    files = [run.folder / name for name in ("params.yaml", "log.jsonl", "environment.json")]
    texts = {file.name: file.read_text("utf-8") for file in files if file.exists()}
    record = run.record
    published = {} if record.is_sample else record.published
    return write_results(
        run,
        "report.html",
        title=f"{record.name} on {run.label}",
        run=run,
        untrained=not record.trained,
        published={name: score for name, score in published.items() if score is not None},
        sources={"Network": network, **texts, "Code of the notebook": "\n\n".join(cells)},
    )


def build_index() -> Path:
    """Rebuild reports/index.html, the board of all runs, from what they left behind.

    A run that was killed appears as interrupted, a damaged record as a line that says so.
    """
    path = reports_root() / "index.html"
    copy_plotly()
    return write_page(path, "index.html", title="posekit results", board=board(), plotly=PLOTLY)
