#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every budget that needs nothing but this machine, osbd and its reference in the same run.

./dev bench runs this. OSBD names the daemon, BENCH the directory of the programs built from the
*.c files here, BROKERAPI the program built from brokerapi/ or BROKERAPI_WHY why there is none.
Machines are noisy, so what is printed are ratios: osbd and its reference take turns, and the median
of the ratios of all rounds counts. A server runs on one core, wrk on another. CPU is the server's
user and system time divided by the requests it answered.

The exit code is 0 when everything could be measured, whatever the numbers are.
"""
import base64
import http.client
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.join(HERE, "..", "..")
OSBD = os.environ.get("OSBD", os.path.join(TREE, "build", "osbd"))
PROGRAMS = os.environ.get("BENCH", os.path.join(TREE, "build", "release", "test", "bench"))

ROUNDS = 7           # of A B A B …
SECONDS = 1          # of each turn
IN_FLIGHT = 64
CATALOG_BYTES = 2300
IDLE = 1000          # connections
GROWTH = 200000      # provisions
STARTS = 10
MB = 1 << 20

USER, PASSWORD = "platform", "a-password-of-usual-length"
BASIC, DEMO = ("Basic " + base64.b64encode(pair.encode()).decode()
               for pair in (f"{USER}:{PASSWORD}", "demo:demo"))
BODY = ('{"service_id":"%s","plan_id":"%s","organization_guid":'
        '"1e6a0a8c-2f8b-4d59-8f3c-0a8f7a0f1b11","space_guid":'
        '"7a0e2c44-3d8a-4a0e-9c3a-5a1f0a9d2c22","context":{"platform":"cloudfoundry",'
        '"organization_guid":"1e6a0a8c-2f8b-4d59-8f3c-0a8f7a0f1b11","organization_name":"acme",'
        '"space_guid":"7a0e2c44-3d8a-4a0e-9c3a-5a1f0a9d2c22","space_name":"dev",'
        '"instance_name":"orders"},"parameters":{"size":"10G","version":"8.0"}}')
SERVICE = "6d1b6ef0-8e0d-4bbf-8f9d-0f3f6c1a5a01"
PLAN = "b1c0e6f2-6a0a-4c44-9b7c-1f0f4f4f9a11"
CONFIG = """\
listen: [{{address: "127.0.0.1:{port}"}}]
admin: {{socket: {dir}/osbd.sock}}
users: [{{name: {user}, password: {password}}}]
store: {{sqlite: {{path: {dir}/osbd.db}}}}
children: {{directory: {dir}/run}}
services:
  - name: bench
    id: {service}
    description: "makes nothing {padding}"
    backend: demo
    plans:
      - {{name: small, id: {plan}, description: small, async: sync}}
      - {{name: large, description: large, async: sync}}
