"""The admin token lies beside the store, for its owner only; it is made once, and only by who serves."""

import pytest

from stibgate.app.token import admin_token, known_token, token_path
from stibgate.errors import PermissionRefused


def test_it_is_made_once_for_its_owner_alone(tmp_path):
    """The first start makes it, 0600, and every later one finds the same; nothing else is left behind."""
    store = tmp_path / "stibgate.db"
    token = admin_token(store)
    assert admin_token(store) == known_token(store) == token
    assert token_path(store).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["stibgate.db.admin-token"]


def test_two_stores_have_two_tokens(tmp_path):
    """The token of one store is not that of another, even in the same folder."""
    assert admin_token(tmp_path / "a.db") != admin_token(tmp_path / "b.db")


@pytest.mark.parametrize("left", [b"", b"short", b"\xff" * 40, b"a b " * 20, b"x" * 2000], ids=len)
def test_what_is_no_token_is_replaced_by_who_serves(tmp_path, left):
    """A file that a crash or somebody left is no token: a start writes it anew, a command says so and leaves it."""
    store = tmp_path / "stibgate.db"
    token_path(store).write_bytes(left)
    with pytest.raises(PermissionRefused, match="no admin token"):
        known_token(store)
    assert token_path(store).read_bytes() == left
    token = admin_token(store)
    assert known_token(store) == token


def test_a_command_makes_none(tmp_path):
    """A token that a command made would not be the running service's: where there is none, it is refused."""
    with pytest.raises(PermissionRefused) as raised:
        known_token(tmp_path / "stibgate.db")
    assert "restart" in raised.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ask", [admin_token, known_token])
def test_what_cannot_be_read_is_a_matter_of_permission(tmp_path, ask):
    """Anything in the way of the file names the file and whose it must be."""
    token_path(tmp_path / "stibgate.db").mkdir()
    with pytest.raises(PermissionRefused, match="admin-token"):
        ask(tmp_path / "stibgate.db")


def test_no_folder_is_a_matter_of_permission(tmp_path):
    """A token that cannot be written is told as such."""
    with pytest.raises(PermissionRefused, match="No such file"):
        admin_token(tmp_path / "nowhere" / "stibgate.db")
