# SPDX-License-Identifier: Apache-2.0
"""What a machine does to a daemon: no space, no descriptors, nobody reads the log, other keys."""
import asyncio
import os
import re
import resource
import secrets
import signal
import socket
import sqlite3
import subprocess
import time

import bundles
import pytest
import rig
import swarm

PURE = rig.DEMO.format(config="{}", mode="both")
MiB = 1 << 20


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cli(*args, env=None):
    """(exit code, everything it said)"""
    p = subprocess.run([rig.BINARY, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=60, env={**os.environ, **(env or {})})
    return p.returncode, p.stdout.decode()


# -- no space ---------------------------------------------------------------------------------


class SmallDisk:
    """A file system of 8 MiB, for root."""

    def __init__(self, d):
        self.path = os.path.join(d.dir, "disk")
        os.mkdir(self.path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", self.path], check=True)
        self.filler = os.path.join(self.path, "filler")

    def fill(self, d):
        with open(self.filler, "wb", buffering=0) as f:
            for size in (65536, 4096, 512, 1):
                try:
                    while f.write(b"x" * size):
                        pass
                except OSError:
                    pass

    def empty(self, d):
        os.unlink(self.filler)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=True)


class SmallFiles:
    """A limit on the size of a file: anybody can have that."""

    def __init__(self, d):
        self.path = os.path.join(d.dir, "disk")
        os.mkdir(self.path)

    def fill(self, d):
        size = os.path.getsize(os.path.join(self.path, "osbd.db-wal"))
        resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE,
                         (size, resource.RLIM_INFINITY))

    def empty(self, d):
        resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE,
                         (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def close(self):
        pass


@pytest.mark.parametrize("kind", [SmallFiles, pytest.param(SmallDisk, marks=pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can mount; SmallFiles shows the same"))])
def test_no_space(osbd, tmp_path, kind):
    d = osbd("", start=False)
    disk = kind(d)
    try:
        no_space(d, disk)
        d.stop()
    finally:
        d.close()
        disk.close()


def no_space(d, disk):
    os.mkdir(os.path.join(d.dir, "world"))
    with open(d.config, "w") as f:
        f.write(rig.HEAD.replace("{dir}/osbd.db", disk.path + "/osbd.db").format(dir=d.dir)
                + rig.DEMO.format(config=f"{{directory: {d.dir}/world, delay: 20ms}}",
                                  mode="both"))
    d.start()
    assert d.provision("old").status_code == 201
    assert d.provision("running", "true", parameters={}).status_code == 202
    assert d.poll("running")["state"] == "succeeded"
    # this one is in the middle when the space ends
    text = open(d.config).read()
    disk.fill(d)
    made, refused = [], 0
    for n in range(3000):
        r = d.provision(f"new{n}")
        if r.status_code == 201:
            made.append(f"new{n}")
            continue
        assert r.status_code == 503, r.text
        assert int(r.headers["Retry-After"]) >= 1
        assert r.json()["error"] and r.json()["description"]
        refused += 1
        if refused == 5:
            break
    assert refused == 5, "the space did not end"
    failed = f"new{n}"
    r = d.bind("old", "b")
    assert r.status_code == 503 and "Retry-After" in r.headers
    assert d.update("old", plan=1).status_code == 503
    assert d.deprovision("old").status_code == 503
    # what only reads goes on
    assert d.catalog()
    assert d.get_instance("old").json()["plan_id"] == d.ids()[1]
    assert d.last(failed).status_code == 404
    assert d.get_binding("old", "b").status_code == 404
    assert "instance-" in " ".join(os.listdir(os.path.join(d.dir, "world")))
    disk.empty(d)
    assert d.provision(failed).status_code == 201
    assert d.bind("old", "b").status_code == 201
    assert d.update("old", plan=1).status_code == 200
    d.kill()
    d.start()
    assert d.get_instance("old").json()["plan_id"] == d.ids(plan=1)[1]
    for iid in made + [failed]:
        assert d.get_instance(iid).status_code == 200
    world = [n for n in os.listdir(os.path.join(d.dir, "world")) if n.startswith("instance-")]
    assert len(world) == len(made) + 3
    assert text == open(d.config).read()


def test_space_ends_under_an_operation(osbd, tmp_path):
    """It keeps its result, waits for the store, and ends as it should."""
    d = osbd("", start=False)
    disk = SmallFiles(d)
    os.mkdir(os.path.join(d.dir, "world"))
    with open(d.config, "w") as f:
        f.write(rig.HEAD.replace("{dir}/osbd.db", disk.path + "/osbd.db").format(dir=d.dir)
                + rig.DEMO.format(config=f"{{directory: {d.dir}/world, delay: 1s, steps: 4}}",
                                  mode="both"))
    d.start()
    r = d.provision("i", "true")
    assert r.status_code == 202
    disk.fill(d)
    assert rig.wait_until(lambda: "the store is away" in d.log(), 10)
    assert d.last("i").json()["state"] == "in progress"
    cpu = cpu_seconds(d.process.pid)
    time.sleep(1)
    assert cpu_seconds(d.process.pid) - cpu < 0.5, "a busy loop"
    disk.empty(d)
    assert d.poll("i", operation=r.json()["operation"])["state"] == "succeeded"
    with open(os.path.join(d.dir, "world", "journal")) as f:
        assert sorted(line.split()[2] for line in f) == ["end", "start"]


# -- the log ----------------------------------------------------------------------------------


def test_nobody_reads_the_log(osbd, tmp_path):
    d = osbd(PURE, start=False)
    from_pipe, to_pipe = os.pipe()
    d.start(wait=False)
    d.kill()  # only to have its directory; this one writes into a pipe
    # what a sanitizer keeps of freed memory is not the daemon's
    env = {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"}
    d.process = subprocess.Popen([rig.BINARY, "serve", "-c", d.config], stderr=to_pipe,
                                 stdin=subprocess.DEVNULL, env=env)
    os.close(to_pipe)
    text = b""
    while b"listening on" not in text or not text.endswith(b"\n"):
        text += os.read(from_pipe, 65536)
    port = int(re.search(rb"listening on 127\.0\.0\.1:(\d+)", text).group(1))

    async def ask(n, connections):
        requests = [("GET", f"/v2/service_instances/{'i' * 900}{k}", None) for k in range(n)]
        return [a.status for a in await swarm.all_of(port, requests, connections)]

    # 1 kB each: the backlog takes 1 MiB, the pipe at most 64 KiB (less when its pages are not full),
    # the rest is lost
    n = 4000
    before = d.resident()
    assert set(asyncio.run(ask(n, 16))) == {404}
    assert d.resident() - before < 20 << 10
    cpu = cpu_seconds(d.process.pid)
    time.sleep(1)
    assert cpu_seconds(d.process.pid) - cpu < 0.3, "a busy loop"
    assert set(asyncio.run(ask(10, 1))) == {404}
    # somebody reads again
    os.set_blocking(from_pipe, False)
    text = b""

    def read_on():
        nonlocal text
        try:
            while True:
                more = os.read(from_pipe, 1 << 20)
                if not more:
                    return
                text += more
        except BlockingIOError:
            pass

    assert rig.wait_until(lambda: read_on() or len(text) > 1 << 20, 8)
    size = 0
    while size != len(text):
        size = len(text)
        time.sleep(0.3)
        read_on()
    assert set(asyncio.run(ask(1, 1))) == {404}
    assert rig.wait_until(lambda: read_on() or b"log lines were lost" in text, 5)
    lost = sum(int(x) for x in re.findall(rb"(\d+) log lines were lost", text))
    assert lost > 0
    assert text.count(b"GET /v2/service_instances/iii") + lost == n + 11
    # and nobody at all
    os.close(from_pipe)
    assert set(asyncio.run(ask(20, 2))) == {404}
    d.process.send_signal(signal.SIGTERM)
    assert d.process.wait(10) == 0


# -- descriptors ------------------------------------------------------------------------------


def limit_files(n):
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))


def test_no_descriptors(osbd, tmp_path):
    d = bundles.make(osbd, slots=4)
    d.start(preexec_fn=limit_files(64))
    assert d.provision("before").status_code == 201  # d.http keeps this connection
    body = {"service_id": d.ids()[0], "plan_id": d.ids()[1], "organization_guid": "o",
            "space_guid": "s"}
    crowd = []
    for _ in range(150):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", d.port))
        crowd.append(s)
    assert rig.wait_until(lambda: len(os.listdir(f"/proc/{d.process.pid}/fd")) == 64, 5)
    cpu = cpu_seconds(d.process.pid)
    time.sleep(1.5)
    assert cpu_seconds(d.process.pid) - cpu < 0.5, "a busy loop"
    # the store and the connections that are there go on
    assert d.get_instance("before").status_code == 200
    # a program cannot be started now; it is when there are descriptors again
    r = d.ask("PUT", "/v2/service_instances/later", body, accepts_incomplete="true")
    assert r.status_code == 202, r.text
    time.sleep(0.5)
    assert d.last("later").json()["state"] == "in progress", d.last("later").text
    for s in crowd:
        s.close()
    assert d.poll("later", operation=r.json()["operation"])["state"] == "succeeded"
    assert bundles.count(d, "provision", "end") == 2
    s = socket.create_connection(("127.0.0.1", d.port), timeout=5)
    s.sendall(swarm.head("GET", "/v2/catalog"))
    assert s.recv(15) == b"HTTP/1.1 200 OK"
    s.close()


def test_a_program_that_cannot_be_started(osbd, tmp_path):
    d = bundles.make(osbd)
    d.start()
    with open(os.path.join(d.dir, "bundle", "bundle"), "a"):  # text file busy
        r = d.provision("i")
    assert r.status_code == 500 and "cannot be started" in r.json()["description"], r.text
    assert "Text file busy" in d.log()
    assert d.get_instance("i").status_code == 404
    assert d.provision("i").status_code == 201


@pytest.mark.parametrize("verb,slow", [
    ("provision", False), ("update", False), ("bind", False), ("unbind", False),
    ("deprovision", False), ("provision", True), ("unbind", True)])
def test_each_commit_fails_once(osbd, tmp_path, verb, slow):
    """The n-th commit fails, for n = 1, 2, … until the verb needs no more of them."""
    config = "{delay: 30ms}" if slow else "{}"
    d = osbd(rig.DEMO.format(config=config, mode="both"), start=False)
    for n in range(1, 20):
        iid, bid = rig.new_id(), rig.new_id()
        d.start()
        if verb != "provision":
            assert d.provision(iid).status_code == 201
        if verb == "unbind":
            assert d.bind(iid, bid).status_code == 201
        d.stop()
        d.start(env={"OSBD_FAILPOINT": f"store.commit=fail@{n}"})

        def call():
            if verb == "provision":
                return d.provision(iid)
            if verb == "update":
                return d.update(iid, plan=1)
            if verb == "bind":
                return d.bind(iid, bid)
            if verb == "unbind":
                return d.unbind(iid, bid)
            return d.deprovision(iid)

        r = call()
        if n == 1:
            assert r.status_code == 503 and "Retry-After" in r.headers, r.text
            assert "nothing was changed" in r.json()["description"]
            if verb == "provision":
                assert d.last(iid).status_code == 404
            elif verb == "bind":
                assert d.last(iid, bid).status_code == 404
            else:
                assert d.get_instance(iid).json()["plan_id"] == d.ids()[1]
            r = call()
        # a later one is tried again by the operation itself
        assert r.status_code == (201 if verb in ("provision", "bind") else 200), r.text
        again = "the store is away" in d.log()
        d.stop()
        if n > 1 and not again:
            break
    assert n == 2 if not slow else n >= 4


# -- two of them ------------------------------------------------------------------------------


def test_second_osbd_on_one_store(osbd, tmp_path):
    d = osbd(PURE)
    assert d.provision("i").status_code == 201
    for command in ("serve", "orphans", "reseal"):
        code, said = cli(command, "-c", d.config)
        assert code == 1
        assert f"process {d.process.pid} has the store open" in said
    assert cli("check", "-c", d.config)[0] == 0
    assert d.get_instance("i").status_code == 200
    assert d.deprovision("i").status_code == 200


# -- keys -------------------------------------------------------------------------------------

KEYS = {"KEY_A": secrets.token_hex(32), "KEY_B": secrets.token_hex(32),
        "KEY_C": secrets.token_hex(32)}


def with_keys(d, *names):
    keys = ", ".join(f"{{id: {n}, key: {{env: KEY_{n.upper()}}}}}" for n in names)
    with open(d.config, "w") as f:
        f.write(rig.HEAD.format(dir=d.dir) + f"seal: {{keys: [{keys}]}}\n" + PURE)


def sealed_daemon(osbd):
    d = osbd("", start=False, env=KEYS)
    with_keys(d, "a")
    d.start()
    for n in range(12):
        assert d.provision(f"i{n}", parameters={"n": n}).status_code == 201
        assert d.bind(f"i{n}", "b").status_code == 201
    return d, {n: d.get_binding(f"i{n}", "b").json()["credentials"] for n in range(12)}


def readable(d, credentials):
    return all(d.get_binding(f"i{n}", "b").json().get("credentials") == credentials[n]
               for n in range(12))


def test_keys_change_in_the_background(osbd, tmp_path):
    d, credentials = sealed_daemon(osbd)
    d.stop()
    with_keys(d, "b", "a")
    d.start()
    assert rig.wait_until(lambda: "rows sealed with the current key" in d.log(), 10)
    assert readable(d, credentials)
    time.sleep(0.3)
    d.stop()
    with_keys(d, "b")
    d.start()
    assert readable(d, credentials)
    assert "cannot be opened" not in d.log()


def test_keys_change_offline(osbd, tmp_path):
    d, credentials = sealed_daemon(osbd)
    d.stop()
    with_keys(d, "b", "a")
    code, said = cli("reseal", "-c", d.config, env=KEYS)
    assert code == 0 and re.search(r"[1-9]\d* rows sealed with the first key, 0 cannot", said)
    code, said = cli("reseal", "-c", d.config, env=KEYS)
    assert code == 0 and "0 rows sealed" in said
    with_keys(d, "b")
    d.start()
    assert readable(d, credentials)


def test_the_only_key_is_lost(osbd, tmp_path):
    d, credentials = sealed_daemon(osbd)
    d.stop()
    with_keys(d, "c")
    for command in ("serve", "reseal", "orphans"):
        code, said = cli(command, "-c", d.config, env=KEYS)
        assert code == 1 and 'none of the keys opens the store: key "a" does' in said
        assert not [secret for secret in KEYS.values() if secret in said]
    with_keys(d, "c", "a")
    d.start()
    assert readable(d, credentials)


def test_rows_that_no_key_opens(osbd, tmp_path):
    """They are reported and left as they are; all else goes on."""
    d, credentials = sealed_daemon(osbd)
    d.stop()
    db = sqlite3.connect(os.path.join(d.dir, "osbd.db"))
    row, data = db.execute("SELECT seq, data FROM binding ORDER BY seq LIMIT 1").fetchone()
    spoilt = data[:-1] + bytes([data[-1] ^ 1])
    db.execute("UPDATE binding SET data = ? WHERE seq = ?", (spoilt, row))
    db.commit()
    db.close()
    with_keys(d, "b", "a")
    code, said = cli("orphans", "-c", d.config, env=KEYS)
    assert code == 0 and "0 orphans, 1 rows that no key opens" in said
    assert '"i0"' in said and '"i1"' not in said
    d.start()
    assert rig.wait_until(lambda: "1 rows cannot be opened by any key" in d.log(), 10), d.log()
    r = d.get_binding("i0", "b")
    assert r.status_code == 500 and "cannot be opened by any key" in r.json()["description"]
    for n in range(1, 12):
        assert d.get_binding(f"i{n}", "b").json()["credentials"] == credentials[n]
    assert d.provision("new").status_code == 201
    d.stop()
    code, said = cli("reseal", "-c", d.config, env=KEYS)
    assert code == 1 and "1 cannot be opened by any key" in said
    db = sqlite3.connect(os.path.join(d.dir, "osbd.db"))
    assert db.execute("SELECT data FROM binding WHERE seq = ?", (row,)).fetchone()[0] == spoilt
    db.close()


# -- configuration and process ----------------------------------------------------------------


def test_a_plan_in_use_cannot_be_dropped(osbd, tmp_path):
    d = osbd(PURE)
    assert d.provision("i", plan=1).status_code == 201
    d.stop()
    text = open(d.config).read()
    with open(d.config, "w") as f:
        f.write("\n".join(line for line in text.splitlines() if "name: large" not in line))
    code, said = cli("serve", "-c", d.config)
    assert code == 3
    assert "is not offered any more" in said and "1 instances have it" in said
    with open(d.config, "w") as f:
        f.write(text)
    d.start()
    assert d.deprovision("i", plan=1).status_code == 200
    d.stop()
    with open(d.config, "w") as f:
        f.write("\n".join(line for line in text.splitlines() if "name: large" not in line))
    d.start()


def test_no_core_file(osbd, tmp_path):
    d = osbd(PURE, start=False, orderly=False)
    d.start(preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2), cwd=d.dir)
    with open(f"/proc/{d.process.pid}/limits") as f:
        core = next(line for line in f if line.startswith("Max core file size")).split()
    assert core[4:6] == ["0", "0"]
    os.kill(d.process.pid, signal.SIGQUIT)
    _, status = os.waitpid(d.process.pid, 0)
    d.process.returncode = -signal.SIGQUIT
    assert os.WTERMSIG(status) == signal.SIGQUIT and not os.WCOREDUMP(status)


def test_without_standard_descriptors(osbd, tmp_path):
    """Closed ones are not taken by a socket or the store, which the log would then go to."""
    d = osbd(PURE.replace("description: makes nothing", "description: canary-4711"), start=False,
             orderly=False)
    port = socket.create_server(("127.0.0.1", 0))
    number = port.getsockname()[1]
    port.close()
    text = open(d.config).read().replace("127.0.0.1:0", f"127.0.0.1:{number}")
    with open(d.config, "w") as f:
        f.write(text)
    d.process = subprocess.Popen(["sh", "-c", 'exec "$0" serve -c "$1" <&- >&- 2>&-', rig.BINARY,
                                  d.config])

    def answers():
        try:
            s = socket.create_connection(("127.0.0.1", number), timeout=5)
        except OSError:
            return None
        with s:
            got = b""
            for _ in range(3):
                s.sendall(swarm.head("GET", "/v2/catalog"))
                time.sleep(0.1)
                got += s.recv(1 << 20)
            return got

    got = rig.wait_until(answers, 10)
    assert got and got.count(b"HTTP/1.1 200 OK") == 3 and got.count(b"canary-4711") == 3
    assert b"level=" not in got
    fds = f"/proc/{d.process.pid}/fd"
    assert [os.readlink(f"{fds}/{n}") for n in range(3)] == ["/dev/null"] * 3
    d.process.send_signal(signal.SIGTERM)
    assert d.process.wait(10) == 0
    with open(os.path.join(d.dir, "osbd.db"), "rb") as f:
        assert b"level=" not in f.read()


# -- a storm of deletes -----------------------------------------------------------------------


def test_orphan_storm(osbd, tmp_path):
    d = osbd("", start=False)
    os.mkdir(os.path.join(d.dir, "world"))
    with open(d.config, "w") as f:
        f.write(rig.HEAD.format(dir=d.dir)
                + rig.DEMO.format(config=f"{{directory: {d.dir}/world, "
                                         "delay: {provision: 3s, deprovision: 2s}}", mode="both"))
    d.start()
    service, plan = d.ids()
    query = f"service_id={service}&plan_id={plan}&accepts_incomplete=true"

    def delete(path):
        return ("DELETE", f"/v2/service_instances/{path}?{query}", None)

    def all_of(requests, connections=32):
        return [(a.status, a.json()) for a in
                asyncio.run(swarm.all_of(d.port, requests, connections))]

    # never made
    answers = all_of([delete(f"never{n}") for n in range(500)]
                     + [delete(f"never{n}/service_bindings/b") for n in range(500)])
    assert {status for status, _ in answers} == {410}
    assert len({body["description"] for _, body in answers if body["error"]}) == 2
    # repeated a hundred times while it runs, and after that
    assert d.provision("i").status_code == 201
    answers = all_of([delete("i")] * 100)
    assert {status for status, _ in answers} == {202}
    assert len({body["operation"] for _, body in answers}) == 1
    assert d.poll("i")["state"] == "succeeded"
    assert {status for status, _ in all_of([delete("i")] * 100)} == {410}
    assert {status for status, _ in all_of([delete("i/service_bindings/b")] * 10)} == {410}
    # while provision runs: it is halted, and nothing is left
    ids = [rig.new_id() for _ in range(20)]
    body = {"service_id": service, "plan_id": plan, "organization_guid": "o", "space_guid": "s"}
    puts = all_of([("PUT", f"/v2/service_instances/{i}?accepts_incomplete=true", body)
                   for i in ids])
    assert {status for status, _ in puts} == {202}
    deletes = all_of([delete(i) for i in ids for _ in range(5)])
    assert {status for status, _ in deletes} == {202}
    for i, (_, put), (_, gone) in zip(ids, puts, deletes[::5]):
        assert d.poll(i, operation=gone["operation"])["state"] == "succeeded"
        assert d.poll(i, operation=put["operation"])["state"] == "failed"
        assert d.get_instance(i).status_code == 404
    assert [f for f in os.listdir(os.path.join(d.dir, "world")) if f != "journal"] == []
    # the storm has left no rows but those of what was made
    d.stop()
    db = sqlite3.connect(os.path.join(d.dir, "osbd.db"))
    assert db.execute("SELECT count(*) FROM instance").fetchone()[0] == 21
    assert db.execute("SELECT count(*) FROM binding").fetchone()[0] == 0
    db.close()
    assert "0 orphans" in cli("orphans", "-c", d.config)[1]
