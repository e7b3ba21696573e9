import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_metrics():
    return [
        zoo.Metric(
            name="coverage",
            summary="share of held-out data with a sample nearby",
            entry="zoo_coverage.coverage:coverage",
        )
    ]
