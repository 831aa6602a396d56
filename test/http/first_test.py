# SPDX-License-Identifier: Apache-2.0
"""The whole life of an instance and a binding, synchronous and asynchronous."""
import pytest
import rig

PURE = rig.DEMO.format(config="{}", mode="both")
SLOW = rig.DEMO.format(config="{delay: 100ms}", mode="both")


@pytest.mark.parametrize("yaml", [PURE, SLOW], ids=["pure", "slow"])
@pytest.mark.parametrize("incomplete", [None, "true"], ids=["sync", "async"])
def test_whole_life(osbd, yaml, incomplete):
    d = osbd(yaml)
    iid, bid = rig.new_id(), rig.new_id()
    asynchronous = incomplete and yaml is SLOW

    def done(r, code, *ids):
        if not asynchronous:
            assert r.status_code == code, r.text
            return r.json()
        assert r.status_code == 202, r.text
        assert "credentials" not in r.json()
        assert d.poll(*ids, operation=r.json()["operation"])["state"] == "succeeded"
        return None

    done(d.provision(iid, incomplete), 201, iid)
    r = d.get_instance(iid)
    assert r.status_code == 200 and r.json()["service_id"] == d.ids()[0]
    assert d.provision(iid, incomplete).status_code == 200
    body = done(d.bind(iid, bid, incomplete), 201, iid, bid)
    got = d.get_binding(iid, bid)
    assert got.status_code == 200
    if body:
        assert got.json()["credentials"] == body["credentials"]
    assert d.bind(iid, bid, incomplete).json()["credentials"] == got.json()["credentials"]
    done(d.update(iid, incomplete, plan=1), 200, iid)
    assert d.get_instance(iid).json()["plan_id"] == d.ids(plan=1)[1]
    assert d.deprovision(iid, incomplete).status_code == 422  # a binding is left
    done(d.unbind(iid, bid, incomplete), 200, iid, bid)
    assert d.get_binding(iid, bid).status_code == 404
    assert d.unbind(iid, bid, incomplete).status_code == 410
    done(d.deprovision(iid, incomplete), 200, iid)
    assert d.get_instance(iid).status_code == 404
    assert d.deprovision(iid, incomplete).status_code == 410
    assert d.last(iid).json()["state"] == "succeeded"
    assert d.tasks() == 1
