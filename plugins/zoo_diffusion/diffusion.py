"""The diffusion model: a network seen through its denoiser, over a Gaussian path."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.arrays import Array
from zoo.conditions import Condition
from zoo.density import Density
from zoo.errors import ConfigError, UsageError
from zoo.likelihood import LogDensity, default_probes
from zoo.models.calls import called
from zoo.models.contexts import ReceivedCondition, TensorCondition, needs_gradient
from zoo.models.encoders import ConditionEncoder
from zoo.overriding import override
from zoo.paths import GaussianPath, path_from, require_gaussian
from zoo.programs import Integrate, Iterate, Programs
from zoo.samplers.consistency import CONSISTENCY
from zoo_diffusion import variance
from zoo_diffusion.codec import LatentCodec
from zoo_diffusion.conditioning import evaluated
from zoo_diffusion.graphs import GaussianStep, divergence_graph, step_graph
from zoo_diffusion.objectives import Objective, drop_condition
from zoo_diffusion.prediction import DATA_STD, Prediction, check_prediction, denoised, network_input, target
from zoo_diffusion.scoring import OdeScorer
from zoo_diffusion.settings import check_output, check_settings, checked_parts, output_shape, sampling_defaults
from zoo_diffusion.stepped import SteppedModel, as_numpy, tensor_of


class Diffusion(SteppedModel):
    """A diffusion model around any network ``(x [n, *event], time [n], condition) -> [n, *event]``.

    The network works on states (x - shift) / scale, which should lie about in [-1, 1]; everything that users see is
    in data units. Public as ``zoo.Diffusion``; docs/diffusion.md has the contract of the network, with an example.

    Args:
        network: the network.
        event_shape: shape of one sample.
        condition: classes, or a vector, which the network sees standardised; or None. Classes that are not required get
            a null class, numbered last, that replaces the class of a tenth of the training samples: as
            classifier-free guidance needs (Ho & Salimans 2022).
        encoder: of named parts, for a network that :func:`zoo_diffusion.conditioning.evaluated` can call; None for a
            network that takes them, or what a subclass encodes them as, as a mapping.
        path: the Gaussian path, by name or description.
        prediction: what the network predicts.
        shift: data units of state 0.
        scale: data units of one unit of state.
        data_min: samples are clipped to [data_min, data_max], and so is the denoised sample at every step; or None.
        data_max: see ``data_min``.
        clip_denoised: whether the denoised sample is bounded at every step: by the range of the data if True, or by
            this number in state units; samples are clipped at the end all the same.
        class_dropout: probability that training hides the class, or all named parts at once, which their nulls then
            replace. Parts are hidden one by one as their ``conditioning`` says.
        data_std: standard deviation of the data in state units, which prediction ``edm`` assumes.
        variance: ``"fixed"``, or ``"learned-range"`` for a network with twice the channels, whose second half
            interpolates the variance of sampler ``ddpm`` within its range (Nichol & Dhariwal 2021, section 3.1).
        objective: weighting, times and coupling of training, see :mod:`zoo_diffusion.objectives`.
        codec: a codec between data and latents, to which shift, scale and range then apply; None diffuses the data
            itself.
        likelihood: whether it is exported with its likelihood, whose graph takes forward-mode derivatives of the
            network; without, the model only samples, and its density is ``"none"``.
        sampling: defaults of ``sampler``, ``steps`` and ``guidance``. A model whose default sampler is ``consistency``
            or ``lcm`` is a consistency model: D predicts the end point of another model's ODE, not the expectation of
            the data. It is distilled (:mod:`zoo_diffusion.distillation`), and has no likelihood.

    Attributes:
        consistency: whether it is a consistency model.
    """

    family: ClassVar[str] = "diffusion"
    density: Density = "estimate"

    def __init__(
        self,
        network: nn.Module,
        event_shape: tuple[int, ...],
        *,
        condition: Condition | None = None,
        encoder: ConditionEncoder | None = None,
        path: str | Mapping[str, object] = "cosine-log-snr",
        prediction: str = "v",
        shift: float = 0.0,
        scale: float = 1.0,
        data_min: float | None = None,
        data_max: float | None = None,
        clip_denoised: bool | float = True,
        class_dropout: float = 0.1,
        data_std: float = DATA_STD,
        variance: str = "fixed",
        objective: Mapping[str, Any] | None = None,
        codec: LatentCodec | None = None,
        likelihood: bool = True,
        sampling: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        check_settings(
            scale=scale,
            data_min=data_min,
            data_max=data_max,
            clip_denoised=clip_denoised,
            data_std=data_std,
            variance=variance,
            likelihood=likelihood,
        )
        self.network, self.event_shape, self.codec = network, checked_parts(network, event_shape), codec
        self.state_shape = self.event_shape if codec is None else codec.latent_shape
        self.condition_on(condition, encoder)
        self.path: GaussianPath = require_gaussian(path_from(path))
        self.prediction: Prediction = check_prediction(prediction, self.path)
        self.shift, self.scale, self.clip_denoised = shift, scale, clip_denoised
        self.data_min, self.data_max = data_min, data_max
        self.class_dropout, self.data_std, self.learned_variance = class_dropout, data_std, variance == "learned-range"
        self.objective = Objective.from_config(objective)
        self.sampling = Iterate(
            "step",
            path=self.path.describe(),
            shift=shift,
            scale=scale,
            data_min=data_min,
            data_max=data_max,
            clip=self.state_clip,
            null_class=self.null_class,
            learned_variance=self.learned_variance,
            encoder=None if codec is None else "encoder",
            decoder=None if codec is None else "decoder",
            unclipped_column=True,
            **sampling_defaults(sampling or {}),
        )
        self.consistency, self.likelihood = self.sampling.sampler in CONSISTENCY, likelihood
        if self.consistency or not likelihood or not (codec is None or codec.reversible):
            self.density = "none"
        self._check_condition()

    def _check_condition(self) -> None:
        """Refuse guidance and a coupling that do not go with the condition.

        Raises:
            ConfigError: there is nothing to guide away from, or the coupling ignores the condition.
        """
        if self.sampling.guidance != 1.0 and not self.guides:
            raise ConfigError("guidance needs a null class (classes that are not required) or a null for every part")
        if self.objective.coupling != "independent" and self.condition is not None and not self.condition.plain:
            raise ConfigError("the optimal-transport coupling pairs noise and data without regard to named parts")

    @property
    def state_clip(self) -> float | None:
        """Bound on the denoised state, or None."""
        if not isinstance(self.clip_denoised, bool):
            return float(self.clip_denoised)
        if not self.clip_denoised:
            return None
        if self.data_min is None or self.data_max is None:
            return None
        return max(abs(self.data_min - self.shift), abs(self.data_max - self.shift)) / self.scale

    def predict(
        self, x: Tensor, time: Tensor, alpha: Tensor, sigma: Tensor, condition: ReceivedCondition
    ) -> tuple[Tensor, Tensor | None]:
        """The network's outputs: its prediction, and the position of the variance within its range, in [0, 1].

        Args:
            x: state ``[n, *event]``.
            time: the network's time, scalar or ``[n]``.
            alpha: α, scalar or one for each sample, as σ is; they broadcast against ``x``.
            sigma: σ.
            condition: ``[n]`` or ``[n, d]``, or None.

        Returns:
            both ``[n, *event]``; the second is None unless the variance is learned.
        """
        shown = network_input(self.prediction, x, alpha, sigma, self.data_std)
        return self._parts(self._called(shown, time.expand(x.shape[0]), condition))

    def _called(self, shown: Tensor, time: Tensor, condition: Any) -> Tensor:
        """The network's output for its input ``[n, *event]`` at times ``[n]``."""
        if self.encoder_module is not None:
            return evaluated(self.network, self.encoder_module, shown, time, condition)
        return called(
            self.network, (shown, time, self.context(condition)), output_shape(self.state_shape, self.learned_variance)
        )

    def _parts(self, output: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor | None]:
        """The prediction, and the share of the variance's range unless it is fixed."""
        check_output(output, self.state_shape, learned_variance=self.learned_variance)
        output = output if dtype is None else output.to(dtype)
        if not self.learned_variance:
            return output, None
        output, where = output.chunk(2, dim=1)
        # Nichol & Dhariwal 2021, eq. 15, with v = (output + 1)/2 as in their code
        return output, (where + 1) / 2

    def denoised(self, output: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """D from the network's prediction, ``[n, *event]``."""
        return denoised(self.prediction, output, x, alpha, sigma, self.data_std)

    def denoise(self, x: Tensor, time: Tensor, alpha: Tensor, sigma: Tensor, condition: ReceivedCondition) -> Tensor:
        """D(x, t), the expected clean state; arguments as for :meth:`predict`."""
        return self.denoised(self.predict(x, time, alpha, sigma, condition)[0], x, alpha, sigma)

    # -- training ---------------------------------------------------------------------------------------------------

    def loss(self, x: Tensor, *, condition: TensorCondition = None, noise: Tensor | None = None) -> Tensor:
        """Weighted mean squared error of the prediction, see :mod:`zoo_diffusion.objectives`. Noise comes from torch.

        A learned variance adds its terms of the variational bound (Nichol & Dhariwal 2021, eq. 16; see
        :mod:`zoo_diffusion.variance`).

        Args:
            x: data ``[n, *event]``.
            condition: int ``[n]`` or float ``[n, d]``, or None.
            noise: standard normal ``[n, *event]`` that belongs to the data; None draws it.

        Raises:
            ConfigError: a consistency model, which is distilled.
        """
        n = len(self.check_data(x))
        if self.consistency:
            raise ConfigError(
                "a consistency model has no loss to be trained by: it is distilled",
                hint='Give the recipe a table [distillation] with method = "consistency".',
            )
        state = (self.encoded(x)[0] - self.shift) / self.scale
        t = self.objective.draw_times(n, self.path)
        alpha, sigma = self._levels(t, x)
        time = torch.from_numpy(self.path.network_time(t)).to(x)
        if self.takes_parts:
            eps = torch.randn_like(state) if noise is None else noise
            condition = self._encoded(self.hidden(self.condition_tensors(condition, n), self.class_dropout))
        else:
            condition = self.condition_tensor(condition, n)
            eps = self.objective.paired(torch.randn_like(state), state, condition) if noise is None else noise
            condition = drop_condition(condition, self.null_class, self.class_dropout)
        noisy = alpha * state + sigma * eps
        shown = network_input(self.prediction, noisy, alpha, sigma, self.data_std)
        output, where = self._parts(self._called(shown, time, condition), state.dtype)
        errors = (output - target(self.prediction, state, eps, alpha, sigma, self.data_std)).square()
        loss = (self.objective.weights(self.prediction, self.path, alpha, sigma, self.data_std) * errors).mean()
        if where is None:
            return loss
        before = self._levels(np.maximum(t - 1.0 / variance.STEPS, self.path.t_min), x)
        d = self.denoised(output, noisy, alpha, sigma).detach()
        return loss + variance.bound(state, d, where, before, (alpha, sigma))

    @override
    def blocks(self) -> Sequence[nn.Module]:
        lists = [each for each in self.network.modules() if isinstance(each, nn.ModuleList)]
        # those within others first
        parts = [part for each in reversed(lists) for part in each if type(part).forward is not nn.Module.forward]
        return [part for part in parts if next(part.parameters(), None) is not None]

    def _levels(self, t: NDArray[np.float64], x: Tensor) -> tuple[Tensor, Tensor]:
        """α and σ at times ``[n]``, as tensors that broadcast against ``x``."""
        alpha, sigma = self.path.alpha_sigma(t)
        shape = (len(t), *[1] * len(self.state_shape))
        return torch.from_numpy(alpha).to(x).reshape(shape), torch.from_numpy(sigma).to(x).reshape(shape)

    # -- sampling ---------------------------------------------------------------------------------------------------

    @override
    def step_module(self) -> GaussianStep:
        return GaussianStep(self)

    def encode(
        self, x: Tensor, *, condition: TensorCondition = None, steps: int | None = None, order: int = 2
    ) -> Tensor:
        """The noise ``[n, *state_shape]`` from which deterministic sampling gives ``x``: the inverse of
        ``sample(noise=...)``.

        Args:
            x: data ``[n, *event_shape]``.
            condition: as for :meth:`log_prob`.
            steps: steps of the ODE, see :func:`zoo.samplers.inversion`.
            order: 1 or 2.
        """
        n = len(self.check_data(x))
        self.scorer.check_ode("encode")
        received = (
            self.state_condition(condition, n) if self.takes_parts else as_numpy(self.scorer.condition(condition, n))
        )
        noise = self.sampler.encode(as_numpy(x), condition=received, steps=steps, order=order)
        return torch.from_numpy(noise).to(self.device)

    def _latents(self, x: Array) -> Array:
        if self.codec is None:
            return x
        latents: Array = as_numpy(self.encoded(tensor_of(x).to(self.device, self.dtype))[0])
        return latents

    def _data(self, latents: Tensor) -> Tensor:
        return latents if self.codec is None else self.codec.decode(latents.to(self.dtype))

    @override
    def prepare(self, x: Tensor, condition: Tensor | None = None) -> None:
        super().prepare(x, condition)
        if self.codec is not None:
            self.codec.prepare(self.check_data(x))

    # -- scoring ----------------------------------------------------------------------------------------------------

    @property
    def scorer(self) -> OdeScorer:
        """Scores data."""
        return OdeScorer(self)

    def log_prob(
        self,
        x: Tensor,
        *,
        condition: TensorCondition = None,
        steps: int = 32,
        probes: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Tensor:
        """Log-density by the probability-flow ODE; see :mod:`zoo.likelihood`.

        Args:
            x: data ``[n, *event]``.
            condition: classes or vectors; None scores under the null class, if there is one.
            steps: Runge-Kutta steps of four evaluations each.
            probes: Rademacher probes averaged for each sample's trace, or 0 for the exact trace, which costs as many
                evaluations as dimensions; None is exact for few dimensions.
            seed: key of the probes.
            options: none are accepted.

        Returns:
            ``[n]``, nats, in data units: unbiased over probes up to the error of the steps. Where ``x`` or a condition
            that is a tensor requires a gradient, the result is differentiable, through every step.
        """
        if options:
            raise UsageError(f"this model has no option {', '.join(sorted(options))}")
        return self.scorer.log_prob(x, condition, steps, probes, seed)

    def log_prob_with_errors(
        self, x: Tensor, *, condition: TensorCondition = None, steps: int = 32, probes: int | None = None, seed: int = 0
    ) -> LogDensity:
        """The log-density with error estimates; arguments as for :meth:`log_prob`."""
        return self.scorer.log_prob_with_errors(x, condition, steps, probes, seed)

    def elbo(
        self, x: Tensor, *, condition: TensorCondition = None, steps: int = 1000, terms: int = 100, seed: int = 0
    ) -> Tensor:
        """A lower bound of the log-density under ancestral sampling, see :mod:`zoo.likelihood.bound`.

        Args:
            x: data ``[n, *event]``.
            condition: as for :meth:`log_prob`.
            steps: of the chain.
            terms: number of steps to evaluate; the others are estimated from them.
            seed: key of the noise.

        Returns:
            ``[n]``, nats, in data units.
        """
        return self.scorer.bound(x, condition, steps, terms, seed)

    def encoded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data ``[n, *event]`` as states ``[n, *state_shape]``, and log |det| ``[n]`` of the Jacobian."""
        if self.codec is None:
            return x, torch.zeros_like(x.flatten(1)[:, 0])
        with torch.set_grad_enabled(needs_gradient(x)):
            return self.codec.encode(x)

    # -- export -----------------------------------------------------------------------------------------------------

    def programs(self) -> Programs:
        """Graphs ``step``, for every sampler, ``divergence``, for a likelihood if there is one, and the codec's."""
        coders = () if self.codec is None else self.codec.graphs(self.event_shape)
        encoder = self.condition_graph()
        others = coders if encoder is None else (*coders, encoder)
        step = step_graph(self, self.step_module(), unclipped_column=self.sampling.unclipped_column)
        sampling = self.sampling if encoder is None else replace(self.sampling, condition_encoder=encoder.name)
        if self.density == "none":
            return Programs(graphs=(step, *others), sample=sampling)
        return Programs(
            graphs=(step, divergence_graph(self), *others),
            sample=sampling,
            log_prob=Integrate(
                "divergence",
                path=self.path.describe(),
                shift=self.shift,
                scale=self.scale,
                null_class=self.null_class,
                probes=default_probes(math.prod(self.state_shape)),
                encoder=self.sampling.encoder,
                condition_encoder=sampling.condition_encoder,
            ),
        )
