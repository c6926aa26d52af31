/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscribing. nsqd gives out as many messages as RDY says and then waits for FINs; what
 * is not finished in time, or was with a connection that has gone, it gives to somebody
 * else. So whoever is not read says RDY 0 and still listens: its heartbeats are answered,
 * and TOUCH tells nsqd that the messages which wait for the output are not lost.
 */
#include "backends/nsq/nsq.h"

#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "core/net.h"

enum { AGAIN_MS = 1000 };

static const struct bytes fleeting = BYTES("#ephemeral");

static bool
is_fleeting(struct bytes name)
{
	return name.n > fleeting.n &&
		memcmp(name.p + name.n - fleeting.n, fleeting.p, fleeting.n) == 0;
}

const char *
nsq_bad_name(struct bytes name)
{
	size_t n = name.n - (is_fleeting(name) ? fleeting.n : 0);

	if (!name.n)
		return "is empty";
	if (name.n > NSQ_NAME_MAX)
		return "is longer than 64 bytes";
	for (size_t i = 0; i < n; i++) {
		char ch = name.p[i];

		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
		    (ch >= '0' && ch <= '9') || ch == '.' || ch == '_' || ch == '-'))
			return "may have letters, digits and . _ - only, and #ephemeral behind them";
	}
	return NULL;
}

/* ---- what is asked for ---- */

static void
say_ready(struct nsq_conn *c)
{
	uint64_t n = c->nb->paused || !c->sub->s ? 0 : c->nb->in_flight;

	if (!c->live || c->p.failed)
		return;
	buf_addf(pipeline_out(&c->p), "RDY %llu\n",
		(unsigned long long)(n < c->rdy_max ? n : c->rdy_max));
	pipeline_kick(&c->p);
}

/* It is live when every nsqd that can be had has said so. */
static void
tell(struct nsq_sub *ns)
{
	bool live = false;

	for (struct nsq_conn *c = ns->conns; c; c = c->next) {
		if (!c->live && !c->away)
			return;
		live |= c->live;
	}
	if (ns->s && live)
		broker_subscribed(ns->s, NULL);
}

bool
nsq_sub_without(struct nsq_conn *c, const struct error *why)
{
	struct nsq_sub *ns = c->sub;
	bool others = false;

	for (struct nsq_conn *o = ns->conns; o; o = o->next)
		others |= o != c && !o->away;
	if (!others || !c->nb->b.opts.reconnect)
		return false;
	if (!c->away)
		log_warn("%s; connecting again", why->text);
	c->away = true;
	loop_timer_set(c->nb->b.loop, &c->again, AGAIN_MS);
	tell(ns);
	return true;
}

static void
subscribed(struct pipeline *p, const struct flight_entry *e, const void *why)
{
	struct nsq_conn *c = (struct nsq_conn *)p;
	struct nsq_sub *ns = c->sub;

	(void)e;
	if (why) {
		if (ns->s)
			broker_subscribed(ns->s, why);
		return;
	}
	c->live = c->was_live = true;
	c->away = false;
	say_ready(c);
	tell(ns);
}

void
nsq_sub_resume(struct nsq_conn *c)
{
	struct nsq_sub *ns = c->sub;
	struct buf *out;

	if (!ns->s)
		return;
	out = pipeline_trial(&c->p, subscribed, NULL, 0, 0, !c->was_live);
	if (c->was_live && is_fleeting(bytes_str(ns->channel)))
		log_warn("%.*s: events that were published meanwhile are lost (without --group "
			"nsqd keeps none)", BYTES_FMT(ns->topic));
	buf_addf(out, "SUB %.*s %s\n", BYTES_FMT(ns->topic), ns->channel);
}

/* Each of the addresses, apart. */
static int
make_conns(struct nsq_broker *nb, struct nsq_sub *ns, struct error *err)
{
	const char *all = nb->b.opts.address ? nb->b.opts.address : nb->b.ops->default_address;
	char *list = xstrdup(all), *rest = list, *one;
	struct nsq_conn **end = &ns->conns;

	while ((one = strsep(&rest, ","))) {
		one += strspn(one, " \t");
		one[strcspn(one, " \t")] = '\0';
		if (!*one)
			continue;
		*end = nsq_conn_new(nb, ns, one, err);
		if (!*end)
			break;
		end = &(*end)->next;
	}
	free(list);
	if (one)
		return -1;
	for (struct nsq_conn *c = ns->conns; c; c = c->next)
		pipeline_start(&c->p);
	return 0;
}

