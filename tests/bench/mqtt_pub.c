/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt_pub PORT TOPIC QOS: the smallest correct publisher on libmosquitto, with
 * TCP_NODELAY. Each line of stdin is one PUBLISH, sent at once; ends when all are
 * acknowledged.
 */
#include <mosquitto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int under_way;

static void
die(const char *why)
{
	fprintf(stderr, "mqtt_pub: %s\n", why);
	exit(1);
}

static void
published(struct mosquitto *m, void *arg, int mid)
{
	(void)m;
	(void)arg;
	(void)mid;
	under_way--;
}

int
main(int argc, char **argv)
{
	static char buf[256 * 1024];
	struct pollfd fds[2] = { { .fd = STDIN_FILENO, .events = POLLIN } };
	struct mosquitto *m;
	size_t kept = 0;
	ssize_t n = 1;

	if (argc != 4)
		die("usage: mqtt_pub PORT TOPIC QOS");
	mosquitto_lib_init();
	m = mosquitto_new(NULL, true, NULL);
	mosquitto_publish_callback_set(m, published);
	mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
	if (mosquitto_connect(m, "127.0.0.1", atoi(argv[1]), 60) != MOSQ_ERR_SUCCESS)
		die("cannot connect");
	while (n > 0 || under_way || mosquitto_want_write(m)) {
		char *p = buf, *nl;

		fds[1] = (struct pollfd){ .fd = mosquitto_socket(m),
			.events = (short)(POLLIN | (mosquitto_want_write(m) ? POLLOUT : 0)) };
		fds[0].fd = n > 0 ? STDIN_FILENO : -1;
		poll(fds, 2, 1000);
		if (fds[1].revents & POLLIN && mosquitto_loop_read(m, 100) != MOSQ_ERR_SUCCESS)
			die("connection lost");
		if (mosquitto_want_write(m))
			mosquitto_loop_write(m, 100);
		mosquitto_loop_misc(m);
		if (!fds[0].revents || n <= 0)
			continue;
		n = read(STDIN_FILENO, buf + kept, sizeof buf - kept);
		kept += n > 0 ? (size_t)n : 0;
		while ((nl = memchr(p, '\n', kept - (size_t)(p - buf)))) {
			under_way++;
			if (mosquitto_publish(m, NULL, argv[2], (int)(nl - p), p, atoi(argv[3]),
			    false) != MOSQ_ERR_SUCCESS)
				die("cannot publish");
			p = nl + 1;
		}
		kept -= (size_t)(p - buf);
		memmove(buf, p, kept);
	}
	mosquitto_disconnect(m);
	return 0;
}
