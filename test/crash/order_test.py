# SPDX-License-Identifier: Apache-2.0
"""No byte of an answer to a mutating call leaves before the fdatasync that covers its row.

kill -9 cannot show durability, because the page cache survives it. So the daemon runs under strace,
and the order of its system calls is judged:

  1. when an answer begins, nothing that was written to the write-ahead log is still unsynced;
  2. between a mutating request and its answer, a page that holds the id of its object was written
     to that log, and synced after that;
  3. a synchronous answer is the last thing: nothing of it is written to the log afterwards.
"""
import os
import re
import shutil
import threading

import pytest
import rig

CALLS = ("read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,"
         "pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range")
LINE = re.compile(r"(\w+)\((\d+)<(.*?)>(?=[,)])(.*)$", re.S)
REQUEST = re.compile(r'"(PUT|PATCH|DELETE) /v2/service_instances/([\w-]+)'
                     r'(?:/service_bindings/([\w-]+))?[?" ]')
ANSWER = re.compile(r'"HTTP/1\.1 (\d{3}) ')


def events(text):
    """What matters of a trace, in its order: (kind, connection or file, detail)."""
    for line in text.splitlines():
        m = LINE.match(line)
        if not m:
            continue
        call, _, what, rest = m.groups()
        socket = what.startswith(("TCP:", "TCPv6:", "UNIX"))
        if call in ("read", "readv", "recvfrom", "recvmsg"):
            r = REQUEST.search(rest) if socket else None
            if r:
                yield "request", what, (r.group(1), r.group(3) or r.group(2))
        elif call in ("fsync", "fdatasync"):
            if rest.rstrip().endswith("= 0"):
                yield "sync", what, None
        elif socket:
            a = ANSWER.search(rest)
            yield "answer", what, int(a.group(1)) if a else 0
        elif what.endswith("-wal"):
            yield "log", what, rest


def violations(text):
    """What is wrong with a trace, as sentences, and how many mutating calls it has."""
    wrong, calls = [], 0
    unsynced = False
    open_requests = {}  # connection: [verb, id, stage]; stage: nothing, written, durable
    for kind, what, detail in events(text):
        if kind == "request":
            open_requests[what] = [*detail, "nothing"]
        elif kind == "log":
            unsynced = True
            for r in open_requests.values():
                if r[1] in detail and r[2] != "durable":
                    r[2] = "written"
        elif kind == "sync" and what.endswith("-wal"):
            unsynced = False
            for r in open_requests.values():
                if r[2] == "written":
                    r[2] = "durable"
        elif kind == "answer":
            if unsynced:
                wrong.append(f"an answer ({detail}) left before the log was synced")
            r = open_requests.pop(what, None)
            if r is None or detail not in (200, 201, 202):
                continue
            calls += 1
            if r[2] != "durable":
                wrong.append(f"{r[0]} {r[1]}: {detail}, but its row: {r[2]}")
    return wrong, calls


def traced(osbd, tmp_path, config):
    path = tmp_path / "trace"
    if not shutil.which("strace"):
        pytest.fail("strace is not installed")
    d = osbd(rig.DEMO.format(config=config, mode="both"), start=False)
    # -D: strace is the grandchild. It keeps a sanitizer from looking for leaks.
    d.start(env={"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"},
            wrap=["strace", "-D", "-yy", "-s", "140000", "-e", "trace=" + CALLS,
                  "-e", "signal=none", "-o", str(path)])
    return d, path


def finish(d, path):
    d.stop()
    assert rig.wait_until(lambda: "+++ exited with 0 +++" in path.read_text()[-200:], 10)
    return path.read_text()


def seeded_failures(trace):
    """The same trace, made wrong: the judge must see each of them."""
    lines = trace.splitlines()
    answers = [i for i, line in enumerate(lines)
               if re.search(r'<TCP.*"HTTP/1\.1 20[012] ', line)]
    syncs = [i for i, line in enumerate(lines) if re.match(r"fdatasync\(\d+<[^>]*-wal>", line)]
    assert answers and syncs
    # without any sync
    yield "\n".join(line for i, line in enumerate(lines) if i not in syncs)
    # the sync before the last answer comes after it
    last = max(s for s in syncs if s < answers[-1])
    moved = lines[:last] + lines[last + 1:answers[-1] + 1] + [lines[last]]
    yield "\n".join(moved)
    # an answer that goes out before anything is written
    where = LINE.match(lines[answers[-1]]).group(3)
    request = max(i for i, line in enumerate(lines[:answers[-1]])
                  if f"<{where}>" in line and REQUEST.search(line))
    early = lines[:request + 1] + [lines[answers[-1]]]
    yield "\n".join(early)


