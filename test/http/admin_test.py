# SPDX-License-Identifier: Apache-2.0
"""Health, readiness, metrics and orphans."""
import re
import shutil
import signal
import subprocess

import httpx
import rig

YAML = """\
admin: {{address: "127.0.0.1:0", socket: {dir}/admin.sock}}
""" + rig.HEAD + """\
services:
  - name: demo
    description: makes nothing
    backend: demo
    plans:
      - {{name: small, description: small}}
      - name: dirty
        description: cannot be undone
        async: async
        config: {{delay: 20ms, fail: {{provision: finish}}, way_back: fail}}
"""


def admin(d, path, method="GET", **more):
    port = re.findall(r"administration on 127\.0\.0\.1:(\d+)", d.log())[-1]
    return httpx.request(method, f"http://127.0.0.1:{port}{path}", trust_env=False, **more)


def check_text_format(text):
    """Prometheus text format 0.0.4: each family once, HELP and TYPE before its samples."""
    families, current = set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in families, f"{current} stands twice"
            families.add(current)
        elif line.startswith("# TYPE "):
            assert line.split()[2] == current
            assert line.split()[3] in ("counter", "gauge", "histogram")
        else:
            m = re.fullmatch(r'([a-z_]+?)(_bucket|_sum|_count)?(\{([a-z_]+="[^"]*",?)+\})? '
                             r"-?[0-9.]+(e[+-]?[0-9]+)?", line)
            assert m, line
            assert line.startswith(current), line
    assert len(families) > 10


def promtool(text):
    """What promtool thinks of it."""
    program = shutil.which("promtool") or shutil.which(f"{rig.TREE}/build/tools/promtool")
    assert program, "promtool is missing: ./dev test fetches it"
    r = subprocess.run([program, "check", "metrics"], input=text, capture_output=True, text=True,
                       timeout=30)
    return r.returncode, r.stdout + r.stderr


def test_pages(osbd):
    d = osbd("", head=YAML)
    assert admin(d, "/healthz").json() == {"status": "ok"}
    r = admin(d, "/readyz")
    assert r.status_code == 200
    assert r.json() == {"status": "ready",
                        "checks": {"store": "ok", "schema": "ok", "catalog": "ok",
                                   "serving": "ok"}}
    assert admin(d, "/healthz", "HEAD").content == b""
    assert admin(d, "/nothing").status_code == 404
    r = admin(d, "/metrics", "POST")
    assert r.status_code == 405 and r.headers["allow"] == "GET, HEAD"

    iid = rig.new_id()
    assert d.provision(iid).status_code == 201
    assert d.bind(iid, "b1").status_code == 201
    text = admin(d, "/metrics").text
    assert "\nosbd_instances 1\n" in text and "\nosbd_bindings 1\n" in text
    assert 'osbd_requests_total{class="2xx"} 4' in text  # two of them the catalog
    check_text_format(text)

    # by the unix socket as well
    with httpx.Client(transport=httpx.HTTPTransport(uds=f"{d.dir}/admin.sock")) as c:
        assert c.get("http://osbd/healthz").status_code == 200


WANTED = [
    # requests, operations by state and age, slots
    r'osbd_requests_total\{class="2xx"\} \d+', r'osbd_requests_total\{class="4xx"\} \d+',
    r'osbd_operations_total\{verb="provision",result="succeeded"\} \d+',
    r'osbd_operations_total\{verb="provision",result="failed"\} 1',
    r"osbd_operations_running \d+",
    r'osbd_operations\{verb="provision",state="waiting"\} \d+',
    r"osbd_oldest_waiting_seconds \S+",
    # children, the store, nodes
    r"osbd_children_started_total \d+", r"osbd_children_ended_total \d+",
    r'osbd_store_commit_seconds_bucket\{le="\+Inf"\} \d+', r"osbd_store_commits_total \d+",
    # TLS
    r'osbd_tls_handshakes_total\{result="full"\} 1',
    r"osbd_tls_certificate_expiry_seconds\{.*\} \d+",
]


def test_promtool(osbd, tmp_path):
    """Every family that an operator is promised, after traffic of all kinds."""
    subprocess.run(["sh", f"{rig.TREE}/test/certs.sh", str(tmp_path)], check=True)
    head = re.sub(r"(listen: .*)\]", rf'\1, {{{{address: "127.0.0.1:0", tls: {{{{certificate: '
                  rf"{tmp_path}/one.pem, key: {tmp_path}/one.key}}}}}}}}]", YAML)
    d = osbd("", head=head)
    tls = int(re.search(r"127\.0\.0\.1:(\d+), path /, with TLS", d.log()).group(1))
    assert httpx.get(f"https://localhost:{tls}/v2/catalog", verify=False,
                     trust_env=False).status_code == 401
    assert d.provision("fine").status_code == 201
    assert d.provision("left-over", "true", plan=1).status_code == 202
    assert d.poll("left-over")["state"] == "failed"
    text = admin(d, "/metrics").text
    assert promtool(text) == (0, "")
    for family in WANTED:
        assert re.search(f"^{family}$", text, re.M), family
    assert promtool(text.replace("# HELP osbd_requests_total", "# help"))[0] != 0
    assert promtool(text + "osbd_requests_total 1 1 1\n")[0] != 0


def test_orphans(osbd):
    d = osbd("", head=YAML)
    r = d.provision("left-over", "true", plan=1)
    assert r.status_code == 202
    assert d.poll("left-over")["state"] == "failed"
    rows = admin(d, "/orphans").json()["orphans"]
    assert len(rows) == 1
    assert rows[0]["kind"] == "instance" and rows[0]["state"] == "dirty"
    assert rows[0]["instance_id"] == "left-over" and "told to fail" in rows[0]["description"]


def test_an_address_of_others_wants_a_user(osbd):
    head = YAML.replace('"127.0.0.1:0", socket', '"0.0.0.0:0", socket').replace(
        "users: [{{name: platform, password: secret}}]",
        "users: [{{name: platform, password: secret}}, "
        "{{name: prom, password: scrape, role: monitor}}]")
    d = osbd("", head=head)
    port = re.findall(r"administration on 0\.0\.0\.0:(\d+)", d.log())[-1]
    url = f"http://127.0.0.1:{port}"
    assert httpx.get(url + "/healthz", trust_env=False).status_code == 200
    assert httpx.get(url + "/metrics", trust_env=False).status_code == 401
    assert httpx.get(url + "/metrics", auth=("platform", "secret"),
                     trust_env=False).status_code == 401
    assert httpx.get(url + "/metrics", auth=("prom", "scrape"),
                     trust_env=False).status_code == 200
    # who may look may not broker
    assert d.ask("GET", "/v2/catalog", auth=("prom", "scrape")).status_code == 401


def test_not_ready_before_it_stops_accepting(osbd):
    """SIGTERM with limits.linger: a balancer sees the one before its clients feel the other."""
    d = osbd("", head=YAML.replace("users:", "limits: {{linger: 2s}}\nusers:"))
    d.process.send_signal(signal.SIGTERM)
    r = rig.wait_until(lambda: (a := admin(d, "/readyz")).status_code == 503 and a)
    assert r.json()["status"] == "not ready" and r.json()["checks"]["serving"] == "draining"
    assert admin(d, "/healthz").status_code == 200
    assert d.catalog()  # still accepted
    assert d.process.wait(10) == 0
