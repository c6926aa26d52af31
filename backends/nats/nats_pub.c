/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events on their way. Behind a batch of them goes a PING, whose answer proves that the
 * server has read them all. Never more than one such question is open, and one is asked
 * at half a window, so that the server has something to do meanwhile.
 *
 * An event with a reply subject that nobody listens to is answered on that subject with
 * the status 503, if we listen there: so we do, from before the event up to behind the PING.
 */
#include "backends/nats/nats.h"

#include "core/log.h"

enum { BARRIER_BYTES = 64 * 1024 };

static uint64_t
hash_of(struct bytes s)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * UINT64_C(1099511628211);
	return h;
}

/* ---- the PING behind them ---- */

static pipeline_answer proved;

static bool
wants_barrier(const struct nats_broker *nb)
{
	return nb->silent && !nb->barrier && nb->b.opts.ack != PUBLISH_ACK_NONE &&
		nb->mode == NATS_CORE;
}

static void
ask(struct nats_broker *nb)
{
	struct buf *out;

	nb->barrier = true;
	nb->silent = nb->silent_bytes = 0;
	out = pipeline_ask(&nb->p, proved, NULL, nb->p.fed, 0);
	buf_add_str(out, "PING\r\n");
	if (buf_len(&nb->probe)) {
		buf_clear(&nb->probe);
		nats_write_unsub(out, NATS_PROBE_SID);
	}
}

static void
ask_task(struct loop_task *t)
{
	struct nats_broker *nb = t->arg;

	if (nb->p.ready && !nb->p.failed && wants_barrier(nb))
		ask(nb);
}

static void
leave(struct nats_broker *nb)
{
	struct error err;

	error_set(&err, ERR_CONNECT, "%s: the server is about to end", link_name(nb->p.link));
	pipeline_fail_next(&nb->p, &err);
}

static void
proved(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct nats_broker *nb = p->arg;
	uint64_t upto = e->id;

	(void)answer;
	nb->barrier = false;
	/* The next batch's first: the server is not to wait for us. */
	if (wants_barrier(nb))
		ask(nb);
	pipeline_confirm(p, upto, false);
	if (nb->leaving && !nb->barrier)
		leave(nb);
	broker_room(&nb->b);
}

static void
spend(struct nats_broker *nb, size_t size)
{
	nb->silent++;
	nb->silent_bytes += size;
	loop_defer(nb->b.loop, &nb->ask);
}

/* ---- writing ---- */

static int
check_subject(struct nats_broker *nb, struct bytes subject, struct error *err)
{
	const char *why;

	if (bytes_eq(subject, buf_bytes(&nb->subject)) && subject.n)
		return 0;
	why = nats_bad_subject(subject, false);
	if (!why && subject.n > NATS_LINE / 2)
		why = "a subject of NATS has up to 2048 bytes";
	if (why)
		return error_set(err, ERR_REFUSED, "topic: %s", why);
	buf_clear(&nb->subject);
	buf_add_bytes(&nb->subject, subject);
	nb->hash = hash_of(subject);
	return 0;
}

static int
check_headers(const struct nats_broker *nb, const struct message *m, struct error *err)
{
	const char *why;

	if (m->nheaders && !nb->headers)
		return error_set(err, ERR_REFUSED, "header: this server has none");
	for (size_t i = 0; i < m->nheaders; i++)
		if ((why = nats_bad_header(&m->headers[i]))) {
			error_set(err, ERR_REFUSED, "header \"%.*s\": %s",
				(int)(m->headers[i].name.n < 100 ? m->headers[i].name.n : 100),
				m->headers[i].name.p, why);
			return -1;
		}
	return 0;
}

static int
check_reply(struct bytes reply, struct error *err)
{
	const char *why = reply.p ? nats_bad_subject(reply, false) : NULL;

	if (!why && reply.n > NATS_LINE / 4)
		why = "it has more than 1024 bytes";
	return why ? error_set(err, ERR_REFUSED, "--reply-to: %s", why) : 0;
}

/* From now up to the next PING. */
static void
probe(struct nats_broker *nb, struct bytes reply)
{
	struct buf *out;

	nb->asking++;
	if (!nb->p.ready || nb->p.failed || !nb->headers || bytes_eq(reply, buf_bytes(&nb->probe)))
		return;
	out = pipeline_out(&nb->p);
	if (buf_len(&nb->probe))
		nats_write_unsub(out, NATS_PROBE_SID);
	buf_clear(&nb->probe);
	buf_add_bytes(&nb->probe, reply);
	nats_write_sub(out, reply, NULL, NATS_PROBE_SID);
}

