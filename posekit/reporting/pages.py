"""Pages to read in a browser: a run's report.html and the index of all runs.

They are rendered from the templates beside this module; whatever comes from records is escaped. A
report carries its images inside and makes no network request.
"""

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..files.paths import reports_root
from ..files.words import readable
from ..files.writing import write_text, writing
from .record import RunRecord, all_runs, run_folders
from .run_folder import Run
from .tables import as_text


def shown(value: float | None) -> str:
    """A score as text: AP with three decimals, percent with one; empty if there is none."""
    if value is None or value != value:
        return ""
    return f"{value:.3f}" if 0 < abs(value) <= 1 else f"{value:.1f}"


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "as_text": as_text,
    "base64": lambda path: base64.b64encode(path.read_bytes()).decode(),
    "quoted": lambda name: quote(os.fsencode(name)),
    "shown": shown,
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
    return write_page(
        run.folder / "report.html",
        "report.html",
        title=f"{run.record.model} on {run.label}",
        run=run,
        sources={"Network": network, **texts, "Code of the notebook": "\n\n".join(cells)},
    )


def build_index() -> Path:
    """Rebuild reports/index.html from every run's metrics.json.

    Runs are grouped by data set, source and metric, because only those can be compared, the newest
    first; a run that was killed appears as interrupted, a damaged record as a line that says so.
    """
    runs = all_runs()
    groups: dict[tuple[str, str], list[tuple[Path, RunRecord]]] = {}
    for folder, record in runs:
        group = record.label or "?", record.metric or "no score"
        groups.setdefault(group, []).append((folder, record))
    damaged = set(run_folders()) - {folder for folder, _ in runs}
    return write_page(
        reports_root() / "index.html",
        "index.html",
        title="posekit reports",
        groups=sorted(groups.items()),
        damaged=sorted(readable(folder.name) for folder in damaged),
    )
