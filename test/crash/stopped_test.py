# SPDX-License-Identifier: Apache-2.0
"""osbd dies or stands still while a bundle's action runs: its processes go, and the end is right.

The actions are those of test/crash/bundles.py. No action is ever running twice at once; one that
was cut off is run again, one whose end was recorded is not.
"""
import os
import signal
import time

import bundles
import pytest
import rig

VERBS = ["provision", "update", "bind", "unbind", "deprovision"]


def prepare(d, verb, iid, bid):
    if verb != "provision":
        assert d.provision(iid).status_code == 201
    if verb == "unbind":
        assert d.bind(iid, bid).status_code == 201


def send(d, verb, iid, bid):
    if verb == "provision":
        r = d.provision(iid, "true")
    elif verb == "update":
        r = d.update(iid, "true", parameters={"a": "b"})
    elif verb == "bind":
        r = d.bind(iid, bid, "true")
    elif verb == "unbind":
        r = d.unbind(iid, bid, "true")
    else:
        r = d.deprovision(iid, "true")
    assert r.status_code == 202, r.text
    return r.json()["operation"]


def expected(verb, iid):
    """The world when the verb has succeeded."""
    return {"provision": {f"db-{iid}": "whole"}, "update": {f"db-{iid}": "updated"},
            "bind": {f"db-{iid}": "whole", f"user-{iid}": "1"},
            "unbind": {f"db-{iid}": "whole"}, "deprovision": {}}[verb]


def about(verb, iid, bid):
    return (iid, bid) if verb in ("bind", "unbind") else (iid,)


def begin(osbd, verb, **more):
    """A daemon in the middle of an action, which does not end before `hold` goes."""
    d = bundles.make(osbd, **more)
    d.start()
    iid, bid = rig.new_id(), rig.new_id()
    prepare(d, verb, iid, bid)
    bundles.put(d, "hold")
    bundles.put(d, "comet")
    before = len(bundles.lines(d, "pids"))
    operation = send(d, verb, iid, bid)
    assert rig.wait_until(lambda: bundles.count(d, verb, "start") == 1, 10), d.log()
    assert rig.wait_until(lambda: len(bundles.lines(d, "pids")) == before + 3, 10)
    assert bundles.beats(d) and len(bundles.alive(d)) == 3
    return d, iid, bid, operation


def check_end(d, verb, iid, bid, operation, starts):
    body = d.poll(*about(verb, iid, bid), operation=operation)
    assert body["state"] == "succeeded", body
    assert bundles.objects(d) == expected(verb, iid)
    assert bundles.count(d, verb, "start") == starts
    assert bundles.count(d, verb, "end") == 1
    assert not [line for line in bundles.lines(d) if line.endswith("overlap")]
    assert rig.wait_until(lambda: not bundles.alive(d), 5), "something of an action was left"
    assert rig.wait_until(lambda: bundles.children(d.process.pid) == [], 5)
    assert os.listdir(os.path.join(d.dir, "run")) == []
    if verb == "bind":
        assert d.get_binding(iid, bid).json()["credentials"] == {"user": "tiny"}


@pytest.mark.parametrize("verb", VERBS)
def test_killed_while_an_action_runs(osbd, tmp_path, verb):
    d, iid, bid, operation = begin(osbd, verb)
    d.kill()
    assert rig.wait_until(lambda: not bundles.alive(d), 1), "it outlives osbd"
    assert not bundles.beats(d, 0.1)
    assert bundles.count(d, verb, "end") == 0
    bundles.remove(d, "hold")
    d.start()
    check_end(d, verb, iid, bid, operation, starts=2)


def test_killed_and_started_at_once(osbd, tmp_path):
    """The new osbd waits for what is left of the action before it runs it again."""
    d, iid, bid, operation = begin(osbd, "provision")
    bundles.put(d, "deaf")
    for _ in range(3):
        d.kill()
        d.start()
    bundles.remove(d, "hold")
    body = d.poll(iid, operation=operation)
    assert body["state"] == "succeeded", body
    assert not [line for line in bundles.lines(d) if line.endswith("overlap")]
    assert bundles.objects(d) == expected("provision", iid)


