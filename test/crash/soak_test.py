# SPDX-License-Identifier: Apache-2.0
"""Random requests of many clients, kill -9 about once a second, then everything is held against a
model.

Half of the clients have ids of their own, and know what must be there: what was acknowledged is
done, what was not is asked for again until there is an answer, as a platform does. The others share
few ids and do to them what comes to mind, at once: of those the broker's own words at the end are
the model. The outside world, a directory of the demo backend and that of a bundle, must equal it,
and must be empty when all was deleted.

OSBD_SOAK=SECONDS runs longer, OSBD_SEED=N repeats the choices of a run (not its timing).
"""
import base64
import hashlib
import http.client
import json
import os
import random
import re
import subprocess
import threading
import time

import bundles
import rig

SECONDS = float(os.environ.get("OSBD_SOAK", "15"))
SEED = int(os.environ.get("OSBD_SEED", "2"))
OWNERS = 4
CROWD = 4
SHARED = 3  # ids that the crowd fights for
BINDINGS = 2  # of each instance

DEMO = """\
  - name: demo
    description: keeps files
    backend: demo
    plan_updateable: true
    instances_retrievable: true
    bindings_retrievable: true
    config: {{directory: {dir}/demo, delay: 60ms, steps: 3}}
    plans:
      - {{name: small, description: small, async: both}}
      - {{name: large, description: large, async: both}}
"""
# several bindings of one instance
PROGRAM = bundles.PROGRAM.replace("user-$id", "user-$id-$bid").replace("cd \"$WORLD\"", """\
bid=$(printf '%s' "$3" | sed 's/.*"_apb_service_binding_id": *"\\([^"]*\\)".*/\\1/')
cd "$WORLD\"""", 1)
APB = bundles.APB.replace("other one\n", "other one\n    updates_to: [default]\n")
HEAD = {"Authorization": "Basic " + base64.b64encode(b"platform:secret").decode(),
        "X-Broker-API-Version": "2.17", "Content-Type": "application/json"}


class World:
    """The daemon, the clients' way to it, and what they found wrong."""

    def __init__(self, d):
        self.d = d
        self.over = threading.Event()
        self.wrong = []
        self.ended = {}  # run of a bundle: how often it had started when its end was told
        self.count = {}
        d.start()
        found = [(s["id"], [p["id"] for p in s["plans"]]) for s in d.catalog()]
        self.services = dict(zip(("tiny", "demo"), found))
        d.stop()

    def once(self, method, path, body=None):
        """(status, object), or None when the daemon was not there, or died."""
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.d.port, timeout=30)
            try:
                c.request(method, path, None if body is None else json.dumps(body), HEAD)
                r = c.getresponse()
                return r.status, json.loads(r.read())
            finally:
                c.close()
        except TimeoutError:
            self.wrong.append(f"{method} {path}: no answer within 30 s")
        except (OSError, http.client.HTTPException):
            pass
        return None

    def ask(self, method, path, body=None):
        """Until there is an answer."""
        while True:
            r = self.once(method, path, body)
            if r and r[0] not in (429, 503):
                self.count[r[0]] = self.count.get(r[0], 0) + 1
                return r
            time.sleep(0.02)

    def poll(self, path, operation):
        """The end of an operation that was accepted."""
        while True:
            status, body = self.ask("GET", f"{path}/last_operation?operation={operation}")
            if status != 200:
                return f"last_operation of an accepted operation answers {status} {body}"
            if body["state"] != "in progress":
                run = f"bundle-{operation}"
                self.ended[run] = starts(self.d).count(run)
                return body["state"]
            time.sleep(0.02)


