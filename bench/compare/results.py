"""What was found, as a file beside the table: pieces of one comparison, measured one by one, become one table."""

import datetime
import json
import os
import sys
from dataclasses import asdict

from figure import Figure, Target


class Results:
    """The machine's facts, and by group its figures, notes, and when and beside what it was measured."""

    def __init__(self, facts, file=None):
        """Nothing yet, or what is in that file, which has to be of the same machine and programs."""
        self.facts, self.groups = facts, {}
        if not file:
            return
        kept = json.loads(file.read_text())
        for name in facts.keys() | kept["facts"].keys():
            if kept["facts"].get(name) != facts.get(name):
                sys.exit(f"{file} is of {name} {kept['facts'].get(name)!r}, and here that is {facts.get(name)!r}: these don't go into one table")
        for name, group in kept["groups"].items():
            figures = [Figure(**figure | {"targets": [Target(**target) for target in figure["targets"]]}) for figure in group["figures"]]
            self.groups[name] = group | {"figures": figures}

    def measure(self, name, group, bench):
        """Measures a group, in place of what was there of it."""
        begun = {"date": now(), "load": "%.2f" % os.getloadavg()[0]}
        figures, notes = group(bench)
        self.groups[name] = begun | {"figures": figures, "notes": notes}

    def write(self, file, order):
        """All of it, groups in this order."""
        self.groups = {name: self.groups[name] for name in order if name in self.groups}
        groups = {name: group | {"figures": [asdict(figure) for figure in group["figures"]]} for name, group in self.groups.items()}
        file.write_text(json.dumps({"facts": self.facts, "groups": groups}, indent=1, ensure_ascii=False) + "\n")


def now():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
