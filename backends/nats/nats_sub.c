/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions: a subject, perhaps with wildcards, and a queue group where there is one.
 * Who subscribes gets what is published while it is connected, and nothing else: there is
 * nothing to acknowledge, and nothing that waits for who was away.
 */
#include "backends/nats/nats.h"

#include <stdlib.h>

#include "core/log.h"

/* ---- asking ---- */

static void
answered(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct nats_broker *nb = p->arg;
	struct nats_sub *ns = nb->subs[e->id - 1];

	(void)answer;
	if (!ns)
		return;
	ns->asked = false;
	broker_subscribed(ns->s, ns->why.kind ? &ns->why : NULL);
}

static void
ask(struct nats_broker *nb, struct nats_sub *ns)
{
	struct buf *out = pipeline_trial(&nb->p, answered, NULL, ns->sid, 0,
		!ns->s->told);

	ns->asked = true;
	ns->why.kind = ERR_NONE;
	nats_write_sub(out, ns->s->topic, ns->s->opts.group, ns->sid);
	buf_add_str(out, "PING\r\n");
}

static void
begin(struct nats_broker *nb, struct nats_sub *ns, bool again)
{
	if (nb->mode == NATS_JETSTREAM)
		nats_js_sub_begin(nb, ns, again);
	else
		ask(nb, ns);
}

int
nats_sub_subscribe(struct nats_broker *nb, struct subscription *s, struct error *err)
{
	const char *why = s->opts.regex ? NULL : nats_bad_subject(s->topic, true);
	struct nats_sub *ns;
	regex_t regex;

	if (!why && s->topic.n > NATS_LINE / 2)
		why = "a subject of NATS has up to 2048 bytes";
	if (why)
		return error_set(err, ERR_USAGE, "topic: %s", why);
	why = s->opts.group ? nats_bad_group(s->opts.group) : NULL;
	if (!why && s->opts.group && strlen(s->opts.group) > NATS_LINE / 4)
		why = "it has more than 1024 bytes";
	if (why)
		return error_set(err, ERR_USAGE, "-g: %s", why);
	if (nb->mode == NATS_JETSTREAM && nats_js_sub_check(nb, s, err) < 0)
		return -1;
	if (s->opts.regex && pattern_compile(&regex, s->topic, err) < 0)
		return -1;
	ns = xcalloc(1, sizeof *ns);
	ns->s = s;
	ns->is_regex = s->opts.regex;
	if (ns->is_regex)
		ns->regex = regex;
	nb->subs = xrealloc(nb->subs, (nb->nsubs + 1) * sizeof *nb->subs);
	nb->subs[nb->nsubs++] = ns;
	ns->sid = nb->nsubs;
	ns->nb = nb;
	s->priv = ns;
	if (nb->p.ready)		/* else when it is */
		begin(nb, ns, false);
	return 0;
}

void
nats_sub_unsubscribe(struct nats_broker *nb, struct subscription *s)
{
	struct nats_sub *ns = s->priv;

	if (!ns)
		return;
	if (nb->p.ready && !nb->p.failed) {
		nats_write_unsub(pipeline_out(&nb->p), ns->sid);
		pipeline_kick(&nb->p);
	}
	nats_js_sub_end(nb, ns);
	nb->subs[ns->sid - 1] = NULL;
	s->priv = NULL;
	free(ns);
}

void
nats_sub_ready(struct nats_broker *nb, bool again)
{
	bool any = false;

	for (size_t i = 0; i < nb->nsubs; i++) {
		struct nats_sub *ns = nb->subs[i];

		if (!ns || !again)
			continue;
		any |= ns->s->told && nb->mode == NATS_CORE;
		begin(nb, ns, true);
	}
	if (any)
		log_warn("%s: events that were published meanwhile are lost%s", link_name(nb->p.link),
			nb->cut ? "; if the server had cut us for being too slow, its settings are "
			"write_deadline and max_pending" : "");
}

bool
nats_sub_denied(struct nats_broker *nb, struct bytes subject, const struct error *err)
{
	for (size_t i = 0; i < nb->nsubs; i++) {
		struct nats_sub *ns = nb->subs[i];

		if (!ns || ns->why.kind || (subject.n ? !bytes_eq(ns->s->topic, subject) : !ns->asked))
			continue;
		ns->why = *err;
		if (!ns->asked) {	/* it was live, and is not any more */
			error_prefix_bytes(&ns->why, ns->s->topic);
			broker_subscribed(ns->s, &ns->why);
		}
		return true;
	}
	return false;
}

bool
nats_sub_was_slow(const struct nats_broker *nb)
{
	uint64_t now = loop_clock_ns(), second = 1000000000;

	return nb->event_ns && (nb->paused || now - nb->event_ns < second ||
		(nb->paused_ns && now - nb->paused_ns < 10 * second));
}

/* ---- what arrives ---- */

/* Headers that say something to a stream may stand beside go-micro's envelope. */
static bool
only_of_streams(const struct nats_head *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->v[i].name.n < 5 || memcmp(h->v[i].name.p, "Nats-", 5) != 0)
			return false;
	return !h->odd;
}

void
nats_sub_fill(struct nats_broker *nb, struct nats_sub *ns, struct nats_frame *f, struct event *ev)
{
	if (f->head.p && (nb->b.opts.wire == WIRE_RAW || !only_of_streams(&nb->head))) {
		if (nb->head.odd && !nb->odd)
			log_warn("%.*s: headers that make no sense are left out", BYTES_FMT(f->subject));
		nb->odd |= nb->head.odd;
		ev->wire = EVENT_WIRE_RAW;
		ev->payload = bytes_of(f->body, f->n);
		ev->msg = (struct message){ .headers = nb->head.v, .nheaders = nb->head.n,
			.body = ev->payload };
	} else {
		wire_read(&nb->wire, f->body, f->n, ev, &ns->warned);
		if (f->head.p && ev->wire == EVENT_WIRE_RAW) {
			ev->msg.headers = nb->head.v;
			ev->msg.nheaders = nb->head.n;
		}
	}
}

void
nats_sub_event(struct nats_broker *nb, struct nats_frame *f)
{
	struct nats_sub *ns = f->sid && f->sid <= nb->nsubs ? nb->subs[f->sid - 1] : NULL;
	struct event ev = event_none;

	if (f->head.p)
		nats_head_read(&nb->head, f->head);
	if (f->sid == NATS_INBOX_SID) {
		nats_js_answer(nb, f);
		return;
	}
	if (nb->mode == NATS_JETSTREAM) {
		if (ns)
			nats_js_sub_event(nb, ns, f);
		return;
	}
	/* A status is the server's word about a question, and no event. */
	if (f->head.p && nb->head.status && !f->n) {
		if (f->sid == NATS_PROBE_SID)
			nats_pub_probed(nb, nb->head.status);
		return;
	}
	if (!ns)
		return;
	ev.topic = f->subject;
	ev.time_us = nb->read_us;
	ev.props.reply_to = f->reply;
	nb->event_ns = nb->p.heard_ns;
	nats_sub_fill(nb, ns, f, &ev);
	nb->p.progress = true;
	broker_deliver(ns->s, &ev);
}

void
nats_sub_release(struct nats_broker *nb)
{
	for (size_t i = 0; i < nb->nsubs; i++) {
		if (nb->subs[i])
			nats_js_sub_end(nb, nb->subs[i]);
		free(nb->subs[i]);
	}
	free(nb->subs);
	nb->subs = NULL;
	nb->nsubs = 0;
	nats_head_release(&nb->head);
}
