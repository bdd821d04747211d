"""The benchmark as pages: report.html, which needs no network, and table.md."""

import html
import io
from pathlib import Path
from typing import Any

_STYLE = """body{font:15px/1.45 sans-serif;margin:2em auto;max-width:75em;padding:0 1em}
table{border-collapse:collapse}th,td{padding:.3em .7em;border-bottom:1px solid #ddd;text-align:left;
vertical-align:top}.missed{background:#fbeaea}svg{max-width:100%;height:auto}"""
_HEAD = ("row", "ratio", "goal", "lowest to highest", "baseline", "ours", "equal", "on", "against")


def write_pages(folder: Path, record: dict[str, Any]) -> None:
    """Write report.html and table.md of what is in benchmark.json."""
    cells = [_cells(one) for one in record["rows"].values()]
    lines = [_HEAD, ("---",) * len(_HEAD), *cells]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    (folder / "table.md").write_text(f"{_machine(record)}\n\n{table}\n")
    body = [f"<tr>{''.join(f'<th>{name}</th>' for name in _HEAD)}</tr>"]
    for one, line in zip(record["rows"].values(), cells, strict=True):
        kind = "" if one.get("met") else " class=missed"
        body.append(f"<tr{kind}>{''.join(f'<td>{html.escape(text)}</td>' for text in line)}</tr>")
    (folder / "report.html").write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><title>posekit: benchmark</title>"
        f"<style>{_STYLE}</style><h1>Benchmark</h1><p>{html.escape(_machine(record))}</p>"
        "<p>Both ways of a row run in turns in one process on one thread. The ratio is that of "
        "their median costs; shaded rows miss their goal or could not be measured.</p>"
        f"<table>{''.join(body)}</table>{_growth(record.get('growth', {}))}</html>"
    )


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    if one["status"] != "measured":
        state = (one["key"], one["status"], f"{one['goal']:g}", "", "", "", "", one["problem"])
        return (*state, one["against"])
    low, high = one["ratio_spread"]["min"], one["ratio_spread"]["max"]
    costs = (
        f"{one[way]['median']:.3g} {one['unit']} ({one[way]['min']:.3g} to {one[way]['max']:.3g})"
        for way in ("baseline", "ours")
    )
    ratio = f"{one['ratio']:.2f}" + (" (missed)" if not one["met"] else "")
    on = "; ".join(filter(None, (one["data"], one["notes"])))
    spread = f"{low:.2f} to {high:.2f}, {one['rounds']} rounds"
    cost = "" if one["cost"] == "value" else f" ({one['cost']} time)"
    against = one["against"] + cost
    return (one["key"], ratio, f"{one['goal']:g}", spread, *costs, one["equality"], on, against)


def _machine(record: dict[str, Any]) -> str:
    told = record["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    return (
        f"{told['cpu']}, {told['cores']} cores, load {told['load']} at the start, "
        f"{told['system']}, Python {told['python']}, {versions}"
    )


def _growth(series: dict[str, list[dict[str, Any]]]) -> str:
    """Time and memory over the number of people, as a picture inside the page."""
    if not series:
        return ""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for ax, value, title in zip(
        axes, ("seconds", "megabytes"), ("user seconds", "MB of memory more"), strict=True
    ):
        for key, points in series.items():
            there = [p for p in points if p.get(value)]
            ax.loglog([p["people"] for p in there], [p[value] for p in there], "o-", label=key)
        ax.set(xlabel="people", title=title)
        ax.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    text = io.StringIO()
    figure.savefig(text, format="svg")
    pyplot.close(figure)
    return "<h2>Growth</h2>" + text.getvalue()[text.getvalue().index("<svg") :]
