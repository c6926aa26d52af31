/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stream has. Questions to the server's interface, whose answers come to
 * INBOX.sSID one after the other:
 *
 *	STREAM.NAMES		which stream has the topic (STEP_FIND)
 *	CONSUMER.INFO		is the group there? (STEP_LOOK)
 *	CONSUMER.CREATE		a consumer of our own, or the group (STEP_MAKE)
 *	CONSUMER.MSG.NEXT	the next so many events (STEP_LIVE), which come with the
 *				number of our subscription
 *
 * Alone we have a consumer without acknowledgements that lives as long as we ask it; after
 * a lost connection, or a gap, another one goes on behind the last event. A group is a
 * durable consumer; its events are acknowledged when they have been written.
 */
#include "backends/nats/nats.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/json.h"
#include "core/log.h"
#include "core/units.h"

enum {
	BATCH = 512,
	BATCH_BYTES = 8 << 20,		/* so much may be under way to us, about */
	HEARTBEAT_S = 5,
	SILENT_MS = 12000,		/* without a heartbeat: ask again */
	NO_CONSUMER = 10014		/* its err_code */
};

static bool acks(const struct nats_sub *ns) { return ns->s->opts.group != NULL; }

/* ---- questions ---- */

static void
request(struct nats_broker *nb, struct nats_sub *ns, struct bytes subject, struct bytes body)
{
	struct nats_pub p = { .subject = subject };
	struct buf reply = BUF_INIT, *out = pipeline_out(&nb->p);
	struct nats_mark m;

	buf_addf(&reply, "%s.s%llu", nb->inbox, (unsigned long long)ns->sid);
	p.reply = buf_bytes(&reply);
	m = nats_begin(out, &p, body.n);
	buf_add_bytes(out, body);
	nats_end(out, &m);
	pipeline_kick(&nb->p);
	buf_release(&reply);
}

/* A server may answer a question by hanging up. */
static void
trial(struct nats_broker *nb)
{
	bool any = false;

	for (size_t i = 0; i < nb->nsubs; i++)
		any |= nb->subs[i] && nb->subs[i]->asked;
	link_trial(nb->p.link, any);
}

/* It cannot be: in the words of the server, or ours. */
static void
fails(struct nats_sub *ns, enum error_kind kind, const char *what, struct bytes why)
{
	struct error err;

	loop_timer_clear(ns->nb->b.loop, &ns->timer);
	error_set(&err, kind, "%s%s%.*s", what, why.n ? ": " : "", (int)(why.n < 300 ? why.n : 300),
		why.n ? why.p : "");
	if (ns->s->told)
		error_prefix_bytes(&err, ns->s->topic);
	broker_subscribed(ns->s, &err);
}

/* An expression is looked for here, in what the server has of all subjects. */
static struct bytes
filter(const struct nats_sub *ns)
{
	return ns->is_regex ? BYTES(">") : ns->s->topic;
}

static void
find(struct nats_broker *nb, struct nats_sub *ns)
{
	struct buf body = BUF_INIT;

	ns->step = STEP_FIND;
	buf_add_str(&body, "{\"subject\":");
	json_add_go_string(&body, filter(ns));
	buf_add_ch(&body, '}');
	request(nb, ns, BYTES("$JS.API.STREAM.NAMES"), buf_bytes(&body));
	buf_release(&body);
}

static void
look(struct nats_broker *nb, struct nats_sub *ns)
{
	struct buf subject = BUF_INIT;

	ns->step = STEP_LOOK;
	buf_addf(&subject, "$JS.API.CONSUMER.INFO.%s.%s", ns->stream, ns->s->opts.group);
	request(nb, ns, buf_bytes(&subject), BYTES(""));
	buf_release(&subject);
}

