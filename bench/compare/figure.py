"""A figure: a value, or why there is none, for each that is compared, and what it is held to."""

from dataclasses import dataclass, field
from statistics import quantiles

PROXIES = ["ringway", "nginx", "HAProxy", "Envoy", "Caddy", "relay"]
# The relay has no figure where a config is read, or what is kept for a connection counts: it does neither.
REAL = [name for name in PROXIES if name != "relay"]
# Ringway with every standard feature, and with none.
FEATURES = ["all on", "all off"]
# With fewer rounds than this, no target counts as met or missed.
FEWEST_ROUNDS = 6


@dataclass
class Target:
    """At most `limit`, of the ratio to `against`, or of the value itself."""

    limit: float
    against: str = ""


@dataclass
class Figure:
    """One row: values in `unit` or reasons by name, ratios of the first to others as (median, lower and upper quartile)."""

    title: str
    unit: str
    targets: list = field(default_factory=list)
    values: dict = field(default_factory=dict)
    ratios: dict = field(default_factory=dict)
    note: str = ""
    # Why the values, though measured, decide no target.
    doubt: str = ""
    # Who is compared; the first one's value is held against the others' and the targets.
    names: list = field(default_factory=lambda: PROXIES)
    # What a drawing needs to know of it; empty where it is in none.
    drawn: dict = field(default_factory=dict)

    @property
    def mine(self):
        return self.names[0]

    def divide(self):
        """Ratios of values measured one after the other."""
        mine = self.values.get(self.mine)
        if isinstance(mine, float):
            others = {name: value for name, value in self.values.items() if name != self.mine and isinstance(value, float)}
            self.ratios = {name: (mine / value,) for name, value in others.items() if value > 0}
        return self


def spread(values):
    """The median, and the lower and upper quartile."""
    if len(values) < 2:
        return (values[0],) * 3
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return (middle, low, high)
