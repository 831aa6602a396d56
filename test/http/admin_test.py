# SPDX-License-Identifier: Apache-2.0
"""Health, readiness, metrics and orphans."""
import re
import signal

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


def test_pages(osbd):
    d = osbd("", head=YAML)
    assert admin(d, "/healthz").json() == {"status": "ok"}
    r = admin(d, "/readyz")
    assert r.status_code == 200
    assert r.json() == {"status": "ready",
                        "checks": {"store": "ok", "catalog": "ok", "serving": "ok"}}
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
