# SPDX-License-Identifier: Apache-2.0
"""Secrets are planted everywhere, everything is done with them and goes wrong with them; then
they are looked for wherever they must not be."""
import base64
import json
import os
import re
import threading
import time

import broker
import pytest
import rig

# Each is found in plain, in base64 and in hexadecimal.
CANARIES = {name: f"canary-{name}-7f3a9c" for name in (
    "user", "user-new", "crypt", "wrong", "parameter", "update", "bind-parameter", "context",
    "private", "seal", "identity", "fail-parameter", "token", "dashboard")}

SERVICES = [
    broker.service("plain", [broker.plan("small", **{"async": "both"}),
                             broker.plan("large", **{"async": "both"})],
                   {"delay": "60ms", "private": {"key": CANARIES["private"]},
                    "credentials": {"token": CANARIES["token"] + "-${password}"}},
                   plan_updateable=True, bindings_retrievable=True),
    broker.service("pure", config={"credentials": {"token": CANARIES["token"] + "-${password}"}}),
    broker.service("failing", [broker.plan("small", **{"async": "both"})],
                   {"delay": "20ms", "fail": {"provision": "always"}, "way_back": "fail"}),
    broker.service("schemed", [broker.plan("small", schemas={"service_instance": {"create": {
        "parameters": {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object",
                       "properties": {"p": {"type": "integer"}, "q": {"enum": ["a"]},
                                      "r": {"pattern": "^x$"}}}}}})],
                   dashboard_client={"id": "client", "secret": CANARIES["dashboard"],
                                     "redirect_uri": "https://example.org/"}),
]


