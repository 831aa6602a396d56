#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every checker of the suite is shown a fault that it must find, and the same text without the
# fault, which it must accept: a checker that checks nothing fails here. Run from the tree's root.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
count=0

# finds WHAT COMMAND…: the command must fail, and say WHAT.
finds() {
	local what=$1

	shift
	if ("$@"; exit $?) >"$dir/out" 2>&1; then
		echo "seeded fault not found: $*"
		exit 1
	fi
	grep -qF -- "$what" "$dir/out" || {
		echo "failed for another reason than \"$what\": $*"
		cat "$dir/out"
		exit 1
	}
	count=$((count + 1))
}

accepts() {
	"$@" >"$dir/out" 2>&1 || {
		echo "refused without a fault: $*"
		cat "$dir/out"
		exit 1
	}
}

# the order of modules
mkdir -p "$dir/tree/src/core"
printf "modules = [\n  'core/a',\n  'core/b',\n]\n" >"$dir/tree/src/meson.build"
echo 'struct a;' >"$dir/tree/src/core/a.h"
echo '#include "core/a.h"' >"$dir/tree/src/core/b.h"
echo '#include "core/b.h"' >"$dir/tree/src/core/b.c"
accepts /usr/bin/python3 test/order.py "$dir/tree"
echo ' # include "core/b.h"' >"$dir/tree/src/core/a.c"
finds 'a.c:1: core/a stands above core/b' /usr/bin/python3 test/order.py "$dir/tree"
echo '#include "core/c.h"' >"$dir/tree/src/core/a.c"
finds 'src/core/c.h does not exist' /usr/bin/python3 test/order.py "$dir/tree"
rm "$dir/tree/src/core/a.c"
echo 'int c;' >"$dir/tree/src/core/c.c"
finds 'core/c is not in the list' /usr/bin/python3 test/order.py "$dir/tree"

# clang-format
cp .clang-format "$dir"
printf 'int f(int a)\n{\n\treturn a;\n}\n' >"$dir/format.c"
accepts clang-format --dry-run --Werror "$dir/format.c"
printf 'int f(int a) {\n    return a; }\n' >"$dir/format.c"
finds 'clang-format-violations' clang-format --dry-run --Werror "$dir/format.c"

# clang-tidy: one fault of each family
cp .clang-tidy "$dir"
tidy() {
	clang-tidy --quiet "$1" -- -std=gnu11
}
cat >"$dir/tidy.c" <<'EOF'
	#include <stdlib.h>
	int *f(int n);
	int *f(int n)
	{
		int *p = malloc((size_t)n * sizeof(*p));

		if (p)
			*p = n;
		return p;
	}
EOF
accepts tidy "$dir/tidy.c"
sed 's/if (p)/if (p);/' "$dir/tidy.c" >"$dir/tidy1.c"
finds 'bugprone-suspicious-semicolon' tidy "$dir/tidy1.c"
sed 's/return p;/free(p);\n\treturn p;/' "$dir/tidy.c" >"$dir/tidy2.c"
finds 'clang-analyzer-unix.Malloc' tidy "$dir/tidy2.c"

# shell scripts
# shellcheck disable=SC2016
printf '#!/bin/sh\nrm -rf "$1"/x\n' >"$dir/good.sh"
accepts shellcheck -S warning "$dir/good.sh"
# shellcheck disable=SC2016
printf '#!/bin/sh\nf=$1\nif [ $f = a -a -e $g ]; then [[ $f ]]; fi\n' >"$dir/bad.sh"
finds 'SC3010' shellcheck -S warning "$dir/bad.sh"

# the count of tests
counted() {
	local out

	out=$(/usr/bin/python3 test/tally.py "$@")
	echo "${out%%$'\n'*}"
}
printf '{"name":"x","result":"OK","stdout":"1..2\\nok 1 - a\\nok 2 - b\\n"}\n' >"$dir/log.json"
[ "$(counted meson "$dir/log.json")" = "2 0" ]
printf '{"name":"x","result":"%s","stdout":"1..2\\nok 1 - a\\n%s"}\n' \
	FAIL 'not ok 2 - b\n' ERROR '' >"$dir/log.json"
[ "$(counted meson "$dir/log.json")" = "2 2" ]
printf '<t><testcase name="a"/><testcase name="b"><failure/></testcase></t>' >"$dir/junit.xml"
[ "$(counted pytest "$dir/junit.xml")" = "1 1" ]
printf '<t/>' >"$dir/junit.xml"
[ "$(counted pytest "$dir/junit.xml")" = "0 1" ]

# valgrind and the sanitizers
cat >"$dir/leak.c" <<'EOF'
	#include <stdlib.h>
	int main(int argc, char **argv)
	{
		char *p = malloc((size_t)argc);
		int bad = argc == 2 && !p[3], leak = argc == 3;

		(void)argv;
		p = leak ? NULL : p;
		free(p);
		return bad & leak;
	}
EOF
gcc -O0 -o "$dir/leak" "$dir/leak.c"
gcc -O0 -fsanitize=address,undefined -o "$dir/leak.asan" "$dir/leak.c"
grind() {
	valgrind --quiet --error-exitcode=99 --leak-check=full "$@"
}
accepts grind "$dir/leak"
finds 'Invalid read' grind "$dir/leak" 1
finds 'definitely lost' grind "$dir/leak" 1 2
accepts "$dir/leak.asan"
finds 'heap-buffer-overflow' "$dir/leak.asan" 1
finds 'LeakSanitizer' "$dir/leak.asan" 1 2

# the trap of test builds: a thread that a library starts
cat >"$dir/thread.c" <<'EOF'
#include <uv.h>
static void work(uv_work_t *req)
{
	(void)req;
}
static void done(uv_work_t *req, int status)
{
	(void)req;
	(void)status;
}
int main(int argc, char **argv)
{
	uv_work_t req;

	(void)argv;
	if (argc > 1)
		uv_queue_work(uv_default_loop(), &req, work, done);
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
EOF
gcc -o "$dir/thread" "$dir/thread.c" src/trap.c -luv
accepts "$dir/thread"
finds 'pthread_create' "$dir/thread" 1
gcc -fsanitize=address,undefined -o "$dir/thread.asan" "$dir/thread.c" src/trap.c -luv
accepts "$dir/thread.asan"
finds 'pthread_create' "$dir/thread.asan" 1

echo "$count seeded faults found"
