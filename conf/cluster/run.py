#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Three nodes behind HAProxy on one PostgreSQL, on loopback, until Ctrl-C: `./dev cluster`.

The database is made anew each time, in a folder of its own. A node that is killed is started again
after 5 seconds, as a service manager would.
"""
import base64
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent.parent
sys.path.insert(0, str(TREE / "test"))

import servers  # noqa: E402

TEXT = """
Three nodes behind a balancer are one broker: http://127.0.0.1:8080. Paste into another terminal:

  osb() {{ curl -s -u demo:demo -H 'X-Broker-API-Version: 2.17' "$@"; echo; }}
  db=http://127.0.0.1:8080/v2/service_instances/my-db
  ids='"service_id": "{ids[0]}", "plan_id": "{ids[1]}"'
  osb -X PUT "$db?accepts_incomplete=true" --json "{{$ids, \\"organization_guid\\": \\"o\\", \\"space_guid\\": \\"s\\"}}"
  watch -n1 "curl -s -u demo:demo -H 'X-Broker-API-Version: 2.17' $db/last_operation"

Then try to break it; the operation takes 10 seconds, and comes to its end:

{kills}
  kill -STOP {first}; sleep 20; kill -CONT {first}    # stopped for longer than its lease
  kill -INT {pg}      # the database ends; it is started again at once

Which node has an operation: grep resumed {logs}. Ctrl-C ends everything.
"""


def first_plan():
    """Waits for the catalog; the ids of its first service and plan."""
    request = urllib.request.Request("http://127.0.0.1:8080/v2/catalog", headers={
        "X-Broker-API-Version": "2.17",
        "Authorization": "Basic " + base64.b64encode(b"demo:demo").decode()})
    for _ in range(100):
        try:
            service = json.load(urllib.request.urlopen(request, timeout=5))["services"][0]
            return service["id"], service["plans"][0]["id"]
        except OSError:
            time.sleep(0.2)
    sys.exit("no node answers: see build/cluster/node*.log")


def main():
    os.chdir(TREE)
    work = TREE / "build" / "cluster"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    haproxy = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    with servers.Postgres() as pg:
        env = {**os.environ, "OSBD_STORE_URL": pg.url(), "OSBD_SEAL_KEY": secrets.token_hex(32)}
        started, ended = {}, {}

        def start(n):
            log = open(work / f"node{n}.log", "ab")
            started[n] = subprocess.Popen(["build/osbd", "serve", "-c", f"conf/cluster/node{n}.yml"],
                                          stdin=subprocess.DEVNULL, stderr=log, env=env,
                                          start_new_session=True)
            log.close()

        def say(*words):
            print(time.strftime("%H:%M:%S"), *words, flush=True)

        for n in (1, 2, 3):
            start(n)
        balancer = subprocess.Popen([haproxy, "-db", "-q", "-f", str(HERE / "haproxy.cfg")],
                                    stdin=subprocess.DEVNULL, start_new_session=True)
        ids = first_plan()
        pids = {n: p.pid for n, p in started.items()}
        print(TEXT.format(ids=ids, first=pids[1], pg=pg.process.pid, logs="build/cluster/node*.log",
                          kills="\n".join(f"  kill -9 {pid}    # node {n}"
                                          for n, pid in pids.items())), flush=True)
        try:
            while balancer.poll() is None:
                time.sleep(0.2)
                if pg.process.poll() is not None:
                    say("the database has ended; starting it")
                    pg.start()
                for n, p in list(started.items()):
                    if p.poll() is not None and n not in ended:
                        say(f"node {n} has ended ({p.returncode}); it comes back in 5 s")
                        ended[n] = time.monotonic()
                    elif n in ended and time.monotonic() > ended[n] + 5:
                        del ended[n]
                        start(n)
                        say(f"node {n} is process {started[n].pid} now")
        except KeyboardInterrupt:
            print()
        for p in [balancer, *started.values()]:
            if p.poll() is None:
                p.send_signal(signal.SIGCONT)
                p.terminate()
        for p in [balancer, *started.values()]:
            p.wait(70)


main()
