"""Architecture ``cnf``: continuous normalizing flows of vectors.

Chen et al. 2018 (arXiv:1806.07366) and Grathwohl et al. 2019 (FFJORD, arXiv:1810.01367) train them by likelihood,
Finlay et al. 2020 (arXiv:2002.02798) with short and straight trajectories, Lipman et al. 2023 (arXiv:2210.02747) and
Tong et al. 2024 (arXiv:2302.00482) without integrating anything.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.models.contexts import ReceivedCondition, TensorCondition
from zoo.models.sharing import of_batch
from zoo.overriding import override
from zoo.training.pairing import paired
from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import Continuous, VelocityMLP
from zoo_flows.transforms.base import Direction
from zoo_flows.transforms.continuous import step_doubling_error
from zoo_flows.transforms.precision import lowered_conditioners
from zoo_flows.transforms.velocity import ACTIVATIONS

OBJECTIVES = {"flow-matching": True, "likelihood": False}
COUPLINGS = {"independent": False, "optimal-transport": True}


class CNF(Flow):
    """One differential equation dx/dt = f(x, t; context) from data to noise, whose f is any smooth network.

    Both directions take four evaluations of the network a step; a density carries d derivatives along. Samples and
    densities of the same model agree as far as the steps are short enough: see :meth:`integration_error`.
    Flow matching starts from N(0, I), and training by likelihood from any base.

    Args:
        shared: see :class:`~zoo_flows.config.Shared`.
        hidden: width of the network's hidden layers.
        layers: how many hidden layers.
        activation: ``"silu"``, ``"tanh"`` or ``"softplus"``.
        steps: Runge-Kutta steps from data to noise; a different number of steps is a different model with the same
            weights.
        objective: ``"flow-matching"``, regression to the velocities of straight lines between data and noise, which
            needs no integration; or ``"likelihood"``, which integrates, and differentiates the integral.
        coupling: of flow matching: which noise a line goes to, ``"independent"`` of the data, or by
            ``"optimal-transport"`` in the batch, which makes trajectories straighter.
        exact: the largest number of components whose divergence is exact in training by likelihood; above it it is
            estimated without bias. Evaluation is exact.
        kinetic: of likelihood: weight of the kinetic energy of a trajectory, per sample, relative to nats.
        jacobian: of likelihood: weight of the squared norm of the Jacobian along a trajectory, likewise.
    """

    @config.shared("logit", "base")
    def __init__(
        self,
        shared: config.Shared,
        *,
        hidden: int = 64,
        layers: int = 3,
        activation: str = "silu",
        steps: int = 32,
        objective: str = "flow-matching",
        coupling: str = "independent",
        exact: int = 16,
        kinetic: float = 0.0,
        jacobian: float = 0.0,
    ) -> None:
        size, context = shared.size, shared.context
        config.at_least(
            hidden=(hidden, 1),
            layers=(layers, 1),
            steps=(steps, 1),
            exact=(exact, 0),
            kinetic=(kinetic, 0),
            jacobian=(jacobian, 0),
        )
        config.one_of("activation", activation, ACTIVATIONS)
        matches = config.one_of("objective", objective, OBJECTIVES)
        pairs = config.one_of("coupling", coupling, COUPLINGS)
        if matches and (kinetic or jacobian):
            raise ConfigError("kinetic and jacobian regularise the likelihood objective, not flow matching")
        if matches and shared.base != "normal":
            raise ConfigError(f"flow matching starts from the base distribution 'normal', not {shared.base!r}")
        if pairs and not matches:
            raise ConfigError("the optimal-transport coupling applies only to the flow-matching objective")
        if pairs and shared.described is not None and shared.described.kind != "classes":
            what = "that is a vector" if shared.described.plain else "of named parts"
            raise ConfigError(
                f"the optimal-transport coupling pairs noise and data without regard to a condition {what}",
                hint='Leave coupling at "independent", or condition on classes, within which it pairs.',
            )
        network = VelocityMLP(size, context=context, hidden=hidden, layers=layers, activation=activation)
        super().__init__(
            transforms=[Continuous(network, steps=steps, exact=exact)],
            **shared.parts(),
        )
        self.matches, self.pairs = matches, pairs
        self.kinetic, self.jacobian = kinetic, jacobian

    @property
    def continuous(self) -> Continuous:
        """The only transform."""
        transform = self.transforms[0]
        assert isinstance(transform, Continuous)
        return transform

    @override
    def loss(self, x: Tensor, *, condition: TensorCondition = None) -> Tensor:
        """The objective of the config."""
        if self.matches:
            return self._matching(x, condition)
        if not self.kinetic and not self.jacobian:
            return super().loss(x, condition=condition)
        condition = self.dropped(condition, len(x))
        with lowered_conditioners(self.device):
            return self._regularised(x, condition)

    @torch.no_grad()
    @override
    def density_error(self, x: Tensor, condition: ReceivedCondition = None) -> Tensor:
        """Four times the change from taking twice the steps.

        Samples and densities integrate in opposite directions, each with an error of its own.
        """
        distance, nats = self._integration_error(x, self.context(condition), "forward")
        return 4.0 * (nats + self.size * distance)

    def integration_error(
        self, x: Tensor, *, condition: TensorCondition = None, direction: Direction = "forward"
    ) -> tuple[Tensor, Tensor]:
        """The integration error of the steps, see :func:`step_doubling_error`.

        Args:
            x: data ``[n, *event]``, or noise for the inverse.
            condition: as for :meth:`log_prob`.
            direction: ``"forward"``, as densities go, or ``"inverse"``, as samples do.

        Returns:
            estimates of the largest error of a component at the end, in standard deviations of the data, and of the
            log-density's, in nats; ``[n]`` each.
        """
        return self._integration_error(x, self.context(self.received_condition(condition, x.shape[0])), direction)

    def _integration_error(self, x: Tensor, context: Tensor | None, direction: Direction) -> tuple[Tensor, Tensor]:
        start = self._preprocessed(self.check_data(x), context)[0] if direction == "forward" else x.flatten(1)
        return step_doubling_error(self.continuous, start, context, direction=direction)

    def _matching(self, x: Tensor, condition: TensorCondition) -> Tensor:
        """E ‖f(x_t, t) - (ε - x)‖²/d with x_t = (1 - t)·x + t·ε (Lipman et al. 2023, eq. 23, whose time goes back).

        Times are one uniform offset and multiples of 1/n, which covers [0, 1] in every batch.
        """
        received = self.received_condition(self.dropped(condition, len(x)), x.shape[0])
        context = self.context(received)
        start, _ = self._preprocessed(self.check_data(x), context)
        noise = torch.randn_like(start)
        if self.pairs:
            noise = paired(noise, start, received)
        t = of_batch(len(start), lambda n: _times(n, start))
        at = start + t.unsqueeze(1) * (noise - start)
        velocity: Tensor = self.continuous.network(at, t, context)
        return (velocity - (noise - start)).square().mean()

    def _regularised(self, x: Tensor, condition: TensorCondition) -> Tensor:
        """-log p(x) + λ·∫‖f‖² + μ·∫‖∂f/∂x‖² (Finlay et al. 2020, eq. 16, times d)."""
        context = self.context(self.received_condition(condition, x.shape[0]))
        start, log_det = self._preprocessed(self.check_data(x), context)
        way = self.continuous.way(start, context)
        log_prob = self.base.log_prob(way.z, context) + way.log_det + log_det
        return (self.kinetic * way.kinetic + self.jacobian * way.frobenius - log_prob).mean()

    def _preprocessed(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Preprocessed data ``[n, d]``, and the log-determinant ``[n]`` of the preprocessing."""
        value, total = x.flatten(1), torch.zeros_like(x.flatten(1)[:, 0])
        for transform in self.preprocessing:
            value, log_det = transform(value, context)
            total = total + log_det
        return value, total


def _times(n: int, like: Tensor) -> Tensor:
    """``n`` times in [0, 1), 1/n apart, in the dtype and on the device of ``like``."""
    return (torch.rand_like(like[:1, 0]) + torch.arange(n, dtype=like.dtype, device=like.device) / n) % 1.0
