"""A request of ``zoo run``, checked as far as possible before a model is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.bundle import EXAMPLE
from zoo.cli._conditions import condition_from, rows_of, served
from zoo.errors import ConditionError, UsageError
from zoo.samplers.guidance import Guidance

if TYPE_CHECKING:
    from zoo.conditions import Condition, ConditionLike
    from zoo.models.sources import Facts, Source
    from zoo.runtime import Device

#: stands for stdout as the output, and for stdin as data
STDOUT = Path("-")
#: in bytes, leaving room for suffixes of temporary files below the 255 that file systems allow
_MAX_FILE_NAME = 150


@dataclass(frozen=True)
class Request:
    """The parsed command line; None for options that were not given."""

    n: int | None
    seed: int | None
    sampler: str | None
    steps: int | None
    guidance: float | None
    guidance_interval: str | None
    guidance_rescale: float | None
    negative: tuple[str, ...] | None
    compose: tuple[str, ...] | None
    init: Path | None
    strength: float | None
    temperature: float | None
    mask: Path | None
    encode: Path | None
    noise: Path | None
    interpolate: int | None
    previews: Path | None
    density: str | None
    stop_after: int | None
    resume: Path | None
    options: dict[str, Any]
    classes: tuple[str, ...]
    condition: tuple[str, ...]
    output: Path | None
    form: str | None
    log_prob: Path | None
    fused: bool
    provider: str
    batch_size: int | None
    threads: int | None
    gpu: int
    tf32: bool
    provider_options: dict[str, Any]
    force: bool
    engine: str | None = None
    workers: int | None = None
    shard_size: int | None = None
    example: bool | None = None

    @property
    def to_stdout(self) -> bool:
        """Whether the output is stdout."""
        return self.output == STDOUT

    @property
    def device(self) -> Device:
        """Where to run."""
        from zoo.runtime.device import Device

        options = {name: str(value) for name, value in self.provider_options.items()}
        return Device(self.provider, self.threads, index=self.gpu, tf32=self.tf32, options=options)

    def guided(self, weight: float) -> Guidance | None:
        """The guidance, with ``weight`` unless given; None if no guidance was requested."""
        if self.guidance is None and self.guidance_interval is None and self.guidance_rescale is None:
            return None
        interval = {} if self.guidance_interval is None else {"interval": _interval(self.guidance_interval)}
        chosen = weight if self.guidance is None else self.guidance
        return Guidance(chosen, rescale=self.guidance_rescale or 0.0, **interval)


#: options that start a run or change its course
_STARTING = ("init", "strength", "mask", "noise", "interpolate")
_GUIDING = ("guidance", "guidance_interval", "guidance_rescale", "negative", "compose", "temperature")
SAMPLING_ONLY = ("n", "sampler", *_GUIDING, *_STARTING, "encode", "previews", "density", "stop_after", "resume")
#: option -> options that it excludes
_EXCLUDED = {
    "encode": ("n", "seed", "sampler", *_GUIDING, *_STARTING, "previews", "density", "stop_after", "resume"),
    "resume": ("n", "seed", "sampler", "steps", *_GUIDING, *_STARTING, "condition", "example"),
    "interpolate": ("mask", "strength", "stop_after", "compose"),
    "compose": ("guidance", "guidance_interval", "guidance_rescale", "condition", "example"),
    "example": ("condition", "classes"),
    "noise": ("init", "temperature"),
    "init": ("temperature",),
    "stop_after": ("temperature",),
}


#: options whose data may come from stdin
PIPED = ("init", "mask", "encode", "noise", "log_prob")


def flag(name: str) -> str:
    """The spelling of an option."""
    return {"n": "-n", "classes": "--class"}.get(name, "--" + name.replace("_", "-"))


def check_request(request: Request) -> None:
    """Refuse incompatible options.

    Raises:
        UsageError: with two of them, or what is missing.
    """
    _check_exclusive(request)
    if request.fused:
        _check_fused(request)
    _check_edits(request)
    _check_files(request)
    request.guided(1.0)


def _check_exclusive(request: Request) -> None:
    if request.classes and request.condition:
        raise UsageError("--class and --condition exclude each other")
    if request.classes and request.compose:
        raise UsageError("--class and --compose exclude each other")
    for name, others in _EXCLUDED.items():
        if getattr(request, name) is None:
            continue
        for other in others:
            if getattr(request, other) not in (None, ()):
                raise UsageError(f"{flag(name)} and {flag(other)} exclude each other")
    if request.resume is not None and (request.classes or request.options):
        raise UsageError("--resume continues a run unchanged, so it takes neither --class nor -O")


def _check_fused(request: Request) -> None:
    chosen = ("sampler", "steps", *_GUIDING, *_STARTING, "encode", "previews", "stop_after", "resume", "log_prob")
    if refused := [flag(name) for name in chosen if getattr(request, name) is not None]:
        raise UsageError(f"--fused runs the exported sampler unchanged, so it takes no {', '.join(refused)}")
    if request.options:
        raise UsageError("--fused runs the exported sampler unchanged, so it takes no -O")


def _check_edits(request: Request) -> None:
    for name in ("strength", "mask"):
        if getattr(request, name) is not None and request.init is None:
            raise UsageError(f"{flag(name)} needs data to start from", hint="Give it with --init FILE.")
    if request.strength is not None and not 0 <= request.strength <= 1:
        raise UsageError(f"strength lies in [0, 1], from the given data to pure noise, not {request.strength}")


def _check_files(request: Request) -> None:
    from zoo.render.formats import is_picture

    piped = [name for name in PIPED if getattr(request, name) == STDOUT]
    if len(piped) > 1:
        raise UsageError(f"{' and '.join(map(flag, piped))} cannot both read stdin")
    if request.form is not None and not piped and not request.to_stdout and request.engine is None:
        raise UsageError("--format is for -, which has no extension", hint="A file has the format of its extension.")

    if request.stop_after is not None and (request.output is None or request.output.suffix != ".safetensors"):
        raise UsageError("--stop-after writes a state, so it needs -o with a file named .safetensors")
    if request.encode is not None and request.output is not None and request.output.suffix in (".png", ".csv"):
        raise UsageError("--encode writes noise, to a file named .npy, .npz or .safetensors")
    if request.previews is not None and request.previews.suffix != ".npy" and not is_picture(request.previews):
        raise UsageError(f"previews go to a .npy file or a picture, such as .png, not to {request.previews.name}")


def _interval(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--guidance-interval takes two noise levels LOW,HIGH, not {text!r}") from None
    return low, high


def condition_of(
    request: Request, facts: Facts, count: int | None = None, stored: ConditionLike = None
) -> tuple[int, ConditionLike]:
    """How many samples, and the condition array for them (None for a model without).

    ``count`` is how many there are unless ``-n`` says, ``stored`` the condition in the file of ``--init`` or
    ``--noise``.
    """
    n = count if request.n is None else request.n
    if request.compose:
        return _default_count(request, facts, in_turn=False) if n is None else n, None
    if n is None and request.condition and facts.condition is not None:
        n = rows_of(facts.condition, _read(facts.condition, request, facts))
    if n is None:
        n = _default_count(request, facts, in_turn=not request.classes)
    if facts.condition is None or request.classes or request.condition:
        return n, given_condition(request, facts, n, cycle=True)
    if stored is not None:
        return n, _checked(facts.condition, served(facts.condition, stored, n), n)
    try:
        return n, _checked(facts.condition, None, n)
    except ConditionError as error:
        error.hint = _missing_hint(facts)
        raise


def _missing_hint(facts: Facts) -> str:
    """How to give a condition to a model that needs one."""
    condition = facts.condition
    assert condition is not None
    if condition.plain:
        hint = f"--condition gives them: {condition.size} numbers with commas between, or a file."
    else:
        needed = next(part.name for part in condition.parts if part.required)
        hint = f"--condition {needed}=FILE, or a value, gives it."
    return f"{hint} --example takes the example that comes with the model." if facts.example else hint


def with_example(request: Request, source: Source, facts: Facts) -> Request:
    """A request of ``--example`` as one of ``--condition``.

    Raises:
        UsageError: the model has no bundle with an example.
    """
    if not facts.example or source.bundle is None:
        what = "takes no condition" if facts.condition is None else "comes without an example of its condition"
        raise UsageError(f"{facts.name} {what}", hint="`zoo export --example` adds one." if facts.condition else None)
    return replace(request, condition=(str(source.bundle / EXAMPLE),))


def _read(condition: Condition, request: Request, facts: Facts) -> ConditionLike:
    """What ``--condition`` stands for, before it is known for how many samples."""
    return condition_from(condition, request.condition, columns=facts.condition_columns)


def given_condition(request: Request, facts: Facts, n: int, *, cycle: bool = False) -> ConditionLike:
    """What ``--class`` or ``--condition`` stand for: an array, or values by the names of parts.

    With ``cycle`` several classes come in turn.
    """
    if not request.classes and not request.condition:
        return None
    if facts.condition is None:
        raise ConditionError(f"{facts.name} takes no condition")
    if request.condition:
        return _checked(facts.condition, served(facts.condition, _read(facts.condition, request, facts), n), n)
    labels = facts.condition.labels
    # a label may hold a comma itself
    names = [name for text in request.classes for name in ([text] if text in labels else text.split(","))]
    numbers = [facts.condition.index(name.strip()) for name in names]
    if cycle and len(numbers) > 1:
        numbers = [numbers[i % len(numbers)] for i in range(n)]
    return facts.condition.array(numbers if len(numbers) > 1 else numbers[0], n)


def _checked(condition: Condition, value: ConditionLike, n: int) -> ConditionLike:
    """A condition of ``n`` samples: the array of a class or a vector; of named parts the values, which are checked."""
    if condition.plain:
        return condition.array(value, n)
    condition.arrays(value, n)
    return value


def _default_count(request: Request, facts: Facts, *, in_turn: bool) -> int:
    from zoo.render.files import picture_of
    from zoo.render.formats import is_picture

    drawn = request.output is not None and is_picture(request.output)
    if picture_of(facts.event_shape) in ("scatter", "histogram"):
        return 1000
    if drawn and picture_of(facts.event_shape, facts.modality) == "pairs":
        return 1000
    c = facts.condition
    if c is not None and c.kind == "classes" and in_turn and c.size <= 16:
        return c.size * -(-16 // c.size)  # every class equally often
    return 16


def file_name(name: str) -> str:
    """A model's name as a file name; the name of a bundle may be too long for a file system."""
    kept = re.sub(r"[^\w.-]+", "_", name).encode()[:_MAX_FILE_NAME].decode(errors="ignore")
    return kept.strip("._") or "samples"
