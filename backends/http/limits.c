/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subscriber's side bears of its peers: how many connections, in all and
 * of one host; how long a head, a body and a silence may last; how much memory all
 * of them hold. The promise is that a peer that behaves gets through, whatever the
 * others do, and so everything goes by age: whose request (or silence) has lasted
 * longest makes room first. A connection in use is always among the youngest.
 *
 * Each connection has one timer, set to a moment at which its time may be over and
 * looked at again then: a request costs no change of the heap.
 */
#include <stdlib.h>
#include <sys/resource.h>

#include "backends/http/conn.h"
#include "core/log.h"
#include "core/net.h"

enum {
	BODY_RATE = 16 * 1024,		/* bytes a second that earn a body more time */
	NAP_MS = 1,
	USEFUL_SHIFT = 7,		/* whose connection brought events, ages so much slower */
	FILES_SPARE = 16,		/* descriptors that are no connections */
	REPLY_BYTES = 1024		/* what an error that waits for its turn counts for */
};

/* ---- memory ---- */

void
http_limits_account(struct conn *c)
{
	struct http_limits *l = &c->srv->hb->limits;
	size_t size = stream_memory(c->stream) + c->body.end + c->head_bytes.cap +
		c->cap * sizeof *c->slots + c->nreplies * REPLY_BYTES;

	c->out_cap = stream_out(c->stream)->cap;
	l->memory += size - c->memory;
	c->memory = size;
	if (l->memory > l->memory_max)
		loop_defer(c->srv->hb->loop, &l->shed);
}

static void
conn_trim(struct conn *c)
{
	stream_trim(c->stream);
	if (c->head == c->tail) {
		free(c->slots);
		c->slots = NULL;
		c->cap = 0;
	}
	http_limits_account(c);
}

/* ---- time ---- */

static uint64_t
ms(uint64_t n)
{
	return n * 1000000;
}

static bool
conn_stopped(const struct conn *c)
{
	return !c->reads && !c->linger;
}

/* When the time of what is going on is over. */
static uint64_t
conn_deadline(const struct conn *c)
{
	const struct http_limits *l = &c->srv->hb->limits;

	if (c->choked)
		return c->stuck_ns + ms(l->body_ms);
	switch (c->phase) {
	case CONN_HEAD:
		return c->since_ns + ms(l->header_ms);
	case CONN_BODY:
		return c->since_ns + ms(l->body_ms) + c->phase_bytes * (1000000000 / BODY_RATE);
	case CONN_IDLE:
		break;
	}
	return c->since_ns + ms(l->idle_ms);
}

static void
conn_watch_clock(struct conn *c)
{
	uint64_t at = conn_deadline(c);

	if (!c->linger && (!loop_timer_is_set(&c->timer) || c->timer.at_ns > at))
		loop_timer_set_at(c->srv->hb->loop, &c->timer, at);
}

static void
conn_too_slow(struct conn *c)
{
	const char *what = c->choked ? "does not read its replies" :
		c->phase == CONN_HEAD ? "the head takes too long" :
		c->phase == CONN_BODY ? "the body takes too long" : "idle";

	log_verbose("http: %s: closed: %s", stream_peer(c->stream), what);
	if (c->choked || c->phase == CONN_IDLE) {
		http_conn_free(c);
		return;
	}
	c->busy = true;
	http_add_bad_request(http_conn_reply(c, true), 408, what);
	http_conn_advance(c);
	c->busy = false;
	c->phase = CONN_IDLE;
	if (c->doomed)
		http_conn_free(c);
	else
		conn_watch_clock(c);
}

static void
conn_timeout(struct loop_timer *t)
{
	struct conn *c = t->arg;
	struct loop *loop = c->srv->hb->loop;
	uint64_t now = loop_clock_ns(), written = stream_written(c->stream);

	if (c->linger) {
		http_conn_free(c);
		return;
	}
	if (c->choked && written != c->written) {
		c->written = written;
		c->stuck_ns = now;
	}
	if (c->naps) {
		c->naps = false;
		http_conn_reading(c);
	}
	if (c->closing)
		c->phase = CONN_IDLE;
	/* While we do not read, or owe it something, it is we who take the time. */
	if (c->phase == CONN_IDLE && c->head != c->tail)
		c->since_ns = now;
	conn_trim(c);
	if (!c->choked && conn_stopped(c))
		loop_timer_set_at(loop, t, now + ms(c->srv->hb->limits.header_ms));
	else if (conn_deadline(c) > now)
		loop_timer_set_at(loop, t, conn_deadline(c));
	else
		conn_too_slow(c);
}

