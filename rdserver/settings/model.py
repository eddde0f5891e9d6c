"""
How a setting is stated: once, where its field is declared.

Flags, variables, files and ``docs/settings.md`` are derived from what is said there.
Nothing here reads any of them.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs
from attrs import evolve, frozen

from rdserver.settings.kinds import Kind

PREFIX = "RDSERVER_"
_METADATA = "rdserver.setting"

UsedBy = Literal["ID server", "relay", "both"]


@frozen(kw_only=True)
class Setting:
    """
    All that is known about one setting.

    :ivar field: its attribute of ``Config``.
    :ivar name: its long flag and its name in files, lower case with dashes.
    :ivar kind: what its value must look like.
    :ivar meaning: the sentence or two of the help; no full stop at the end.
    :ivar shown_default: the default as a reader is told it, with its unit.
    :ivar unit: the unit of the value, empty when it has none.
    :ivar short: its one-letter flag, if it has one.
    :ivar used_by: the role that reads it.
    :ivar ours: not known to the original; prefixed in the environment, so that a common
        word such as ROLE, set for something else, changes nothing here.
    :ivar lenient: a wrong value is ignored with a warning, as the original ignores it.
    :ivar without_effect: read so that old start scripts work, and used for nothing.
    :ivar complaint: goes before the sentence that refuses a value.
    :ivar command_line_only: files and variables do not set it.
    :ivar secret: messages do not repeat its value.
    """

    field: str
    name: str
    kind: Kind
    meaning: str
    shown_default: str
    unit: str
    short: str | None
    used_by: UsedBy
    ours: bool
    lenient: bool
    without_effect: bool
    complaint: str
    command_line_only: bool
    secret: bool

    @property
    def variable(self) -> str:
        """Its name in the environment and in ``.env``, in the usual spelling."""
        plain = self.name.upper().replace("-", "_")
        return PREFIX + plain if self.ours else plain

    @property
    def needs(self) -> str:
        """What a value must be, with the unit: completes "it must be ..."."""
        return f"{self.kind.needs} ({self.unit})" if self.unit else self.kind.needs


def setting(
    kind: Kind,
    default: object,
    meaning: str,
    *,
    shown_default: str | None = None,
    name: str = "",
    unit: str = "",
    short: str | None = None,
    used_by: UsedBy = "both",
    ours: bool = False,
    lenient: bool = False,
    without_effect: bool = False,
    complaint: str = "",
    command_line_only: bool = False,
    secret: bool = False,
) -> Any:
    """
    A field of ``Config`` together with everything there is to say about it.

    ``default`` may be an ``attrs.Factory``; it then needs a ``shown_default``.
    """
    stated = Setting(
        field="",
        name=name,
        kind=kind,
        meaning=meaning,
        shown_default=shown_default or f"{default} {unit}".rstrip(),
        unit=unit,
        short=short,
        used_by=used_by,
        ours=ours,
        lenient=lenient,
        without_effect=without_effect,
        complaint=complaint,
        command_line_only=command_line_only,
        secret=secret,
    )
    return attrs.field(default=default, repr=not secret, metadata={_METADATA: stated})


def settings_of(config: type[attrs.AttrsInstance]) -> tuple[Setting, ...]:
    """The settings stated in ``config``, in the order of its fields."""
    return tuple(
        _named(field.metadata[_METADATA], field.name)
        for field in attrs.fields(config)
        if _METADATA in field.metadata
    )


def _named(stated: Setting, field: str) -> Setting:
    return evolve(stated, field=field, name=stated.name or field.replace("_", "-"))
