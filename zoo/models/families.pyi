"""The classes of families, as far as the host knows them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.models.interface import DirectModel, GenerativeModel
from zoo.programs import Programs

class Diffusion(GenerativeModel):
    network: nn.Module
    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], *, condition: Condition | None = None, **settings: Any
    ) -> None: ...
    def sample(self, n: int, *, condition: Any = None, seed: int | None = None, **options: Any) -> Tensor: ...
    def programs(self) -> Programs: ...

class Flow(DirectModel):
    def __init__(
        self,
        event_shape: Sequence[int],
        preprocessing: Iterable[nn.Module],
        transforms: Iterable[nn.Module],
        *,
        condition: Condition | None = None,
        **settings: Any,
    ) -> None: ...
    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor: ...
    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor: ...

def denoiser(
    net: nn.Module,
    *,
    event_shape: Sequence[int],
    convention: str | None = None,
    path: str | Mapping[str, object] | None = None,
    betas: Any = None,
    prediction: str | None = None,
    time: str | tuple[float, float] | None = None,
    arguments: str | Sequence[str] | Mapping[str, str] | None = None,
    time_shape: str | None = None,
    labels: str | None = None,
    condition: Condition | None = None,
    variance: str | None = None,
    sampling: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Diffusion: ...
