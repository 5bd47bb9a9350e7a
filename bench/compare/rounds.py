"""In which order proxies are measured: in rounds, in which everyone's turn comes once, or one after the other."""

from statistics import median

from figure import FEWEST_ROUNDS, spread
from processes import Failure, say


def play(title, names, one, rounds, usable=lambda rows: rows, first=0):
    """Rows of what `one(name, number)` brings, by name: the usable ones, how many there were in all, and why who dropped out did.

    The order shifts with each round, so that what the machine does meanwhile hits all alike. Round 0 only warms up. Rounds that aren't
    usable are made up for, up to three times as many; a turn that brings None, not a tuple of numbers, is missing from its row."""
    names, failed, rows, kept = list(names), {}, [], []
    for number in range(first, 3 * rounds + 1):
        row, start = {}, number % max(len(names), 1)
        for name in names[start:] + names[:start]:
            try:
                row[name] = one(name, number)
            except Failure as failure:
                failed[name] = f"in round {number}: {failure}"
                names.remove(name)
        row = {name: brought for name, brought in row.items() if brought}
        say(f"{title}, round {number}: " + "  ".join(f"{name} {' '.join(f'{part:,.2f}' for part in brought)}" for name, brought in row.items()))
        rows += [row] if number else []
        kept = usable(rows)
        if len(kept) >= rounds or not names:
            break
    return kept, len(rows), failed


def fill(figures, rows, reasons):
    """Medians and the rows' own ratios, of figures whose numbers stand side by side in each row; who has a reason has no value."""
    for index, figure in enumerate(figures):
        figure.values |= reasons
        for name in figure.names:
            both = [row for row in rows if name in row]
            if not both or name in figure.values:
                continue
            figure.values[name] = float(median(row[name][index] for row in both))
            both = [row for row in both if figure.mine in row and row[name][index] > 0]
            if name != figure.mine and both:
                figure.ratios[name] = spread([row[figure.mine][index] / row[name][index] for row in both])
        if len(rows) < FEWEST_ROUNDS:
            figure.doubt = f"too few rounds ({len(rows)})"


def each(figure, names, measure):
    """Fills a figure by measuring one proxy after the other."""
    for name in names:
        try:
            figure.values[name] = float(measure(name))
            say(f"{figure.title}: {name} {figure.values[name]:.1f} {figure.unit}")
        except Failure as failure:
            figure.values[name] = str(failure)
            say(f"{figure.title}: {name}: {failure}")
    return figure.divide()
