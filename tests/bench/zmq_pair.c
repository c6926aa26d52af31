/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zmq_pair PATH N: ZeroMQ publish/subscribe over ipc:// between two processes, events
 * of 100 bytes, lossless (XPUB that waits): the peer of row S1. Prints the seconds from
 * the first event to the last one's arrival.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { BODY = 100 };

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int
subscribe(const char *address, unsigned long n)
{
	void *ctx = zmq_ctx_new(), *s = zmq_socket(ctx, ZMQ_SUB);
	unsigned long i, seen;
	char body[BODY];

	if (zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0) || zmq_connect(s, address))
		return 1;
	for (i = 0; i < n; i++) {
		if (zmq_recv(s, body, BODY, 0) != BODY)
			return 1;
		memcpy(&seen, body, sizeof seen);
		if (seen != i)
			return 2;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	unsigned long n = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	char address[300], body[BODY] = "", hello[8];
	void *ctx, *s;
	int status, one = 1;
	double begin;
	pid_t pid;

	if (!n)
		return 2;
	snprintf(address, sizeof address, "ipc://%s", argv[1]);
	pid = fork();
	if (pid == 0)
		return subscribe(address, n);
	ctx = zmq_ctx_new();
	s = zmq_socket(ctx, ZMQ_XPUB);
	if (zmq_setsockopt(s, ZMQ_XPUB_NODROP, &one, sizeof one) || zmq_bind(s, address) ||
	    zmq_recv(s, hello, sizeof hello, 0) < 0)	/* its subscription */
		return 1;
	begin = now();
	for (unsigned long i = 0; i < n; i++) {
		memcpy(body, &i, sizeof i);
		if (zmq_send(s, body, BODY, 0) != BODY)
			return 1;
	}
	if (waitpid(pid, &status, 0) < 0 || status)
		return 1;
	printf("%.6f\n", now() - begin);
	return 0;
}