"""
SERVER_CORE, CLIENT_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]


def die(text):
    sys.exit(f"bench: {text}")


def program(name):
    path = os.path.join(PROGRAMS, name)
    if not os.path.exists(path):
        die(f"{path} is not built; ./dev bench builds it")
    return path


def pin(core):
    return ["taskset", "-c", str(core)]


# -- servers ----------------------------------------------------------------------------------

class Server:
    """A process with a port. Its CPU time and memory are what the kernel says."""
    process = None
    port = 0
    tls = False

    def run(self, argv, log):
        with open(log, "ab") as out:
            self.process = subprocess.Popen(pin(SERVER_CORE) + argv, stdin=subprocess.DEVNULL,
                                            stdout=out, stderr=out)

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self):
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


class Floor(Server):
    def __init__(self, directory, size, tls=()):
        path = os.path.join(directory, f"floor-{size}.port")
        self.tls = bool(tls)
        self.run([program("floor"), "-p", path, "-n", str(size), "-h", "authorization", BASIC,
                  *(["-t", *tls] if tls else [])],
                 os.path.join(directory, "floor.log"))
        wait_for(lambda: os.path.exists(path) and os.path.getsize(path), "floor")
        with open(path) as f:
            self.port = int(f.read())


class Brokerapi(Server):
    """A broker in Go that keeps nothing, with one thread that runs Go."""

    def __init__(self, directory):
        path = os.path.join(directory, "brokerapi.port")
        if os.path.exists(path):
            os.unlink(path)
        self.run(["env", "GOMAXPROCS=1", os.environ["BROKERAPI"], USER, PASSWORD, SERVICE, PLAN,
                  path], os.path.join(directory, "brokerapi.log"))
        wait_for(lambda: os.path.exists(path) and os.path.getsize(path), "brokerapi")
        with open(path) as f:
            self.port = int(f.read())


class Osbd(Server):
    """With a new store, and the configuration above or conf/demo.yml."""

    def __init__(self, directory, padding="", demo=False, tls=()):
        self.dir = directory
        self.tls = bool(tls)
        self.basic = DEMO if demo else BASIC
        self.config = os.path.join(directory, "osbd.yml")
        for name in os.listdir(directory):
            if name.startswith("osbd.") or name == "seal.key":
                os.unlink(os.path.join(directory, name))
        self.port = free_port()
        text = self.demo() if demo else CONFIG.format(
            port=self.port, dir=directory, user=USER, password=PASSWORD, service=SERVICE,
            plan=PLAN, padding=padding)
        if tls:
            listen = f'address: "127.0.0.1:{self.port}"'
            text = text.replace(f"{{{listen}}}",
                                f"{{{listen}, tls: {{certificate: {tls[0]}, key: {tls[1]}}}}}")
        with open(self.config, "w") as f:
            f.write(text)
        self.run([OSBD, "serve", "-c", self.config], os.path.join(directory, "osbd.log"))
        wait_for(self.answers, "osbd")

    def answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.dir, "osbd.log")) as f:
                die(f"osbd ended with {self.process.returncode}: {f.read()[-2000:]}")
        try:
            return len(self.ask("GET", "/v2/catalog"))
        except OSError:
            return 0

    def demo(self):
        """conf/demo.yml with another port, and its files in our directory."""
        conf = os.path.join(TREE, "conf")
        with open(os.path.join(conf, "demo.yml")) as f:
            text = f.read()
        return (text.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
                .replace("../build/demo", self.dir)
                .replace("path: bundles/", f"path: {conf}/bundles/"))

    def commits(self):
        """Transactions made durable so far, as the metrics say."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.dir, "osbd.sock"))
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        return int(re.search(r"^osbd_store_commits_total (\d+)", text, re.M).group(1))

    def ask(self, method, path, body=None):
        if self.tls:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=10, context=ssl._create_unverified_context())
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, {
            "Authorization": self.basic, "X-Broker-API-Version": "2.17",
            "Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        if response.status not in (200, 201):
            die(f"{method} {path}: {response.status} {text}")
        return text


def wait_for(what, name):
    end = time.monotonic() + 20
    while not what():
        if time.monotonic() > end:
            die(f"{name} does not start")
        time.sleep(0.01)


def free_port():
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wrk(server, seconds, path="/", script=None, args=(), headers=()):
    """Requests answered, and the seconds that took."""
    argv = pin(CLIENT_CORE) + ["wrk", "-t1", f"-c{IN_FLIGHT}", f"-d{seconds}s", "--timeout", "10s"]
    for header in headers:
        argv += ["-H", header]
    if script:
        argv += ["-s", os.path.join(HERE, script)]
    argv.append(f"http{'s' * server.tls}://127.0.0.1:{server.port}{path}")
    if script:
        argv += ["--", *args]
    out = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60)
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", out.stdout)
    if not found or "Non-2xx" in out.stdout or "Socket errors" in out.stdout:
        die(f"wrk: {out.stdout} {out.stderr}")
    return int(found.group(1)), float(found.group(2)) * {"ms": 0.001, "s": 1, "m": 60}[
        found.group(3)]


# -- the table --------------------------------------------------------------------------------

rows = []


def row(what, osbd, reference, value, limit, stretch, most=True, unit=""):
    """most: the value may be at most the limit, else it must be at least that."""
    def within(bound):
        return value <= bound if most else value >= bound
    verdict = "stretch" if within(stretch) else "met" if within(limit) else "MISSED"
    sign = "<=" if most else ">="
    rows.append((what, osbd, reference, f"{value:.2f}{unit}", f"{sign} {limit:g}{unit}",
                 f"{sign} {stretch:g}{unit}", verdict))
    print(f"  {what}: {value:.2f}{unit} ({verdict})", file=sys.stderr, flush=True)


