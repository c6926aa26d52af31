/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mhd_server PORT: the yardstick for a server: libmicrohttpd with epoll and one
 * thread, on the loopback address. Reads each body and answers 200 without one.
 * Writes "ready" to stdout when it listens; a signal ends it.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct MHD_Response *empty;

static enum MHD_Result
answer(void *arg, struct MHD_Connection *c, const char *url, const char *method,
	const char *version, const char *data, size_t *size, void **state)
{
	static int head_seen;

	(void)arg;
	(void)url;
	(void)method;
	(void)version;
	(void)data;
	if (!*state) {
		*state = &head_seen;
		return MHD_YES;
	}
	if (*size) {
		*size = 0;
		return MHD_YES;
	}
	return MHD_queue_response(c, MHD_HTTP_OK, empty);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct MHD_Daemon *d;

	if (argc != 2) {
		fputs("usage: mhd_server PORT\n", stderr);
		return 2;
	}
	at.sin_port = htons((uint16_t)atoi(argv[1]));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	empty = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, 0, NULL, NULL,
		answer, NULL, MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_END);
	if (!d) {
		fputs("mhd_server: cannot listen\n", stderr);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	pause();
	MHD_stop_daemon(d);
	return 0;
}
