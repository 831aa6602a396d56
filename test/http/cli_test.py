# SPDX-License-Identifier: Apache-2.0
"""The command line: what it says, and its exit codes: 0 done, 1 failed, 2 usage, 3 configuration."""
import json
import os
import signal
import subprocess

import pytest
import rig

COMMANDS = ["serve", "check", "reseal", "orphans", "version", "help"]
NEED_CONFIG = COMMANDS[:4]
PURE = rig.DEMO.format(config="{}", mode="both")


def cli(*args, stdout=subprocess.PIPE, env=None):
    p = subprocess.run([rig.BINARY, *args], stdin=subprocess.DEVNULL, stdout=stdout,
                       stderr=subprocess.PIPE, timeout=30, env=env)
    return p.returncode, (p.stdout or b"").decode(), p.stderr.decode()


def config(tmp_path, services=PURE, head=rig.HEAD):
    path = tmp_path / "osbd.yml"
    path.write_text(head.format(dir=tmp_path) + services)
    return str(path)


def test_no_command_lists_them():
    code, out, err = cli()
    assert code == 2
    for command in COMMANDS:
        assert f"\n  {command} " in out
    assert "verify-password" not in out
    assert "Exit codes: 0 done, 1 failed, 2 usage, 3 configuration." in out


@pytest.mark.parametrize("args", [["help"], ["--help"], ["-h"]])
def test_help(args):
    code, out, err = cli(*args)
    assert code == 0 and err == ""
    assert all(f"\n  {command} " in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command):
    code, out, err = cli("help", command)
    assert code == 0 and err == ""
    assert out.startswith(f"usage: osbd {command}") and len(out.splitlines()) > 2
    assert cli(command, "--help") == (0, out, "")
    assert cli(command, "-h") == (0, out, "")


def test_help_config_is_a_configuration(tmp_path):
    code, out, err = cli("help", "config")
    assert code == 0
    with open(os.path.join(rig.TREE, "conf", "osbd.reference.yml")) as f:
        assert out == f.read()


@pytest.mark.parametrize("args", [["version"], ["--version"]])
def test_version(args):
    code, out, err = cli(*args)
    assert code == 0 and err == ""
    assert out.startswith("osbd ") and "2.17" in out and out.count("\n") == 1


@pytest.mark.parametrize("command", ["seve", "", "-c", "Serve"])
def test_unknown_command(command):
    code, out, err = cli(command)
    assert code == 2 and out == ""
    assert f'there is no command "{command}"' in err and "osbd help" in err


def test_help_of_an_unknown_command():
    code, out, err = cli("help", "seve")
    assert code == 2 and 'there is no command "seve"' in err


@pytest.mark.parametrize("command", NEED_CONFIG)
@pytest.mark.parametrize("option", ["-x", "-xc", "--konfig", "--config-file=x"])
def test_unknown_option_says_what_exists(command, option):
    code, out, err = cli(command, option, "file")
    assert code == 2 and out == ""
    name = "-x" if option == "-xc" else option
    assert f"there is no option {name};" in err
    assert "-c FILE" in err and "--config FILE" in err and "--help" in err
    assert f"usage: osbd {command} -c FILE" in err


@pytest.mark.parametrize("command", ["version", "help"])
def test_unknown_option_without_configuration(command):
    code, out, err = cli(command, "-c", "file")
    assert code == 2 and "there is no option -c; there is --help" in err


@pytest.mark.parametrize("command", NEED_CONFIG)
def test_configuration_is_needed(command):
    code, out, err = cli(command)
    assert code == 2 and "needs -c FILE" in err and f"usage: osbd {command} -c FILE" in err
    code, out, err = cli(command, "-c")
    assert code == 2 and "-c needs a file name" in err
    code, out, err = cli(command, "--config")
    assert code == 2 and "--config needs a file name" in err
    if command == "orphans":  # takes names
        return
    code, out, err = cli(command, "-c", "x.yml", "y.yml")
    assert code == 2 and "takes no argument" in err


@pytest.mark.parametrize("command", NEED_CONFIG)
def test_no_such_file(command, tmp_path):
    path = str(tmp_path / "none.yml")
    code, out, err = cli(command, "-c", path)
    assert code == 3 and out == ""
    assert path in err and "No such file" in err


@pytest.mark.parametrize("command", NEED_CONFIG)
def test_a_wrong_configuration(command, tmp_path):
    """Every error at once, each with its place, and nothing is made."""
    path = config(tmp_path, PURE.replace("plan_updateable: true", "plan_updatable: true")
                  + "limits: {max_running: none}\n")
    code, out, err = cli(command, "-c", path)
    assert code == 3 and out == ""
    lines = [line for line in err.splitlines() if line.startswith(path + ":")]
    assert len(lines) >= 2
    assert any("plan_updatable" in line for line in lines)
    assert any("limits.max_running" in line for line in lines)
    for line in lines:
        _, row, column, _ = line.split(":", 3)
        assert int(row) > 0 and int(column) > 0
    assert os.listdir(tmp_path) == ["osbd.yml"]


def test_check(tmp_path):
    path = config(tmp_path)
    code, out, err = cli("check", "-c", path)
    assert code == 0 and "the configuration is valid: 1 services, 2 plans" in out
    assert cli("check", "--config", path)[0] == 0
    assert cli("check", f"--config={path}")[0] == 0
    assert not os.path.exists(tmp_path / "osbd.db"), "it made a store"