/* ---- room ---- */

/* Who goes first when room is needed: the higher the sooner, 0 not at all. */
static uint64_t
conn_age(const struct conn *c, uint64_t now, bool memory)
{
	const struct http_limits *l = &c->srv->hb->limits;
	/* A flood of newcomers must not drive out those at work, who are silent between
	 * two events. */
	uint64_t age = ((now - c->since_ns) >> (c->useful ? USEFUL_SHIFT : 0)) + 1;

	if (c->busy || c->since_ns > now)
		return 0;
	/* Who holds less than its share is not the cause. */
	if (memory)
		return c->memory > l->memory_max / (2 * l->nconns) ? age : 0;
	/* What is printed and not yet answered is not given up for a newcomer; a
	 * body on its way is only when nothing else is there. */
	if (c->head != c->tail && !c->choked)
		return 0;
	return c->phase == CONN_BODY ? age : age | 1ull << 63;
}

/* Of all, or of those of one host (not 0). */
static struct conn *
oldest(struct http_broker *hb, uint64_t host, bool memory)
{
	uint64_t now = loop_clock_ns(), most = 0;
	struct conn *found = NULL;

	for (unsigned i = 0; i < DIALECTS; i++)
		for (struct conn *c = hb->server[i].conns; c; c = c->next) {
			uint64_t age = !host || c->host == host ? conn_age(c, now, memory) : 0;

			if (age > most) {
				most = age;
				found = c;
			}
		}
	return found;
}

static size_t
count_host(const struct http_broker *hb, uint64_t host)
{
	size_t n = 0;

	for (unsigned i = 0; i < DIALECTS; i++)
		for (const struct conn *c = hb->server[i].conns; c; c = c->next)
			n += c->host == host;
	return n;
}

/* A number for the host at the other end; 0 for this machine, which all local
 * clients share. Whoever has an IPv6 address has 2^64 of them. */
static uint64_t
host_of(struct stream *st)
{
	union sockaddr_any a;
	socklen_t len;
	uint64_t host = 0;

	if (!net_parse(bytes_str(stream_peer(st)), &a, &len) || net_is_ours(&a))
		return 0;
	if (a.sa.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr))
		memcpy(&host, &a.in6.sin6_addr, 8);
	else if (a.sa.sa_family == AF_INET6)
		memcpy(&host, a.in6.sin6_addr.s6_addr + 12, 4);
	else
		memcpy(&host, &a.in.sin_addr, 4);
	return host ? host : 1;
}

static void
say_once(bool *said, const char *who, size_t max, const char *option)
{
	if (!*said)
		log_warn("%s: cannot take more connections than %zu (-X http.%s): "
			"the longest idle make room", who, max, option);
	*said = true;
}

bool
http_limits_admit(struct server *srv, struct stream *st, uint64_t *host)
{
	struct http_broker *hb = srv->hb;
	struct http_limits *l = &hb->limits;
	struct conn *victim = NULL;
	bool full = false;

	*host = host_of(st);
	if (*host && count_host(hb, *host) >= l->per_peer) {
		say_once(&l->said_peer, stream_peer(st), l->per_peer, "max_per_peer");
		full = true;
		victim = oldest(hb, *host, false);
	} else if (l->nconns >= l->conns_max) {
		say_once(&l->said_conns, listener_address(srv->listener), l->conns_max,
			"max_connections");
		full = true;
		victim = oldest(hb, 0, false);
	}
	if (!full)
		return true;
	if (victim) {
		log_debug("http: %s: closed for %s", stream_peer(victim->stream), stream_peer(st));
		http_conn_free(victim);
		return true;
	}
	if (hb->tls_server)
		http_secure_refuse(st);
	else
		http_add_bad_request(stream_out(st), 503, "too many connections");
	stream_flush(st);
	return false;
}

