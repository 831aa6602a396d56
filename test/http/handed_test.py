# SPDX-License-Identifier: Apache-2.0
"""What a request says reaches the backend: who asked, in which context, for which application;
also when the operation waits, or is resumed by the next process."""
import base64
import json
import time

import broker
import pytest
import rig

APB = """\
version: 1.0
name: told
bindable: true
async: optional
plans:
  - name: small
    description: small
    updates_to: [large]
    parameters:
      - {name: size, type: int, default: 1, updatable: true}
  - {name: large, description: large, updates_to: [small]}
"""

PROGRAM = """\
#!/bin/sh
set -eu
while [ -f "$WORLD/wait" ]; do sleep 0.05; done
printf '%s' "$3" >"$WORLD/$1.json"
"""


@pytest.fixture
def told(osbd, tmp_path):
    (tmp_path / "apb.yml").write_text(APB)
    (tmp_path / "bundle").write_text(PROGRAM)
    (tmp_path / "bundle").chmod(0o755)
    b = broker.start(osbd, [{
        "name": "told", "backend": "bundle", "allow_context_updates": True,
        "config": {"path": str(tmp_path), "env": {"WORLD": str(tmp_path)}}}])
    b.world = tmp_path
    return b


def identity(user, platform="cloudfoundry"):
    value = base64.b64encode(json.dumps(user).encode()).decode()
    return {"X-Broker-API-Originating-Identity": f"{platform} {value}"}


def said(b, action):
    return json.loads((b.world / f"{action}.json").read_text())


USERS = [{"user_id": "u-1"}, {"username": "duke", "uid": "u-2", "groups": ["g"]}, {"uid": "u-3"},
         {"user_id": "größe ✓"}, {"user_id": "u-5"}]


def test_who_asked(told):
    """Each operation has its own user; one without an identity has none."""
    b = told
    iid, bid = rig.new_id(), rig.new_id()
    h = [identity(user) for user in USERS]
    assert b.provision(iid, "told", headers=h[0]).status_code == 201
    assert b.bind(iid, bid, "told", headers=h[1]).status_code == 201
    assert b.update(iid, "told", parameters={"size": 2}, headers=h[2]).status_code == 200
    assert b.unbind(iid, bid, "told", headers=h[3]).status_code == 200
    assert b.deprovision(iid, "told", headers=h[4]).status_code == 200
    actions = ["provision", "bind", "update", "unbind", "deprovision"]
    users = [said(b, a)["_apb_last_requesting_user"] for a in actions]
    assert users == ["u-1", "duke", "u-3", "größe ✓", "u-5"]
    assert b.provision(iid, "told").status_code == 201
    assert said(b, "provision")["_apb_last_requesting_user"] == ""


def test_in_which_context(told):
    b = told
    iid, bid = rig.new_id(), rig.new_id()
    context = {"platform": "kubernetes", "namespace": "first"}
    assert b.provision(iid, "told", context=context).status_code == 201
    assert said(b, "provision")["namespace"] == "first"
    # a bind and an update may bring their own, and an update's is kept
    assert b.bind(iid, bid, "told", context={"namespace": "of-bind"}).status_code == 201
    assert said(b, "bind")["namespace"] == "of-bind"
    assert b.update(iid, "told", context={"namespace": "second"}).status_code == 200
    assert said(b, "update")["namespace"] == "second"
    assert b.unbind(iid, bid, "told").status_code == 200
    assert b.deprovision(iid, "told").status_code == 200
    assert (said(b, "unbind")["namespace"], said(b, "deprovision")["namespace"]) == \
        ("second", "second")
    assert b.provision(iid, "told", organization_guid="o", space_guid="s").status_code == 201
    assert said(b, "provision")["namespace"] == "cf-s"


def test_what_is_laid_over_what(told):
    b = told
    iid = rig.new_id()
    assert b.provision(iid, "told", parameters={"size": 7}).status_code == 201
    assert said(b, "provision")["size"] == 7
    assert b.update(iid, "told", "large").status_code == 200
    assert said(b, "update")["_apb_plan_id"] == "large"
    assert b.instance(iid).json()["parameters"] == {"size": 7}


def test_it_survives_a_kill(told):
    """The request is in the journal before anything runs."""
    b = told
    (b.world / "wait").touch()
    iid = rig.new_id()
    r = b.provision(iid, "told", wait="true", parameters={"size": 9},
                    context={"namespace": "kept"}, headers=identity({"user_id": "u-9"}))
    assert r.status_code == 202
    time.sleep(0.2)
    b.d.kill()
    b.d.start()
    assert b.instance_last(iid, r.json()["operation"]).json()["state"] == "in progress"
    (b.world / "wait").unlink()
    assert b.ended(iid, operation=r.json()["operation"])["state"] == "succeeded"
    told_again = said(b, "provision")
    assert (told_again["size"], told_again["namespace"]) == (9, "kept")
    assert told_again["_apb_last_requesting_user"] == "u-9"