@pytest.mark.parametrize("file", ["demo.yml", "mysql.yml", "postgresql.yml", "osbd.reference.yml"])
def test_check_of_what_is_delivered(file):
    path = os.path.join(rig.TREE, "conf", file)
    code, out, err = cli("check", "-c", path)
    if file != "osbd.reference.yml":
        assert code == 0, err
    else:
        assert code in (0, 3)  # its secrets are in files that are not there
        assert "unknown" not in err and "there is no key" not in err


def test_check_lints_the_catalog(tmp_path):
    path = config(tmp_path, PURE.replace("name: large", "name: small"))
    code, out, err = cli("check", "-c", path)
    assert code == 3 and "small" in err and path in err


def test_secrets_are_not_shown(tmp_path):
    path = config(tmp_path, head=rig.HEAD.replace("password: secret",
                                                  "password: [canary-4711]"))
    code, out, err = cli("check", "-c", path)
    assert code == 3 and "canary-4711" not in out + err


def test_serve_and_its_signals(osbd):
    d = osbd(PURE)
    assert cli("check", "-c", d.config)[0] == 0
    d.process.send_signal(signal.SIGTERM)
    assert d.process.wait(10) == 0


def test_the_address_is_in_use(osbd, tmp_path):
    d = osbd(PURE)
    other = tmp_path / "other"
    other.mkdir()
    path = config(other, head=rig.HEAD.replace("127.0.0.1:0", f"127.0.0.1:{d.port}"))
    code, out, err = cli("serve", "-c", path)
    assert code == 1
    assert f"127.0.0.1:{d.port}: the address is in use" in err


def test_no_store_there(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    path = config(tmp_path, head=rig.HEAD.replace("{dir}/osbd.db", "{dir}/file/osbd.db"))
    code, out, err = cli("serve", "-c", path)
    assert code == 1 and str(blocked) in err and "is not a directory" in err
    path = config(tmp_path, head=rig.HEAD.replace("{dir}/osbd.db", "{dir}/file"))
    blocked.write_text("this is no database, but a text that is long enough to look at" * 20)
    code, out, err = cli("serve", "-c", path)
    assert code == 1 and "not a database" in err
    assert blocked.read_text().startswith("this is no database")


@pytest.mark.parametrize("args", [["version"], ["help"], ["help", "config"]])
def test_output_that_cannot_be_written(args):
    with open("/dev/full", "w") as full:
        code, _, err = cli(*args, stdout=full)
    assert code == 1 and "No space left" in err


def test_orphans_and_reseal_of_an_empty_store(tmp_path):
    path = config(tmp_path)
    code, out, err = cli("orphans", "-c", path)
    assert code == 0 and out == "" and "0 orphans, 0 rows that no key opens" in err
    code, out, err = cli("reseal", "-c", path)
    assert code == 0 and "0 rows sealed with the first key, 0 cannot be opened" in out


def test_orphans_lists_what_is_left(osbd):
    d = osbd(rig.DEMO.format(config="{fail: {provision: always}, way_back: fail}", mode="both"))
    weird = "i%22%5C%C3%A4"  # i"\\ä
    for iid in ("plain", weird):
        assert d.provision(iid).status_code == 500
    d.stop()
    code, out, err = cli("orphans", "-c", d.config)
    assert code == 0 and "2 orphans" in err
    rows = [line.split("\t") for line in out.splitlines()]
    assert [r[0] for r in rows] == ["instance", "instance"]
    assert rows[0][2] == '"plain"' and rows[0][3] == "-"
    assert json.loads(rows[1][2]) == 'i"\\ä'
    assert all("told to fail" in r[-1] for r in rows)


def test_bundles_are_tested(tmp_path):
    """`osbd test`: provision, test, deprovision; nothing is left, and a failure is told."""
    config = tmp_path / "osbd.yml"
    config.write_text(
        "users: [{name: a, password: b}]\n"
        f"store: {{sqlite: {{path: {tmp_path}/osbd.db}}}}\n"
        f"children: {{directory: {tmp_path}/run}}\n"
        "services:\n"
        f"  - {{name: sqlite, backend: bundle, config: {{path: {rig.TREE}/conf/bundles/sqlite, "
        f"env: {{OSBD_DEMO_DATA: {tmp_path}/data}}}}}}\n"
        f"  - {{name: own, backend: bundle, config: {{path: {tmp_path}/own}}}}\n")
    own = tmp_path / "own"
    own.mkdir()
    (own / "apb.yml").write_text(
        "version: 1.0\nname: own\ndescription: own\nbindable: false\nasync: optional\n"
        "metadata: {}\nplans: [{name: p, description: p, free: true, parameters: []}]\n")
    program = own / "bundle"
    program.write_text("#!/bin/sh\n[ $1 = test ] || exit 0\necho broken >\"$BUNDLE_RESULT_DIR/message\"\n"
                       "exit 3\n")
    program.chmod(0o755)
    done = subprocess.run([rig.BINARY, "test", "-c", str(config)], capture_output=True, text=True,
                          timeout=60)
    assert done.stdout.splitlines() == ["sqlite: ok", "own: test failed with exit code 3: broken"]
    assert done.returncode == 1
    assert os.listdir(tmp_path / "run") == []
    assert os.listdir(tmp_path / "data" / "sqlite") == []
    done = subprocess.run([rig.BINARY, "test", "-c", str(config), "sqlite"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "sqlite: ok\n"
