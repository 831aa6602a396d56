/* The SQL of a database service alone: a list of statements, over and over, by a number of sessions.
 *
 *	mysql_floor SOCKET USER PASSWORD FILE SESSIONS CYCLES SECONDS
 *
 * FILE has a statement a line; {D} and {B} in it become other names in each cycle, of 33 bytes with
 * their NUL as osbd's are. Each session is a process, and has CYCLES / SESSIONS cycles under way: it
 * runs one verb, which ends where its lock is released, of each of them, then the next verb. So the
 * server has as many databases and users at a time as it has with osbd. Prints the whole cycles a
 * second. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <mysql.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STATEMENTS_MAX 200

static struct {
	MYSQL *(*init)(MYSQL *);
	MYSQL *(*connect)(MYSQL *, const char *, const char *, const char *, const char *, unsigned,
			  const char *, unsigned long);
	int (*query)(MYSQL *, const char *, unsigned long);
	MYSQL_RES *(*store)(MYSQL *);
	void (*free)(MYSQL_RES *);
	const char *(*error)(MYSQL *);
} lib;

static char *statements[STATEMENTS_MAX];
static size_t n_statements;

static void die(const char *what, const char *text)
{
	fprintf(stderr, "mysql_floor: %s: %s\n", what, text);
	exit(1);
}

static void *find(void *handle, const char *name)
{
	void *symbol = dlsym(handle, name);

	if (!symbol)
		die("libmariadb", name);
	return symbol;
}

static void load(void)
{
	void *handle = dlopen("libmariadb.so.3", RTLD_NOW);

	if (!handle)
		die("libmariadb.so.3", dlerror());
	*(void **)&lib.init = find(handle, "mysql_init");
	*(void **)&lib.connect = find(handle, "mysql_real_connect");
	*(void **)&lib.query = find(handle, "mysql_real_query");
	*(void **)&lib.store = find(handle, "mysql_store_result");
	*(void **)&lib.free = find(handle, "mysql_free_result");
	*(void **)&lib.error = find(handle, "mysql_error");
}

static void read_statements(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[4096];

	if (!f)
		die(path, "cannot be read");
	while (fgets(line, sizeof(line), f) && n_statements < STATEMENTS_MAX) {
		line[strcspn(line, "\n")] = '\0';
		statements[n_statements++] = strdup(line);
	}
	fclose(f);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t fill(char *out, const char *in, const char *d, const char *b)
{
	size_t n = 0;

	while (*in) {
		if (strncmp(in, "{D}", 3) == 0 || strncmp(in, "{B}", 3) == 0) {
			n += (size_t)sprintf(out + n, "%s", in[1] == 'D' ? d : b);
			in += 3;
		} else {
			out[n++] = *in++;
		}
	}
	out[n] = '\0';
	return n;
}

/* One verb of a cycle: from statement `from`. Where the next one begins. */
static size_t run_verb(MYSQL *my, size_t from, unsigned session, unsigned long cycle)
{
	char d[40], b[40], text[8192];
	MYSQL_RES *rows;
	bool over = false;

	snprintf(d, sizeof(d), "d%08x%07x%016lx", (unsigned)getpid(), session, cycle);
	snprintf(b, sizeof(b), "b%08x%07x%016lx", (unsigned)getpid(), session, cycle);
	for (; from < n_statements && !over; from++) {
		size_t n = fill(text, statements[from], d, b);

		if (lib.query(my, text, n) != 0)
			die(text, lib.error(my));
		rows = lib.store(my);
		if (rows)
			lib.free(rows);
		over = strncmp(text, "DO RELEASE_LOCK", 15) == 0;
	}
	return from;
}

static unsigned long work(char **argv, unsigned session, unsigned long at_once, double ends)
{
	MYSQL *my = lib.init(NULL);
	unsigned long cycles = 0, i;
	size_t from, next;

	if (!lib.connect(my, NULL, argv[2], argv[3], NULL, 0, argv[1], 0))
		die("connect", lib.error(my));
	for (; now() < ends; cycles += at_once)
		for (from = next = 0; from < n_statements; from = next)
			for (i = 0; i < at_once; i++)
				next = run_verb(my, from, session, cycles + i);
	return cycles;
}

int main(int argc, char **argv)
{
	unsigned long *cycles, sum = 0;
	unsigned n, i;
	double began, ends;
	int status;

	if (argc != 8)
		die("usage", "SOCKET USER PASSWORD FILE SESSIONS CYCLES SECONDS");
	load();
	read_statements(argv[4]);
	n = (unsigned)atoi(argv[5]);
	cycles = mmap(NULL, n * sizeof(*cycles), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	began = now();
	ends = began + atof(argv[7]);
	for (i = 0; i < n; i++)
		if (fork() == 0) {
			cycles[i] = work(argv, i, strtoul(argv[6], NULL, 10) / n, ends);
			_exit(0);
		}
	for (i = 0; i < n; i++)
		if (wait(&status) < 0 || status != 0)
			die("session", "failed");
	for (i = 0; i < n; i++)
		sum += cycles[i];
	printf("%.2f\n", (double)sum / (now() - began));
	return 0;
}
