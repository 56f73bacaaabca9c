"""Relative paths mean the same wherever the command is run."""

from stibgate.config import load


def test_relative_to_the_file(tmp_path, whole, monkeypatch):
    """Relative paths are taken from the folder of the file, not from the working folder."""
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "config.toml").write_text(whole)
    monkeypatch.chdir(tmp_path)
    settings = load((tmp_path / "etc/config.toml").relative_to(tmp_path), environ={}).settings
    assert settings.storage.path == folder / "data/stibgate.db"
    assert settings.storage.url == f"sqlite:///{folder}/data/stibgate.db"
    assert settings.sinks["drop"].dir == folder / "drops"


def test_absolute(write, whole):
    """Absolute paths stay as they are; four slashes begin one in `storage.url`."""
    text = whole.replace('"drops"', '"/srv/drops"') + '[storage]\nurl = "sqlite:////srv/x.db"\n'
    settings = load(write(text), environ={}).settings
    assert settings.storage.url == "sqlite:////srv/x.db"
    assert str(settings.storage.path) == "/srv/x.db"
    assert str(settings.sinks["drop"].dir) == "/srv/drops"