int
nats_pub_event(struct nats_broker *nb, const struct publication *p, struct error *err)
{
	bool raw = nb->b.opts.wire == WIRE_RAW || (nb->b.opts.wire == WIRE_AUTO && p->opts &&
		p->opts->wire == WIRE_RAW);
	enum wire wire = raw ? WIRE_RAW : WIRE_MICRO;
	struct nats_pub head = { .subject = p->topic };
	struct nats_mark mark;
	struct buf *out;
	size_t size;

	if (check_subject(nb, p->topic, err) < 0 || (raw && check_headers(nb, &p->msg, err) < 0))
		return -1;
	if (p->opts && p->opts->props.reply_to.p) {
		head.reply = p->opts->props.reply_to;
		if (check_reply(head.reply, err) < 0)
			return -1;
	}
	if (nb->deaf.kind) {
		*err = nb->deaf;
		return -1;
	}
	if (nb->leaving)
		return PUBLISH_FULL;
	if (raw) {
		head.headers = p->msg.headers;
		head.nheaders = p->msg.nheaders;
	}
	if (nb->mode == NATS_JETSTREAM)
		nats_js_event(nb, p, &head);
	else if (head.reply.n)
		probe(nb, head.reply);
	out = pipeline_begin(&nb->p);
	mark = nats_begin(out, &head, wire_guess(&p->msg, wire));
	wire_write(out, &p->msg, wire);
	size = nats_end(out, &mark);
	if (nb->max_payload && size > nb->max_payload) {
		pipeline_cancel(&nb->p);
		return error_set(err, ERR_REFUSED, "too large: %zu bytes, and the server takes %llu "
			"(its setting is max_payload)", size, (unsigned long long)nb->max_payload);
	}
	if (nb->p.direct)
		spend(nb, size);
	/* What has an id the stream knows again. */
	pipeline_commit(&nb->p, p, nb->mode == NATS_JETSTREAM && nb->p.keeps && head.id ?
		PIPE_SILENT | PIPE_REPEAT : PIPE_SILENT);
	flight_at(&nb->p.ring, nb->p.ring.next - 1)->last = nb->hash;
	if (wants_barrier(nb) && nb->p.ready && (nb->silent * 2 >= nb->b.opts.window_events ||
	    nb->silent_bytes >= BARRIER_BYTES))
		ask(nb);
	return 0;
}

/* A kept one goes out; by now it may be another server. */
bool
nats_pub_send(struct pipeline *p, struct flight_entry *e, struct bytes kept, struct buf *out)
{
	struct nats_broker *nb = p->arg;
	size_t size = nats_payload_of(kept);
	struct error err;

	(void)e;
	if (nb->max_payload && size > nb->max_payload) {
		error_set(&err, ERR_REFUSED, "too large: the server takes %llu bytes now",
			(unsigned long long)nb->max_payload);
		pipeline_end(p, p->fed, FATE_REFUSED, &err);
		return true;
	}
	if (*kept.p == 'H' && !nb->headers) {
		error_set(&err, ERR_REFUSED, "header: this server has none");
		pipeline_end(p, p->fed, FATE_REFUSED, &err);
		return true;
	}
	buf_add_bytes(out, kept);
	spend(nb, size);
	return true;
}

/* ---- what the server says of them ---- */

/* The first that is under way to a subject, or at all. */
static uint64_t
find(const struct nats_broker *nb, uint64_t hash, bool any)
{
	const struct flight *f = &nb->p.ring;

	for (uint64_t seq = f->first; seq != nb->p.fed; seq++) {
		const struct flight_entry *e = flight_at(f, seq);

		if ((e->state & (PIPE_EVENT | PIPE_DONE | PIPE_OUT)) == (PIPE_EVENT | PIPE_OUT) &&
		    (e->last == hash || any))
			return seq;
	}
	return PIPE_NONE;
}

/* There is an -ERR for each event that is not allowed, in their order. In one with a
 * backslash the subject may have been written in another way. */
void
nats_pub_denied(struct nats_broker *nb, struct bytes subject, const struct error *err)
{
	uint64_t seq = find(nb, hash_of(subject), false);

	if (seq == PIPE_NONE && memchr(subject.p, '\\', subject.n))
		seq = find(nb, 0, true);
	if (seq != PIPE_NONE) {
		pipeline_end(&nb->p, seq, FATE_REFUSED, err);
		broker_room(&nb->b);
		return;
	}
	if (!nb->late)
		log_warn("an event was refused: %s", err->text);
	nb->late = true;
}

void
nats_pub_probed(struct nats_broker *nb, unsigned status)
{
	nb->nobody += status == 503;
}

void
nats_pub_leave(struct nats_broker *nb)
{
	if (nb->leaving)
		return;
	nb->leaving = true;
	if (!nb->silent && !nb->barrier)
		leave(nb);
}

/* ---- life ---- */

void
nats_pub_init(struct nats_broker *nb)
{
	nb->ask.fn = ask_task;
	nb->ask.arg = nb;
}

void
nats_pub_lost(struct nats_broker *nb)
{
	nb->silent = nb->silent_bytes = 0;
	nb->barrier = nb->leaving = false;
	buf_clear(&nb->probe);
}

void
nats_pub_close(struct nats_broker *nb)
{
	loop_task_cancel(&nb->ask);
	if (nb->asking)
		log_verbose("nats: of %llu events with a reply subject nobody got %llu",
			(unsigned long long)nb->asking, (unsigned long long)nb->nobody);
	nb->asking = nb->nobody = 0;
}

void
nats_pub_release(struct nats_broker *nb)
{
	loop_task_cancel(&nb->ask);
	buf_release(&nb->subject);
	buf_release(&nb->probe);
}
