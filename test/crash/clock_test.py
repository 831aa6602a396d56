# SPDX-License-Identifier: Apache-2.0
"""The machine's date jumps by a day while osbd runs: durations are not dates, so nothing that waits
is late. What has a date of its own, a binding with a lifetime, goes by the date."""
import concurrent.futures
import datetime
import email.utils
import os
import re
import signal
import struct
import subprocess
import time

import bundles
import cluster
import pytest
import rig

DAY = 86400
JUMPS = pytest.mark.parametrize("jump", [DAY, -DAY], ids=["on", "back"])

# behind the service `tiny` of bundles.py; the plan `blink` has osbd look for expired bindings often
DEMO = """\
  - name: slow
    description: takes its time
    backend: demo
    config: {{delay: {{provision: 1500ms}}, steps: 3, directory: {dir}/slow}}
    plans:
      - {{name: small, description: small, async: both, maximum_polling_duration: 60s}}
      - {{name: patient, description: has no deadline, async: both}}
  - name: passing
    description: its bindings expire
    backend: demo
    plans:
      - {{name: week, description: a week, binding_lifetime: 7d, binding_rotatable: true}}
      - {{name: hour, description: an hour, binding_lifetime: 1h, binding_rotatable: true}}
      - {{name: blink, description: a second, binding_lifetime: 1s, binding_rotatable: true}}
"""
TINY, SLOW, PASSING = range(3)
SMALL, PATIENT = range(2)
WEEK, HOUR = range(2)


class Clock:
    """The dates of what is started with .env."""

    def __init__(self, directory, library):
        self.path = os.path.join(directory, "clock")
        self.shift(0)
        # the library allocates nothing: it may stand before the runtime of the sanitizer
        asan = os.environ.get("ASAN_OPTIONS", "")
        self.env = {"LD_PRELOAD": library, "CLOCK_SHIFT": self.path,
                    "ASAN_OPTIONS": (asan and asan + ":") + "verify_asan_link_order=0"}

    def shift(self, seconds):
        self.seconds = seconds
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(fd, struct.pack("=q", seconds), 0)
        os.close(fd)

    def now(self):
        return time.time() + self.seconds


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("clock") / "clock_shift.so"
    source = os.path.join(rig.TREE, "test", "crash", "clock_shift.c")
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(path), source],
                   check=True)
    return str(path)


@pytest.fixture
def clock(tmp_path, library):
    return Clock(str(tmp_path), library)


def near(date, wanted):
    """A date of osbd's is what it should be, give or take a slow machine."""
    return abs(date - wanted) < 60


def date_of(d):
    """What osbd thinks the date is."""
    return email.utils.parsedate_to_datetime(d.ask("GET", "/v2/catalog").headers["date"]).timestamp()


def expires(r):
    text = r.json()["metadata"]["expires_at"]
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def made(d, plan):
    iid = rig.new_id()
    assert d.provision(iid, service=PASSING, plan=plan).status_code == 201
    return iid


def bound(d, iid, plan):
    bid = rig.new_id()
    r = d.bind(iid, bid, service=PASSING, plan=plan)
    assert r.status_code == 201, r.text
    return bid, expires(r)


def slow(d, n, plan=SMALL):
    iids = [rig.new_id() for _ in range(n)]
    for iid in iids:
        assert d.provision(iid, "true", service=SLOW, plan=plan).status_code == 202
    return iids


def end_well(d, iids):
    for iid in iids:
        body = d.poll(iid)
        assert body["state"] == "succeeded", (body, d.log())


def nothing_fired(log):
    assert not re.search(r"deadline passed|did not end within|was not done within|going back|"
                         r"another process|left to (an)?other node", log), log


def make(osbd, **more):
    d = bundles.make(osbd, **more)
    os.mkdir(os.path.join(d.dir, "slow"))
    with open(d.config, "a") as f:
        f.write(DEMO.format(dir=d.dir))
    return d


