# SPDX-License-Identifier: Apache-2.0
"""Everything at once, and the daemon is killed in the middle of it, again and again. In the end
every operation has found its end, and the world is what the broker says."""
import random
import threading
import time

import broker
import httpx
import rig

KILLS = 8


def test_storm(osbd, tmp_path):
    world = tmp_path / "world"
    world.mkdir()
    both = {"async": "both"}
    b = broker.start(osbd, [broker.service(
        "busy", [broker.plan("small", **both), broker.plan("large", **both)],
        {"delay": "30ms", "steps": 2, "directory": str(world)}, plan_updateable=True)])
    assert b.catalog()
    iids, bids = ["one", "two", "three", "four"], ["x", "y"]
    accepted, wrong, stopping = [], [], threading.Event()

    def ask(r):
        iid, bid = r.choice(iids), r.choice(bids)
        plan, wait = r.choice(["small", "large"]), r.choice([None, "true"])
        verb = r.choice(["provision", "provision", "update", "bind", "unbind", "deprovision"])
        binding = verb in ("bind", "unbind")
        answer = {"provision": lambda: b.provision(iid, "busy", wait=wait),
                  "update": lambda: b.update(iid, "busy", plan, wait=wait),
                  "deprovision": lambda: b.deprovision(iid, "busy", wait=wait),
                  "bind": lambda: b.bind(iid, bid, "busy", plan, wait=wait),
                  "unbind": lambda: b.unbind(iid, bid, "busy", wait=wait)}[verb]()
        if answer.status_code == 202:
            accepted.append((iid, bid if binding else None, answer.json()["operation"]))
        if answer.status_code not in (200, 201, 202, 400, 404, 409, 410, 422, 500):
            wrong.append(answer.text)

    def platform(seed):
        r = random.Random(seed)
        while not stopping.is_set():
            try:
                ask(r)
            except (httpx.HTTPError, RuntimeError):  # killed, or between two lives
                time.sleep(0.05)

    platforms = [threading.Thread(target=platform, args=(n,)) for n in range(6)]
    for p in platforms:
        p.start()
    r = random.Random(1)
    try:
        for _ in range(KILLS):
            time.sleep(0.3 + r.random() / 2)
            b.d.kill()
            b.d.start()
    finally:
        stopping.set()
        for p in platforms:
            p.join(80)
    assert wrong == []
    assert len(accepted) > KILLS
    # what was accepted is known, and has an end
    for iid, bid, operation in accepted:
        assert b.ended(iid, bid, operation)["state"] in ("succeeded", "failed")

    def over(delete):
        return lambda: delete().status_code in (200, 410)
    live = {iid for iid in iids if b.instance(iid).status_code == 200}
    assert len([p for p in world.iterdir() if p.name.startswith("instance-")]) == len(live)
    for p in world.iterdir():
        if p.name.startswith(("instance-", "binding-")):
            assert p.read_text().split()[0] == "ready", p.name
    for iid in iids:
        for bid in bids:
            assert rig.wait_until(over(lambda: b.unbind(iid, bid, "busy")))
        assert rig.wait_until(over(lambda: b.deprovision(iid, "busy")))
    assert [p.name for p in world.iterdir()] == ["journal"]
    assert b.d.tasks() == 1
