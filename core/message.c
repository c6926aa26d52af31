/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping borrowed events: see message.h. */
#include "core/message.h"

#include <stdlib.h>

#include "core/buf.h"

const struct properties properties_none = { .ttl_ms = -1 };

const struct event event_none = {
	.partition = -1,
	.offset = -1,
	.qos = -1,
	.props = { .ttl_ms = -1 },
};

/* What an event_keep() made: the event first, so that its address is the
 * allocation's. */
struct kept {
	struct event ev;
	struct header headers[];
};

static struct bytes
keep_bytes(char **at, struct bytes b)
{
	char *p = *at;

	if (!b.p)
		return b;
	if (b.n)
		memcpy(p, b.p, b.n);
	*at += b.n;
	return bytes_of(p, b.n);
}

struct event *
event_keep(const struct event *ev)
{
	size_t n = ev->msg.nheaders;
	size_t size = ev->topic.n + ev->id.n + ev->msg.key.n + ev->msg.body.n + ev->payload.n +
		ev->props.content_type.n + ev->props.reply_to.n + ev->props.correlation.n;
	struct kept *k;
	char *at;

	for (size_t i = 0; i < n; i++)
		size += ev->msg.headers[i].name.n + ev->msg.headers[i].value.n;
	k = xmalloc(sizeof *k + n * sizeof *k->headers + size);
	at = (char *)(k->headers + n);
	k->ev = *ev;
	k->ev.topic = keep_bytes(&at, ev->topic);
	k->ev.id = keep_bytes(&at, ev->id);
	k->ev.payload = keep_bytes(&at, ev->payload);
	k->ev.msg.key = keep_bytes(&at, ev->msg.key);
	k->ev.msg.body = keep_bytes(&at, ev->msg.body);
	k->ev.props.content_type = keep_bytes(&at, ev->props.content_type);
	k->ev.props.reply_to = keep_bytes(&at, ev->props.reply_to);
	k->ev.props.correlation = keep_bytes(&at, ev->props.correlation);
	for (size_t i = 0; i < n; i++) {
		k->headers[i].name = keep_bytes(&at, ev->msg.headers[i].name);
		k->headers[i].value = keep_bytes(&at, ev->msg.headers[i].value);
	}
	k->ev.msg.headers = k->headers;
	return &k->ev;
}

void
event_free(struct event *ev)
{
	free(ev);
}

const struct header *
message_header(const struct message *msg, struct bytes name)
{
	for (size_t i = 0; i < msg->nheaders; i++)
		if (bytes_eq(msg->headers[i].name, name))
			return &msg->headers[i];
	return NULL;
}