@pytest.mark.parametrize("verb", ["provision", "bind", "deprovision"])
def test_stopped_for_longer_than_children_may_run_alone(osbd, tmp_path, verb):
    d, iid, bid, operation = begin(osbd, verb, limits="child_silence: 1500ms")
    d.process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    assert bundles.beats(d, 0.5), "it was ended too early"
    gone = rig.wait_until(lambda: not bundles.alive(d), 5)
    assert gone, "it runs without osbd"
    assert time.monotonic() - stopped < 3
    assert not bundles.beats(d, 0.1)
    bundles.remove(d, "hold")
    d.process.send_signal(signal.SIGCONT)
    check_end(d, verb, iid, bid, operation, starts=2)
    d.stop()


def test_a_pipe_kept_open_does_not_hold_an_action_up(osbd, tmp_path):
    d = bundles.make(osbd)
    bundles.put(d, "pipe")
    d.start()
    begun = time.monotonic()
    assert d.provision("i").status_code == 201
    assert time.monotonic() - begun < 8
    assert not bundles.alive(d)


def test_stopped_for_a_while_only(osbd, tmp_path):
    d, iid, bid, operation = begin(osbd, "provision", limits="child_silence: 4s")
    d.process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    assert bundles.beats(d)
    d.process.send_signal(signal.SIGCONT)
    bundles.remove(d, "hold")
    check_end(d, "provision", iid, bid, operation, starts=1)


@pytest.mark.parametrize("verb,then", [(verb, "killed") for verb in VERBS] +
                         [("provision", "goes on"), ("unbind", "goes on")])
def test_what_ended_meanwhile_is_not_run_again(osbd, tmp_path, verb, then):
    d, iid, bid, operation = begin(osbd, verb, limits="child_silence: 5s")
    d.process.send_signal(signal.SIGSTOP)
    bundles.remove(d, "hold")
    recorded = rig.wait_until(
        lambda: [1 for root, _, files in os.walk(os.path.join(d.dir, "run")) if "exit" in files],
        4)
    assert recorded, "the end was not written down"
    assert bundles.count(d, verb, "end") == 1
    if then == "killed":
        d.kill()
        d.start()
    else:
        d.process.send_signal(signal.SIGCONT)
    check_end(d, verb, iid, bid, operation, starts=1)


def test_one_that_hangs_and_is_deaf(osbd, tmp_path):
    """Past its deadline everything of it is killed, the operation fails, the slot is free."""
    d = bundles.make(osbd, deadline="1s", slots=1)
    for name in ("hold", "comet", "deaf"):
        bundles.put(d, name)
    d.start()
    operation = d.provision("hangs", "true").json()["operation"]
    assert rig.wait_until(lambda: bundles.count(d, "provision", "start") == 1, 10)
    # the way back hangs as well, and is killed, too
    body = d.poll("hangs", operation=operation, seconds=40)
    assert body["state"] == "failed" and body["description"], body
    assert rig.wait_until(lambda: not bundles.alive(d), 5)
    bundles.remove(d, "hold")
    assert d.provision("next").status_code == 201
    d.stop()
    said = os.popen(f"{rig.BINARY} orphans -c {d.config} 2>&1").read()
    assert "hangs" in said and "1 orphans" in said


@pytest.mark.parametrize("signals", [1, 2])
def test_drain_with_an_action_that_hangs(osbd, tmp_path, signals):
    """It is cut off when limits.drain is over, or at the second signal, and run again later."""
    drain = "1s" if signals == 1 else "60s"
    d, iid, bid, operation = begin(osbd, "provision", limits=f"drain: {drain}")
    begun = time.monotonic()
    d.process.send_signal(signal.SIGTERM)
    if signals == 2:
        time.sleep(1)
        assert d.process.poll() is None
        d.process.send_signal(signal.SIGTERM)
    assert d.process.wait(20) == 0
    assert time.monotonic() - begun < 9
    assert not bundles.alive(d)
    assert "still open" not in d.log()
    bundles.remove(d, "hold")
    d.start()
    check_end(d, "provision", iid, bid, operation, starts=2)