/* Where it begins. */
static void
add_place(struct nats_sub *ns, struct buf *b)
{
	const struct position *from = &ns->s->opts.from;

	if (!acks(ns) && ns->last) {
		buf_addf(b, ",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%llu",
			(unsigned long long)ns->last + 1);
		return;
	}
	switch (from->kind) {
	case POSITION_BEGINNING: case POSITION_TAIL:
		buf_add_str(b, ",\"deliver_policy\":\"all\"");
		break;
	case POSITION_OFFSET:
		buf_addf(b, ",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":%llu",
			(unsigned long long)(from->n > 0 ? from->n : 1));
		break;
	case POSITION_TIME:
		buf_add_str(b, ",\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"");
		units_add_time_us(b, from->n * 1000);
		buf_add_ch(b, '"');
		break;
	default:
		buf_add_str(b, ",\"deliver_policy\":\"new\"");
	}
}

static void
make(struct nats_broker *nb, struct nats_sub *ns)
{
	struct buf subject = BUF_INIT, body = BUF_INIT;

	ns->step = STEP_MAKE;
	if (acks(ns))
		buf_addf(&subject, "$JS.API.CONSUMER.DURABLE.CREATE.%s.%s", ns->stream, ns->s->opts.group);
	else
		buf_addf(&subject, "$JS.API.CONSUMER.CREATE.%s", ns->stream);
	buf_addf(&body, "{\"stream_name\":\"%s\",\"config\":{\"filter_subject\":", ns->stream);
	json_add_go_string(&body, filter(ns));
	if (acks(ns))
		buf_addf(&body, ",\"durable_name\":\"%s\",\"ack_policy\":\"explicit\",\"ack_wait\":%llu",
			ns->s->opts.group, (unsigned long long)nb->ack_wait_ms * 1000000);
	else
		buf_add_str(&body, ",\"ack_policy\":\"none\",\"mem_storage\":true,\"num_replicas\":1,"
			"\"inactive_threshold\":60000000000");
	add_place(ns, &body);
	buf_add_str(&body, ",\"replay_policy\":\"instant\"}}");
	request(nb, ns, buf_bytes(&subject), buf_bytes(&body));
	buf_release(&subject);
	buf_release(&body);
}

/* ---- asking for events ---- */

static void
pull(struct nats_broker *nb, struct nats_sub *ns)
{
	size_t most = ns->size ? BATCH_BYTES / ns->size : 64, n;
	struct buf subject = BUF_INIT, body = BUF_INIT, inbox = BUF_INIT, *out;
	struct nats_pub p = { .headers = NULL };
	struct nats_mark m;

	most = most < 1 ? 1 : most > BATCH ? BATCH : most;
	if (ns->over || ns->step != STEP_LIVE || nb->paused || !nb->p.ready || nb->p.failed ||
	    ns->outstanding * 2 > most || (ns->s->opts.ended && ns->outstanding))
		return;
	n = most - ns->outstanding;
	ns->came = false;
	ns->outstanding += n;
	buf_addf(&subject, "$JS.API.CONSUMER.MSG.NEXT.%s.%s", ns->stream, ns->consumer);
	buf_addf(&inbox, "%s.m.%llu", nb->inbox, (unsigned long long)ns->sid);
	if (ns->s->opts.ended)
		buf_addf(&body, "{\"batch\":%zu,\"no_wait\":true}", n);
	else
		buf_addf(&body, "{\"batch\":%zu,\"expires\":%llu,\"idle_heartbeat\":%llu}", n,
			6 * HEARTBEAT_S * 1000000000ull, HEARTBEAT_S * 1000000000ull);
	p.subject = buf_bytes(&subject);
	p.reply = buf_bytes(&inbox);
	out = pipeline_out(&nb->p);
	m = nats_begin(out, &p, buf_len(&body));
	buf_add_bytes(out, buf_bytes(&body));
	nats_end(out, &m);
	pipeline_kick(&nb->p);
	buf_release(&subject);
	buf_release(&body);
	buf_release(&inbox);
}

void
nats_js_sub_go_on(struct nats_broker *nb)
{
	for (size_t i = 0; i < nb->nsubs; i++)
		if (nb->subs[i])
			pull(nb, nb->subs[i]);
}

static void
ended(struct nats_sub *ns)
{
	if (ns->over || !ns->s->opts.ended)
		return;
	ns->over = true;
	broker_ended(ns->s);
}

/* ---- answers ---- */

static void
set(char **to, struct bytes name)
{
	free(*to);
	*to = xmemdup0(name.p, name.n);
}

static void
arm(struct nats_sub *ns)
{
	loop_timer_set(ns->nb->b.loop, &ns->timer, acks(ns) && ns->wait_ms < SILENT_MS ? ns->wait_ms : SILENT_MS);
}

static void
live(struct nats_broker *nb, struct nats_sub *ns, const struct nats_answer *a)
{
	const struct position *from = &ns->s->opts.from;
	bool first = !ns->s->told;

	set(&ns->consumer, acks(ns) ? bytes_str(ns->s->opts.group) : a->name);
	ns->step = STEP_LIVE;
	ns->outstanding = 0;
	ns->consumer_last = 0;
	ns->heard_ns = loop_clock_ns();
	ns->wait_ms = a->ack_wait_ns / 3000000;
	ns->wait_ms = ns->wait_ms < 10 ? 10 : ns->wait_ms;
	if (first) {
		ns->ends_in = a->pending;
		if (from->kind == POSITION_TAIL && !acks(ns) && a->pending > (uint64_t)from->n)
			ns->skip = a->pending - (uint64_t)from->n;
	}
	arm(ns);
	ns->asked = false;
	trial(nb);
	broker_subscribed(ns->s, NULL);
	if (first && !a->pending && !acks(ns))
		ended(ns);
	pull(nb, ns);
}

static void
answered(struct nats_broker *nb, struct nats_sub *ns, struct nats_frame *f)
{
	struct nats_answer a;
	bool status = f->head.p && nb->head.status;

	if (status || nats_answer_read(&a, f->body, f->n) < 0) {
		fails(ns, ERR_NOTFOUND, status ? "the server has no JetStream (for this user)" :
			"what answers is no JetStream", BYTES(""));
		return;
	}
	switch (ns->step) {
	case STEP_FIND:
		if (a.error.p)
			fails(ns, ERR_NOTFOUND, "no stream is told of", a.error);
		else if (a.nstreams != 1)
			fails(ns, a.nstreams ? ERR_USAGE : ERR_NOTFOUND, a.nstreams ? "several streams have "
				"this subject (-X nats.stream=NAME)" : "no stream has this subject", BYTES(""));
		else
			set(&ns->stream, a.first);
		if (!ns->stream)
			break;
		if (acks(ns))
			look(nb, ns);
		else
			make(nb, ns);
		break;
	case STEP_LOOK:
		if (a.error.p && a.code == NO_CONSUMER)
			make(nb, ns);
		else if (a.error.p)
			fails(ns, ERR_NOTFOUND, "the stream is not to be had", a.error);
		else if (a.filter.n && !bytes_eq(a.filter, filter(ns)))
			fails(ns, ERR_USAGE, "the stream has a group of this name for another subject",
				a.filter);
		else
			live(nb, ns, &a);
		break;
	case STEP_MAKE:
		if (a.error.p)
			fails(ns, ERR_NOTFOUND, "the server makes no consumer", a.error);
		else
			live(nb, ns, &a);
		break;
	case STEP_LIVE:
		break;
	}
}

bool
nats_js_sub_answer(struct nats_broker *nb, struct nats_frame *f)
{
	uint64_t sid = 0;
	size_t i = nb->inbox_n + 2;

	if (f->subject.n <= i || f->subject.p[nb->inbox_n + 1] != 's')
		return false;
	for (; i < f->subject.n && f->subject.p[i] >= '0' && f->subject.p[i] <= '9' && sid < 1000000000; i++)
		sid = sid * 10 + (uint64_t)(f->subject.p[i] - '0');
	if (sid && sid <= nb->nsubs && nb->subs[sid - 1])
		answered(nb, nb->subs[sid - 1], f);
	return true;
}

void
nats_js_sub_denied(struct nats_broker *nb, const struct error *err)
{
	for (size_t i = 0; i < nb->nsubs; i++) {
		struct nats_sub *ns = nb->subs[i];

		if (!ns || ns->why.kind)
			continue;
		ns->why = *err;
		fails(ns, err->kind, err->text, BYTES(""));
	}
}

/* ---- acknowledging ---- */

static void
answer(struct nats_broker *nb, const char *subject, const char *word)
{
	buf_addf(pipeline_out(&nb->p), "PUB %s %zu\r\n%s\r\n", subject, strlen(word), word);
	pipeline_kick(&nb->p);
}

void
nats_js_sub_ack(struct nats_broker *nb, uint64_t first, uint64_t last, bool ok)
{
	struct ledger *l = &nb->ledger;

	if (!ledger_settle(l, &first, &last, ok))
		return;
	for (uint64_t n = first; n <= last; n++) {
		struct ledger_entry *e = ledger_at(l, n);

		if (e->state >= LEDGER_OK && nb->p.ready && !nb->p.failed)
			answer(nb, e->of, ok ? "" : "-NAK");
		if (e->state >= LEDGER_OK) {
			free(e->of);
			e->of = NULL;
		}
		ledger_done(l, n);
	}
	ledger_trim(l);
}

/* What is still being written the server is to wait for. */
static void
in_progress(struct nats_broker *nb)
{
	for (uint64_t n = nb->ledger.first; n < nb->ledger.next; n++)
		if (ledger_at(&nb->ledger, n)->state == LEDGER_OUT)
			answer(nb, ledger_at(&nb->ledger, n)->of, "+WPI");
}

static void
tick(struct loop_timer *t)
{
	struct nats_sub *ns = t->arg;
	struct nats_broker *nb = ns->nb;
	uint64_t silent_ms = (loop_clock_ns() - ns->heard_ns) / 1000000;

	if (!nb->p.ready || nb->p.failed)
		return;
	if (ns->step != STEP_LIVE) {
		fails(ns, ERR_CONNECT, "JetStream does not answer", BYTES(""));
		return;
	}
	if (acks(ns))
		in_progress(nb);
	/* What was asked for is forgotten where a server took over from another. */
	if (silent_ms >= SILENT_MS && !nb->paused) {
		ns->outstanding = 0;
		ns->heard_ns = loop_clock_ns();
		pull(nb, ns);
	}
	arm(ns);
}

/* ---- events ---- */

static void
again(struct nats_broker *nb, struct nats_sub *ns)
{
	ns->outstanding = 0;
	ns->asked = true;
	trial(nb);
	loop_timer_set(nb->b.loop, &ns->timer, nb->b.opts.connect_timeout_ms ?
		nb->b.opts.connect_timeout_ms : 5000);
	if (!ns->stream)
		find(nb, ns);
	else if (acks(ns))
		look(nb, ns);
	else
		make(nb, ns);
}

/* The end of what was asked for, whole or not. */
static void
status(struct nats_broker *nb, struct nats_sub *ns)
{
	const struct nats_head *h = &nb->head;
	uint64_t left = ns->outstanding, n = 0;

	if (h->status < 200)
		return;
	for (size_t i = 0; i < h->n; i++) {
		if (!bytes_eq(h->v[i].name, BYTES("Nats-Pending-Messages")))
			continue;
		for (size_t k = 0; k < h->v[i].value.n && h->v[i].value.p[k] >= '0' &&
		    h->v[i].value.p[k] <= '9' && n < BATCH; k++)
			n = n * 10 + (uint64_t)(h->v[i].value.p[k] - '0');
		left = n < left ? n : left;
	}
	ns->outstanding -= (size_t)left;
	/* 408: also where others of the group wait for more than there is. */
	if (ns->s->opts.ended && (h->status == 404 || (h->status == 408 && acks(ns) && !ns->came))) {
		ns->outstanding = 0;
		ended(ns);
	} else if (h->status == 503 || (h->status == 409 &&
	    memmem(h->description.p, h->description.n, "Deleted", 7))) {
		log_verbose("%.*s: its consumer has gone: another is made", BYTES_FMT(ns->s->topic));
		again(nb, ns);
	}
	pull(nb, ns);
}

static bool
is_past(const struct nats_sub *ns, const struct nats_place *at)
{
	const struct position *until = &ns->s->opts.until;

	return until->kind == POSITION_TIME && (int64_t)(at->time_ns / 1000000) >= until->n;
}

static void
deliver(struct nats_broker *nb, struct nats_sub *ns, struct nats_frame *f, const struct nats_place *at)
{
	struct event ev = event_none;
	bool keep = acks(ns) && ns->s->opts.ack != SUBSCRIBE_ACK_NONE;
	char *subject = acks(ns) ? xmemdup0(f->reply.p, f->reply.n) : NULL;

	ev.topic = f->subject;
	ev.time_us = (int64_t)(at->time_ns / 1000);
	ev.time_kind = EVENT_TIME_APPEND;
	ev.offset = (int64_t)at->seq;
	nats_sub_fill(nb, ns, f, &ev);
	if (keep)
		ledger_add(&nb->ledger, nb->b.delivered + 1)->of = subject;
	link_progress(nb->p.link);
	/* What is dropped is given back at the end: said now, it would come here again,
	 * for we have asked for more. */
	broker_deliver(ns->s, &ev);
	if (subject && !keep) {
		answer(nb, subject, "");
		free(subject);
	}
}

/* Not what is looked for; of a group, so that nobody gets it. */
static void
pass(struct nats_broker *nb, struct nats_sub *ns, struct nats_frame *f)
{
	char *subject;

	link_progress(nb->p.link);
	if (!acks(ns))
		return;
	subject = xmemdup0(f->reply.p, f->reply.n);
	answer(nb, subject, "");
	free(subject);
}

void
nats_js_sub_event(struct nats_broker *nb, struct nats_sub *ns, struct nats_frame *f)
{
	struct nats_place at;

	ns->heard_ns = nb->p.heard_ns;
	if (f->head.p && nb->head.status && !f->n) {
		status(nb, ns);
		return;
	}
	if (!f->reply.p || !nats_place_read(&at, f->reply)) {
		log_debug("%.*s: an event that no stream has sent", BYTES_FMT(f->subject));
		return;
	}
	ns->outstanding -= ns->outstanding > 0;
	ns->came = true;
	ns->size = ns->size ? (ns->size * 7 + f->n) / 8 + 1 : f->n + 1;
	if (!acks(ns)) {
		if (at.seq <= ns->last || ns->over)
			return;
		/* One that was lost on the way comes by another consumer. */
		if (at.consumer_seq != ns->consumer_last + 1) {
			if (ns->step == STEP_LIVE)
				again(nb, ns);
			return;
		}
		ns->consumer_last = at.consumer_seq;
		ns->last = at.seq;
	}
	if (is_past(ns, &at)) {
		if (acks(ns)) {
			char *subject = xmemdup0(f->reply.p, f->reply.n);

			answer(nb, subject, "-NAK");
			free(subject);
		}
		ended(ns);
		return;
	}
	if (ns->is_regex && !pattern_is_in(&ns->regex, f->subject))
		pass(nb, ns, f);
	else if (ns->skip)
		ns->skip--;
	else
		deliver(nb, ns, f, &at);
	ns->ends_in -= ns->ends_in > 0;
	/* What a group was given back does not count as pending. */
	if (!acks(ns) && (!at.pending || !ns->ends_in))
		ended(ns);
	pull(nb, ns);
}

/* ---- life ---- */

int
nats_js_sub_check(struct nats_broker *nb, const struct subscription *s, struct error *err)
{
	const char *names[] = { s->opts.group, nb->of_stream };

	for (size_t i = 0; i < 2; i++)
		if (names[i] && (!*names[i] || strpbrk(names[i], ".*> \t\r\n/\\\"")))
			return error_set(err, ERR_USAGE, "%s: no name that JetStream has", i ?
				"-X nats.stream" : "-g");
	if (s->opts.from.kind == POSITION_ID)
		return error_set(err, ERR_USAGE, "-o: a stream has numbers from 1");
	if (s->opts.from.kind == POSITION_STORED && !s->opts.group)
		return error_set(err, ERR_USAGE, "-o stored goes with -g");
	if (s->opts.from.kind == POSITION_TAIL && s->opts.regex)
		return error_set(err, ERR_NOTFOUND, "-o -N: of the last events of a stream it is not "
			"known how many --regex finds");
	return 0;
}

void
nats_js_sub_begin(struct nats_broker *nb, struct nats_sub *ns, bool once_more)
{
	struct buf inbox = BUF_INIT;

	(void)once_more;
	ns->timer.fn = tick;
	ns->timer.arg = ns;
	nats_js_ready(nb);
	buf_addf(&inbox, "%s.m.%llu", nb->inbox, (unsigned long long)ns->sid);
	nats_write_sub(pipeline_out(&nb->p), buf_bytes(&inbox), NULL, ns->sid);
	buf_release(&inbox);
	if (nb->of_stream && !ns->stream)
		ns->stream = xstrdup(nb->of_stream);
	again(nb, ns);
}

void
nats_js_sub_stop(struct nats_broker *nb)
{
	for (size_t i = 0; i < nb->nsubs && nb->mode == NATS_JETSTREAM; i++) {
		struct nats_sub *ns = nb->subs[i];

		if (!ns || !nb->p.ready || nb->p.failed)
			continue;
		nats_write_unsub(pipeline_out(&nb->p), ns->sid);
		ns->over = true;
	}
}

/* What nobody has acknowledged is somebody else's at once. */
void
nats_js_sub_give_back(struct nats_broker *nb)
{
	if (nb->ledger.first != nb->ledger.next)
		nats_js_sub_ack(nb, nb->ledger.first, nb->ledger.next - 1, false);
}

/* The server gives to somebody else, or once more, what was not acknowledged. */
void
nats_js_sub_lost(struct nats_broker *nb)
{
	for (uint64_t n = nb->ledger.first; n < nb->ledger.next; n++) {
		free(ledger_at(&nb->ledger, n)->of);
		ledger_at(&nb->ledger, n)->of = NULL;
	}
	ledger_forget(&nb->ledger);
	for (size_t i = 0; i < nb->nsubs; i++)
		if (nb->subs[i])
			loop_timer_clear(nb->b.loop, &nb->subs[i]->timer);
}

void
nats_js_sub_end(struct nats_broker *nb, struct nats_sub *ns)
{
	struct buf *out;

	loop_timer_clear(nb->b.loop, &ns->timer);
	if (ns->consumer && !acks(ns) && nb->p.ready && !nb->p.failed) {
		out = pipeline_out(&nb->p);
		buf_addf(out, "PUB $JS.API.CONSUMER.DELETE.%s.%s 0\r\n\r\n", ns->stream, ns->consumer);
		pipeline_kick(&nb->p);
	}
	if (ns->is_regex)
		regfree(&ns->regex);
	ns->is_regex = false;
	free(ns->stream);
	free(ns->consumer);
}
