/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Has every program of this machine read what was sent to it? A responder that
 * the scheduler has not let run yet looks, from its silence, like one that is
 * not there; but the kernel's list of sockets says how many bytes wait in each,
 * and all responders listen on port 5353. So silence of this machine's
 * responders can be told from their being late, which under load is the usual
 * reason for missing one.
 *
 *	sl  local_address rem_address   st tx_queue:rx_queue ...
 *	 7: 00000000:14E9 00000000:0000 07 00000000:00000300 ...
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/registry/mdns.h"

/* Unread bytes of the socket in this line, if it is at port 5353. */
static unsigned long
waiting_in(const char *line)
{
	const char *port = strchr(line, ':'), *queue;

	port = port ? strchr(port + 1, ':') : NULL;
	if (!port || strtoul(port + 1, NULL, 16) != MDNS_PORT)
		return 0;
	queue = strchr(port + 1, ':');		/* of the remote address */
	queue = queue ? strchr(queue + 1, ':') : NULL;
	return queue ? strtoul(queue + 1, NULL, 16) : 0;
}

static bool
read_list(struct buf *out, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	buf_clear(out);
	while ((n = read(fd, buf_room(out, 16384), 16384)) > 0)
		buf_added(out, (size_t)n);
	close(fd);
	return n == 0;
}

static enum mdns_backlog
backlog_in(struct buf *list, const char *path)
{
	const char *line;

	if (!read_list(list, path))
		return MDNS_BACKLOG_UNKNOWN;
	line = buf_cstr(list);
	while ((line = strchr(line, '\n')) != NULL)
		if (waiting_in(++line))
			return MDNS_BACKLOG_SOME;
	return MDNS_BACKLOG_NONE;
}

enum mdns_backlog
mdns_backlog(struct mdns *m, bool v6_too)
{
	enum mdns_backlog b = backlog_in(&m->out, "/proc/net/udp");

	if (b == MDNS_BACKLOG_NONE && v6_too)
		b = backlog_in(&m->out, "/proc/net/udp6");
	return b;
}
