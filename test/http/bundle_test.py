# SPDX-License-Identifier: Apache-2.0
"""Service bundles through the API: the ones of conf/bundles, and one that does as it is told."""
import json
import os
import signal
import sqlite3
import time

import pytest
import rig

SQLITE = f"""\
services:
  - name: sqlite
    backend: bundle
    config:
      path: {rig.TREE}/conf/bundles/sqlite
      extra_vars: file
      env: {{OSBD_DEMO_DATA: {{path: data}}}}
"""

OWN = """\
services:
  - name: own
    backend: bundle
    config: {{path: {path}, env: {{WORLD: {path}}}}}
"""

APB = """\
version: 1.0
name: own
bindable: true
async: {mode}
plans:
  - name: small
    description: s
    updates_to: [large]
    parameters:
      - {{name: size, type: int, required: true, default: 3, updatable: true}}
      - {{name: owner, type: string, required: true, updatable: true}}
  - {{name: large, description: l, updates_to: [huge]}}
  - {{name: huge, description: h}}
"""

PROGRAM = """\
#!/bin/sh
set -eu
echo "$1" >>"$WORLD/started"
printf '%s' "$3" >"$WORLD/$1.json"
[ ! -f "$WORLD/do.$1" ] || . "$WORLD/do.$1"
echo "$1" >>"$WORLD/ended"
"""


@pytest.fixture
def own(osbd, tmp_path):
    """Makes a daemon with a bundle of its own; gives both the daemon and the bundle's folder."""
    def make(mode="optional", more="", **do):
        path = tmp_path / "bundle"
        path.mkdir()
        (path / "apb.yml").write_text(APB.format(mode=mode))
        (path / "bundle").write_text(PROGRAM)
        (path / "bundle").chmod(0o755)
        for action, text in do.items():
            (path / f"do.{action}").write_text(text)
        return osbd(more + OWN.format(path=path)), path
    return make


def lines(path):
    return path.read_text().split() if path.exists() else []


OWNER = {"parameters": {"owner": "ann"}}


def test_catalog(osbd):
    service, = osbd(SQLITE).catalog()
    assert service["name"] == "sqlite"
    # MD5 of osbd-sqlite and osbd-sqlite-small: the configured name changes no id
    assert service["id"] == "f068a27eefb19422426c8c7a6989312c"
    small, large = service["plans"]
    assert small["id"] == "f9e2b6345bdf6493311176beb7c76ac5"
    assert service["bindable"] and service["plan_updateable"]
    assert service["metadata"]["displayName"] == "SQLite"
    assert (small["updates_to"], large["updates_to"]) == (["large"], ["small"])
    assert small["free"] and small["metadata"]["displayName"] == "Small"
    create = small["schemas"]["service_instance"]["create"]["parameters"]
    assert create["$schema"] == "http://json-schema.org/draft-04/schema#"
    assert create["properties"]["page_size"]["enum"] == [1024, 4096, 16384]
    assert "page_size" not in small["schemas"]["service_instance"]["update"]["parameters"]["properties"]
    forms = small["metadata"]["schemas"]
    assert forms["service_binding"]["create"]["openshift_form_definition"] == ["read_only"]


@pytest.mark.parametrize("incomplete", [None, "true"], ids=["sync", "async"])
def test_real_database(osbd, incomplete):
    d = osbd(SQLITE)
    iid, bid = rig.new_id(), rig.new_id()

    def done(r, code, *ids):
        assert r.status_code == (202 if incomplete else code), r.text
        if incomplete:
            assert d.poll(*ids, operation=r.json()["operation"])["state"] == "succeeded"

    done(d.provision(iid, incomplete), 201, iid)
    done(d.bind(iid, bid, incomplete), 201, iid, bid)
    credentials = d.get_binding(iid, bid).json()["credentials"]
    db = sqlite3.connect(credentials["uri"], uri=True)
    db.execute(f"PRAGMA max_page_count = {credentials['max_page_count']}")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (7)")
    db.commit()
    db.close()
    with open(credentials["credentials_file"]) as f:
        assert json.load(f) == credentials
    d.stop()
    d.start()  # the database and the binding are still there
    assert d.get_binding(iid, bid).json()["credentials"] == credentials
    db = sqlite3.connect(credentials["uri"], uri=True)
    assert db.execute("SELECT x FROM t").fetchall() == [(7,)]
    db.close()
    done(d.unbind(iid, bid, incomplete), 200, iid, bid)
    assert not os.path.exists(credentials["credentials_file"])
    done(d.deprovision(iid, incomplete), 200, iid)
    assert not os.path.exists(credentials["path"])
    assert os.listdir(d.dir + "/data/sqlite") == [] and os.listdir(d.dir + "/run") == []


