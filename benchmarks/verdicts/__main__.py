"""Print the table of docs/decisions/034, and draw its plot.

A model is held against thresholds from 1 point below to 1 point above the mean of its seeds, which
is its true accuracy here. Each grading draws the seeds without replacement.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from grader.grading.items.chance import (
    CountedEpoch,
    Measured,
    is_borderline,
    needs_another_seed,
    wilson_interval,
)

RUNS = Path(__file__).with_name("runs.json")
PLOT = Path(__file__).parents[2] / "docs" / "images" / "verdicts.svg"
GRADINGS = 400
GAPS = [number / 1000 for number in range(-10, 11)]
"""The true accuracy minus the threshold."""
SEEDS = 3
EPOCHS: tuple[CountedEpoch, ...] = ("best", "final")


@dataclass(frozen=True, kw_only=True)
class Graded:
    """One grading."""

    passed: bool
    flagged: bool
    runs: int


@dataclass(frozen=True, kw_only=True)
class Shares:
    """Shares of gradings, and the mean number of runs.

    Attributes:
        wrong_passes, wrong_failures: against the true accuracy.
        given_up: failures although one of the three seeds would have met the threshold.
        flips: two gradings with other seeds differ.
    """

    wrong_passes: float
    wrong_failures: float
    given_up: float
    flips: float
    flagged: float
    runs: float


Rule = Callable[[Sequence[float], float, int, CountedEpoch], Graded]


def old_rule(
    accuracies: Sequence[float], threshold: float, examples: int, _epoch: CountedEpoch
) -> Graded:
    """Grade as before: further seeds by the sampling of the test set alone, flags near it."""
    used = [accuracies[0]]
    if accuracies[0] < threshold <= wilson_interval(accuracies[0], examples)[1]:
        for accuracy in accuracies[1:]:
            used.append(accuracy)
            if accuracy >= threshold:
                break
    low, high = wilson_interval(max(used), examples)
    return Graded(passed=max(used) >= threshold, flagged=low <= threshold <= high, runs=len(used))


def new_rule(
    accuracies: Sequence[float], threshold: float, examples: int, epoch: CountedEpoch
) -> Graded:
    """Grade as today."""
    used = [Measured.of_accuracy(accuracies[0], examples)]
    if needs_another_seed(used[0], threshold, epoch):
        for accuracy in accuracies[1:]:
            used.append(Measured.of_accuracy(accuracy, examples))
            if accuracy >= threshold:
                break
    return Graded(
        passed=max(one.value for one in used) >= threshold,
        flagged=is_borderline(used, threshold),
        runs=len(used),
    )


def simulate(
    rule: Rule, accuracies: Sequence[float], gap: float, examples: int, epoch: CountedEpoch
) -> Shares:
    """Return the shares of a model whose true accuracy is `gap` above its threshold."""
    draw = random.Random(0)
    threshold = statistics.fmean(accuracies) - gap
    deserves = gap >= 0
    pairs, given_up = [], 0
    for _ in range(GRADINGS):
        chosen = draw.sample(accuracies, 2 * SEEDS)
        parts = chosen[:SEEDS], chosen[SEEDS:]
        pairs.append([rule(part, threshold, examples, epoch) for part in parts])
        given_up += not pairs[-1][0].passed and max(parts[0]) >= threshold
    firsts = [first for first, _ in pairs]
    wrong = [first.passed != deserves for first in firsts]
    return Shares(
        wrong_passes=statistics.fmean(wrong) if not deserves else 0.0,
        wrong_failures=statistics.fmean(wrong) if deserves else 0.0,
        given_up=given_up / GRADINGS,
        flips=statistics.fmean(first.passed != second.passed for first, second in pairs),
        flagged=statistics.fmean(first.flagged for first in firsts),
        runs=statistics.fmean(first.runs for first in firsts),
    )


def mean_of(found: Iterable[Shares]) -> Shares:
    """Return the mean of every share."""
    together = list(found)
    return Shares(
        **{
            each.name: statistics.fmean(getattr(one, each.name) for one in together)
            for each in fields(Shares)
        }
    )


def main() -> None:
    """Print and draw."""
    models = json.loads(RUNS.read_text(encoding="utf-8"))
    rules: dict[str, Rule] = {"old": old_rule, "new": new_rule}
    groups: dict[str, list[tuple[list[float], int, CountedEpoch]]] = {
        f"{size:,} test images, {epoch} epoch": [
            (model[epoch], model["test_examples"], epoch)
            for model in models.values()
            if model["test_examples"] == size
        ]
        for size in sorted({model["test_examples"] for model in models.values()})
        for epoch in EPOCHS
    }
    heads = "wrong passes | wrong failures | given up | flips | flagged | runs paid"
    print(f"| runs | rule | {heads} |")
    print("|---|---|---|---|---|---|---|---|")
    curves: dict[tuple[str, str], list[Shares]] = {}
    for group, members in groups.items():
        for name, rule in rules.items():
            by_gap = [
                mean_of(simulate(rule, values, gap, size, epoch) for values, size, epoch in members)
                for gap in GAPS
            ]
            curves[group, name] = by_gap
            total = mean_of(by_gap)
            print(
                f"| {group}, {len(members)} models | {name} | {total.wrong_passes:.1%} | "
                f"{total.wrong_failures:.1%} | {total.given_up:.1%} | {total.flips:.1%} | "
                f"{total.flagged:.1%} | {total.runs:.2f} |"
            )
    PLOT.write_text(draw_curves(curves), encoding="utf-8")


def _share_wrong(one: Shares) -> float:
    return one.wrong_passes + one.wrong_failures


def _share_flagged(one: Shares) -> float:
    return one.flagged


def draw_curves(curves: dict[tuple[str, str], list[Shares]]) -> str:
    """Return an SVG: for each group the shares of wrong verdicts and of flags over the gap."""
    groups = list(dict.fromkeys(group for group, _ in curves))
    width, height = 300, 200
    box = f"0 0 {2 * width} {len(groups) * height}"
    style = 'font-family="sans-serif" font-size="11"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {style}>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    panels = (("wrong verdicts", _share_wrong), ("flagged", _share_flagged))
    for row, group in enumerate(groups):
        for column, (label, share_of) in enumerate(panels):
            left, top = column * width + 40, row * height + 30
            parts.append(f'<text x="{left}" y="{top - 10}">{group}: {label}</text>')
            for share in (0, 0.5, 1):
                y = top + 130 * (1 - share)
                parts.append(
                    f'<path d="M{left} {y}h240" stroke="#ccc"/>'
                    f'<text x="{left - 4}" y="{y + 4}" text-anchor="end">{share:.0%}</text>'
                )
            for share, words in ((0, "1 below"), (0.5, "0"), (1, "1 point above")):
                parts.append(
                    f'<text x="{left + 240 * share}" y="{top + 146}" text-anchor="middle">'
                    f"{words}</text>"
                )
            for name, colour, dash in (("old", "#999", "4 3"), ("new", "#06c", "")):
                step = 240 / (len(GAPS) - 1)
                points = " ".join(
                    f"{left + step * index:.1f},{top + 130 * (1 - share_of(one)):.1f}"
                    for index, one in enumerate(curves[group, name])
                )
                parts.append(
                    f'<polyline points="{points}" fill="none" stroke="{colour}" '
                    f'stroke-width="2" stroke-dasharray="{dash}"/>'
                )
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
