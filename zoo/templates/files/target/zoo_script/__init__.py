import zoo

zoo_api = 1


@zoo.hookimpl
def zoo_exporters():
    return [
        zoo.Exporter(
            name="script",
            summary="one short script for models of one call without a condition",
            entry="zoo_script.script:pack",
            verify="zoo_script.script:verify",
            packs=True,
            requires=("onnxruntime",),
        )
    ]
