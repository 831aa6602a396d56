# SPDX-License-Identifier: Apache-2.0
"""kill -9 at every journal step of every verb, with an action that runs as a process.

Once its end is on disk an action is not run again, whatever of it the daemon had heard; before that
it may be run twice, but never twice at once. The end of the world is that of the verb in any case.
"""
import os

import bundles
import pytest
import rig

VERBS = ["provision", "update", "bind", "unbind", "deprovision"]
# failpoint: how often the action is begun when osbd is killed there
POINTS = {
    "{verb}.begun": 1,
    "{verb}.prepare.ask": 1,
    "{verb}.prepare.taken": 1,
    "{verb}.run.committed": 1,
    "{verb}.run.ask": 1,
    "child.ended": 1,
    "{verb}.run.taken": 1,
    "{verb}.collect.committed": 1,
    "{verb}.collect.ask": 1,
    "{verb}.collect.taken": 1,
    "{verb}.ended": 1,
}


def send(d, verb, iid, bid, incomplete):
    if verb == "provision":
        return d.provision(iid, incomplete)
    if verb == "update":
        return d.update(iid, incomplete, parameters={"a": "b"})
    if verb == "bind":
        return d.bind(iid, bid, incomplete)
    if verb == "unbind":
        return d.unbind(iid, bid, incomplete)
    return d.deprovision(iid, incomplete)


def expected(verb, iid):
    return {"provision": {f"db-{iid}": "whole"}, "update": {f"db-{iid}": "updated"},
            "bind": {f"db-{iid}": "whole", f"user-{iid}": "1"},
            "unbind": {f"db-{iid}": "whole"}, "deprovision": {}}[verb]


@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_every_point(osbd, tmp_path, verb):
    d = bundles.make(osbd)
    d.start()
    model = {}
    for point, begins in POINTS.items():
        iid, bid = rig.new_id(), rig.new_id()
        about = (iid, bid) if verb in ("bind", "unbind") else (iid,)
        if verb != "provision":
            assert d.provision(iid).status_code == 201
        if verb == "unbind":
            assert d.bind(iid, bid).status_code == 201
        d.stop()
        before = bundles.count(d, verb, "start")
        d.start(env={"OSBD_FAILPOINT": point.format(verb=verb) + "=kill@1"})
        try:
            r = send(d, verb, iid, bid, "true")
        except rig.httpx.TransportError:
            r = None
        assert rig.wait_until(lambda: d.process.poll() is not None, 5), f"{point} is not passed"
        d.start()
        if r is not None:
            assert r.status_code == 202
            assert d.poll(*about, operation=r.json()["operation"])["state"] == "succeeded", point
        r = send(d, verb, iid, bid, "true")  # what a platform does
        if r.status_code == 202:
            assert d.poll(*about, operation=r.json()["operation"])["state"] == "succeeded", point
        elif verb == "update":
            # another update that changes nothing
            assert r.status_code == 200
        else:
            assert r.status_code == (410 if verb in ("unbind", "deprovision") else 200), r.text
        model.update(expected(verb, iid))
        assert bundles.objects(d) == model, point
        if verb != "update":
            assert bundles.count(d, verb, "start") - before == begins, point
        if verb == "bind":
            assert d.get_binding(iid, bid).json()["credentials"] == {"user": "tiny"}, point
    assert not [line for line in bundles.lines(d) if line.endswith("overlap")]
    assert not bundles.alive(d)
    assert rig.wait_until(lambda: bundles.children(d.process.pid) == [], 5)
    d.stop()
    assert os.listdir(os.path.join(d.dir, "run")) == [], "a run's directory was left"
