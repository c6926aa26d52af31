/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What paho's public interface does not tell, by its trace: the socket, and why a
 * connection failed. paho writes a line before it calls back, in the same thread, so
 * the last ones are kept for each thread.
 *
 * A line may have a time in front: "8 191942.329 6 mbus97ff -> CONNECT version 4 ...".
 */
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "backends/paho/paho_client.h"

static __thread char traced_connack[300];
static __thread char traced_error[160];
static __thread bool traced_connect, traced_tls, traced_wish;

void
paho_trace_for(struct paho_client *c, bool on)
{
	static int dialing;
	int n;

	if (c->dialing == on)
		return;
	c->dialing = on;
	n = __atomic_add_fetch(&dialing, on ? 1 : -1, __ATOMIC_RELAXED);
	if (n <= 1)
		MQTTAsync_setTraceLevel(n ? MQTTASYNC_TRACE_MINIMUM : MQTTASYNC_TRACE_ERROR);
}

void
paho_trace_forget(void)
{
	traced_error[0] = '\0';
	traced_tls = traced_wish = false;
}

/* The first error is the cause of those behind it. */
static void
traced_by_tls(void)
{
	const char *why = ERR_reason_error_string(ERR_peek_error());

	if (!why || traced_tls)
		return;
	traced_tls = true;
	snprintf(traced_error, sizeof traced_error, "%s", why);
}

static void
on_trace(enum MQTTASYNC_TRACE_LEVELS level, char *line)
{
	const char *p;

	(void)level;
	if (strstr(line, " <- CONNACK"))
		snprintf(traced_connack, sizeof traced_connack, "%s", line);
	else if (strstr(line, " -> CONNECT "))
		traced_connect = true;
	else if (strstr(line, "read server certificate request"))
		traced_wish = true;
	else if (strstr(line, "SSLSocket error "))
		traced_by_tls();
	else if ((p = strstr(line, "Socket error ")) && !strstr(p, "(11)") && !strstr(p, "(115)"))
		snprintf(traced_error, sizeof traced_error, "%.*s",
			(int)strcspn(p + 13, "("), p + 13);
	else if (strstr(line, "getaddrinfo failed"))
		snprintf(traced_error, sizeof traced_error, "no address for this name");
	else if (strstr(line, "rc from X509_check_ip_asc is") && !strstr(line, "is 1"))
		snprintf(traced_error, sizeof traced_error, "the certificate is for another name");
}

void
paho_trace_begin(void)
{
	MQTTAsync_setTraceCallback(on_trace);
}

bool
paho_trace_greeted(void)
{
	bool greeted = traced_connect;

	traced_connect = false;
	return greeted;
}

char *
paho_trace_why(bool *tls)
{
	/* What paho itself says ("TCP/TLS connect failure") is no reason. */
	const char *why = traced_error[0] ? traced_error : NULL;
	char *text;

	/* Its word on ours comes, in TLS 1.3, when paho has begun to write, and then is
	 * not read any more. */
	if (traced_wish && !traced_tls) {
		traced_tls = true;
		why = "ended by the server, which had asked for a certificate";
	}
	*tls = traced_tls;
	text = why ? xstrdup(why) : NULL;
	paho_trace_forget();
	return text;
}

int
paho_trace_socket(const char *id)
{
	const char *end = strstr(traced_connack, " <- CONNACK"), *p;
	int fd = -1, type = 0;
	size_t n = strlen(id);
	socklen_t size = sizeof type;

	if (end && (size_t)(end - traced_connack) > n + 1 && memcmp(end - n, id, n) == 0 &&
	    end[-(ptrdiff_t)n - 1] == ' ') {
		for (p = end - n - 1; p > traced_connack && p[-1] >= '0' && p[-1] <= '9';)
			p--;
		fd = atoi(p);
	}
	traced_connack[0] = '\0';
	return fd > 2 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
		type == SOCK_STREAM ? fd : -1;
}
