"""The journeys of docs/architecture.md: each a list of functions, compared by name with those that are called.

A journey passes milestones. Of each the first time counts, and what counts are the functions of genzoo that are on the
call stack then: those that lead there. Every kind counts, properties, closures and special methods too, except
comprehensions, which only some versions of Python call as functions, and the bodies of classes. What has returned
before a milestone does not lead to it, such as checks. All distinct functions that are entered are counted apart, and
bounded by the numbers that the guide states.
"""

import os
import re
import sys
from inspect import CO_OPTIMIZED
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = tuple(f"{ROOT / folder}{os.sep}" for folder in ("zoo", "plugins", "exporters"))
GUIDE = ROOT / "docs" / "architecture.md"
_NO_FUNCTIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")


def named(code):
    """(file, function) of a code object that is a function of genzoo; else None."""
    # the bodies of modules and classes are code without fast locals
    if not code.co_filename.startswith(OURS) or code.co_name in _NO_FUNCTIONS or not code.co_flags & CO_OPTIMIZED:
        return None
    return Path(code.co_filename).relative_to(ROOT).as_posix(), code.co_qualname.replace(".<locals>", "")


def stack_of(frame):
    """The functions of genzoo on the call stack, the outermost first."""
    stack = []
    while frame is not None:
        if (function := named(frame.f_code)) is not None:
            stack.insert(0, function)
        frame = frame.f_back
    return stack


def stated(title):
    """The numbers of functions that the guide says are entered on a journey: until the first call, and in all."""
    text = " ".join(GUIDE.read_text("utf-8").split())
    numbers = re.search(rf"{title} (?:at most )?(\d+) (?:until the first call of a session )?and (\d+)", text)
    return tuple(map(int, numbers.groups()))


class Journey:
    """Notes milestones, and within a ``with`` block everything that is entered.

    Args:
        start: (file, function) that the journey starts with; None is whatever is called first.

    Attributes:
        stacks: of each milestone when it was reached first, in the order in which they were reached.
        reached: how often each was.
        entered_before: how many distinct functions had been entered when each was reached first.
        entered: each function with the one of genzoo that called it first.
    """

    def __init__(self, monkeypatch, start=None):
        self._patch, self._start = monkeypatch, start
        self.stacks, self.reached, self.entered, self.entered_before = {}, {}, {}, {}

    def milestone(self, name, owner, attribute, when=lambda *args: True):
        """A call of ``owner.attribute``, which belongs to the journey itself if it is genzoo's."""
        function = getattr(owner, attribute)
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        own = [] if code is None or named(code) is None else [named(code)]

        def noting(*args, **keywords):
            if when(*args):
                self.reached[name] = self.reached.get(name, 0) + 1
                stack = stack_of(sys._getframe(1))
                start = 0 if self._start is None else stack.index(self._start)
                self.stacks.setdefault(name, [*stack[start:], *own])
                self.entered_before.setdefault(name, len(self.entered))
            return function(*args, **keywords)

        self._patch.setattr(owner, attribute, noting)

    def steps(self):
        """[(milestone, file, function)], each function with the first milestone that it leads to."""
        first = {}
        for name, stack in self.stacks.items():
            for function in stack:
                first.setdefault(function, name)
        return [(name, *function) for function, name in first.items()]

    def __enter__(self):
        known = set()

        def note(frame, event, _):
            if event == "call" and frame.f_code not in known:
                known.add(frame.f_code)
                if (function := named(frame.f_code)) is not None:
                    self.entered.setdefault(function, (stack_of(frame.f_back) or [None])[-1])

        sys.setprofile(note)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)


def told(title):
    """[(milestone, file, function)] of the journey that the guide tells under a title."""
    block = GUIDE.read_text("utf-8").split(f"\n**{title}.**", 1)[1].split("```text\n", 1)[1].split("```", 1)[0]
    steps, milestone, file = [], "", ""
    for line in block.splitlines():
        words = line.replace(",", " ").split()
        if not line[0].isspace():
            milestone, *words = words
        for word in words:
            if word.endswith(".py"):
                file = word
            else:
                steps.append((milestone, file, word))
    return steps


def files(steps):
    return {file for _, file, _ in steps}


def zoo(*arguments):
    from zoo.cli import cli

    return cli.main([str(argument) for argument in arguments], standalone_mode=False)


