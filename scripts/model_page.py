"""Write docs/models.md, the page of the pretrained models, from their cards.

    python scripts/model_page.py            # the page
    python scripts/model_page.py --check    # exit code 1 if the page is not what the cards say

Pictures are in docs/images/models; :data:`MADE` says how each is drawn again.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

from zoo.files import write_text
from zoo.registry.cards import CARD_FILE, ModelCard

ROOT = Path(__file__).parent.parent
SHELF, PAGE, PICTURES = ROOT / "plugins" / "zoo_models", ROOT / "docs" / "models.md", "images/models"
_HEAD = """\
# The models that come with genzoo

Small models, to try things with and to measure against. This page is written from their cards (`python
scripts/model_page.py`); `zoo show NAME` prints a card, `zoo train NAME` repeats its training, `zoo eval NAME` its
measurements, and `zoo export NAME -o page --target web` makes a web page of it. Each figure is followed by its standard
error where there is one.

"""
#: pictures of the gallery in a row
ACROSS = 4
#: what a model is drawn with, if not 1,000 samples
MADE = {
    "digits-nsf": "-n 20",
    "emoji-text": "--condition prompt='smiling face with sunglasses' -n 8",
    "emoji-restyle": "--condition docs/images/noto.png -n 14",
    "emoji-text-consistency": "--condition docs/images/emoji.csv -n 24",
    "emoji-upscale": "--condition docs/images/small.png -n 14",
    "maze-policy": "--condition picture=docs/images/maze.png --condition place=0.103,0.610 -n 8",
    "mnist-glow": "-n 20",
    "mnist-pixelcnn": "-n 20",
    "mnist-unet": "-n 20",
    "mnist-unet-consistency": "-n 20",
    "mnist-unet-likelihood": "-n 20",
    "slcp-posterior": "--condition points=1.2,0.4,0.9,-0.3,2.2,0.8,1.6,0.1 -n 1000",
    "spoken-digits-speakers": "--condition digit=7 --condition speaker=theo -n 4",
    "two-moons-posterior": "--condition=-0.6397,0.1623 -n 1000",
}
#: what a model is good and bad at, as its figures and pictures show
VERDICT = {
    "checkerboard-nsf-ar": "Hard edges, which splines round a little; a few points fall between the squares.",
    "circles-maf": "Exact densities, sampled component after component. The thin bridge between the circles, where "
    "data have none, is what a flow of one standard normal cannot tear apart.",
    "diamonds-mlp": "A table of 53,917 rows. Trees that learn from its rows predict price (R² 0.946) and carat "
    "(0.993) of real ones nearly as well as those that learn from as many real rows (0.967 and 0.993), and its rows "
    "are no nearer to those of training than held-out ones are. Sizes go together better than categories do: color "
    "and clarity follow from a row about half as well as they should.",
    "digits-nsf": "Exact likelihoods given the class, which make it a classifier too. The pictures are coarse: 8×8.",
    "eight-gaussians-iaf": "Samples in one pass and scores component after component. Its base is a mixture, so that "
    "the eight parts need no bridges.",
    "emoji-text": "Hearts, faces, food and flags from words, in two styles. Animals and people melt, and of words that "
    "it has not seen together it gets one emoji in five right, where chance is one in twenty.",
    "emoji-text-consistency": "What emoji-text draws, as well judged, in one step or two where that takes thirty, of "
    "two evaluations each. Outlines are rougher, and its weaknesses are those of its teacher.",
    "emoji-restyle": "Of what it draws of held-out emoji a judge, who has seen them all, names 85% rightly, of Noto's "
    "pictures of them 99.5%, and errors are 55.1 levels where those of Noto's pictures are 65.6. Flags, faces and "
    "plants become Twemoji's; fine parts melt, plain areas are grainy, and colours that Twemoji chose otherwise cannot "
    "be known. It has learned some pictures by heart: its validation loss rises after 7,000 steps, while samples still "
    "become crisper. The rows: 14 held-out emoji as Noto has them, a sample of each, and Twemoji's.",
    "emoji-upscale": "Edges where a bicubic filter has a blur, and a smaller error than that: 17.1 levels for 22.4. "
    "Plain areas come out grainy, and what 16 pixels do not show, such as eyes or a star, is guessed badly. The "
    "rows: 14 held-out emoji as they were given, by a bicubic filter, a sample of two steps each, and the truth.",
    "maze-policy": "Takes either gap of a wall where a regression goes between them, and arrives in 94% of mazes "
    "where that arrives in 35%. Sometimes it touches the edge of a gap and has to plan again. It knows mazes of this "
    "kind alone: three walls with two gaps each.",
    "mnist-glow": "Exact likelihoods of pictures. It samples at a temperature of 0.7: at 1, which is its density, many "
    "samples are hard to read. For densities take mnist-pixelcnn, for digits to look at mnist-unet.",
    "mnist-pixelcnn": "The model of densities of digits: 0.970 bits/dim on the whole test set, by an exact density in "
    "one pass. A sample takes 784 steps, one a pixel. Strokes are those of a pen; a good third of the samples are no "
    "digit.",
    "mnist-unet": "The digits to look at, with guidance, editing and any of the samplers. Its likelihood costs a "
    "differential equation, and is worse than those of mnist-pixelcnn and mnist-glow.",
    "mnist-unet-consistency": "A digit in one evaluation, on a background as clean as that of real ones.",
    "mnist-unet-likelihood": "mnist-unet, trained on for the bound on its likelihood: 1.50 bits/dim by it where "
    "mnist-unet has 1.58. By its differential equation it has 1.22 where mnist-unet has 1.33, but the equation's 64 "
    "steps leave an error of 0.37, so that the bound is what to trust. mnist-pixelcnn, which has 0.97, is the model "
    "of densities. A judge of digits agrees with the class of 99% of 200 samples.",
    "moons-cnf": "A differential equation to look at; each sample takes as many evaluations as steps.",
    "moons-nsf": "The first flow to try: quick both ways, and next to the entropy of its data.",
    "moons-rectified-flow": "Samples in a few steps. Its density is an integral, slower and less exact than that of "
    "moons-nsf.",
    "names-masked": "Names that can be spoken; about a third stand in the training data.",
    "pinwheel-realnvp": "Both directions take one pass. In the middle, where the arms meet, samples blur.",
    "slcp-posterior": "Four modes for any four points, from 100,000 simulations, each seen in all orders of its "
    "points. It is a little too sure: regions that should hold 90% hold 87%.",
    "spoken-digits-speakers": "Half a second of speech at 8 kHz: a digit by one of six people, two conditions of which "
    "either may be left out. Nearly one digit in five is misheard by its judge, ones most often, and one voice in ten "
    "is taken for another's. Silence has faint tones at multiples of 500 Hz, the rate of its patches: 5 to 8 dB over "
    "what is around them, where recordings have at most 4; and both ends have a faint click.",
    "two-moons-posterior": "The posterior of any observation at once, exact densities included, from 100,000 "
    "simulations. 17 of 1,000 samples lie beside the crescents, where the posterior is 0.",
    "wine-mlp": "Numbers and a category in one row, densities included. What trees learn from its rows is nearly as "
    "good on real ones as what they learn from real ones; one row in twenty has the cultivar of others.",
}


def main() -> None:
    """Write or check the page."""
    if "--check" in sys.argv[1:]:
        sys.exit(PAGE.read_text("utf-8") != page(shelved()))
    write()


def write() -> None:
    """Write the page of the pretrained models."""
    write_text(PAGE, page(shelved()))


def shelved() -> list[ModelCard]:
    """Their cards."""
    return [ModelCard.from_folder(path.parent) for path in sorted(SHELF.glob(f"*/{CARD_FILE}"))]


def page(cards: list[ModelCard]) -> str:
    """The page of some cards."""
    lines = ["| model | what | parameters | on held-out data | weights |", "| --- | --- | --- | --- | --- |"]
    for card in cards:
        link = f"[`{card.name}`](#{card.name})"
        licence = card.license["weights"]
        lines.append(f"| {link} | {card.summary} | {card.parameters:,} | {quoted(card)} | {licence} |")
    return _HEAD + gallery(cards) + "\n".join(lines) + "\n" + "".join(section(card) for card in cards)


def gallery(cards: list[ModelCard]) -> str:
    """The pictures of models that have one, each a link to what is said of its model, side by side."""
    pictures = [(card.name, f"{PICTURES}/{card.name}.png") for card in cards]
    pictures = [(name, path) for name, path in pictures if (ROOT / "docs" / path).exists()]
    cells = [f"[![{name}]({path})<br>{name}](#{name})" for name, path in pictures]
    rows = [cells[i : i + ACROSS] for i in range(0, len(cells), ACROSS)]
    rows[-1] += [""] * (ACROSS - len(rows[-1]))
    lines = ["| " * ACROSS + "|", "| --- " * ACROSS + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n\n"


def section(card: ModelCard) -> str:
    """What the page says of a model."""
    line = f"zoo run {card.name} {MADE.get(card.name, '-n 1000')} --seed 0 -o {card.name}"
    if len(line) > 110:
        line = line.replace(" --seed", " \\\n    --seed")
    pictures = [f"{PICTURES}/{card.name}{end}" for end in (".png", ".gif", "-calibration.png")]
    pictures = [each for each in pictures if (ROOT / "docs" / each).exists()]
    suffix = (
        "png"
        if f"{PICTURES}/{card.name}.png" in pictures
        else "txt"
        if card.data.get("kind", {}).get("kind") == "text"
        else "csv"
    )
    rows = [
        ("architecture", f"`{card.architecture}`, {card.parameters:,} parameters, {card.weights.size / 1e6:.1f} MB"),
        ("a sample", " × ".join(map(str, card.event_shape)) + (" numbers" if len(card.event_shape) == 1 else "")),
        ("density", str(card.density)),
        ("data", f"{card.data['name']}: {card.data.get('source', 'made by a formula')}"),
        ("licence of the weights", card.license["weights"]),
        ("training", str(card.training or "")),
        *((name.replace("_", " "), measured(metric)) for name, metric in card.metrics.items()),
        ("papers", "; ".join(card.papers)),
    ]
    table = "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows if value)])
    alone = f"![Samples of {card.name}]"
    images = "".join(
        f"{'![Samples over reference ones, and ranks]' if 'calibration' in each else alone}({each})\n\n"
        for each in pictures
    )
    body = f"{wrapped(VERDICT[card.name])}\n\n{images}```sh\n{line}.{suffix}\n```\n\n{table}\n"
    return f"\n## {card.name}\n\n{card.summary}.\n\n{body}"


def wrapped(text: str) -> str:
    """Lines of at most 120 columns."""
    return textwrap.fill(text, 120)


def measured(metric: dict[str, Any]) -> str:
    """A metric of a card: its value, error, unit, number of samples, and what it is of."""
    value = f"{metric['value']:,}"
    if "standard_error" in metric:
        value += f" ± {metric['standard_error']}"
    if "unit" in metric:
        value += f" {metric['unit']}"
    about = [f"{metric['samples']:,} samples"] if "samples" in metric else []
    about += [str(metric[name]) for name in ("of", "by") if name in metric]
    for simulations, published in metric.get("published_npe_by_simulations", {}).items():
        about.append(f"published NPE with {int(simulations):,} simulations: {published}")
    if "of_the_given" in metric:
        about.append(f"of the given pictures: {metric['of_the_given']}")
    if "of_the_mean" in metric:
        about.append(f"of the mean of {metric['rounds']} samples: {metric['of_the_mean']}")
    if "of_the_truth" in metric:
        about.append(f"of real ones: {metric['of_the_truth']}")
    if "of_the_demonstrator" in metric:
        about.append(f"the demonstrator: {metric['of_the_demonstrator']}")
    return value + (f" ({'; '.join(about)})" if about else "")


def quoted(card: ModelCard) -> str:
    """The metrics of a card that a table has room for."""
    per_class = " given the class" if card.condition is not None else ""
    shown = {
        "test_bits_per_dim": "{:.3f} bits/dim" + per_class,
        "reference_c2st": "C2ST {:.3f}",
        "training_labels_noto": "{:.1%} show their label",
        "held_out_labels": "{:.1%} show their label, the given pictures {of_the_given:.1%}",
        "maze_success": "{:.1%} of mazes solved",
        "picture_error": "{:.1f} levels from the truth, the given pictures {of_the_given:.1f}",
        "test_gap": "{:.3f} nats above the entropy",
        "class_agreement": "{:.1%} of samples show their class",
        "category_agreement": "{:.1%} of rows have the right category",
    }
    if "pronounceable" in card.metrics:
        shown = {"pronounceable": "{:.1%} of samples look like names", "novel": "{:.1%} are new"}
    if not shown.keys() & card.metrics.keys():
        # data of unknown entropy
        shown["test_nll"] = "{:.3f} nats" + per_class
    metrics = card.metrics
    return ", ".join(
        text.format(metrics[name]["value"], **metrics[name]) for name, text in shown.items() if name in metrics
    )


if __name__ == "__main__":
    main()