static void
sub_free(struct nsq_sub *ns)
{
	while (ns->conns) {
		struct nsq_conn *c = ns->conns;

		ns->conns = c->next;
		nsq_conn_free(c);
	}
	free((char *)ns->topic.p);
	free(ns);
}

int
nsq_subscribe(struct subscription *s, struct error *err)
{
	struct nsq_broker *nb = nsq_of(s->broker);
	const char *bad = nsq_bad_name(s->topic);
	struct nsq_sub *ns;

	if (bad)
		return error_set(err, ERR_USAGE, "the topic %s", bad);
	bad = s->opts.group ? nsq_bad_name(bytes_str(s->opts.group)) : NULL;
	if (bad)
		return error_set(err, ERR_USAGE, "the group, which is a channel of nsq, %s", bad);
	ns = xcalloc(1, sizeof *ns);
	ns->s = s;
	ns->topic = bytes_of(xmemdup0(s->topic.p, s->topic.n), s->topic.n);
	ns->acks = s->opts.ack != SUBSCRIBE_ACK_NONE;
	if (s->opts.group) {
		memcpy(ns->channel, s->opts.group, strlen(s->opts.group) + 1);
	} else {
		net_uuid(ns->channel);
		memcpy(ns->channel + 36, fleeting.p, fleeting.n + 1);
	}
	if (make_conns(nb, ns, err) < 0) {
		sub_free(ns);
		return -1;
	}
	ns->next = nb->subs;
	nb->subs = ns;
	s->priv = ns;
	return 0;
}

void
nsq_unsubscribe(struct subscription *s)
{
	struct nsq_sub *ns = s->priv;

	if (!ns)
		return;
	ns->s = NULL;
	s->priv = NULL;
	for (struct nsq_conn *c = ns->conns; c; c = c->next)
		say_ready(c);
}

void
nsq_sub_release(struct nsq_broker *nb)
{
	while (nb->subs) {
		struct nsq_sub *ns = nb->subs;

		nb->subs = ns->next;
		if (ns->s)
			ns->s->priv = NULL;
		sub_free(ns);
	}
	ledger_forget(&nb->ledger);
	loop_timer_clear(nb->b.loop, &nb->touch);
}

/* ---- what comes, and what becomes of it ---- */

static void
say(struct nsq_conn *c, const char *what, const struct ledger_entry *e, int64_t ms)
{
	struct buf *out = pipeline_out(&c->p);

	buf_add_str(out, what);
	buf_add_ch(out, ' ');
	buf_add(out, &e->id, 8);
	buf_add(out, &e->seq, 8);
	if (ms >= 0)
		buf_addf(out, " %lld", (long long)ms);
	buf_add_ch(out, '\n');
}

void
nsq_ack(struct broker *b, uint64_t first, uint64_t last, bool ok)
{
	struct nsq_broker *nb = nsq_of(b);
	struct ledger *l = &nb->ledger;

	if (!ledger_settle(l, &first, &last, ok))
		return;
	for (uint64_t n = first; n <= last; n++) {
		struct ledger_entry *e = ledger_at(l, n);
		struct nsq_conn *c = e->of;

		if (e->state < LEDGER_OK)
			continue;
		if (c->live && !c->p.failed) {
			say(c, ok ? "FIN" : "REQ", e, ok ? -1 : (int64_t)nb->requeue_ms);
			pipeline_kick(&c->p);
		}
		e->state = LEDGER_DONE;
	}
	ledger_trim(l);
}

