"""Draw the error of every deterministic sampler over its number of steps, and list all samplers in docs/samplers.md.

    python scripts/sampler_orders.py

The target is a mixture of normal distributions, whose denoiser is known in closed form; the error is that of the last
evaluated state, at noise level 0.02, against the probability-flow ODE solved with many more steps.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import sampler_sweep
from document import fill, table

from zoo.paths import Masking, RectifiedFlow
from zoo.samplers import BUILTIN, GAUSSIAN, Step
from zoo.samplers.loop import run_table
from zoo.samplers.plugin import zoo_samplers

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "parity"))
from ours import mixture  # noqa: E402 - after the path to it

DOCUMENT, PICTURE = ROOT / "docs" / "samplers.md", ROOT / "docs" / "images" / "sampler-order.png"
STEPS = (20, 40, 80, 160, 320)
NOISE = {"name": "exponential", "noise_min": 0.02, "noise_max": 100.0}
START = np.random.default_rng(0).normal(size=(40, 2))
#: sampler, options and order that is claimed
CLAIMS: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("ddim", {}, 1),
    ("flow-euler", {}, 1),
    ("heun", {}, 2),
    ("dpm-solver-2", {}, 2),
    ("dpm-solver-pp", {"order": 2}, 2),
    ("dpm-solver-pp-2s", {}, 2),
    ("plms", {}, 2),
    ("flow-midpoint", {}, 2),
    ("dpm-solver-pp", {"order": 3}, 3),
    ("unipc", {"order": 2}, 3),
    ("deis", {"order": 3}, 3),
    ("unipc", {"order": 3}, 4),
    ("lms", {"order": 4}, 4),
    ("flow-rk4", {}, 4),
)


def main() -> None:
    """Measure, draw, and write."""
    exact = reference()
    errors = {label(name, options): measured(name, options, exact) for name, options, _ in CLAIMS}
    draw(errors)
    rows = []
    for name, options, order in CLAIMS:
        by_steps = errors[label(name, options)]
        slope = np.log2(by_steps[-2] / by_steps[-1])
        rows.append([label(name, options), str(order), f"{slope:.2f}", *(f"{error:.1e}" for error in by_steps)])
    head = ["sampler", "order", f"measured, {STEPS[-2]} to {STEPS[-1]} steps", *(f"{n} steps" for n in STEPS)]
    fill(DOCUMENT, "orders", table(head, rows))
    fill(DOCUMENT, "samplers", catalogue())
    fill(DOCUMENT, "defaults", defaults())


def defaults() -> str:
    """Every sampler in few steps at its own defaults, over all paths and spacings."""
    runs = [(path.name, *each) for path in sampler_sweep.paths() for each in sampler_sweep.sweep(path)]
    rows = []
    for name in sampler_sweep.HELD:
        largest = [
            max(f.largest for _, n, spacing, count, f in runs if (n, spacing, count) == (name, "trailing", steps))
            for steps in sampler_sweep.STEPS
        ]
        ratio, path, spacing, steps = max((f.error / f.euler, p, s, c) for p, n, s, c, f in runs if n == name)
        over = max(f.largest for _, n, _, _, f in runs if n == name)
        worst = f"{ratio:.2f} ({path}, {spacing}, {steps} steps)"
        rows.append([f"`{name}`", " · ".join(f"{x:.1f}" for x in largest), f"{over:.1f}", worst])
    head = [f"largest number, trailing, {' · '.join(map(str, sampler_sweep.STEPS))} steps", "any spacing"]
    return table(["sampler", *head, "farthest from where it should be, in Euler's distances"], rows)


def catalogue() -> str:
    """Every sampler that needs no plugin."""
    rows = []
    for sampler in zoo_samplers():
        function = BUILTIN[sampler.name]
        options = [
            f"`{p.name}={p.default}`"
            for p in inspect.signature(function).parameters.values()
            if p.kind is p.KEYWORD_ONLY and p.name != "spacing"
        ]
        path = RectifiedFlow() if sampler.name in GAUSSIAN else Masking()
        each = round(len(function(path, 100)) / 100)
        kind = "fresh" if sampler.stochastic else ""
        rows.append([f"`{sampler.name}`", sampler.summary, kind, str(each), ", ".join(options), sampler.paper])
    return table(["sampler", "what", "noise", "evaluations a step", "options", "paper"], rows)


def label(name: str, options: dict[str, Any]) -> str:
    """Sampler and options."""
    return f"{name} ({', '.join(f'{k}={v}' for k, v in options.items())})" if options else name


def measured(name: str, options: dict[str, Any], exact: np.ndarray) -> list[float]:
    """The error at each number of steps."""
    errors = []
    for steps in STEPS:
        grid = BUILTIN[name](RectifiedFlow(), steps, spacing=NOISE, **options)
        last: list[np.ndarray] = []

        def denoise(x: np.ndarray, row: Step, last: list[np.ndarray] = last) -> np.ndarray:
            last[:] = [x / row.alpha]
            return mixture(x, row.alpha, row.sigma)

        run_table(grid, denoise, START * grid.sigma[0])
        errors.append(float(np.abs(last[0] - exact).max()))
    return errors


def reference() -> np.ndarray:
    """x/α at noise level 0.02 from 100·START: Runge-Kutta of order 4 in the log noise level, 3000 steps."""
    start, end, steps = np.log(100.0), np.log(0.02), 3000
    h, y = (end - start) / steps, 100.0 * START

    def slope(s: float, y: np.ndarray) -> np.ndarray:
        return y - mixture(y, 1.0, float(np.exp(s)))

    for s in start + h * np.arange(steps):
        k1 = slope(s, y)
        k2 = slope(s + h / 2, y + h / 2 * k1)
        k3 = slope(s + h / 2, y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(s + h, y + h * k3))
    return y


def draw(errors: dict[str, list[float]]) -> None:
    """Error over steps, on logarithmic axes, a panel for each order."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    orders = sorted({order for *_, order in CLAIMS})
    figure, axes = plt.subplots(1, len(orders), figsize=(11, 3.4), sharex=True, sharey=True, layout="constrained")
    for axis, order in zip(axes, orders, strict=True):
        shown = [label(name, options) for name, options, claimed in CLAIMS if claimed == order]
        for name in shown:
            axis.loglog(STEPS, errors[name], marker="o", markersize=3, linewidth=1.2, label=name)
        guide = 0.3 * min(errors[name][0] for name in shown) * (np.array(STEPS) / STEPS[0]) ** -float(order)
        axis.loglog(STEPS, guide, "--", color="0.6", linewidth=1)
        axis.set_title(f"order {order}", fontsize=10)
        axis.set_xticks(STEPS, [str(n) for n in STEPS])
        axis.minorticks_off()
        axis.set_xlabel("steps")
        axis.legend(fontsize=7, frameon=False, loc="lower left")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("error at noise level 0.02")
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
