"""The list of built-in readers, which the plugin of data sets registers through the same hook as others."""

from __future__ import annotations

from zoo.registry.cards import DataReader


def readers() -> list[DataReader]:
    """Every reader of this package; a folder is read by the first that recognises it."""

    def of(name: str, summary: str, entry: str, *suffixes: str, recognises: str = "", needs: str = "") -> DataReader:
        return DataReader(
            name=name,
            summary=summary,
            entry=f"zoo.reading.formats.{entry}",
            suffixes=suffixes,
            recognises=f"zoo.reading.formats.{recognises}" if recognises else "",
            requires=(needs,) if needs else (),
        )

    return [
        of("delimited", "rows of a text file, with headings or without", "delimited:read", ".csv", ".tsv"),
        of("npy", "one NumPy array", "arrays:npy", ".npy"),
        of("npz", "NumPy arrays: samples and condition, or columns", "arrays:npz", ".npz"),
        of("safetensors", "tensors: samples and condition, or columns", "arrays:safetensors", ".safetensors"),
        of("parquet", "a table with typed columns", "columnar:parquet", ".parquet", needs="pyarrow"),
        of("arrow", "a table with typed columns", "columnar:arrow", ".arrow", ".feather", needs="pyarrow"),
        of("lines", "a text file with one sample per line", "texts:read", ".txt"),
        of(
            "huggingface",
            "a folder of Hugging Face datasets: a table, or pictures",
            "huggingface:read",
            recognises="huggingface:recognises",
            needs="pyarrow",
        ),
        of(
            "shards",
            "a folder of samples that `zoo run --engine` wrote",
            "shards:read",
            recognises="shards:recognises",
        ),
        of("recordings", "a folder of recordings", "recordings:read", recognises="recordings:recognises"),
        of("pictures", "a folder of pictures", "pictures:read", recognises="pictures:recognises"),
    ]
