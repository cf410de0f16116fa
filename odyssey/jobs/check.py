"""Puts the rows of a plug-in to the contracts of their tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odyssey.errors import ConfigError

if TYPE_CHECKING:
    from odyssey.contracts.finding import Finding


@dataclass(frozen=True)
class CheckedPlugin:
    """What the contracts say of a plug-in.

    Attributes:
        plugin: Its file or module, as it was named.
        sha256: Its digest; empty where it could not be loaded.
        findings: One a row and check, in the order of the tables.
    """

    plugin: str
    sha256: str
    findings: tuple[Finding, ...]

    @property
    def passes(self) -> bool:
        """Whether nothing is wrong; what is missing is optional."""
        return not self.wrong

    @property
    def wrong(self) -> list[Finding]:
        """What is wrong."""
        return [f for f in self.findings if f.verdict == "wrong"]

    @property
    def missing(self) -> list[Finding]:
        """What is optional and not there."""
        return [f for f in self.findings if f.verdict == "missing"]

    @property
    def rows(self) -> dict[tuple[str, str], list[Finding]]:
        """The findings by table and row; under empty names those of the plug-in itself."""
        found: dict[tuple[str, str], list[Finding]] = {}
        for finding in self.findings:
            found.setdefault((finding.table, finding.row), []).append(finding)
        return found

    def data(self) -> dict[str, Any]:
        """Gives it as plain data."""
        return {
            "plugin": self.plugin,
            "sha256": self.sha256,
            "passes": self.passes,
            "findings": [asdict(finding) for finding in self.findings],
        }


def check_plugin_file(plugin: str | Path) -> CheckedPlugin:
    """Loads a plug-in into this process and checks every row of it.

    Args:
        plugin: Its file, or the dotted name of its module.

    Returns:
        What was found; a plug-in that cannot be loaded has one finding, which says why.
    """
    from odyssey.contracts.finding import Finding
    from odyssey.contracts.plugin import check_plugin
    from odyssey.plugins import load

    try:
        source = load(plugin)
    except ConfigError as error:
        failed = Finding("", "", "loads", "wrong", str(error))
        return CheckedPlugin(str(plugin), "", (failed,))
    loads = Finding("", "", "loads", "ok")
    return CheckedPlugin(str(plugin), source.sha256, (loads, *check_plugin(source)))