/* At half of the time that nsqd waits: what is with the user is not lost. */
void
nsq_sub_touch(struct loop_timer *t)
{
	struct nsq_broker *nb = t->arg;
	struct ledger *l = &nb->ledger;
	uint64_t ms = UINT64_MAX;

	for (uint64_t n = l->first; n != l->next; n++) {
		struct ledger_entry *e = ledger_at(l, n);
		struct nsq_conn *c = e->of;

		if (e->state != LEDGER_OUT || !c->live || c->p.failed)
			continue;
		say(c, "TOUCH", e, -1);
		pipeline_kick(&c->p);
		ms = c->touch_ms / 2 < ms ? c->touch_ms / 2 : ms;
	}
	if (ms != UINT64_MAX)
		loop_timer_set(nb->b.loop, t, (unsigned)(ms ? ms : 1));
}

void
nsq_sub_message(struct nsq_conn *c, const struct nsq_frame *f)
{
	struct nsq_broker *nb = c->nb;
	struct nsq_sub *ns = c->sub;
	struct event ev = event_none;
	struct ledger_entry *e, unsent;

	memcpy(&unsent.id, f->id, 8);
	memcpy(&unsent.seq, f->id + 8, 8);
	if (!ns->s) {
		say(c, "REQ", &unsent, 0);
		pipeline_kick(&c->p);
		return;
	}
	ev.time_us = (int64_t)(f->time_ns / 1000);
	ev.time_kind = EVENT_TIME_APPEND;
	ev.topic = ns->topic;
	ev.id = bytes_of(f->id, NSQ_ID);
	wire_read(&nb->wire, f->p, f->n, &ev, &ns->warned);
	if (ns->acks) {
		e = ledger_add(&nb->ledger, nb->b.delivered + 1);
		e->id = unsent.id;
		e->seq = unsent.seq;
		e->of = c;
		if (!loop_timer_is_set(&nb->touch))
			loop_timer_set(nb->b.loop, &nb->touch, (unsigned)(c->touch_ms / 2));
	} else {
		say(c, "FIN", &unsent, -1);
		pipeline_kick(&c->p);
	}
	link_progress(c->p.link);
	if (broker_deliver(ns->s, &ev) == EVENT_DROPPED && ns->acks)
		nsq_ack(&nb->b, ev.number, ev.number, false);
}

void
nsq_sub_forget(struct nsq_conn *c)
{
	struct ledger *l = &c->nb->ledger;

	for (uint64_t n = l->first; n != l->next; n++)
		if (ledger_at(l, n)->of == c)
			ledger_at(l, n)->state = LEDGER_DONE;
	ledger_trim(l);
}

void
nsq_pause(struct broker *b, bool on)
{
	struct nsq_broker *nb = nsq_of(b);

	nb->paused = on;
	for (struct nsq_sub *ns = nb->subs; ns; ns = ns->next)
		for (struct nsq_conn *c = ns->conns; c; c = c->next)
			say_ready(c);
}

/* ---- the end ---- */

/* nsqd does not take back by itself what its client had when it went, but after
 * msg_timeout. */
void
nsq_sub_give_back(struct nsq_broker *nb)
{
	struct ledger *l = &nb->ledger;

	for (uint64_t n = l->first; n != l->next; n++) {
		struct ledger_entry *e = ledger_at(l, n);
		struct nsq_conn *c = e->of;

		if (e->state == LEDGER_OUT && c->live && !c->p.failed)
			say(c, "REQ", e, 0);
	}
	ledger_forget(l);
}

static void
closed(struct pipeline *p, const struct flight_entry *e, const void *why)
{
	struct nsq_conn *c = (struct nsq_conn *)p;

	(void)e, (void)why;
	if (c->nb->closing && --c->nb->closing == 0)
		broker_drained(&c->nb->b);
}

/* CLS is answered behind every FIN that was said before it. */
void
nsq_drain(struct broker *b)
{
	struct nsq_broker *nb = nsq_of(b);

	for (struct nsq_sub *ns = nb->subs; ns; ns = ns->next)
		for (struct nsq_conn *c = ns->conns; c; c = c->next)
			if (c->live && !c->p.failed) {
				nb->closing++;
				buf_add_str(pipeline_ask(&c->p, closed, NULL, 0, 0), "CLS\n");
			}
	if (!nb->closing)
		broker_drained(b);
}
