/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mqtt_sub PORT TOPIC QOS: the smallest correct subscriber on libmosquitto, with
 * TCP_NODELAY. Prints each body and a newline, at once when nothing more is there.
 * Says "ready" on descriptor 8 when it has subscribed.
 */
#include <mosquitto.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *topic;
static int qos;

static void
die(const char *why)
{
	fprintf(stderr, "mqtt_sub: %s\n", why);
	exit(1);
}

static void
connected(struct mosquitto *m, void *arg, int code)
{
	(void)arg;
	if (code || mosquitto_subscribe(m, NULL, topic, qos) != MOSQ_ERR_SUCCESS)
		die("cannot subscribe");
}

static void
subscribed(struct mosquitto *m, void *arg, int mid, int n, const int *granted)
{
	(void)m;
	(void)arg;
	(void)mid;
	if (n != 1 || granted[0] > 2)
		die("the subscription was refused");
	if (write(8, "ready\n", 6) == 6)
		close(8);
}

static void
message(struct mosquitto *m, void *arg, const struct mosquitto_message *msg)
{
	(void)m;
	(void)arg;
	fwrite_unlocked(msg->payload, 1, (size_t)msg->payloadlen, stdout);
	putc_unlocked('\n', stdout);
}

int
main(int argc, char **argv)
{
	static char buf[64 * 1024];
	struct mosquitto *m;

	if (argc != 4)
		die("usage: mqtt_sub PORT TOPIC QOS");
	topic = argv[2];
	qos = atoi(argv[3]);
	setvbuf(stdout, buf, _IOFBF, sizeof buf);
	mosquitto_lib_init();
	m = mosquitto_new(NULL, true, NULL);
	mosquitto_connect_callback_set(m, connected);
	mosquitto_subscribe_callback_set(m, subscribed);
	mosquitto_message_callback_set(m, message);
	mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
	if (mosquitto_connect(m, "127.0.0.1", atoi(argv[1]), 60) != MOSQ_ERR_SUCCESS)
		die("cannot connect");
	for (;;) {
		struct pollfd fd = { .fd = mosquitto_socket(m),
			.events = (short)(POLLIN | (mosquitto_want_write(m) ? POLLOUT : 0)) };

		if (poll(&fd, 1, 0) == 0) {
			fflush(stdout);
			poll(&fd, 1, 1000);
		}
		if (fd.revents & POLLIN && mosquitto_loop_read(m, 100) != MOSQ_ERR_SUCCESS)
			break;
		if (mosquitto_want_write(m))
			mosquitto_loop_write(m, 100);
		mosquitto_loop_misc(m);
	}
	fflush(stdout);
	return 0;
}
