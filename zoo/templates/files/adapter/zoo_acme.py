"""The hook, which imports neither torch nor the library."""

import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_adapters():
    return [
        zoo.Adapter(
            name="acme",
            classes=("acme_flows.TriangularFlow",),
            entry="acme_adapter:AcmeFlow",
            instance="acme_adapter:small",
        )
    ]
