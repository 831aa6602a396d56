# SPDX-License-Identifier: Apache-2.0
"""The session of the README, line by line: what it prints is what the README says."""
import io
import os
import re
import subprocess

import demo_db
import rig


def session():
    """[(command, output)] of the console block behind the session mark."""
    text = open(os.path.join(rig.TREE, "README.md")).read()
    block = re.search(r"<!-- session:.*?```console\n(.*?)```", text, re.S).group(1)
    parts = re.split(r"^\$ ", block, flags=re.M)[1:]
    return [(p.split("\n", 1)[0], p.split("\n", 1)[1]) for p in parts]


def plain(text):
    """Without what differs from one store and one place to the next."""
    text = re.sub(r'"operation":"[a-z0-9]+-', '"operation":"STORE-', text)
    return re.sub(r'(file:|")/[^"]*?/build/demo/', r"\1/DEMO/", text)


def test_session(osbd, tmp_path):
    demo = open(os.path.join(rig.TREE, "conf", "demo.yml")).read()
    assert "127.0.0.1:8080" in demo
    demo = demo.replace("127.0.0.1:8080", "127.0.0.1:0")
    demo = demo.replace("../build/demo", f"{tmp_path}/build/demo")
    demo = demo.replace("path: bundles/", f"path: {rig.TREE}/conf/bundles/")
    d = osbd(demo, head="")
    lines = session()
    assert len(lines) > 10
    script = "".join(f"echo '--{i}--'\n{command}\n" for i, (command, _) in enumerate(lines))
    script = script.replace("127.0.0.1:8080", f"127.0.0.1:{d.port}")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    printed = re.split(r"^--\d+--\n", done.stdout, flags=re.M)[1:]
    assert len(printed) == len(lines), done.stderr
    for (command, said), got in zip(lines, printed):
        assert plain(got) == plain(said), command


def test_demo_db(tmp_path):
    text = open(os.path.join(rig.TREE, "README.md")).read()
    block = re.search(r"<!-- demo-db:.*?```console\n(.*?)```", text, re.S).group(1)
    out = io.StringIO()
    demo_db.demo(tmp_path, out)
    assert demo_db.plain(out.getvalue()) == block
