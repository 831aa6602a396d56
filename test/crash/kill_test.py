# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every journal step of every verb, restart, and the world equals the model.

The daemon is a test build, with failpoints: OSBD_FAILPOINT=NAME=kill@N kills it at the n-th passage.
The world is the demo backend's directory: a file for each object, and a journal of what was done.

The model: what was acknowledged, or begun, comes to its end after the restart, and the end is the
one that the verb would have had without the kill; what was not begun has left nothing. No action
starts again after its end was recorded by the daemon.
"""
import hashlib
import os
import re

import httpx
import pytest
import rig

CONFIG = "{{directory: {dir}/world, delay: 40ms, steps: 2{more}}}"
FORTH = ["prepare", "start", "watch", "finish"]
BACK = ["stop", "watch", "remove"]
STEPS = {"provision": FORTH, "update": FORTH, "bind": FORTH, "deprovision": BACK, "unbind": BACK}
MOMENTS = ["ask", "taken", "committed"]


def points(verb):
    yield f"{verb}.begun"
    for step in STEPS[verb]:
        for moment in MOMENTS:
            if moment == "committed" and step == STEPS[verb][0]:
                continue  # the first step is committed by begin
            yield f"{verb}.{step}.{moment}"
    yield f"{verb}.watch.again"
    yield f"{verb}.watch.ask@2"
    yield f"{verb}.ended"
    for n in (1, 2, 3):
        yield f"store.commit@{n}"
        yield f"store.committed@{n}"


def demo(osbd, tmp_path, more="", head=rig.HEAD):
    d = osbd("", start=False, orderly=False)
    os.mkdir(os.path.join(d.dir, "world"))
    config = CONFIG.format(dir=d.dir, more=more)
    with open(d.config, "w") as f:
        f.write(head.format(dir=d.dir) + rig.DEMO.format(config=config, mode="both"))
    return d


def name(iid, bid=None):
    data = iid.encode() if bid is None else iid.encode() + b"\0" + bid.encode()
    return ("binding-" if bid else "instance-") + hashlib.sha256(data).hexdigest()


def world(d):
    """{file: content} of what exists outside."""
    path = os.path.join(d.dir, "world")
    found = {}
    for f in sorted(os.listdir(path)):
        if f != "journal":
            with open(os.path.join(path, f)) as file:
                found[f] = file.read().strip()
    return found


def check_actions(d):
    """No action of an operation starts again once it has ended and the operation went on."""
    path = os.path.join(d.dir, "world", "journal")
    ended = set()
    if not os.path.exists(path):
        return
    for line in open(path):
        verb, op, what = line.split()
        if what == "start":
            assert (verb, op) not in ended, f"{line.strip()}: it had ended"
        else:
            ended.add((verb, op))


def send(d, verb, iid, bid):
    """The request; None when the daemon died under it."""
    try:
        if verb == "provision":
            return d.provision(iid, "true", parameters={"a": 1})
        if verb == "update":
            return d.update(iid, "true", plan=1)
        if verb == "bind":
            return d.bind(iid, bid, "true")
        if verb == "unbind":
            return d.unbind(iid, bid, "true")
        return d.deprovision(iid, "true")
    except (httpx.TransportError, httpx.RemoteProtocolError):
        return None


def prepare(d, verb, iid, bid):
    """Makes what the verb needs, without failpoints."""
    if verb == "provision":
        return
    assert d.provision(iid, None, parameters={"a": 1}).status_code == 201
    if verb == "unbind":
        assert d.bind(iid, bid).status_code == 201


def expected(verb, iid, bid):
    """The outside world when the verb has succeeded."""
    ready = {name(iid): "ready large" if verb == "update" else "ready small"}
    if verb == "bind":
        ready[name(iid, bid)] = "ready small"
    return {} if verb == "deprovision" else ready


def run_to_the_end(d, verb, iid, bid):
    """What a platform does: it asks again until the operation is known and over."""
    about = (iid, bid) if verb in ("bind", "unbind") else (iid,)
    r = send(d, verb, iid, bid)
    assert r is not None
    if r.status_code == 202:
        assert d.poll(*about, operation=r.json()["operation"])["state"] == "succeeded"
    else:
        assert r.status_code in ((200, 201) if verb not in ("deprovision", "unbind")
                                 else (200, 410)), r.text


@pytest.mark.parametrize("verb", list(STEPS))
def test_killed_at_every_point(osbd, tmp_path, verb):
    d = demo(osbd, tmp_path)
    killed = 0
    d.start()
    model = {}
    for point in points(verb):
        iid, bid = rig.new_id(), rig.new_id()
        prepare(d, verb, iid, bid)
        d.stop()
        spec = point if "@" in point else point + "@1"
        d.start(env={"OSBD_FAILPOINT": spec.replace("@", "=kill@")})
        r = send(d, verb, iid, bid)
        died = rig.wait_until(lambda: d.process.poll() is not None, 5)
        assert died, f"{point} is never passed"
        killed += 1
        d.start()
        about = (iid, bid) if verb in ("bind", "unbind") else (iid,)
        if r is not None and r.status_code == 202:
            # acknowledged: it comes to its end by itself
            assert d.poll(*about, operation=r.json()["operation"])["state"] == "succeeded", point
        run_to_the_end(d, verb, iid, bid)
        model.update(expected(verb, iid, bid))
        assert world(d) == model, point
        check_actions(d)
    assert killed == len(list(points(verb)))
    d.stop()


@pytest.mark.parametrize("verb", ["provision", "bind"])
@pytest.mark.parametrize("step", BACK)
def test_killed_on_the_way_back(osbd, tmp_path, verb, step):
    d = demo(osbd, tmp_path, more=f", fail: {{{verb}: finish}}")
    iid, bid = rig.new_id(), rig.new_id()
    d.start()
    prepare(d, verb, iid, bid)
    d.stop()
    d.start(env={"OSBD_FAILPOINT": f"{verb}.{step}.ask=kill@1"})
    r = send(d, verb, iid, bid)
    assert r.status_code == 202
    assert rig.wait_until(lambda: d.process.poll() is not None, 5)
    d.start()
    about = (iid, bid) if verb == "bind" else (iid,)
    body = d.poll(*about, operation=r.json()["operation"])
    assert body["state"] == "failed"
    assert "finish: told to fail" in body["description"]
    model = {name(iid): "ready small"} if verb == "bind" else {}
    assert world(d) == model
    d.stop()


@pytest.mark.parametrize("verb", ["provision", "bind"])
def test_halted_then_killed(osbd, tmp_path, verb):
    """DELETE while a create runs, the daemon dies, and the delete is carried out all the same."""
    d = demo(osbd, tmp_path, more="", head=rig.HEAD)
    text = open(d.config).read().replace("delay: 40ms, steps: 2", "delay: 3s, steps: 30")
    if verb == "bind":
        text = text.replace("delay: 3s", "delay: {bind: 3s, unbind: 100ms}")
    open(d.config, "w").write(text)
    iid, bid = rig.new_id(), rig.new_id()
    d.start()
    prepare(d, verb, iid, bid)
    created = send(d, verb, iid, bid)
    assert created.status_code == 202
    deleted = d.unbind(iid, bid, "true") if verb == "bind" else d.deprovision(iid, "true")
    assert deleted.status_code == 202, deleted.text
    assert deleted.json()["operation"] != created.json()["operation"]
    d.kill()
    d.start()
    about = (iid, bid) if verb == "bind" else (iid,)
    assert d.poll(*about, operation=deleted.json()["operation"])["state"] == "succeeded"
    assert d.poll(*about, operation=created.json()["operation"])["state"] == "failed"
    model = {name(iid): "ready small"} if verb == "bind" else {}
    assert world(d) == model
    d.stop()


def test_poison_operation_is_given_up(osbd, tmp_path):
    """One that kills the daemon each time it is tried ends as failed, and says so."""
    d = demo(osbd, tmp_path)
    iid = rig.new_id()
    d.start(env={"OSBD_FAILPOINT": "provision.start.ask=kill"})
    r = send(d, "provision", iid, None)
    for _ in range(8):
        if not rig.wait_until(lambda: d.process.poll() is not None, 3):
            break
        d.start(env={"OSBD_FAILPOINT": "provision.start.ask=kill"}, wait=False)
        try:
            d.wait_listening()
        except AssertionError:
            pass
    assert d.process.poll() is None
    body = d.last(iid, operation=r.json()["operation"] if r else None).json()
    assert body["state"] == "failed"
    assert re.search(r"given up: 5 attempts did not get beyond", body["description"])
    d.stop()
    said = os.popen(f"{rig.BINARY} orphans -c {d.config} 2>&1").read()
    assert iid in said and "1 orphans" in said
