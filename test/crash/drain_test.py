# SPDX-License-Identifier: Apache-2.0
"""kill -TERM drains: what was accepted is answered, what runs is resumed, and the end is orderly."""
import json
import os
import signal
import socket
import threading
import time

import httpx
import rig
import swarm

HEAD = rig.HEAD + "limits: {{drain: {drain}}}\n"


def daemon(osbd, delay="0ms", steps=1, drain="20s", orderly=True):
    d = osbd("", start=False, orderly=orderly)
    os.mkdir(os.path.join(d.dir, "world"))
    configure(d, delay, steps, drain)
    return d.start()


def configure(d, delay, steps=1, drain="20s"):
    config = f"{{directory: {d.dir}/world, delay: {delay}, steps: {steps}}}"
    with open(d.config, "w") as f:
        f.write(HEAD.format(dir=d.dir, drain=drain)
                + rig.DEMO.format(config=config, mode="both"))


def body_of(d):
    service, plan = d.ids()
    return {"service_id": service, "plan_id": plan, "organization_guid": "o", "space_guid": "s"}


def connection(d):
    s = socket.create_connection(("127.0.0.1", d.port), timeout=30)
    return s


def read_answer(s):
    """Status, headers as text, body; everything that was promised must be there."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        assert more, f"the connection ended in the head: {data!r}"
        data += more
    top, _, body = data.partition(b"\r\n\r\n")
    length = [int(line.split(b":")[1]) for line in top.split(b"\r\n")
              if line.lower().startswith(b"content-length:")]
    while len(body) < (length[0] if length else 0):
        more = s.recv(65536)
        assert more, "the connection ended in the body"
        body += more
    return int(top.split()[1]), top.decode("latin-1").lower(), body


def term(d):
    d.process.send_signal(signal.SIGTERM)
    assert rig.wait_until(lambda: "draining" in d.log(), 5)


def refused(d):
    try:
        connection(d).close()
    except ConnectionRefusedError:
        return True
    return False


def ended(d, seconds):
    try:
        return d.process.wait(seconds)
    except Exception:
        return None


def test_no_accepted_request_is_dropped(osbd, tmp_path):
    d = daemon(osbd, "2s", steps=2)
    body = body_of(d)
    idle = [connection(d) for _ in range(20)]
    for s in idle[:10]:  # keep-alive connections that have been used, and such that have not
        s.sendall(swarm.head("GET", "/v2/catalog"))
        assert read_answer(s)[0] == 200

    # requests that wait for their operation
    waiting = []
    for _ in range(20):
        s = connection(d)
        iid = rig.new_id()
        s.sendall(swarm.head("PUT", f"/v2/service_instances/{iid}", body))
        waiting.append((s, iid))
    # uploads that are under way: the head, and a part of the body
    uploads = []
    for n in range(5):
        s = connection(d)
        iid = rig.new_id()
        request = swarm.head("PUT", f"/v2/service_instances/{iid}?accepts_incomplete=true", body)
        cut = request.index(b"\r\n\r\n") + 10 if n else 40  # one is still in its head
        s.sendall(request[:cut])
        uploads.append((s, iid, request[cut:]))
    assert rig.wait_until(lambda: len(os.listdir(os.path.join(d.dir, "world"))) == 21, 10)

    term(d)
    assert rig.wait_until(lambda: refused(d), 3), "new connections are still taken"
    # a request that was on its way over an idle connection is served: none of its bytes is lost
    time.sleep(0.3)
    for s, iid, rest in uploads:
        for i in range(0, len(rest), 40):
            s.sendall(rest[i:i + 40])
            time.sleep(0.005)
    for s, iid, rest in uploads:
        status, top, answer = read_answer(s)
        assert status == 202, answer
        assert "connection: close" in top
    for s, iid in waiting:
        status, top, answer = read_answer(s)
        assert status == 201, answer
        assert "connection: close" in top
        assert s.recv(10) == b""
    for s in idle:
        assert s.recv(10) == b""
    assert ended(d, 25) == 0
    assert "still open" not in d.log()
    d.start()
    for _, iid in waiting:
        assert d.get_instance(iid).status_code == 200
    for _, iid, _ in uploads:
        assert d.poll(iid)["state"] == "succeeded"


def test_under_load_every_request_has_a_full_answer(osbd, tmp_path):
    """Clients that never stop asking: each request has an answer, or its connection was closed or
    refused before a byte of an answer came, and then it has had no effect."""
    d = daemon(osbd)
    body = body_of(d)
    stop = threading.Event()
    done, cut, broken = [], [], []

    def client():
        while not stop.is_set():
            try:
                s = connection(d)
            except OSError:
                return
            while not stop.is_set():
                iid = rig.new_id()
                try:
                    s.sendall(swarm.head("PUT", f"/v2/service_instances/{iid}", body))
                    data = s.recv(65536)
                except OSError:
                    cut.append(iid)
                    break
                if not data:
                    cut.append(iid)
                    break
                top, _, rest = data.partition(b"\r\n\r\n")
                if not data.startswith(b"HTTP/1.1 201 ") or json.loads(rest) != {}:
                    broken.append(data)
                done.append(iid)
                if b"Connection: close" in top:
                    break
            s.close()

    threads = [threading.Thread(target=client) for _ in range(16)]
    for t in threads:
        t.start()
    assert rig.wait_until(lambda: len(done) > 300, 20)
    d.process.send_signal(signal.SIGTERM)
    assert ended(d, 20) == 0
    stop.set()
    for t in threads:
        t.join(10)
    assert not broken
    assert len(cut) <= 16
    d.start()
    assert len(done) > 300
    for iid in done:
        assert d.get_instance(iid).status_code == 200
    for iid in cut:
        assert d.get_instance(iid).status_code == 404, "it had an effect, but no answer"


def test_running_operations_are_resumed(osbd, tmp_path):
    d = daemon(osbd, "3s", steps=100)
    ids = [rig.new_id() for _ in range(5)]
    operations = {i: d.provision(i, "true").json()["operation"] for i in ids}
    time.sleep(0.3)
    begun = time.monotonic()
    term(d)
    assert ended(d, 10) == 0
    assert time.monotonic() - begun < 2.5, "it waited for whole operations"
    journal = os.path.join(d.dir, "world", "journal")
    assert len(open(journal).read().splitlines()) == 5
    d.start()
    for i, operation in operations.items():
        assert d.poll(i, operation=operation)["state"] == "succeeded"
    lines = [line.split() for line in open(journal).read().splitlines()]
    # each action once: it was resumed at its step, not begun again
    assert sorted(op for _, op, what in lines if what == "start") == sorted(operations.values())
    assert sorted(op for _, op, what in lines if what == "end") == sorted(operations.values())


def test_second_signal_does_not_wait(osbd, tmp_path):
    d = daemon(osbd, "8s", drain="60s")
    result = {}

    def ask():
        try:
            result["r"] = d.provision("slow")
        except httpx.HTTPError as e:
            result["r"] = e

    t = threading.Thread(target=ask)
    t.start()
    assert rig.wait_until(lambda: os.path.exists(os.path.join(d.dir, "world", "journal")), 5)
    term(d)
    assert ended(d, 1) is None, "it did not wait for a request"
    begun = time.monotonic()
    d.process.send_signal(signal.SIGTERM)
    assert ended(d, 3) == 0
    assert time.monotonic() - begun < 2
    t.join(5)
    assert "at once" in d.log()
    configure(d, "100ms")
    d.start()
    assert d.poll("slow")["state"] == "succeeded"


def test_drain_is_limited(osbd, tmp_path):
    """A client that never sends the rest, and an operation that never ends."""
    d = daemon(osbd, "1h", drain="1s")
    body = body_of(d)
    r = d.provision("slow", "true")
    assert r.status_code == 202
    stuck = connection(d)
    stuck.sendall(swarm.head("PUT", "/v2/service_instances/stuck", body)[:-10])
    time.sleep(0.2)
    begun = time.monotonic()
    term(d)
    assert ended(d, 8) == 0
    assert 0.9 < time.monotonic() - begun < 4
    configure(d, "100ms")
    d.start()
    assert d.poll("slow", operation=r.json()["operation"])["state"] == "succeeded"
    assert d.get_instance("stuck").status_code == 404, "an incomplete body had an effect"


def test_interrupt_is_the_same(osbd, tmp_path):
    d = daemon(osbd)
    assert d.provision("one").status_code == 201
    d.process.send_signal(signal.SIGINT)
    assert ended(d, 10) == 0
    assert "stopped" in d.log()


def test_who_waits_is_told(osbd, tmp_path):
    """At the second signal every request that waits has an answer, also one whose operation has no
    slot yet; both operations go on later."""
    d = daemon(osbd, "15s")
    with open(d.config, "a") as f:
        f.write("    max_running: 1\n")
    d.stop()
    d.start()
    body = body_of(d)
    waiting = [connection(d) for _ in range(2)]
    for n, s in enumerate(waiting):
        s.sendall(swarm.head("PUT", f"/v2/service_instances/i{n}", body))
    assert rig.wait_until(lambda: d.last("i1").status_code == 200, 5)
    assert "waiting for a slot, 0 before it" in d.last("i1").json()["description"]
    term(d)
    assert ended(d, 0.5) is None
    d.process.send_signal(signal.SIGTERM)
    for s in waiting:
        status, top, answer = read_answer(s)
        assert status == 503 and "retry-after" in top, answer
    assert ended(d, 3) == 0
    configure(d, "100ms")
    d.start()
    for n in range(2):
        assert d.poll(f"i{n}")["state"] == "succeeded"
