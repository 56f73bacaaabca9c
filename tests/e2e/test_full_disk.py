"""A disk without space: nothing is acknowledged that is not stored, and service comes back by itself."""

import os

import pytest

from tests.e2e.gateway import Gateway, configure, push_body, tmpfs, until

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024


def free_bytes(folder):
    """Return what is free at *folder*."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def stored(gateway):
    """Return the ids in the store."""
    return {one["delivery_id"] for one in gateway.rows("deliveries", "list", "--limit", 1000)}


def test_below_min_free_deliveries_are_507_until_there_is_space(tmp_path):
    """With less than `min_free`: 507, /readyz names free_space, nothing stored; both recover by themselves."""
    with tmpfs(tmp_path / "disk", "size=16m") as disk:
        config = configure(tmp_path, storage='min_free = "4MiB"', store=f"{disk}/stibgate.db")
        with Gateway(config) as gateway:
            first = gateway.push(push_body(1, serial=1))
            assert first.status == 202
            ballast = disk / "ballast"
            ballast.write_bytes(b"x" * (free_bytes(disk) - 2 * MIB))
            until("it is not ready", lambda: gateway.readyz().status == 503)
            answer = gateway.readyz().json
            assert (answer["status"], answer["checks"]["store"]) == ("not ready", "ok")
            assert "min_free" in answer["checks"]["free_space"]
            for _ in range(3):
                refused = gateway.push(push_body(1, serial=2))
                assert (refused.status, refused.json["status"]) == (507, 507)
                assert "retry-after" in refused.headers
            told = gateway.run("health")
            assert told.code == 69
            assert "free_space" in told.err
            assert stored(gateway) == {first.json["delivery_id"]}
            ballast.unlink()
            until("it is ready again", lambda: gateway.readyz().status == 200)
            second = gateway.push(push_body(1, serial=2))
            assert (second.status, second.json["status"]) == (202, "accepted")
            assert stored(gateway) == {first.json["delivery_id"], second.json["delivery_id"]}
            assert gateway.stop() == 0


def test_a_disk_that_is_full_in_the_middle_of_a_commit_acknowledges_nothing(tmp_path):
    """When SQLite itself meets the end of the disk: 507, never a 202 that is not stored, and it goes on afterwards."""
    with tmpfs(tmp_path / "disk", "size=16m") as disk:
        # An attempt whose end could not be written is tried again once its lease is over; on a busy machine one more
        # may run out of time, and must not then wait for a minute.
        leases = '[delivery]\ntimeout = "3s"\nlease = "4s"\nschedule = ["0s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]'
        config = configure(tmp_path, storage='min_free = "64KiB"', store=f"{disk}/stibgate.db", extra=leases)
        with Gateway(config) as gateway:
            ballast = disk / "ballast"
            ballast.write_bytes(b"x" * 8 * MIB)
            acknowledged, statuses = set(), []
            for serial in range(40):
                answer = gateway.push(push_body(500, serial=serial))
                statuses.append(answer.status)
                if answer.status == 202:
                    acknowledged.add(answer.json["delivery_id"])
                if statuses[-3:] == [507] * 3:
                    break
            print(f"answers until the disk was full: {statuses}")
            assert set(statuses) == {202, 507}
            assert gateway.process.poll() is None
            ballast.unlink()
            until("it is ready again", lambda: gateway.readyz().status == 200)
            answer = gateway.push(push_body(1, serial=99))
            assert answer.status == 202
            acknowledged.add(answer.json["delivery_id"])
            done = gateway.settled(within_s=90)
            assert {one["delivery_id"] for one in done} == acknowledged
            assert {one["state"] for one in done} == {"done"}
            gateway.checked()
            assert gateway.stop() == 0


def test_a_min_free_above_what_there_is_refuses_from_the_start(tmp_path):
    """A machine that never had the space starts, says so at /readyz, and takes nothing."""
    config = configure(tmp_path, storage='min_free = "1000000GiB"')
    with NotReady(config) as gateway:
        assert gateway.push(push_body(1, serial=1)).status == 507
        assert "min_free" in gateway.readyz().json["checks"]["free_space"]
        assert gateway.rows("deliveries", "list") == []
        assert gateway.stop() == 0


class NotReady(Gateway):
    """A gateway that starts and is not ready."""

    def _is_ready(self):
        try:
            return self.readyz().status == 503
        except OSError:
            assert self.process.poll() is None, self.err.read_text()
            return False
