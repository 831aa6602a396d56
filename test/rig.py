# SPDX-License-Identifier: Apache-2.0
"""Runs the real daemon for a test and talks to it as a platform does.

OSBD names the binary (./dev sets it). Each daemon has a directory of its own with its
configuration, its store and its log, and listens on a port that the system picks, which is read
from the log. What was started is stopped, by process id.
"""
import base64
import json
import os
import re
import signal
import subprocess
import time
import uuid

import httpx

BINARY = os.environ.get("OSBD") or os.path.join(
    os.path.dirname(__file__), "..", "build", "osbd")
TREE = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))

HEAD = """\
listen: [{{address: "127.0.0.1:0"}}]
users: [{{name: platform, password: secret}}]
store: {{sqlite: {{path: {dir}/osbd.db}}}}
children: {{directory: {dir}/run}}
log: {{level: info}}
"""

# A demo service with everything; `config` of service and plans is put in by the test.
DEMO = """\
services:
  - name: demo
    description: makes nothing
    backend: demo
    plan_updateable: true
    config: {config}
    plans:
      - {{name: small, description: small, async: {mode}}}
      - {{name: large, description: large, async: {mode}}}
"""


def wait_until(what, seconds=10.0, every=0.02):
    """Asks until it is true, and returns what it said last."""
    end = time.monotonic() + seconds
    while True:
        said = what()
        if said or time.monotonic() > end:
            return said
        time.sleep(every)


def has_asan():
    """The binary is built with AddressSanitizer, whose memory and order of libraries differ."""
    with open(BINARY, "rb") as f:
        return b"__asan_init" in f.read()


class Osbd:
    def __init__(self, directory, yaml, env=None, head=HEAD):
        self.dir = str(directory)
        self.config = os.path.join(self.dir, "osbd.yml")
        self.log_path = os.path.join(self.dir, "log")
        with open(self.config, "w") as f:
            f.write(head.format(dir=self.dir) + yaml)
        self.env = env or {}
        self.process = None
        self.port = None
        self.http = None
        self.starts = 0

    # -- life ---------------------------------------------------------------------------

    def start(self, env=None, wait=True, wrap=(), **popen):
        self.log_from = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [*wrap, BINARY, "serve", "-c", self.config], stderr=log, stdout=log,
            stdin=subprocess.DEVNULL, env={**os.environ, **self.env, **(env or {})}, **popen)
        log.close()
        self.starts += 1
        if wait:
            self.wait_listening()
        return self

    def wait_listening(self, seconds=20):
        def found():
            if self.process.poll() is not None:
                raise AssertionError(f"osbd ended with {self.process.returncode}: {self.log()}")
            return re.findall(r"listening on 127\.0\.0\.1:(\d+)", self.log())
        ports = wait_until(found, seconds)
        assert ports, f"osbd does not listen: {self.log()}"
        self.port = int(ports[0])
        if self.http:
            self.http.close()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=70,
                                 trust_env=False)

    def log(self):
        """The log since the last start."""
        with open(self.log_path, "rb") as f:
            f.seek(self.log_from)
            return f.read().decode("utf-8", "replace")

    def stopped(self):
        """Whether a SIGSTOP has come to it."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "T"

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self, seconds=30):
        """An orderly end: exit code 0, and nothing was left open."""
        if self.http:
            self.http.close()  # an idle connection is waited for
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        assert code == 0, f"exit code {code}: {self.log()[-4000:]}"
        assert "still open" not in self.log()

    def close(self):
        if self.http:
            self.http.close()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def tasks(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def resident(self):
        """kB"""
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(next(line for line in f if line.startswith("VmRSS")).split()[1])

    # -- requests -----------------------------------------------------------------------

    def ask(self, method, path, body=None, headers=None, auth=("platform", "secret"),
            version="2.17", content=None, **query):
        h = {}
        if version is not None:
            h["X-Broker-API-Version"] = version
        if auth:
            h["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        h.update(headers or {})
        if body is not None:
            content = json.dumps(body)
            h.setdefault("Content-Type", "application/json")
        params = {k: v for k, v in query.items() if v is not None}
        return self.http.request(method, path, content=content, headers=h, params=params or None)

    def catalog(self):
        return self.ask("GET", "/v2/catalog").json()["services"]

    def ids(self, service=0, plan=0):
        s = self.catalog()[service]
        return s["id"], s["plans"][plan]["id"]

    def provision(self, iid, incomplete=None, service=0, plan=0, **more):
        s, p = self.ids(service, plan)
        body = {"service_id": s, "plan_id": p, "organization_guid": "org", "space_guid": "space"}
        body.update(more)
        return self.ask("PUT", f"/v2/service_instances/{iid}", body,
                        accepts_incomplete=incomplete)

    def update(self, iid, incomplete=None, service=0, plan=None, **more):
        s, _ = self.ids(service, 0)
        body = {"service_id": s}
        if plan is not None:
            body["plan_id"] = self.ids(service, plan)[1]
        body.update(more)
        return self.ask("PATCH", f"/v2/service_instances/{iid}", body,
                        accepts_incomplete=incomplete)

    def deprovision(self, iid, incomplete=None, service=0, plan=0):
        s, p = self.ids(service, plan)
        return self.ask("DELETE", f"/v2/service_instances/{iid}", service_id=s, plan_id=p,
                        accepts_incomplete=incomplete)

    def bind(self, iid, bid, incomplete=None, service=0, plan=0, **more):
        s, p = self.ids(service, plan)
        body = {"service_id": s, "plan_id": p}
        body.update(more)
        return self.ask("PUT", f"/v2/service_instances/{iid}/service_bindings/{bid}", body,
                        accepts_incomplete=incomplete)

    def unbind(self, iid, bid, incomplete=None, service=0, plan=0):
        s, p = self.ids(service, plan)
        return self.ask("DELETE", f"/v2/service_instances/{iid}/service_bindings/{bid}",
                        service_id=s, plan_id=p, accepts_incomplete=incomplete)

    def get_instance(self, iid):
        return self.ask("GET", f"/v2/service_instances/{iid}")

    def get_binding(self, iid, bid):
        return self.ask("GET", f"/v2/service_instances/{iid}/service_bindings/{bid}")

    def last(self, iid, bid=None, operation=None):
        path = f"/v2/service_instances/{iid}"
        if bid:
            path += f"/service_bindings/{bid}"
        return self.ask("GET", path + "/last_operation", operation=operation)

    def poll(self, iid, bid=None, operation=None, seconds=30):
        """Polls until the operation is over; returns the body."""
        def over():
            r = self.last(iid, bid, operation)
            assert r.status_code == 200, r.text
            return r.json() if r.json()["state"] != "in progress" else None
        body = wait_until(over, seconds)
        assert body, f"still in progress: {self.last(iid, bid, operation).text}"
        return body


def new_id():
    return str(uuid.uuid4())
