/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into test builds of osbd only: whatever starts a thread, libraries included, finds this
 * pthread_create before the C library's. osbd is one thread (the kernel's own threads for a
 * process are not seen here; a test counts /proc/PID/task). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	(void)thread;
	(void)attr;
	(void)start;
	(void)arg;
	fputs("osbd: something called pthread_create; osbd has one thread\n", stderr);
	abort();
}