def not_measured(what, why, limit, stretch):
    rows.append((what, "", "", "", f">= {limit:g}", f">= {stretch:g}", f"not measured: {why}"))
    print(f"  {what}: not measured: {why}", file=sys.stderr, flush=True)


def print_table():
    table = [("what", "osbd", "reference", "value", "budget", "stretch", "")] + rows
    widths = [max(len(line[i]) for line in table) for i in range(7)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


# -- CPU a request ----------------------------------------------------------------------------

def cpu_per_request(server, **how):
    before = server.cpu()
    n, _ = wrk(server, SECONDS, **how)
    return (server.cpu() - before) / n * 1e6


def compare_cpu(what, osbd, floor, limit, stretch, **how):
    for server in (osbd, floor):  # warm both
        wrk(server, 1, **how)
    pairs = [(cpu_per_request(osbd, **how), cpu_per_request(floor, **how))
             for _ in range(ROUNDS)]
    ours, theirs = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    row(what, f"{ours:.2f} us", f"floor {theirs:.2f} us",
        statistics.median(a / b for a, b in pairs), limit, stretch)


def bench_catalog(directory):
    osbd = Osbd(directory)
    padding = "x" * (CATALOG_BYTES - len(osbd.ask("GET", "/v2/catalog")))
    osbd.stop()
    osbd = Osbd(directory, padding)
    floor = Floor(directory, CATALOG_BYTES)
    try:
        compare_cpu("catalog, CPU a request / floor", osbd, floor, 1.25, 1.1,
                    path="/v2/catalog",
                    headers=(f"Authorization: {BASIC}", "X-Broker-API-Version: 2.17"))
    finally:
        osbd.stop()
        floor.stop()


def bench_last_operation(directory):
    osbd = Osbd(directory)
    ids = [f"{i * 2654435761 % (1 << 32):08x}-4d59-8f3c-0a8f7a0f1b11" for i in range(1000)]
    for one in ids:
        osbd.ask("PUT", f"/v2/service_instances/{one}", BODY % (SERVICE, PLAN))
    listed = os.path.join(directory, "ids")
    with open(listed, "w") as f:
        f.write("\n".join(ids) + "\n")
    size = len(osbd.ask("GET", f"/v2/service_instances/{ids[0]}/last_operation"))
    floor = Floor(directory, size)
    try:
        compare_cpu("last_operation, CPU a request / floor", osbd, floor, 2.0, 1.5,
                    script="last_operation.lua", args=(BASIC, listed))
    finally:
        osbd.stop()
        floor.stop()


# -- provisions -------------------------------------------------------------------------------

def provision(server, seconds, run):
    return wrk(server, seconds, script="provision.lua", args=(run, BODY % (SERVICE, PLAN), BASIC))


def raw_sqlite(directory, batch, n):
    copy = os.path.join(directory, "copy.db")
    out = subprocess.run(
        pin(SERVER_CORE) + [program("sqlite_floor"), os.path.join(directory, "osbd.db"), copy,
                            str(batch), str(n)],
        capture_output=True, text=True, timeout=120)
    if out.returncode:
        die(out.stderr)
    os.unlink(copy)
    return float(out.stdout)


def in_memory(directory, run):
    """What a broker on brokerapi provisions a second; 0: there is none."""
    if "BROKERAPI" not in os.environ:
        return 0
    server = Brokerapi(directory)
    try:
        n, took = provision(server, 2, run)
        return n / took
    finally:
        server.stop()


def bench_provision(directory):
    """The floor writes what osbd has written: the same rows, in transactions as long as osbd's
    were on average. 64 in flight are fewer in one transaction: while one is synced the next ones
    arrive. The broker on brokerapi gets the same requests and keeps what they say in a map."""
    rates = []
    for turn in range(5):
        run = f"4d59-8f3c-{turn:04d}"
        osbd = Osbd(directory)
        try:
            before = osbd.commits()
            n, took = provision(osbd, 2, run)
            batch = max(1, round(n / (osbd.commits() - before)))
        finally:
            osbd.stop()
        rates.append((n / took, raw_sqlite(directory, batch, n), in_memory(directory, run), batch))
    ours, floor, go, batch = (statistics.median(r[i] for r in rates) for i in range(4))
    row(f"durable provisions a second, {batch:.0f} a commit / raw SQLite", f"{ours:,.0f}",
        f"SQLite {floor:,.0f}", statistics.median(r[0] / r[1] for r in rates), 0.6, 0.8,
        most=False)
    what = "durable provisions a second / brokerapi, not durable"
    if go:
        row(what, f"{ours:,.0f}", f"brokerapi {go:,.0f}",
            statistics.median(r[0] / r[2] for r in rates), 0.6, 1, most=False)
    else:
        not_measured(what, os.environ.get("BROKERAPI_WHY", "./dev bench builds brokerapi"), 0.6, 1)


# -- TLS --------------------------------------------------------------------------------------

NGINX = """\
worker_processes 1;
daemon off;
pid {dir}/nginx.pid;
error_log {dir}/nginx.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {dir}/tls.pem;
        ssl_certificate_key {dir}/tls.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_ecdh_curve X25519:prime256v1;
        ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;
        default_type application/json;
        location / {{ return 200 "{body}"; }}
    }}
}}
"""


class Nginx(Server):
    """Its one worker is what is measured."""
    tls = True

    def __init__(self, directory, size):
        self.port = free_port()
        path = os.path.join(directory, "nginx.conf")
        with open(path, "w") as f:
            f.write(NGINX.format(dir=directory, port=self.port, body="x" * size))
        self.run(["/usr/sbin/nginx", "-c", path, "-p", directory],
                 os.path.join(directory, "nginx.log"))
        wait_for(self.worker, "nginx")
        wait_for(lambda: handshakes(self, 1, "-tls1_3"), "nginx")

    def worker(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            return f.read().split()

    def cpu(self):
        with open(f"/proc/{self.worker()[0]}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def handshakes(server, seconds, *how):
    """Connections that openssl has made, one after the other."""
    out = subprocess.run(pin(CLIENT_CORE) + ["openssl", "s_time", "-connect",
                                             f"127.0.0.1:{server.port}", "-time", str(seconds),
                                             *(how if "-reuse" in how else ("-new", *how))],
                         capture_output=True, text=True, timeout=seconds + 30)
    found = re.search(r"(\d+) connections in \d+ real seconds", out.stdout)
    return int(found.group(1)) if found else 0


def handshake_cpu(server, *how):
    before = server.cpu()
    n = handshakes(server, 2 * SECONDS, *how)
    if not n:
        die(f"no handshakes {how}")
    return (server.cpu() - before) / n


def bench_tls(directory):
    """What a second of the server's core is good for: the rate that it would reach alone."""
    pem, key = (os.path.join(directory, name) for name in ("tls.pem", "tls.key"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-keyout", key, "-out", pem], check=True, capture_output=True)
    os.chmod(directory, 0o755)
    osbd = Osbd(directory, tls=(pem, key))
    size = len(osbd.ask("GET", "/v2/catalog"))
    floor, nginx = Floor(directory, size, tls=(pem, key)), Nginx(directory, size)
    headers = (f"Authorization: {BASIC}", "X-Broker-API-Version: 2.17")
    kinds = [("requests, kept alive",
              lambda s: cpu_per_request(s, path="/v2/catalog", headers=headers) / 1e6)]
    kinds += [(f"{name} handshakes", lambda s, how=how: handshake_cpu(s, *how))
              for name, how in (("full TLS 1.3", ("-tls1_3",)), ("full TLS 1.2", ("-tls1_2",)),
                                ("resumed TLS 1.2", ("-tls1_2", "-reuse")))]
    try:
        for name, cost in kinds:
            rounds = [[1 / cost(server) for server in (osbd, floor, nginx)]
                      for _ in range(ROUNDS)]
            ours, theirs, third = (statistics.median(r[i] for r in rounds) for i in range(3))
            row(f"TLS {name}, a second of CPU / floor", f"{ours:,.0f}",
                f"floor {theirs:,.0f}, nginx {third:,.0f}",
                statistics.median(r[0] / r[1] for r in rounds), 0.8, 0.9, most=False)
        idle_memory(osbd, "resident, per idle TLS connection", 48, 40)
    finally:
        for server in (osbd, floor, nginx):
            server.stop()


# -- memory -----------------------------------------------------------------------------------

def open_idle(osbd, n):
    context = ssl._create_unverified_context()
    request = (f"GET /v2/catalog HTTP/1.1\r\nHost: localhost\r\nAuthorization: {osbd.basic}\r\n"
               "X-Broker-API-Version: 2.17\r\n\r\n").encode()
    sockets = []
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", osbd.port))
        if osbd.tls:
            s = context.wrap_socket(s)
        s.sendall(request)
        sockets.append(s)
    for s in sockets:
        if not s.recv(65536).startswith(b"HTTP/1.1 200"):
            die("an idle connection was refused")
    return sockets


def idle_memory(osbd, what, limit, stretch):
    sockets = open_idle(osbd, 10)
    before = osbd.resident()
    sockets += open_idle(osbd, IDLE)
    grown = (osbd.resident() - before) / IDLE / 1024
    for s in sockets:
        s.close()
    row(what, f"{grown:.2f} kB", "", grown, limit, stretch, unit=" kB")


def bench_memory(directory):
    osbd = Osbd(directory, demo=True)
    try:
        start = osbd.resident()
        row("resident, just started, conf/demo.yml", f"{start / MB:.2f} MB", "", start / MB, 8, 5, unit=" MB")
        idle_memory(osbd, "resident, per idle connection", 2, 1)
    finally:
        osbd.stop()


def bench_growth(directory):
    osbd = Osbd(directory)
    try:
        start, n, turn, end = osbd.resident(), 0, 0, time.monotonic() + 90
        while n < GROWTH and time.monotonic() < end:
            n += provision(osbd, 3, f"4d59-8f3d-{turn:04d}")[0]
            turn += 1
        grown = (osbd.resident() - start) / MB
        row(f"resident growth after {n:,} provisions", f"{grown:.2f} MB", "", grown, 4, 0,
            unit=" MB")
    finally:
        osbd.stop()


# -- the rest ---------------------------------------------------------------------------------

def bench_start(directory):
    osbd = Osbd(directory, demo=True)
    config, port = osbd.config, osbd.port
    osbd.stop()
    with open(os.path.join(directory, "osbd.log"), "ab") as log:
        out = subprocess.run(
            [program("start_probe"), str(STARTS), str(port), "/v2/catalog",
             f"Authorization: {DEMO}\r\nX-Broker-API-Version: 2.17\r\n", OSBD, "serve", "-c",
             config], stdout=subprocess.PIPE, stderr=log, text=True, timeout=120)
    if out.returncode:
        die(f"start_probe failed, see {directory}/osbd.log")
    took = statistics.median(float(line) for line in out.stdout.split())
    row("exec to the first 200, conf/demo.yml", f"{took:.2f} ms", "", took, 10, 5, unit=" ms")


def bench_size(directory):
    stripped = os.path.join(directory, "stripped")
    subprocess.run(["strip", "-o", stripped, OSBD], check=True)
    size = os.path.getsize(stripped)
    row("binary, stripped", f"{size:,} B", "", size / MB, 2, 1, unit=" MB")


def bench_children(directory):
    supervisor = os.path.join(os.path.dirname(OSBD), "osbd-child")
    out = subprocess.run([program("spawn_bench"), supervisor, "150"], capture_output=True,
                         text=True, timeout=120, cwd=directory)
    found = re.findall(r"(\d+) at once: core/child (\d+), uv_spawn of osbd-child (\d+),.*"
                       r"ratio ([\d.]+)", out.stdout)
    if out.returncode or not found:
        die(f"spawn_bench: {out.stdout} {out.stderr}")
    for at_once, ours, theirs, ratio in found:
        row(f"runs of a child a second, {at_once} at once", f"{int(ours):,}",
            f"uv_spawn {int(theirs):,}", float(ratio), 0.8, 0.9, most=False)


BENCHES = {
    "catalog": bench_catalog,
    "last_operation": bench_last_operation,
    "provision": bench_provision,
    "tls": bench_tls,
    "memory": bench_memory,
    "growth": bench_growth,
    "start": bench_start,
    "size": bench_size,
    "children": bench_children,
}


def main():
    names = sys.argv[1:] or list(BENCHES)
    if not set(names) <= set(BENCHES):
        die(f"there are {', '.join(BENCHES)}")
    if not shutil.which("wrk"):
        die("wrk is not installed")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    # the store must be on a disk: /tmp may be in memory
    with tempfile.TemporaryDirectory(prefix="bench-", dir=os.path.join(TREE, "build")) as base:
        for name in names:
            directory = os.path.join(base, name)
            os.mkdir(directory)
            BENCHES[name](directory)
    print_table()


if __name__ == "__main__":
    main()
