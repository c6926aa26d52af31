/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters: a topic's slot lives on one node, which is learned from the redirects of
 * the others (or from CLUSTER SLOTS), and each node that has something for us gets a
 * connection of its own. What plain PUBLISH and SUBSCRIBE do needs none of this: the
 * nodes pass such events on.
 */
#include "backends/redis/redis.h"

#include <stdlib.h>

enum { NODES_MAX = 1000 };

/* CRC-16 of polynomial 0x1021 over what is between the first '{' and the next '}',
 * if there is something, else over all. */
static unsigned
cluster_slot(struct bytes topic)
{
	const char *open = topic.n ? memchr(topic.p, '{', topic.n) : NULL, *close;
	unsigned crc = 0;

	if (open) {
		close = memchr(open + 1, '}', topic.n - (size_t)(open + 1 - topic.p));
		if (close && close > open + 1)
			topic = bytes_of(open + 1, (size_t)(close - open - 1));
	}
	for (size_t i = 0; i < topic.n; i++) {
		crc ^= (unsigned)(unsigned char)topic.p[i] << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = crc << 1 ^ (crc & 0x8000 ? 0x1021 : 0);
		crc &= 0xffff;
	}
	return crc % REDIS_SLOTS;
}

struct redis_conn *
redis_cluster_conn(struct redis_broker *rb, struct bytes topic)
{
	unsigned node = rb->slots ? rb->slots[cluster_slot(topic)] : 0;

	if (node)
		return rb->nodes[node - 1];
	return redis_publisher(rb);
}

/* "MOVED 3999 127.0.0.1:6381" */
bool
redis_moved(const struct resp_value *v, unsigned *slot, struct bytes *address, bool *ask)
{
	struct bytes s = resp_bytes(v);

	*ask = redis_says(v, "ASK ");
	if (!*ask && !redis_says(v, "MOVED "))
		return false;
	s = bytes_of(s.p + (*ask ? 4 : 6), s.n - (*ask ? 4 : 6));
	for (*slot = 0; s.n && *s.p >= '0' && *s.p <= '9' && *slot < REDIS_SLOTS; s.p++, s.n--)
		*slot = *slot * 10 + (unsigned)(*s.p - '0');
	if (*slot >= REDIS_SLOTS || s.n < 2 || *s.p != ' ')
		return false;
	*address = bytes_of(s.p + 1, s.n - 1);
	return true;
}

/* The address as a text for a link: with the scheme main has, and the host of who
 * redirected us where only a port was said. */
static void
node_address(const struct redis_conn *from, struct bytes address, struct buf *text)
{
	const struct address *a = link_address(from->p.link);
	bool bare = address.n && *address.p == ':';
	const char *colon = NULL;

	if (a->scheme.p && !a->socket.p)
		buf_addf(text, "%.*s://", BYTES_FMT(a->scheme));
	if (bare) {
		buf_addf(text, memchr(a->host.p ? a->host.p : "", ':', a->host.n) ? "[%.*s]" :
			"%.*s", BYTES_FMT(a->host));
		buf_add_bytes(text, address);
		return;
	}
	/* "::1:6379" has its port behind the last colon. */
	for (size_t i = 0; i < address.n; i++)
		if (address.p[i] == ':')
			colon = address.p + i;
	if (colon && *address.p != '[' &&
	    memchr(address.p, ':', address.n) != (const void *)colon) {
		buf_add_ch(text, '[');
		buf_add(text, address.p, (size_t)(colon - address.p));
		buf_add_ch(text, ']');
		buf_add(text, colon, address.n - (size_t)(colon - address.p));
	} else {
		buf_add_bytes(text, address);
	}
}

static bool
is_at(const struct redis_conn *c, const char *text)
{
	const char *slashes = strstr(text, "://");

	return c && strcmp(link_name(c->p.link), slashes ? slashes + 3 : text) == 0;
}

struct redis_conn *
redis_cluster_node(struct redis_broker *rb, struct redis_conn *from, struct bytes address,
	struct error *err)
{
	struct buf text = BUF_INIT;
	struct redis_conn *c = NULL;

	node_address(from, address, &text);
	for (size_t i = 0; i < rb->nnodes && !c; i++)
		if (is_at(rb->nodes[i], buf_cstr(&text)))
			c = rb->nodes[i];
	if (!c && is_at(rb->main, buf_cstr(&text)))
		c = rb->publisher ? rb->publisher : rb->main;
	if (!c && rb->nnodes == NODES_MAX) {
		error_set(err, ERR_REFUSED, "redirected to too many nodes");
	} else if (!c) {
		c = redis_conn_new(rb, ROLE_NODE, buf_cstr(&text), err);
		if (c) {
			rb->nodes = xrealloc(rb->nodes, (rb->nnodes + 1) * sizeof *rb->nodes);
			rb->nodes[rb->nnodes++] = c;
			pipeline_start(&c->p);
		} else {	/* the server's fault, not the user's */
			err->kind = ERR_CONNECT;
			error_prefix(err, "redirected to a bad address");
		}
	}
	buf_release(&text);
	return c;
}

void
redis_cluster_map(struct redis_broker *rb, unsigned slot, struct redis_conn *c)
{
	if (!rb->slots)
		rb->slots = xcalloc(REDIS_SLOTS, sizeof *rb->slots);
	rb->slots[slot] = 0;
	for (size_t i = 0; i < rb->nnodes; i++)
		if (rb->nodes[i] == c)
			rb->slots[slot] = (uint16_t)(i + 1);
}

/* [[first slot, last slot, [host, port, ...], replicas ...] ...] */
void
redis_cluster_slots(struct pipeline *p, const struct flight_entry *question, const void *answer)
{
	struct redis_conn *c = (struct redis_conn *)p;
	struct redis_broker *rb = c->rb;
	unsigned wanted = cluster_slot(rb->audience.topic);
	const struct resp_value *v = answer, *e = v + 1;
	struct buf address = BUF_INIT;
	struct redis_conn *node;
	struct error err;

	(void)question;
	for (int64_t i = 0; v->type == RESP_ARRAY && i < v->n; i++, e += e->size) {
		if (e->type != RESP_ARRAY || e->n < 3 || e[1].type != RESP_INTEGER ||
		    e[2].type != RESP_INTEGER || e[3].type != RESP_ARRAY || e[3].n < 2 ||
		    (int64_t)wanted < e[1].n || (int64_t)wanted > e[2].n)
			continue;
		buf_clear(&address);
		buf_add_bytes(&address, resp_bytes(&e[4]));
		buf_addf(&address, ":%lld", (long long)e[5].n);
		node = redis_cluster_node(rb, c, buf_bytes(&address), &err);
		if (node)
			redis_cluster_map(rb, wanted, node);
	}
	buf_release(&address);
}

void
redis_cluster_release(struct redis_broker *rb)
{
	for (size_t i = 0; i < rb->nnodes; i++)
		redis_conn_free(rb->nodes[i]);
	free(rb->nodes);
	free(rb->slots);
	rb->nodes = NULL;
	rb->slots = NULL;
	rb->nnodes = 0;
}
