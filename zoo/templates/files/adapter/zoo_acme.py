"""acme_flows for genzoo: what of it samples, what scores, and what cannot be traced as it stands."""

import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_adapters():
    return [
        zoo.Adapter(
            name="acme",
            classes=("acme_flows.TriangularFlow",),
            entry="zoo_acme:wrapped",
            instance="zoo_acme:small",
        )
    ]


def wrapped(flow, event_shape, context):
    # here, so that `zoo list` imports neither torch nor the library
    import acme_flows
    import torch

    from zoo.models.interface import Noise
    from zoo.models.mending import replaced, symbolic_len

    class AcmeFlow(zoo.Wrapped):
        def own_event_shape(self):
            return (self.flow.size,)

        @property
        def noises(self):
            return (Noise("u", self.event_shape, "uniform"),)

        def from_noise(self, noise, condition=None):
            # the library's base is a Laplace distribution, drawn here by its quantile function
            u = noise["u"] - 0.5
            return -u.sign() * torch.log1p(-2 * u.abs())

        def inverse(self, z, condition=None):
            return self.flow.generate(z, self.context_of_flow(condition))

        def log_density(self, x, condition=None):
            return self.flow.log_likelihood(x, self.context_of_flow(condition))

        def mended(self):
            return replaced(*symbolic_len(acme_flows))

    return AcmeFlow(flow, event_shape, context)


def small():
    """Arguments of zoo.wrap with a small model, to check."""
    import acme_flows

    return {"model": acme_flows.TriangularFlow(3, 2), "context": 2}