def spellings(secret):
    raw = secret.encode()
    yield raw
    yield raw.hex().encode()
    for shift in range(3):  # wherever it begins in a base64 text
        text = base64.b64encode(b"\0" * shift + raw)
        yield text[(4 * shift + 2) // 3 + (shift > 0):len(text) - 4]


def found_in(data, where, secrets=None):
    return [f"{name} in {where}" for name, secret in (secrets or CANARIES).items()
            for spelling in spellings(secret) if spelling in data]


class Watch(threading.Thread):
    """Reads command lines and environments of the daemon and its children while it works."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.seen, self.pids, self.stopping = pid, [], set(), False
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            self.own = f.read()

    def family(self):
        pids, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            pids.append(pid)
            try:
                with open(f"/proc/{pid}/task/{pid}/children") as f:
                    todo += map(int, f.read().split())
            except OSError:
                pass
        return pids

    def run(self):
        while not self.stopping:
            for pid in self.family():
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        data = f.read()
                    self.seen += found_in(data, "/proc/PID/cmdline")
                    self.pids.add(pid)
                    if data == self.own:
                        continue  # the daemon, or a child of it that has not begun yet
                    with open(f"/proc/{pid}/environ", "rb") as f:
                        self.seen += found_in(f.read(), "/proc/PID/environ")
                except OSError:
                    continue  # it has ended
            time.sleep(0.002)


def work(b):
    """Everything that a platform does, and everything that goes wrong."""
    c = CANARIES
    errors = []

    def wrong(r):
        assert r.status_code >= 400, r.text
        errors.append(r.content + str(r.headers).encode())

    identity = base64.b64encode(json.dumps({"user_id": c["identity"]}).encode()).decode()
    headers = {"X-Broker-API-Originating-Identity": f"cloudfoundry {identity}"}
    context = {"platform": "cloudfoundry", "note": c["context"]}
    for name in ("plain", "pure"):
        for wait in (None, "true"):
            iid, bid = rig.new_id(), rig.new_id()
            b.provision(iid, name, wait=wait, parameters={"p": c["parameter"]}, context=context,
                        headers=headers)
            b.ended(iid)
            b.provision(iid, name, parameters={"p": c["parameter"]})
            wrong(b.provision(iid, name, parameters={"p": c["parameter"] + "x"}))
            if name == "plain":
                b.update(iid, name, "large", wait=wait, parameters={"u": c["update"]},
                         headers=headers)
                b.ended(iid)
            plan = "large" if name == "plain" else None
            b.bind(iid, bid, name, plan, wait=wait, parameters={"p": c["bind-parameter"]},
                   bind_resource={"app_guid": "app"}, headers=headers)
            b.ended(iid, bid)
            got = b.binding(iid, bid).json()
            assert c["token"] in got["credentials"]["token"]  # where it belongs
            assert got["parameters"] == {"p": c["bind-parameter"]}
            wrong(b.bind(iid, bid, name, plan, parameters={"p": c["bind-parameter"] + "x"}))
            wrong(b.deprovision(iid, name))
    left = (iid, bid)
    for wait in (None, "true"):
        iid = rig.new_id()
        r = b.provision(iid, "failing", wait=wait, parameters={"p": c["fail-parameter"]},
                        context=context, headers=headers)
        if not wait:
            wrong(r)
        errors.append(json.dumps(b.ended(iid)).encode())
    for parameters in ({"p": c["parameter"]}, {"q": c["parameter"]}, {"r": c["parameter"]},
                       c["parameter"], [c["parameter"]]):
        wrong(b.provision(rig.new_id(), "schemed", parameters=parameters))
    for field in ("service_id", "plan_id", "organization_guid", "context", "maintenance_info"):
        wrong(b.provision(rig.new_id(), "plain", **{field: [c["parameter"]]}))
    path = f"/v2/service_instances/{rig.new_id()}"
    for content in (c["parameter"], f'{{"{c["parameter"]}', f'{{"a":"{c["parameter"]}" x',
                    f'{{"a":1,"a":"{c["parameter"]}"}}', f'"{c["parameter"]}"'):
        wrong(b.ask("PUT", path, content=content))
    for text in (c["identity"], "x " + c["identity"],
                 "x " + base64.b64encode(c["identity"].encode()).decode()):
        wrong(b.ask("GET", path, headers={"X-Broker-API-Originating-Identity": text}))
    for auth in (("platform", c["wrong"]), ("hashed", c["wrong"]), ("nobody", c["wrong"])):
        wrong(b.ask("GET", "/v2/catalog", auth=auth))
    wrong(b.ask("GET", "/v2/catalog", auth=None, headers={"Authorization": "Basic " + c["wrong"]}))
    wrong(b.ask("GET", "/v2/catalog", auth=None, headers={"Authorization": "Bearer " + c["wrong"]}))
    for password in (c["user"], c["user-new"]):
        assert b.ask("GET", "/v2/catalog", auth=("platform", password)).status_code == 200
    r = b.ask("GET", "/v2/catalog", auth=("hashed", c["crypt"]))
    assert r.status_code in (200, 429)
    if r.status_code == 429:
        time.sleep(int(r.headers["retry-after"]))
        assert b.ask("GET", "/v2/catalog", auth=("hashed", c["crypt"])).status_code == 200
    return errors, left


@pytest.fixture(scope="module")
def run(osbd_module):
    import subprocess
    c = CANARIES
    hashed = subprocess.run(["openssl", "passwd", "-5", "-stdin"], input=c["crypt"],
                            capture_output=True, text=True, check=True).stdout.strip()
    key = c["seal"].encode().ljust(32, b"-")
    b = broker.start(osbd_module, SERVICES, log={"level": "debug"}, users=[
        {"name": "platform", "passwords": [{"env": "OSBD_TEST_NEW"}, c["user"]]},
        {"name": "hashed", "crypt": hashed}],
        seal={"keys": [{"id": "k", "key": {"env": "OSBD_TEST_SEAL"}}]},
        env={"OSBD_TEST_NEW": c["user-new"],
             "OSBD_TEST_SEAL": base64.b64encode(key).decode()})
    b.auth = ("platform", c["user"])
    watch = Watch(b.d.process.pid)
    watch.start()
    errors, left = work(b)
    watch.stopping = True
    watch.join()
    b.hash = hashed.encode()
    return b, errors, left, watch


def files(directory):
    for root, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(root, name)
            if name not in ("osbd.yml", "log") and os.path.isfile(path):
                with open(path, "rb") as f:
                    yield os.path.relpath(path, directory), f.read()


def test_the_search_finds(run):
    """What must be there is found by the same means: in the configuration, and in an answer."""
    b, _, (iid, bid), _ = run
    with open(b.d.config, "rb") as f:
        assert found_in(f.read(), "x", {"user": CANARIES["user"]})
    got = b.binding(iid, bid).content
    assert found_in(got, "x", {"token": CANARIES["token"]})
    for text in (base64.b64encode(b"a" * shift + CANARIES["token"].encode() + b"zz")
                 for shift in range(7)):
        assert found_in(text, "x", {"token": CANARIES["token"]}), text


def test_the_log(run):
    b = run[0]
    log = b.d.log().encode()
    assert b"level=debug" in log and log.count(b"\n") > 100
    assert found_in(log, "the log") == []
    assert b.hash not in log


def test_error_bodies(run):
    errors = run[1]
    assert len(errors) > 30
    assert [hit for body in errors for hit in found_in(body, body)] == []


def test_processes(run):
    watch = run[3]
    assert len(watch.pids) >= 2  # a child verified the slow password
    assert watch.seen == []


def test_the_database(run):
    """The rows are sealed, also those of failures; the write-ahead log is part of the files."""
    b = run[0]
    seen = dict(files(b.d.dir))
    assert any(name.startswith("osbd.db") and len(data) > 4096 for name, data in seen.items())
    hits = [hit for name, data in seen.items() for hit in found_in(data, name)]
    assert hits == []


def test_made_up_passwords(run):
    """What the backend made up is as secret as what it was given."""
    b, _, (iid, bid), _ = run
    token = b.binding(iid, bid).json()["credentials"]["token"]
    password = {"password": token.rsplit("-", 1)[1]}
    assert re.fullmatch("[0-9a-z]{32}", password["password"])
    assert found_in(b.d.log().encode(), "the log", password) == []
    for name, data in files(b.d.dir):
        assert found_in(data, name, password) == []


def test_modes_of_files(run):
    b = run[0]
    for name in os.listdir(b.d.dir):
        if name.startswith("osbd.db") or name.startswith("seal"):
            assert os.stat(os.path.join(b.d.dir, name)).st_mode & 0o077 == 0, name


def test_no_core_of_it(run):
    """A crash leaves no memory behind for others."""
    b = run[0]
    with open(f"/proc/{b.d.process.pid}/limits") as f:
        core = next(line for line in f if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


def test_the_orphans_that_are_listed(run):
    """osbd orphans, and the end of the daemon, print nothing of it either."""
    import subprocess
    b = run[0]
    b.d.stop()
    r = subprocess.run([rig.BINARY, "orphans", "-c", b.d.config], capture_output=True, timeout=30,
                       env={**os.environ, **b.d.env})
    assert r.returncode in (0, 1) and b"failing" in r.stdout, (r.stdout, r.stderr)
    assert found_in(r.stdout + r.stderr, "orphans") == []
    assert found_in(b.d.log().encode(), "the log") == []
    hits = [hit for name, data in files(b.d.dir) for hit in found_in(data, name)]
    assert hits == []
