"""Compare step tables with the samplers of diffusers and k-diffusion, over whole trajectories in float64.

    python scripts/parity            # writes the tables of docs/samplers.md, and tests/core/golden/samplers.safetensors

Both sides get the same denoiser (a mixture of normal distributions, in closed form), first state and noise. What is
compared is every state that a network would be shown, and the result. Needs diffusers, k-diffusion (without its
dependencies but torchsde, torchdiffeq and scipy) and torch. ``tests/core/test_sampler_golden.py`` repeats the
comparison without them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from cases import Case, cases
from ours import difference, halved, trajectory
from peers import PEERS, versions

from zoo import weights

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from document import fill, table

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT, GOLDEN = ROOT / "docs" / "samplers.md", ROOT / "tests" / "core" / "golden" / "samplers.safetensors"
STEPS = (5, 10, 20, 50)
TOLERANCE = 1e-6


def main() -> None:
    """Compare, and write what came out."""
    rows, arrays, known = [], {}, []
    for case in cases():
        figures, trajectories = [], {}
        for double in (False, True) if case.peer == "diffusers" else (True,):
            for steps in STEPS:
                times, theirs = PEERS[case.peer](case, steps, double)
                ours = trajectory(case.sampler, options_for(case, len(times)), case.path, times)
                if case.differs in ("last step", "last steps"):
                    ours, theirs = ours[:-1], theirs[:-1]
                figures.append(difference(ours, theirs))
                trajectories[steps] = times, theirs
        own, doubled = (figures[:4], figures[4:]) if len(figures) == 8 else ([], figures)
        agrees = max(doubled) < TOLERANCE
        if agrees == (case.differs in DIFFERENT):
            raise SystemExit(f"{case.label} and {case.reference}: {figures}, which is not what is said of them")
        rows.append(
            [case.label, f"{case.peer} `{case.reference}`", case.prediction, *map(told, (own, doubled)), case.differs]
        )
        if agrees:
            for steps, (times, theirs) in trajectories.items():
                key = f"{len(known)}/{steps}"
                arrays[f"{key}/times"], arrays[f"{key}/states"] = times, np.stack(theirs)
            fields = ("sampler", "options", "path", "reference", "final_order", "differs")
            known.append({name: getattr(case, name) for name in fields})
    head = ["sampler", "reference", "prediction", "as it is", "in float64", "but for"]
    fill(DOCUMENT, "parity", f"Compared with {versions()}.\n\n{table(head, rows)}\n\n{with_half()}")
    GOLDEN.parent.mkdir(exist_ok=True)
    weights.write(GOLDEN, arrays, metadata={"cases": json.dumps(known), "peers": versions()})
    print(
        f"{len(rows)} comparisons in {DOCUMENT.name}; {len(known)} trajectories, {GOLDEN.stat().st_size / 1e3:.0f} kB"
    )


#: reasons why two samplers are not the same; the others are only compared without something
DIFFERENT = {"third-order term", "starting steps", "last steps"}


def options_for(case: Case, steps: int) -> dict[str, object]:
    """Our options for so many steps."""
    # diffusers lowers the order before the last step with fewer than 15 steps only
    return {**case.options, **({"lower_order_final": steps < 15} if case.final_order else {})}


def told(figures: list[float]) -> str:
    """The largest difference at each number of steps."""
    return " · ".join(f"{figure:.0e}" for figure in figures)


def with_half() -> str:
    """What is left of the difference at order 3 with half of our third-order term."""
    largest = 0.0
    for case in cases():
        if case.differs == "third-order term":
            for steps in STEPS:
                times, theirs = PEERS[case.peer](case, steps, True)
                with halved():
                    ours = trajectory(case.sampler, options_for(case, len(times)), case.path, times)
                largest = max(largest, difference(ours, theirs))
    return f"With half of the third-order term, ours equals that of diffusers to {largest:.0e}."


if __name__ == "__main__":
    main()
