#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the includes of src/ against the list of modules in src/meson.build.

A file includes only headers of modules that stand above its own, or its own header. main.c,
trap.c, cmd/ and child/ stand above all: they include what they like, but only listed modules
and headers of their own folder, main.c of cmd/. Every other file must be in the list, once.
Usage: order.py [TREE]; prints each fault as FILE:LINE: what, and ends with 1 if there is one."""
import pathlib
import re
import sys

src = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "src"
listed = re.search(r"^modules = \[(.*?)^\]", (src / "meson.build").read_text(), re.M | re.S)
order = re.findall(r"^\s*'([^']+)',$", listed.group(1), re.M)
faults = [f"src/meson.build: {name} is listed twice" for name in set(order) if order.count(name) > 1]
files = sorted(path for path in src.rglob("*.[ch]"))
for path in files:
    name = path.relative_to(src).with_suffix("").as_posix()
    folder = name.rpartition("/")[0]
    program = name in ("main", "trap") or folder in ("cmd", "child")
    if not program and name not in order:
        faults.append(f"{path}: {name} is not in the list of src/meson.build")
        continue
    allowed = order if program else order[: order.index(name) + 1]
    for number, line in enumerate(path.read_text().split("\n"), 1):
        include = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if not include:
            continue
        header = include.group(1)
        module = header.removesuffix(".h")
        if not (src / header).is_file():
            faults.append(f"{path}:{number}: src/{header} does not exist")
        elif module not in allowed and not (program and module.rpartition("/")[0] in (folder, "cmd")):
            faults.append(f"{path}:{number}: {name} stands above {module}, which it includes")
print("\n".join(faults) if faults else f"{len(files)} files, {len(order)} modules: in order")
sys.exit(1 if faults or not files else 0)
