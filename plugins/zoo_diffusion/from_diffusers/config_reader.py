"""A config of which every key must be understood."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError

ANOTHER = (
    "With -I sampler=ddim, or another name, only the noise schedule is taken from it, and the sampler is genzoo's."
)
_TELLING = "Take the key out of the file if you know that the network was trained and is to be sampled without it."


class ConfigReader:
    """A scheduler's config, read with diffusers' defaults; errors name its file.

    It records which keys were read, and :meth:`finish` refuses a config with any others.
    """

    def __init__(self, config: Mapping[str, object], where: Path) -> None:
        self.config, self.where = config, where
        self.seen: set[str] = set()

    def __call__(self, name: str, default: Any) -> Any:
        """A value."""
        self.seen.add(name)
        return self.config.get(name, default)

    def refuse(self, name: str, why: str, hint: str = ANOTHER) -> ConfigError:
        """The error for an unsupported value."""
        return ConfigError(f"{self.where} has {name} {self.config.get(name)!r}, {why}", hint=hint)

    def number(self, name: str, default: float) -> float:
        """A number."""
        value = self(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.refuse(name, "which is not a number", hint="")
        return float(value)

    def whole(self, name: str, default: int, least: int) -> int:
        """A whole number."""
        value = self(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.refuse(name, f"not a whole number of {least} or more", hint="")
        return value

    def one_of(self, name: str, default: str, known: Mapping[str, object]) -> Any:
        """The value that a word stands for."""
        value = self(name, default)
        if not isinstance(value, str) or value not in known:
            raise ConfigError(
                f"{self.where} has {name} {value!r}; {', '.join(known)} can be imported",
                hint=ANOTHER if name not in ("beta_schedule", "prediction_type") else None,
            )
        return known[value]

    def none_of(self, **defaults: object) -> None:
        """Refuse values other than these, which are diffusers' defaults; it takes null, 0 and false for the same."""
        for name, default in defaults.items():
            value = self(name, default)
            if value != default and (default or value):
                raise self.refuse(name, "which no sampler of genzoo has")

    def unused(self, *names: str) -> None:
        """Ignore keys that have no effect given those read before."""
        self.seen.update(names)

    def finish(self, *, known: Collection[str], without_effect: Collection[str]) -> None:
        """Refuse a config with keys that were not read.

        Args:
            known: a sampler's keys, where the sampler is not taken from the config; else none.
            without_effect: keys that diffusers ignores.

        Raises:
            ConfigError: naming the keys.
        """
        for name in self.config:
            if name.startswith("_") or name in self.seen or name in known or name in without_effect:
                continue
            if name not in _OLD:
                raise ConfigError(
                    f"{self.where} has {name} {self.config[name]!r}, which genzoo does not know", hint=_TELLING
                )
            if not _OLD[name](self.config[name], self.config):
                raise self.refuse(name, "which diffusers itself no longer uses", hint=_TELLING)


#: keys that only the first versions of diffusers wrote, with the values that have no effect
_OLD: dict[str, Callable[[Any, Mapping[str, object]], bool]] = {
    "tensor_format": lambda value, config: value in ("pt", "np", None),
    "timestep_values": lambda value, config: value is None,
    "timesteps": lambda value, config: value == config.get("num_train_timesteps", 1000),
    # without prediction_type, the prediction is ε
    "predict_epsilon": lambda value, config: (
        value in (True, None) or config.get("prediction_type", "epsilon") == "sample"
    ),
}
