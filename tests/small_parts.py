"""Small models that are conditioned on named parts, for the tests of all runtimes; loaded from its path.

A posterior and a diffusion with an encoder of conditions each, the posterior without one, and a model that takes a part
of every kind.
"""

import dataclasses
import json
import math
import shutil

import numpy as np
import torch
from torch import nn

from zoo.conditions import Condition, Part
from zoo.models.interface import DirectModel
from zoo.programs.ports import Port
from zoo_diffusion.diffusion import Diffusion

POSTERIOR_PARTS = Condition(
    (
        Part("image", "image", (1, 4, 4), minimum=0.0, maximum=1.0, null=0.0, required=False),
        Part("state", "numbers", (2,)),
        Part("prompt", "tokens", ("length",), alphabet="_abc", padding=0, null=0, required=False),
        Part("robot", "classes", size=2, labels=("arm", "leg"), null=2, required=False),
    )
)


class Posterior(DirectModel):
    """x = m(c) + s(c)·z in two dimensions, where an embedding network looks at a picture, numbers, a text, a class."""

    family = "flow"

    def __init__(self):
        super().__init__()
        self.event_shape = (2,)
        self.condition_on(POSTERIOR_PARTS)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.seen = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 8))
            self.felt = nn.Linear(2, 8)
            self.read = nn.Embedding(4, 8)
            self.which = nn.Embedding(3, 8)
            self.head = nn.Linear(8, 4)

    def encode_condition(self, parts):
        mask = parts["prompt_mask"].unsqueeze(2)
        read = (self.read(parts["prompt"]) * mask).sum(1) / mask.sum(1)
        embedding = self.seen(parts["image"]) + self.felt(parts["state"]) + read + self.which(parts["robot"])
        return {"embedding": torch.tanh(embedding)}

    def encoded_ports(self):
        return (Port("embedding", "float32", ("rows", 8), "what was observed"),)

    def inverse(self, z, condition):
        mean, scale = self.head(condition["embedding"]).chunk(2, 1)
        return mean + z * scale.exp()

    def log_density(self, x, condition):
        mean, scale = self.head(condition["embedding"]).chunk(2, 1)
        z = (x - mean) * (-scale).exp()
        return (-0.5 * z * z - scale - 0.5 * math.log(2 * math.pi)).sum(1)


class Plain(Posterior):
    """The same without an encoder: graphs take the parts themselves."""

    encode_condition = DirectModel.encode_condition

    def encoded_ports(self):
        return ()

    def inverse(self, z, condition):
        return super().inverse(z, Posterior.encode_condition(self, {**condition, "state": condition["joints"]}))

    def log_density(self, x, condition):
        return super().log_density(x, Posterior.encode_condition(self, {**condition, "state": condition["joints"]}))

    def condition_on(self, condition):
        # no graph has an input `state` for anything else here, but those of other programs do
        parts = (part if part.name != "state" else Part("joints", "numbers", (2,)) for part in condition.parts)
        super().condition_on(Condition(tuple(parts)))


def posterior(kind=Posterior):
    model = kind()
    state = 100 + 10 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    model.prepare(torch.zeros(50, 2), {"state": state, "joints": state})
    return model.eval()


POLICY_PARTS = Condition(
    (
        Part("image", "image", (1, 4, 4), minimum=0.0, maximum=1.0, null=0.0, required=False),
        Part("state", "numbers", (2,), null=0.0),
        Part("prompt", "tokens", ("length",), alphabet="_abc", padding=0, null=0, required=False),
    )
)