def life(d, incomplete):
    """All five mutating calls."""
    iid, bid = rig.new_id(), rig.new_id()

    def done(r, *ids):
        assert r.status_code in (200, 201, 202), r.text
        if r.status_code == 202:
            assert d.poll(*ids, operation=r.json()["operation"])["state"] == "succeeded"

    done(d.provision(iid, incomplete), iid)
    done(d.bind(iid, bid, incomplete), iid, bid)
    done(d.update(iid, incomplete, plan=1), iid)
    done(d.unbind(iid, bid, incomplete), iid, bid)
    done(d.deprovision(iid, incomplete), iid)


@pytest.mark.parametrize("config", ["{}", "{delay: 20ms, steps: 2}"], ids=["pure", "slow"])
@pytest.mark.parametrize("incomplete", [None, "true"], ids=["sync", "async"])
def test_one_after_the_other(osbd, tmp_path, config, incomplete):
    d, path = traced(osbd, tmp_path, config)
    life(d, incomplete)
    trace = finish(d, path)
    wrong, calls = violations(trace)
    assert not wrong
    assert calls == 5
    for made_wrong in seeded_failures(trace):
        assert violations(made_wrong)[0]


def test_nothing_is_written_after_a_synchronous_answer(osbd, tmp_path):
    d, path = traced(osbd, tmp_path, "{delay: 20ms, steps: 2}")
    life(d, None)
    between, answers = None, 0
    for kind, _, detail in events(finish(d, path)):
        if kind == "request":
            between = None
        elif kind == "answer" and detail in (200, 201):
            between = detail
            answers += 1
        elif kind == "log":
            assert between is None, "written after the answer"
    assert answers >= 5


@pytest.mark.parametrize("config", ["{}", "{delay: 10ms}"], ids=["pure", "slow"])
def test_group_commit(osbd, tmp_path, config):
    """Many clients at once: one fdatasync covers several, and none is answered before his."""
    clients, rounds = 16, 6
    d, path = traced(osbd, tmp_path, config)
    service, plan = d.ids()
    errors = []

    def client(n):
        import httpx
        import base64
        auth = base64.b64encode(b"platform:secret").decode()
        body = {"service_id": service, "plan_id": plan, "organization_guid": "o",
                "space_guid": "s"}
        with httpx.Client(base_url=f"http://127.0.0.1:{d.port}", timeout=60, trust_env=False,
                          headers={"X-Broker-API-Version": "2.17",
                                   "Authorization": "Basic " + auth}) as http:
            for _ in range(rounds):
                path = f"/v2/service_instances/{rig.new_id()}"
                query = {"accepts_incomplete": "true"} if n % 2 else {}
                r = http.put(path, json=body, params=query)
                if r.status_code not in (201, 202):
                    errors.append(r.text)
                if r.status_code == 201:
                    r = http.delete(path, params={"service_id": service, "plan_id": plan})
                    if r.status_code != 200:
                        errors.append(r.text)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors
    trace = finish(d, path)
    wrong, calls = violations(trace)
    assert not wrong
    assert calls >= clients * rounds
    syncs = sum(1 for kind, what, _ in events(trace) if kind == "sync" and what.endswith("-wal"))
    commits = calls if config == "{}" else calls * 4
    assert syncs < commits, "commits were not grouped"
    writes = sum(1 for kind, _, _ in events(trace) if kind == "log")
    assert writes <= syncs, "the pages of a commit were not gathered"
    for made_wrong in seeded_failures(trace):
        assert violations(made_wrong)[0]


def test_the_judge():
    """A trace made by hand: right, and wrong in each of its ways."""
    a = "12<TCP:[127.0.0.1:1->127.0.0.1:2]>"
    request = f'read({a}, "PUT /v2/service_instances/abc?x=1 HTTP/1.1\\r\\n", 65536) = 42'
    write = 'pwrite64(10</x/osbd.db-wal>, "..abc..", 7, 0) = 7'
    other = 'pwrite64(10</x/osbd.db-wal>, "..abd..", 7, 0) = 7'
    sync = "fdatasync(10</x/osbd.db-wal>) = 0"
    answer = f'writev({a}, [{{iov_base="HTTP/1.1 201 Created\\r\\n"}}], 1) = 22'

    def judged(*lines):
        return violations("\n".join(lines))

    assert judged(request, write, sync, answer) == ([], 1)
    assert judged(request, write, answer, sync)[0]
    assert judged(request, answer, write, sync)[0]
    assert judged(request, other, sync, answer)[0]
    assert judged(write, sync, request, answer)[0]
    assert judged(request, write, sync, other, answer)[0]
    assert judged(request, write, sync.replace("= 0", "= -1 EIO"), answer)[0]
    assert judged(request, write, sync.replace("-wal", ""), answer)[0]
