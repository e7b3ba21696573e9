"""A command whose help lists its options in sections, for those that have many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class SectionedCommand(click.Command):
    """A command with options in sections; those that no section names come last, as options."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        left = {str(each.name): each for each in options if each.get_help_record(ctx) is not None}
        sections = {
            title: [left.pop(name) for name in names if name in left] for title, names in self._sections.items()
        }
        sections["Other options"] = list(left.values())
        for title, listed in sections.items():
            records = [record for each in listed if (record := each.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