def through_a_session(journey):
    """Milestones of samples that ONNX Runtime draws by a sampler, from the name of the model to the file."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from zoo.bundle.manifest import Manifest
    from zoo.registry.lookup import Registry
    from zoo.samplers import ddim

    journey.milestone("name", Registry, "model")
    journey.milestone("manifest", Manifest, "from_json")
    journey.milestone("table", ddim, "ddim")
    journey.milestone("session", onnxruntime.InferenceSession, "__init__")
    journey.milestone("call", onnxruntime.InferenceSession, "run_with_iobinding")
    journey.milestone("file", Path, "replace")
    return journey


def assert_entered(journey, title):
    """All functions that Python enters, and not only those of the lists, are at most as many as the guide says.

    Fewer where earlier tests have filled caches, such as the registry's, so there is no lower bound.
    """
    counts = (journey.entered_before["call"], len(journey.entered))
    limits = stated(title)
    assert all(count <= limit for count, limit in zip(counts, limits, strict=True)), (counts, limits)


ONCE = {"name": 1, "manifest": 1, "table": 1, "session": 1, "call": 2, "file": 1}


def test_a_models_name_becomes_pixels_in_python(monkeypatch, tmp_path):
    journey = through_a_session(Journey(monkeypatch))
    from zoo import installed
    from zoo.render import write
    from zoo.runtime import load

    with journey:
        registry = installed()
        model = load(registry.model("mnist-unet").bundle_path, "cpu", samplers=registry.samplers())
        write(model.sample(1, seed=0, steps=2), tmp_path / "x.png")
    assert journey.steps() == told("From a model's name to pixels, in Python")
    assert journey.reached == ONCE
    assert (len(journey.steps()), len(files(journey.steps()))) == (19, 11)
    assert_entered(journey, "in Python")


def test_a_models_name_becomes_pixels_on_the_command_line(monkeypatch, tmp_path):
    journey = through_a_session(Journey(monkeypatch, ("zoo/cli/run.py", "command")))
    with journey:
        assert zoo("run", "mnist-unet", "-n", 1, "--steps", 2, "--provider", "cpu", "-o", tmp_path / "x.png") == 0
    assert journey.steps() == told("From a model's name to pixels, on the command line")
    assert journey.reached == ONCE
    assert (len(journey.steps()), len(files(journey.steps()))) == (20, 12)
    assert_entered(journey, "on the command line")


@pytest.fixture
def model_folder(tmp_path):
    """The folder of a small model, as training writes it."""
    pytest.importorskip("torch")
    from zoo import weights
    from zoo.files import sha256
    from zoo.registry.cards import ModelCard, WeightsFile
    from zoo_flows.nice import NICE

    config = {"event_shape": [2], "transforms": 2, "hidden": 8}
    path = tmp_path / "small" / "weights.safetensors"
    path.parent.mkdir()
    weights.write(path, weights.state_arrays(NICE(**config)))
    card = ModelCard(
        name="small",
        family="flow",
        architecture="nice",
        config=config,
        event_shape=(2,),
        weights=WeightsFile(path.name, sha256(path), path.stat().st_size),
    )
    (path.parent / "card.json").write_text(card.to_json())
    return path.parent


@pytest.mark.slow
def test_a_weight_gets_to_the_file(monkeypatch, tmp_path, model_folder):
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    import safetensors.numpy

    from zoo.registry.cards import ModelCard
    from zoo_onnx.proof import Proof

    journey = Journey(monkeypatch, ("zoo/cli/export.py", "command"))
    for proving in ("itself", "graph", "sample", "log_prob"):  # leads to no milestone, and takes most of the time
        monkeypatch.setattr(Proof, proving, lambda *_: None)
    journey.milestone("card", ModelCard, "from_folder", lambda folder: folder == model_folder)
    journey.milestone("read", safetensors.numpy, "load_file")
    journey.milestone("module", torch.nn.Module, "load_state_dict")
    journey.milestone("graph", torch.export, "export")
    journey.milestone("file", Path, "replace", lambda _, to: Path(to).name == "weights.safetensors")
    journey.milestone("folder", Path, "rename")
    assert zoo("-q", "export", model_folder, "-o", tmp_path / "bundle") == 0
    assert journey.steps() == told("From a weight to the file")
    assert (len(journey.steps()), len(files(journey.steps()))) == (30, 12)


def test_a_batch_becomes_a_loss(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("scipy")
    from zoo import installed
    from zoo.models.building import build
    from zoo.training import loop
    from zoo.training.data import load_data
    from zoo.training.feeding import Feed
    from zoo.training.parallel import Replicas
    from zoo.training.run import find_recipe

    registry = installed()
    recipe = find_recipe(str(ROOT / "recipes" / "moons-rectified-flow.toml"), registry)
    data = load_data(registry.dataset("moons"), {"train": 64, "validation": 8, "test": 8}, registry)
    model = build(registry, recipe.model.architecture, recipe.model.config).train()
    optimizer = torch.optim.AdamW(model.parameters())
    journey = Journey(monkeypatch)
    backward = torch.Tensor.backward

    def arrived(loss, *args, **keywords):
        journey.__exit__()
        backward(loss, *args, **keywords)

    monkeypatch.setattr(torch.Tensor, "backward", arrived)
    with journey:
        settings, path = recipe.training.at(0), tmp_path / "checkpoint"
        feed = Feed(data.train, lambda: iter(()), workers=0)
        loop._step(model, model, optimizer, data, settings, 0, None, path, Replicas(model), feed)
    assert called_by(journey, "_step", "Diffusion.loss", "Diffusion._called", "called", "_plainly") == told(
        "From a batch to the loss"
    )


def called_by(journey, *callers):
    """[(caller, file, function)]: what some functions call themselves, special methods (of contexts) apart."""
    return [
        (caller[1], *function)
        for function, caller in journey.entered.items()
        if caller is not None and caller[1] in callers and not function[1].endswith("__")
    ]
