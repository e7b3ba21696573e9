"""The classes of families, as far as the host knows them."""

from collections.abc import Iterable, Mapping, Sequence

from numpy.typing import ArrayLike
from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.models.contexts import TensorCondition
from zoo.models.interface import DirectModel, GenerativeModel
from zoo.programs import Programs
from zoo.samplers.options import SampleArgument

class Diffusion(GenerativeModel):
    network: nn.Module
    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], *, condition: Condition | None = None, **settings: object
    ) -> None: ...
    def sample(
        self, n: int, *, condition: TensorCondition = None, seed: int | None = None, **options: SampleArgument
    ) -> Tensor: ...
    def programs(self) -> Programs: ...

class Flow(DirectModel):
    def __init__(
        self,
        event_shape: Sequence[int],
        preprocessing: Iterable[nn.Module],
        transforms: Iterable[nn.Module],
        *,
        condition: Condition | None = None,
        **settings: object,
    ) -> None: ...
    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor: ...
    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor: ...

def denoiser(
    net: nn.Module,
    *,
    event_shape: Sequence[int],
    convention: str | None = None,
    path: str | Mapping[str, object] | None = None,
    betas: ArrayLike | Tensor | None = None,
    prediction: str | None = None,
    time: str | tuple[float, float] | None = None,
    arguments: str | Sequence[str] | Mapping[str, str] | None = None,
    time_shape: str | None = None,
    labels: str | None = None,
    condition: Condition | None = None,
    variance: str | None = None,
    sampling: Mapping[str, object] | None = None,
    **settings: object,
) -> Diffusion: ...
