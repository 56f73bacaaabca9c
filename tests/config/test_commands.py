"""The root help and the commands about the configuration show every word of what they do."""

import pytest
from click.testing import CliRunner

from stibgate.cli import COMMANDS, cli


@pytest.mark.parametrize("words", [[], ["config"]], ids=["root", "config"])
def test_descriptions_are_whole(words):
    """On 80 columns each command has one line of help, and none is cut."""
    ran = CliRunner().invoke(cli, [*words, "-h"], terminal_width=80, catch_exceptions=False)
    listed = ran.output.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert len(listed) == (3 if words else len(COMMANDS)), ran.output
    assert not [line for line in listed if line.endswith("...") or line.startswith("   ")]


def test_help_names_the_three_places():
    """The root help says where a configuration is looked for."""
    shown = " ".join(CliRunner().invoke(cli, ["-h"]).output.split())
    assert "$STIBGATE_CONFIG, ./config.toml, /etc/stibgate/config.toml" in shown