@JUMPS
def test_a_jump_under_load(osbd, clock, jump):
    d = make(osbd)
    d.start(env=clock.env)
    assert near(date_of(d), clock.now())
    bundles.put(d, "hold")
    tiny = rig.new_id()
    assert d.provision(tiny, "true").status_code == 202
    assert rig.wait_until(lambda: bundles.count(d, "provision", "start") == 1), d.log()
    week, hour = made(d, WEEK), made(d, HOUR)
    (one, until), (other, _) = bound(d, week, WEEK), bound(d, hour, HOUR)
    assert near(until, clock.now() + 7 * DAY)
    waited = rig.new_id()
    ids = d.ids(SLOW)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sync = pool.submit(d.ask, "PUT", f"/v2/service_instances/{waited}", {
            "service_id": ids[0], "plan_id": ids[1], "organization_guid": "o", "space_guid": "s"})
        iids = slow(d, 10)
        assert rig.wait_until(lambda: d.last(waited).status_code == 200)
        clock.shift(jump)
        assert near(date_of(d), clock.now())
        # what is asked after the jump is as good as what was asked before
        iids += slow(d, 5)
        # a run that is cut off begins anew, with what is left of its time
        os.kill(int(bundles.children(d.process.pid)[0]), signal.SIGKILL)
        assert rig.wait_until(lambda: bundles.count(d, "provision", "start") == 2), d.log()
        bundles.remove(d, "hold")
        assert sync.result().status_code == 201, sync.result().text
    end_well(d, iids + [tiny])
    nothing_fired(d.log())
    # dates are dates
    assert d.get_binding(week, one).status_code == 200
    if jump > 0:
        assert d.get_binding(hour, other).status_code == 404
        assert rig.wait_until(lambda: "expire succeeded" in d.log())
    else:
        assert d.get_binding(hour, other).status_code == 200
    assert d.log().count("expire succeeded") == (jump > 0)
    _, until = bound(d, week, WEEK)
    assert near(until, clock.now() + 7 * DAY)
    clock.shift(0)
    bound(d, week, WEEK)
    assert d.get_binding(week, one).status_code == 200
    nothing_fired(d.log())


def test_a_jump_back_gives_a_bundle_no_more_time(osbd, clock):
    d = make(osbd, deadline="2s")
    d.start(env=clock.env)
    bundles.put(d, "hold")
    iid = rig.new_id()
    assert d.provision(iid, "true").status_code == 202
    assert rig.wait_until(lambda: bundles.count(d, "provision", "start") == 1), d.log()
    clock.shift(-DAY)
    os.kill(int(bundles.children(d.process.pid)[0]), signal.SIGKILL)
    assert rig.wait_until(lambda: "did not end within 2 s" in d.log(), 15), d.log()
    bundles.remove(d, "hold")
    assert d.poll(iid)["state"] == "failed"
    assert bundles.objects(d) == {}


@JUMPS
def test_killed_and_started_on_another_day(osbd, clock, jump):
    d = make(osbd)
    d.start(env=clock.env)
    week = made(d, WEEK)
    one, _ = bound(d, week, WEEK)
    iids = slow(d, 10, PATIENT)
    d.kill()
    clock.shift(jump)
    d.start(env=clock.env)
    assert near(date_of(d), clock.now())
    end_well(d, iids)
    assert d.get_binding(week, one).status_code == 200
    nothing_fired(d.log())


YAML = """\
services:
""" + DEMO.replace("{dir}/slow", "{world}")


def test_one_node_of_two_is_wrong(tmp_path, clock):
    """The database's clock counts, whatever day a node thinks it is."""
    world = tmp_path / "world"
    world.mkdir()
    with cluster.servers.Postgres() as pg:
        c = cluster.Cluster(str(tmp_path), YAML.format(world=world), nodes=2, pg=pg)
        try:
            right, wrong = c.nodes
            right.start()
            wrong.start(env=clock.env)
            for jump in (DAY, -DAY):
                check_nodes(right, wrong, clock, jump)
        finally:
            c.close()


def check_nodes(right, wrong, clock, jump):
    slow_, passing = range(2)

    def provision(d, service, plan, wait="true"):
        iid = rig.new_id()
        r = d.provision(iid, wait, service=service, plan=plan)
        assert r.status_code in (201, 202), r.text
        return iid

    def check_binding(by, iid):
        bid = rig.new_id()
        r = by.bind(iid, bid, service=passing, plan=HOUR)
        assert r.status_code == 201 and near(expires(r), time.time() + 3600), r.text
        return bid

    hour = provision(right, passing, HOUR)
    bids = [check_binding(right, hour)]
    iids = [provision(d, slow_, SMALL) for d in (wrong, right) * 4]
    gone = provision(right, slow_, SMALL)
    clock.shift(jump)
    assert near(date_of(wrong), clock.now())
    bids.append(check_binding(wrong, hour))  # before the node has asked for the time again
    for d in (wrong, right):
        end_well(d, iids)
    assert d.poll(gone)["state"] == "succeeded"
    assert right.deprovision(gone, service=slow_, plan=SMALL).status_code == 200
    # over, but not for long: its end is told, not that it is gone
    assert wrong.last(gone).status_code == 200
    wrong.stop()
    wrong.start(env=clock.env)
    bids.append(check_binding(wrong, hour))
    for d in (wrong, right):
        for bid in bids:
            assert d.get_binding(hour, bid).status_code == 200, d.log()
        nothing_fired(d.log())
        assert "expire succeeded" not in d.log()
