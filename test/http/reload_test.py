# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: a new configuration while requests and operations go on."""
import re
import signal
import socket

import rig

YAML = """\
limits: {{sync_within: 20s}}
services:
  - name: demo
    description: makes nothing
    backend: demo
    plan_updateable: true
    config: {{delay: {delay}, steps: 5}}
    plans:
      - {{name: small, description: small, async: both}}
      - {{name: large, description: large, async: both}}
"""


def write(d, yaml, head=rig.HEAD):
    with open(d.config, "w") as f:
        f.write(head.format(dir=d.dir) + yaml)


def hup(d, says):
    """Sends the signal, and waits until the log says so."""
    before = len(d.log())
    d.process.send_signal(signal.SIGHUP)
    assert rig.wait_until(lambda: re.search(says, d.log()[before:])), d.log()[before:]
    return d.log()[before:]


IN_FORCE = "reload: the new configuration is in force"
OLD_STAYS = "the old configuration stays"


def test_new_plan_new_password(osbd):
    d = osbd(YAML.format(delay="0"))
    etag = d.ask("GET", "/v2/catalog").headers["etag"]
    assert d.provision("i1").status_code == 201
    more = YAML.format(delay="0") + "      - {name: huge, description: huge}\n"
    write(d, more, rig.HEAD.replace("password: secret", "password: changed"))
    hup(d, IN_FORCE)
    assert d.ask("GET", "/v2/catalog").status_code == 401
    r = d.ask("GET", "/v2/catalog", auth=("platform", "changed"))
    assert [p["name"] for p in r.json()["services"][0]["plans"]] == ["small", "large", "huge"]
    assert r.headers["etag"] != etag
    assert d.tasks() == 1


def test_errors_change_nothing(osbd):
    d = osbd(YAML.format(delay="0"))
    assert d.provision("i1", plan=1).status_code == 201
    good = open(d.config).read()
    write(d, YAML.format(delay="0").replace("backend: demo", "backend: nothing"))
    said = hup(d, OLD_STAYS)
    assert re.search(r"osbd\.yml:\d+:\d+: services\[0\]", said)
    write(d, "services: [")
    assert re.search(r"osbd\.yml:\d+:\d+", hup(d, OLD_STAYS))
    # a plan that an instance has
    write(d, re.sub(r"      - \{name: large.*\n", "", YAML.format(delay="0")))
    assert "1 instances have it" in hup(d, OLD_STAYS)
    assert d.get_instance("i1").status_code == 200
    open(d.config, "w").write(good)
    hup(d, IN_FORCE)
    # what is not in use may go
    assert d.deprovision("i1", plan=1).status_code == 200
    write(d, re.sub(r"      - \{name: large.*\n", "", YAML.format(delay="0")))
    hup(d, IN_FORCE)
    assert len(d.catalog()[0]["plans"]) == 1


def test_running_operations_go_on(osbd):
    d = osbd(YAML.format(delay="1500ms"))
    r = d.provision("slow", "true")
    assert r.status_code == 202
    write(d, YAML.format(delay="0").replace("makes nothing", "makes nothing, quickly"))
    hup(d, IN_FORCE)
    assert d.last("slow").json()["state"] == "in progress"
    assert d.provision("quick").status_code == 201  # the new generation is pure
    assert d.poll("slow")["state"] == "succeeded"
    for _ in range(5):
        hup(d, IN_FORCE)


def test_what_waits_for_a_restart_is_named(osbd):
    d = osbd(YAML.format(delay="50ms"))
    head = rig.HEAD.replace("127.0.0.1:0", "127.0.0.1:1").replace("level: info", "level: debug")
    write(d, YAML.format(delay="50ms"), head)
    said = hup(d, IN_FORCE)
    assert "reload: listen has changed: from the next start on" in said
    assert "log.level has changed" not in said
    assert "level=debug" not in d.log()
    assert d.provision("i1").status_code == 201
    assert "level=debug" in d.log()


def test_what_systemd_is_told(osbd, tmp_path):
    d = osbd(YAML.format(delay="0"), start=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(10)
        d.start(env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}, wait=False)

        def next_but(skipped):
            while True:
                said = told.recv(1000).decode()
                if said != skipped:
                    return said
        assert next_but("WATCHDOG=1").split("\n")[0] == "READY=1"
        assert rig.wait_until(lambda: "listening on" in d.log())
        assert [told.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        for yaml in (YAML.format(delay="0"), "services: ["):  # a refusal, too, ends a reload
            write(d, yaml)
            d.process.send_signal(signal.SIGHUP)
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", next_but("WATCHDOG=1"))
            assert next_but("WATCHDOG=1").split("\n")[0] == "READY=1"
        d.process.send_signal(signal.SIGTERM)
        assert next_but("WATCHDOG=1") == "STOPPING=1"
        assert d.process.wait(10) == 0