class Thing:
    """An instance or a binding: its URL, and the requests about it."""

    def __init__(self, world, service, iid, bid=None):
        self.world, self.service, self.iid, self.bid = world, service, iid, bid
        self.url = f"/v2/service_instances/{iid}" + (f"/service_bindings/{bid}" if bid else "")
        self.id, self.plans = world.services[service]

    def request(self, verb, plan=0, wait=False):
        flag = "" if wait else "accepts_incomplete=true"
        body = {"service_id": self.id, "plan_id": self.plans[plan]}
        if verb == "delete":
            query = f"service_id={self.id}&plan_id={self.plans[plan]}&{flag}"
            return "DELETE", f"{self.url}?{query}", None
        if verb == "create" and not self.bid:
            body.update(organization_guid="org", space_guid="space")
        return ("PATCH" if verb == "update" else "PUT"), f"{self.url}?{flag}", body

    def do(self, verb, plan=0, wait=False):
        """Until it is done, whatever happens to the daemon."""
        sent = lost = 0
        while True:
            r = self.world.once(*self.request(verb, plan, wait))
            sent += 1
            if r is None:
                lost += 1
                time.sleep(0.02)
                continue
            status, body = r
            if status in (429, 503):
                time.sleep(0.02)
                continue
            self.world.count[status] = self.world.count.get(status, 0) + 1
            done = {"create": (201, 200) if lost else (201,), "update": (200,),
                    "delete": (200, 410) if lost else (200,)}[verb]
            if status == 202:
                status = self.world.poll(self.url, body["operation"])
                if status == "succeeded":
                    return
            elif status in done:
                return
            self.world.wrong.append(f"{verb} {self.url} (sent {sent}, lost {lost}): "
                                    f"{status} {body}")
            return

    def shown(self):
        status, body = self.world.ask("GET", self.url)
        if status == 404:
            return None
        if status == 200 and not self.bid:
            return self.plans.index(body["plan_id"])
        return 0 if status == 200 else f"{status} {body}"


def owner(world, seed, service, model):
    """One client with one instance at a time."""
    rnd = random.Random(seed)
    n = 0
    instance, plan, bound = None, None, {}
    while not world.over.is_set():
        wait = rnd.random() < 0.3
        if instance is None:
            instance, plan, bound = Thing(world, service, f"own-{seed}-{n}"), rnd.randrange(2), {}
            n += 1
            instance.do("create", plan, wait)
        elif rnd.random() < 0.25:
            for b in list(bound.values()):
                b.do("delete", plan, wait)
            instance.do("delete", plan, wait)
            if instance.shown() is not None:
                world.wrong.append(f"{instance.url} is there after its deletion")
            instance = None
        elif rnd.random() < 0.35:
            plan = rnd.randrange(2)
            instance.do("update", plan, wait)
            if instance.shown() != plan:
                world.wrong.append(f"{instance.url}: {instance.shown()}, updated to {plan}")
        else:
            bid = f"b{rnd.randrange(BINDINGS)}"
            if bid in bound:
                bound.pop(bid).do("delete", plan, wait)
            else:
                bound[bid] = Thing(world, service, instance.iid, bid)
                bound[bid].do("create", plan, wait)
    if instance is not None:
        model[instance.iid] = (instance, plan, bound)


def crowd(world, seed, service):
    """Whatever comes to mind, to what others are about to change."""
    rnd = random.Random(seed)
    while not world.over.is_set():
        iid = f"shared-{service}-{rnd.randrange(SHARED)}"
        bid = f"b{rnd.randrange(BINDINGS)}" if rnd.random() < 0.5 else None
        verb = rnd.choice(["create", "create", "delete"] + ([] if bid else ["update"]))
        thing = Thing(world, service, iid, bid)
        r = world.once(*thing.request(verb, rnd.randrange(2), rnd.random() < 0.3))
        if r is None:
            time.sleep(0.02)
            continue
        status, body = r
        world.count[status] = world.count.get(status, 0) + 1
        allowed = status in (200, 201, 202, 404, 409, 410, 422, 429, 503)
        if status == 400 and bid:  # another client has changed it
            allowed = "another plan" in body["description"]
        elif status == 500 and verb == "create":  # another client has deleted it meanwhile
            allowed = "halted" in body["description"]
        if not allowed:
            world.wrong.append(f"{verb} {thing.url}: {status} {body}")


def starts(d):
    return [line.split()[1] for line in bundles.lines(d) if line.endswith(" start")]


def living(d):
    """Processes of actions, known by their environment: ids of processes come again."""
    world = f"WORLD={d.dir}/world".encode()
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if world in f.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            pass
    return found


def demo_objects(d):
    where = os.path.join(d.dir, "demo")
    if not os.path.isdir(where):
        return {}
    return {f: open(os.path.join(where, f)).read().strip() for f in os.listdir(where)
            if f != "journal"}


