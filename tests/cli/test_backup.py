"""`db backup` and `db restore` beside a real service, as an operator uses them."""

import stat
import threading

import pytest

from tests.e2e.gateway import Gateway, configure, dropped, people_of, push_body

pytestmark = pytest.mark.e2e


def test_a_backup_under_load_is_restored_and_served(tmp_path):
    """What was acknowledged before a backup began is in it, and is served, whole, once it was restored."""
    pushed, going = {}, threading.Event()
    with Gateway(configure(tmp_path)) as gateway:

        def load():
            for serial in range(1000):
                if going.is_set():
                    break
                body = push_body(2, serial=serial)
                answer = gateway.push(body)
                assert answer.status == 202
                pushed[answer.json["delivery_id"]] = people_of(body)

        sender = threading.Thread(target=load)
        sender.start()
        while len(pushed) < 20:
            sender.join(0.01)
        before = set(pushed)
        (made,) = gateway.rows("db", "backup", "--to", "copies")
        going.set()
        sender.join()
        refused = gateway.run("db", "restore", made["path"], "--yes")
        assert "uses the store" in refused.complaint(75)
        (seen,) = gateway.rows("db", "restore", made["path"], "--dry-run")
        assert (seen["dry_run"], seen["kept"], seen["deliveries"]) == (True, None, made["deliveries"])
        gateway.settled()
        all_there = {one["delivery_id"] for one in gateway.rows("deliveries", "list", "--limit", 10_000)}
        assert gateway.stop() == 0

        (done,) = gateway.rows("db", "restore", made["path"], "--yes")
        assert stat.S_IMODE((tmp_path / "data/stibgate.db").stat().st_mode) == 0o600
        gateway.checked()
        found = {one["delivery_id"] for one in gateway.rows("deliveries", "list", "--limit", 10_000)}
        assert before <= found < all_there == set(pushed)
        kept = {"STIBGATE_STORAGE__URL": f"sqlite:///{done['kept']}"}
        aside = Gateway(gateway.config, env=kept).rows("deliveries", "list", "--limit", 10_000)
        assert {one["delivery_id"] for one in aside} == all_there

        gateway.start()
        gateway.settled()
        assert gateway.push(push_body(1, serial=5000)).status == 202
        gateway.settled()
        # What was open in the backup was forwarded again: the same files, written anew, and nobody twice.
        assert set(dropped(tmp_path / "drops").values()) == {1}
        assert {person for people in pushed.values() for person in people} < set(dropped(tmp_path / "drops"))
        gateway.checked()


def test_what_cannot_be_is_said(tmp_path):
    """No store, no terminal to ask at, a name that is taken: exit code, one line, a hint, and nothing changed."""
    gateway = Gateway(configure(tmp_path))
    assert "there is no store" in gateway.run("db", "backup").complaint(1)
    (tmp_path / "taken.db").write_text("mine")
    assert "replace the store" in gateway.run("db", "restore", "taken.db").complaint(2)
    assert "no sound copy" in gateway.run("db", "restore", "taken.db", "--yes").complaint(1)
    with gateway:
        assert "exists already" in gateway.run("db", "backup", "--to", "taken.db").complaint(1)
        told = gateway.run("db", "backup")
    assert (told.code, told.err) == (0, "")
    shown = dict(line.split(maxsplit=1) for line in told.lines)
    assert shown["path"].startswith(f"{tmp_path}/data/backups/stibgate-2")
    assert (shown["deliveries"], shown["newest_received_at"]) == ("-", "-")