/* ---- too much memory ---- */

/* At the end of the turn, so never in the middle of anything. */
static void
shed(struct loop_task *t)
{
	struct http_broker *hb = t->arg;
	struct http_limits *l = &hb->limits;
	struct conn *c;

	for (unsigned i = 0; i < DIALECTS; i++)
		for (c = hb->server[i].conns; c; c = c->next)
			conn_trim(c);
	while (l->memory > l->memory_max && (c = oldest(hb, 0, true))) {
		if (!l->said_memory)
			log_warn("http: connections hold over %llu bytes (-X http.memory_max): "
				"the slowest are closed", (unsigned long long)l->memory_max);
		l->said_memory = true;
		log_verbose("http: %s: closed: it holds %zu bytes", stream_peer(c->stream), c->memory);
		if (c->head == c->tail && !buf_len(stream_out(c->stream))) {
			http_add_bad_request(stream_out(c->stream), 503, "too much at once");
			stream_flush(c->stream);
		}
		http_conn_free(c);
	}
	loop_task_cancel(t);
}

/* ---- what conn.c and request.c tell ---- */

void
http_limits_begin(struct conn *c)
{
	c->timer.fn = conn_timeout;
	c->timer.arg = c;
	c->since_ns = loop_now_ns(c->srv->hb->loop);
	c->reads = true;
	c->srv->hb->limits.nconns++;
	conn_watch_clock(c);
}

void
http_limits_end(struct conn *c)
{
	struct http_limits *l = &c->srv->hb->limits;

	loop_timer_clear(c->srv->hb->loop, &c->timer);
	l->nconns--;
	l->memory -= c->memory;
}

void
http_limits_reading(struct conn *c, bool on)
{
	uint64_t now = loop_now_ns(c->srv->hb->loop);

	if (c->reads == on)
		return;
	c->reads = on;
	if (on) {
		c->since_ns += now - c->stopped_ns;
		return;
	}
	c->stopped_ns = now;
}

void
http_limits_choked(struct conn *c)
{
	c->choked = true;
	c->stuck_ns = loop_now_ns(c->srv->hb->loop);
	c->written = stream_written(c->stream);
	conn_watch_clock(c);
}

void
http_limits_nap(struct conn *c)
{
	c->naps = true;
	loop_timer_set(c->srv->hb->loop, &c->timer, NAP_MS);
}

void
http_limits_read(struct conn *c, size_t n, size_t left)
{
	enum conn_phase phase = c->need || c->chunked ? CONN_BODY : left ? CONN_HEAD : CONN_IDLE;

	if (phase != c->phase || c->tail != c->phase_request || phase == CONN_IDLE) {
		c->phase = phase;
		c->phase_request = c->tail;
		c->phase_bytes = 0;
		c->since_ns = loop_now_ns(c->srv->hb->loop);
		conn_watch_clock(c);
	} else {
		c->phase_bytes += n - c->left;
	}
	c->left = left;
	http_limits_account(c);
}

/* ---- options ---- */

void
http_limits_init(struct http_broker *hb)
{
	struct http_limits *l = &hb->limits;

	l->shed.fn = shed;
	l->shed.arg = hb;
	/* One message of the largest size must have room, chunked or not. */
	if (l->memory_max < 2 * hb->body_max + HTTP_HEAD_MAX)
		l->memory_max = 2 * hb->body_max + HTTP_HEAD_MAX;
}

/* As many descriptors as the connections may need, as far as that is allowed. */
void
http_limits_files(struct http_broker *hb)
{
	struct http_limits *l = &hb->limits;
	rlim_t want = l->conns_max + FILES_SPARE;
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur == RLIM_INFINITY)
		return;
	if (r.rlim_cur < want) {
		struct rlimit more = { want < r.rlim_max ? want : r.rlim_max, r.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			r = more;
	}
	if (r.rlim_cur < want)
		l->conns_max = r.rlim_cur > 2 * FILES_SPARE ? (size_t)r.rlim_cur - FILES_SPARE :
			(size_t)r.rlim_cur / 2;
	if (!l->conns_max)
		l->conns_max = 1;
}
