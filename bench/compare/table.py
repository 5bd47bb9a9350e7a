"""The table: figures, ratios and targets as Markdown, with the machine they come from."""

import os
import platform
import re
import subprocess
from pathlib import Path

from install import PROJECT, WHEELS


def tables(figures):
    """A table for each set of compared programs."""
    sets = list(dict.fromkeys(tuple(figure.names) for figure in figures))
    return "\n".join(table([figure for figure in figures if tuple(figure.names) == names], names) for names in sets)


def table(figures, names):
    """One row a figure. A target is met, not met, undecided or not measured; only a good measurement says met."""
    mine, *others = names
    head = ["figure", *names, *(f"÷ {name}" for name in others), f"target for {mine}"]
    rows = [head, ["---", *["---:"] * (len(head) - 2), "---"]]
    reasons = {}
    for figure in figures:
        cells = [figure.title + (f" ({figure.note})" if figure.note else "")]
        for name in names:
            value = figure.values.get(name)
            if isinstance(value, str):
                reasons.setdefault(f"{name}, not measured: {value}", []).append(figure.title)
            cells.append(show(value, figure.unit))
        cells += [ratio(figure.ratios.get(name)) for name in others]
        cells.append("; ".join(verdict(figure, target) for target in figure.targets))
        rows.append(cells)
    lines = ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
    listed = [f"- {reason} ({'; '.join(titles)})" for reason, titles in reasons.items()]
    return "\n".join(lines + ([""] + listed if listed else [])) + "\n"


def show(value, unit):
    if isinstance(value, str):
        return "not measured"
    if value is None:
        return ""
    digits = 2 if value < 20 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}" + (f" {unit}" if unit else "")


def ratio(found):
    """The median, and the middle half of the rounds where there were rounds."""
    if not found:
        return ""
    return f"{found[0]:.2f}" + (f" ({found[1]:.2f}-{found[2]:.2f})" if len(found) == 3 else "")


def verdict(figure, target):
    """Whether a target is met, on the unrounded value."""
    if target.against:
        wanted, found = f"≤ {target.limit:.2f} × {target.against}", figure.ratios.get(target.against, (None,))[0]
    else:
        wanted, found = f"≤ {target.limit:,} {figure.unit}".strip(), figure.values.get(figure.mine)
    if not isinstance(found, float):
        return f"{wanted}: **not measured**"
    if figure.doubt:
        return f"{wanted}: **undecided**, {figure.doubt}"
    return f"{wanted}: {'met' if found <= target.limit else '**not met**'}"


def machine(profile):
    """Where and of what the figures are."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)
    facts = {
        "CPU": f"{model[1] if model else platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{int(memory[1]) >> 20} GiB" if memory else "unknown",
        "kernel": platform.release(),
        "ringway": f"{commit()}, profile {profile}",
        "nginx": first_line(["nginx", "-v"]),
        "HAProxy": first_line(["haproxy", "-v"]),
        "Envoy": first_line([WHEELS["envoy"][1], "--version"]).split("version: ")[-1],
        "Caddy": first_line([WHEELS["caddy"][1], "version"]),
        "wrk": first_line(["wrk", "-v"]),
        "valgrind": first_line(["valgrind", "--version"]),
    }
    return facts


def commit():
    """The last commit that touched what is measured or measures, and whether that was changed since."""
    paths = ["src", "Cargo.toml", "Cargo.lock", "tools/ringload", "bench/compare", "bench/origin", "bench/relay"]
    name = first_line(["git", "-C", PROJECT, "log", "-1", "--format=%h", "--abbrev=12", "--", *paths])
    changed = subprocess.run(["git", "-C", PROJECT, "status", "--porcelain", "-uno", "--", *paths], capture_output=True).stdout
    return name + (" with changes" if changed else "")


def first_line(command):
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return ((done.stdout or done.stderr).strip().splitlines() or ["unknown"])[0].strip()


def page(results, drawings):
    """The whole result; `drawings` are files beside it, by what they show."""
    listed = "".join(f"- {name}: {value}\n" for name, value in results.facts.items())
    drawn = "".join(f"![{title}]({file.name})\n\n" for title, file in drawings.items())
    groups = "".join(section(name, group) for name, group in results.groups.items())
    return f"# ringway beside others\n\n{drawn}{groups}## The machine\n\n{listed}"


def section(name, group):
    """A group, with when it was measured."""
    noted = "".join(f"{note}\n\n" for note in group["notes"])
    found = tables(group["figures"]) + "\n" if group["figures"] else ""
    return f"## {name}\n\n{found}{noted}Measured {group['date']}, load before {group['load']}.\n\n"