class Network(nn.Module):
    """Sees a vector of an observation, and looks at the words of a prompt by attention."""

    def __init__(self, width=16):
        super().__init__()
        self.enter, self.leave = nn.Linear(3 + 1 + width // 2, width), nn.Linear(width + 8, 3)
        self.query = nn.Linear(width, 8)

    def forward(self, x, time, condition):
        hidden = torch.tanh(self.enter(torch.cat([x, time[:, None], condition["observed"]], 1)))
        words, mask = condition["words"], condition["seen"]
        scores = (words * self.query(hidden)[:, None]).sum(2) - 1e4 * (1 - mask)
        read = (torch.softmax(scores, 1)[:, :, None] * words).sum(1)
        return self.leave(torch.cat([hidden, read], 1))


class Policy(Diffusion):
    """A small diffusion of actions, given a picture, a state and a prompt."""

    def __init__(self, parts=POLICY_PARTS, width=16, **options):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            super().__init__(Network(width), (3,), condition=parts, sampling={"steps": 4, **options})
            self.look, self.feel = nn.Linear(16, width // 2), nn.Linear(2, width // 2)
            self.read = nn.Embedding(4, 8)

    def encode_condition(self, parts):
        observed = torch.tanh(self.look(parts["image"].flatten(1)) + self.feel(parts["state"]))
        return {"observed": observed, "words": self.read(parts["prompt"]), "seen": parts["prompt_mask"]}

    def encoded_ports(self):
        return (
            Port("observed", "float32", ("rows", self.look.out_features), "picture and state"),
            Port("words", "float32", ("rows", "length", 8), "the prompt"),
            Port("seen", "float32", ("rows", "length"), "1 where the prompt is"),
        )


class Acting(Policy):
    """The same without a density, whose export takes half the time."""

    def __init__(self, **options):
        super().__init__(**options)
        self.density = "none"

    def programs(self):
        whole = super().programs()
        kept = (whole.sample.graph, whole.sample.condition_encoder)
        graphs = tuple(graph for graph in whole.graphs if graph.name in kept)
        return dataclasses.replace(whole, graphs=graphs, log_prob=None)


def policy(kind=Policy, **options):
    model = kind(**options)
    state = 5 + 2 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    model.prepare(torch.zeros(50, 3), {"state": state})
    return model.eval()


def observed(n, **changes):
    """What the posterior is given for ``n`` samples, up to four."""
    random = np.random.default_rng(n)
    return {
        "image": random.uniform(size=(n, 1, 4, 4)).astype(np.float32),
        "state": (100 + 10 * random.normal(size=(n, 2))).astype(np.float32),
        "prompt": ["abc", "c", "ab", "_b"][:n],
        "robot": ["leg", "arm", "arm", "leg"][:n],
        **changes,
    }


def instructed(n):
    """What the policy is given for ``n`` samples, up to five."""
    random = np.random.default_rng(n)
    return {
        "image": random.uniform(size=(n, 1, 4, 4)).astype(np.float32),
        "state": (5 + random.normal(size=(n, 2))).astype(np.float32),
        "prompt": ["abc", "c", "ab", "bb", "abca"][:n],
    }


def with_words(bundle, folder):
    """A copy of the policy's bundle whose prompt is read by labels: a text and its ids are refused by the other."""
    copy = shutil.copytree(bundle, folder / "words")
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    prompt = next(part for part in manifest["condition"]["parts"] if part["name"] == "prompt")
    del prompt["alphabet"]
    prompt["labels"] = ["", "a", "cab", "é 😀"]
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return copy


#: texts for it, and their ids; and one that none of its labels begin
READ = {" Cab\ta": [2, 1], "aCABaé 😀": [1, 2, 1, 3]}
UNREAD = "a\u00a0cab"


EVERY_PART = Condition(
    (
        Part("kind", "classes", size=3, labels=("a", "b", "c"), null=3, required=False),
        Part("arm", "numbers", (2,), minimum=-5.0, maximum=5.0),
        Part("image", "image", (1, 2, 3), minimum=0.0, maximum=1.0, null=0.5, required=False),
        Part("sound", "audio", (4,), null=0.0, required=False),
        Part("words", "tokens", ("length",), alphabet="_äb😀", padding=0, null=(1, 2), required=False),
        Part("track", "sequence", ("steps", 2), null=0.0, required=False),
    )
)


class Everything(DirectModel):
    """x = m(c) + z in two dimensions, where the mean is a sum over parts of every kind, which its graphs take."""

    family = "flow"

    def __init__(self):
        super().__init__()
        self.event_shape = (2,)
        self.condition_on(EVERY_PART)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.named = nn.ModuleDict({"image": nn.Linear(6, 2), "sound": nn.Linear(4, 2), "track": nn.Linear(2, 2)})
            self.which, self.read = nn.Embedding(4, 2), nn.Embedding(4, 2)

    def mean(self, parts):
        total = self.which(parts["kind"]) + parts["arm"]
        for name in ("image", "sound"):
            total = total + self.named[name](parts[name].flatten(1))
        for name, each in (("words", self.read), ("track", self.named["track"])):
            mask = parts[f"{name}_mask"].unsqueeze(2)
            total = total + (each(parts[name]) * mask).sum(1) / mask.sum(1)
        return total

    def inverse(self, z, condition):
        return self.mean(condition) + z

    def log_density(self, x, condition):
        return (-0.5 * (x - self.mean(condition)) ** 2 - 0.5 * math.log(2 * math.pi)).sum(1)


def everything():
    return Everything().eval()


def of_every_kind(n):
    """What it is given for ``n`` samples, up to three: as values that JSON can say."""
    random = np.random.default_rng(n)
    return {
        "kind": ["c", "a", 1][:n],
        "arm": random.uniform(-5, 5, size=(n, 2)).round(3).tolist(),
        "image": random.uniform(size=(n, 1, 2, 3)).round(3).tolist(),
        "sound": random.normal(size=(n, 4)).round(3).tolist(),
        "words": ["b😀", "ä", "bbä"][:n],
        "track": [[[1.0, 2.0]], [[0.5, 0.5], [1.0, -1.0]], [[0.0, 3.0]]][:n],
    }
