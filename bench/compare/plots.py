"""Drawings of a comparison as SVG: CPU per request as bars, response times over load as curves.

A drawing has a ground of its own, light or dark as the reader's system is, so that it can be read on any page."""

from math import ceil, floor, log10
from xml.sax.saxutils import escape

from figure import PROXIES

WIDTH, LEFT, LINE, FONT = 760, 90, 22, 13
# Okabe and Ito's palette, which colour-blind readers can tell apart; each is legible on white and on near black.
COLOURS = dict(zip(PROXIES, ("#d55e00", "#009e73", "#0072b2", "#cc79a7", "#b8860b", "#808080")))
STYLE = """<style>
.ground { fill: #ffffff; stroke: #d0d7de } .text { fill: #1f2328 } .grid { stroke: #d0d7de }
@media (prefers-color-scheme: dark) { .ground { fill: #0d1117; stroke: #3d444d } .text { fill: #f0f6fc } .grid { stroke: #3d444d } }
text { font-family: system-ui, sans-serif }
</style>"""


def write(results, file):
    """Draws what there is into files beside this one; those, by what they show."""
    drawings = {}
    for name, title, draw in DRAWN:
        figures = [figure for figure in results.groups.get(name, {"figures": []})["figures"] if figure.drawn]
        if figures:
            drawings[title] = file.with_name(f"{file.stem}-{name}.svg")
            drawings[title].write_text(draw(figures))
    return drawings


def bars(figures):
    """A block of bars for each figure, shortest first; a peer's name begins with its program's."""
    longest = max(value for figure in figures for value in figure.values.values() if isinstance(value, float))
    program = lambda name: name.split()[0]
    parts, y = [], 34
    for figure in figures:
        parts.append(text(16, y, f"{figure.title}, {figure.unit} on a core (less is better)", weight=600))
        values = {name: value for name, value in figure.values.items() if isinstance(value, float) and name not in figure.drawn.get("without", ())}
        for name, value in sorted(values.items(), key=lambda pair: pair[1]):
            y += LINE
            length = (WIDTH - LEFT - 190) * value / longest
            ratio = figure.ratios.get(name)
            beside = f"{value:.1f} µs" + (f", ringway {ratio[0]:.2f} ×" if ratio else "")
            parts += [text(LEFT - 8, y, program(name), "end"), text(LEFT + length + 6, y, beside)]
            parts.append(f'<rect x="{LEFT}" y="{y - 12}" width="{length:.1f}" height="15" rx="2" fill="{COLOURS[program(name)]}"/>')
        y += 2 * LINE
    return page(y - LINE, parts)


def curves(figures):
    """A panel for each percentile: response time, on a logarithmic scale, at each of the measured rates."""
    percentiles = list(dict.fromkeys(figure.drawn["percentile"] for figure in figures))
    values = [value for figure in figures for value in figure.values.values() if isinstance(value, float)]
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    rates = sorted({figure.drawn["rate"] for figure in figures})
    size, top, bottom = (WIDTH - 40) / len(percentiles), 60, 330

    parts = [text(16, 26, "Response time from when a request was due, by requests per second (less is better)", weight=600)]
    for number, percentile in enumerate(percentiles):
        left, right = 12 + number * size + 52, 12 + (number + 1) * size - 8
        place_x = lambda rate: left + (right - left) * (rates.index(rate) + 0.5) / len(rates)
        place_y = lambda value: bottom - (bottom - top) * (log10(value) - low) / (high - low)
        parts.append(text((left + right) / 2, top - 10, percentile, "middle"))
        for power in range(low, high + 1):
            y = place_y(10**power)
            parts += [f'<path class="grid" d="M{left:.1f} {y:.1f}H{right:.1f}"/>', text(left - 6, y + 4, time(10**power), "end", 11)]
        parts += [text(place_x(rate), bottom + 18, f"{rate / 1000:.1f}k", "middle", 11) for rate in rates]
        drawn = sorted((figure for figure in figures if figure.drawn["percentile"] == percentile), key=lambda figure: figure.drawn["rate"])
        for name in PROXIES:
            points = [(place_x(figure.drawn["rate"]), place_y(figure.values[name])) for figure in drawn if isinstance(figure.values.get(name), float)]
            if points:
                path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
                parts.append(f'<path d="M{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>')
                parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS[name]}"/>' for x, y in points]
    for number, name in enumerate(PROXIES):
        x = LEFT + number * 105
        parts += [f'<rect x="{x}" y="{bottom + 34}" width="14" height="10" rx="2" fill="{COLOURS[name]}"/>', text(x + 20, bottom + 44, name)]
    return page(bottom + 60, parts)


def time(microseconds):
    """A power of ten as a time."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{microseconds / size:.0f} {unit}"
    return f"{microseconds:.0f} µs"


def text(x, y, words, anchor="start", size=FONT, weight=400):
    return f'<text class="text" x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">{escape(words)}</text>'


def page(height, parts):
    drawn = "\n".join(parts)
    ground = f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">\n{STYLE}\n{ground}\n{drawn}\n</svg>\n'


# The groups that are drawn, each with what its drawing shows.
DRAWN = (
    ("cpu", "CPU per request", bars),
    ("http2", "CPU per request of HTTP/2", bars),
    ("grpc", "CPU per gRPC call", bars),
    ("handshakes", "CPU per TLS handshake", bars),
    ("websocket", "CPU per WebSocket message", bars),
    ("latency", "Response time by load", curves),
)