def name(iid, bid=None):
    data = iid.encode() if bid is None else iid.encode() + b"\0" + bid.encode()
    return ("binding-" if bid else "instance-") + hashlib.sha256(data).hexdigest()


def settle(world, things):
    """Until nothing is in progress any more."""
    for thing in things:
        def over():
            r = world.ask("GET", thing.url + "/last_operation")
            return r[0] in (404, 410) or r[1]["state"] != "in progress"
        assert rig.wait_until(over, 60), f"{thing.url} is still in progress"


def compare(world, instances):
    """instances: (thing, plan or None, {binding id}) of all there can be."""
    demo, tiny = {}, {}
    for thing, plan, bound in instances:
        if plan is None:
            assert not bound, f"{thing.url} is gone, its bindings {bound} are not"
        elif thing.service == "demo":
            demo[name(thing.iid)] = f"ready {('small', 'large')[plan]}"
            demo.update({name(thing.iid, b): None for b in bound})
        else:
            tiny[f"db-{thing.iid}"] = None
            tiny.update({f"user-{thing.iid}-{b}": None for b in bound})
    found = demo_objects(world.d)
    assert set(found) == set(demo)
    assert {k: v for k, v in found.items() if k.startswith("i")} == \
        {k: v for k, v in demo.items() if k.startswith("i")}
    assert all(v.startswith("ready ") for v in found.values()), found
    assert set(bundles.objects(world.d)) == set(tiny)


def test_random_requests_and_kills(osbd):
    d = bundles.make(osbd, takes="0.05", orderly=False)
    with open(d.config, "a") as f:
        f.write(DEMO.format(dir=d.dir))
    with open(os.path.join(d.dir, "bundle", "bundle"), "w") as f:
        f.write(PROGRAM)
    with open(os.path.join(d.dir, "bundle", "apb.yml"), "w") as f:
        f.write(APB)
    world = World(d)
    model = {}
    work = [threading.Thread(target=owner, args=(world, SEED * 100 + n, ("demo", "tiny")[n % 2],
                                                 model)) for n in range(OWNERS)]
    work += [threading.Thread(target=crowd, args=(world, SEED * 100 + 50 + n,
                                                  ("demo", "tiny")[n % 2])) for n in range(CROWD)]
    rnd = random.Random(SEED)
    d.start()
    for t in work:
        t.start()
    end = time.monotonic() + SECONDS
    kills = 0
    while time.monotonic() < end:
        time.sleep(rnd.uniform(0.2, 1.5))
        d.kill()
        kills += 1
        d.start()
    world.over.set()
    for t in work:
        t.join(60)
        assert not t.is_alive(), "a client waits for ever"
    assert world.wrong[:5] == []
    assert kills >= SECONDS / 5 and sum(world.count.values()) > 20 * kills, world.count

    shared = [Thing(world, s, f"shared-{s}-{n}") for s in ("demo", "tiny") for n in range(SHARED)]
    bindings = [Thing(world, t.service, t.iid, f"b{n}") for t in shared for n in range(BINDINGS)]
    settle(world, shared + bindings)
    there = [(t, p, set(b)) for t, p, b in model.values()]
    there += [(t, t.shown(), {b.bid for b in bindings if b.iid == t.iid and b.shown() is not None})
              for t in shared]
    compare(world, there)
    for thing, plan, bound in there:
        assert thing.shown() == plan
        for bid in bound:
            Thing(world, thing.service, thing.iid, bid).do("delete", plan)
        if plan is not None:
            thing.do("delete", plan)
    assert world.wrong == []
    compare(world, [])
    assert not [line for line in bundles.lines(d) if line.endswith("overlap")]
    again = starts(d)
    assert {run: n for run, n in world.ended.items() if again.count(run) != n} == {}
    d.stop()
    assert living(d) == []
    assert os.listdir(os.path.join(d.dir, "run")) == []
    said = subprocess.run([rig.BINARY, "orphans", "-c", d.config], capture_output=True, text=True)
    assert said.returncode == 0 and re.search(r"^0 orphans, 0 rows", said.stderr, re.M), said