def test_async_is_enforced(own):
    d, world = own("unsupported")
    r = d.provision("i", "true", **OWNER)
    assert r.status_code == 201 and lines(world / "ended") == ["provision"]


def test_async_is_required(own):
    d, world = own("required")
    r = d.provision("i", **OWNER)
    assert r.status_code == 422 and r.json()["error"] == "AsyncRequired"
    assert lines(world / "started") == []
    assert d.provision("i", "true", **OWNER).status_code == 202
    assert d.poll("i")["state"] == "succeeded"


def test_updates(own):
    d, world = own()
    assert d.provision("i").status_code == 400  # owner is required and has no default
    assert d.provision("i", **OWNER).status_code == 201
    assert json.loads((world / "provision.json").read_text())["size"] == 3
    # what is in force counts as given, and reaches the action
    r = d.update("i", parameters={"size": 5})
    assert r.status_code == 200, r.text
    vars = json.loads((world / "update.json").read_text())
    assert (vars["size"], vars["owner"], vars["_apb_plan_id"]) == (5, "ann", "small")
    r = d.update("i", parameters={"size": "5"})
    assert r.status_code == 400 and "parameters.size" in r.json()["description"]
    assert d.update("i", plan=1).status_code == 200
    r = d.update("i", plan=0)
    assert r.status_code == 400
    assert r.json()["description"] == 'an instance of plan "large" cannot become "small"'
    assert lines(world / "started") == ["provision", "update", "update"]


def test_failure_and_progress(own):
    d, world = own(provision="echo 'half of it' >$BUNDLE_RESULT_DIR/last_operation; sleep 2.5\n"
                             "echo 'no room' >$BUNDLE_RESULT_DIR/message; exit 1\n")
    assert d.provision("i", "true", **OWNER).status_code == 202
    assert rig.wait_until(lambda: d.last("i").json()["description"] == "half of it", 5)
    body = d.poll("i")
    assert body["state"] == "failed" and body["description"].endswith("no room")
    assert lines(world / "started") == ["provision", "deprovision"]
    assert d.get_instance("i").status_code == 404
    r = d.provision("i", **OWNER)
    assert r.status_code == 500 and r.json()["description"].endswith("no room")


def test_ids_that_no_argument_may_hold(own):
    d, world = own()
    for incomplete in None, "true":
        r = d.provision("a%20b", incomplete, **OWNER)
        assert r.status_code == 400 and "the instance's id" in r.json()["description"]
    assert d.provision("a", **OWNER).status_code == 201
    r = d.bind("a", "%24(id)", "true")
    assert r.status_code == 400 and "the binding's id" in r.json()["description"]
    assert lines(world / "started") == ["provision"]


def test_killed_while_an_action_runs(own):
    """Cut off half way: run again, and never twice at a time."""
    d, world = own(provision="trap '' TERM\nmkdir $WORLD/alone || exit 7\nsleep 1\nrmdir $WORLD/alone\n"
                             ": >$WORLD/done\n")
    # the first run dies without having tidied up, so it must be gone for the second to start
    assert d.provision("i", "true", **OWNER).status_code == 202
    assert rig.wait_until(lambda: (world / "alone").exists())
    d.kill()
    (world / "alone").rmdir()
    d.start()
    assert d.poll("i")["state"] == "succeeded"
    assert lines(world / "started") == ["provision", "provision"]
    assert lines(world / "ended") == ["provision"]
    assert os.listdir(d.dir + "/run") == []


def test_halted(own):
    d, world = own(provision=": >$WORLD/instance\nsleep 60\n", deprovision="rm -f $WORLD/instance\n")
    assert d.provision("i", "true", **OWNER).status_code == 202
    assert rig.wait_until(lambda: (world / "instance").exists())
    began = time.monotonic()
    assert d.deprovision("i", "true").status_code == 202
    assert d.poll("i")["state"] == "succeeded"
    assert time.monotonic() - began < 20
    assert not (world / "instance").exists()
    assert lines(world / "ended") == ["deprovision"]


def test_stopped_for_longer_than_children_may_run_alone(own):
    d, world = own(provision=": >$WORLD/alone\nsleep 4\n", more="limits: {child_silence: 1s}\n")
    assert d.provision("i", "true", **OWNER).status_code == 202
    assert rig.wait_until(lambda: (world / "alone").exists())
    d.process.send_signal(signal.SIGSTOP)
    time.sleep(6)  # longer than the action would take
    assert lines(world / "ended") == []
    d.process.send_signal(signal.SIGCONT)
    assert d.poll("i")["state"] == "succeeded"
    assert lines(world / "started") == ["provision", "provision"]
    assert lines(world / "ended") == ["provision"]
