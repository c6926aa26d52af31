/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and their replies: see pub_request.h. */
#include "cli/pub_request.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/net.h"

int
pub_request_init(struct pub_request *r, const struct pub_args *a, struct error *err)
{
	const char *other = a->tee ? "--tee prints to stdout, as --request does" :
		a->reply_to ? "--request has a reply topic of its own (--reply-to: another's)" :
		a->transaction ? "--transaction: nobody sees the events before its end" :
		a->report && strcmp(a->report, "-") == 0 ? "--report - and --request both write "
		"to stdout" : a->loop && !a->count ? "--loop has no end, and --request awaits it "
		"(-c N)" : NULL;

	r->args = a;
	r->on = a->request;
	r->each = a->replies ? a->replies : 1;
	if (a->replies && !a->request)
		return error_set(err, ERR_USAGE, "--replies is for --request");
	return r->on && other ? error_set(err, ERR_USAGE, "%s", other) : 0;
}

/* ---- replies ---- */

static void
on_late(struct loop_timer *t)
{
	struct pub_request *r = t->arg;

	r->changed(r->arg);
}

static bool
is_late(const struct pub_request *r)
{
	return r->expected && !loop_timer_is_set(&r->late);
}

static enum handled
on_reply(struct subscription *s, const struct event *ev, void *arg)
{
	struct pub_request *r = arg;

	(void)s;
	if (r->out.over)
		return EVENT_DROPPED;
	r->got++;
	format_add(&r->format, &r->out.buf, ev, r->got);
	output_flush(&r->out);
	broker_ack(r->broker, ev->number, ev->number, true);
	if (r->got < r->expected)
		loop_timer_set(r->broker->loop, &r->late, r->args->timeout_ms);
	r->changed(r->arg);
	return EVENT_TAKEN;
}

static void
on_live(struct subscription *s, const struct error *err, void *arg)
{
	struct pub_request *r = arg;

	(void)s;
	r->ready(r->arg, err);
}

static void
on_written(struct output *o)
{
	struct pub_request *r = o->arg;

	r->changed(r->arg);
}

int
pub_request_start(struct pub_request *r, struct broker *b, struct loop *loop,
	void (*ready)(void *, const struct error *), void (*changed)(void *), void *arg,
	struct error *err)
{
	struct subscribe_options o = subscribe_defaults;
	char id[37];

	r->broker = b;
	r->ready = ready;
	r->changed = changed;
	r->arg = arg;
	r->late = (struct loop_timer){ .fn = on_late, .arg = r };
	r->format.format = &format_body;
	r->format.max_body = UINT64_MAX;
	r->format.terminal = isatty(STDOUT_FILENO);
	r->format.broker = b->ops->name;
	r->out.progress = on_written;
	r->out.arg = r;
	if (output_open(&r->out, loop, STDOUT_FILENO, "stdout", err) < 0)
		return -1;
	r->out_open = true;
	net_uuid(id);
	buf_addf(&r->topic, "mbus.reply.%s", id);
	r->sub = broker_subscribe(b, buf_bytes(&r->topic), &o, on_reply, on_live, r, err);
	return r->sub ? 0 : error_prefix(err, "the topic for replies");
}

/* ---- events ---- */

void
pub_request_mark(struct pub_request *r, struct publication *p)
{
	unsigned caps = broker_publication_caps(r->broker, p);
	struct message *m = &p->msg;
	int n = snprintf(r->number, sizeof r->number, "%llu", (unsigned long long)++r->marked);

	if (caps & (BROKER_PROPS | BROKER_REPLY)) {
		r->opts = p->opts ? *p->opts : publish_defaults;
		r->opts.props.reply_to = buf_bytes(&r->topic);
		if (caps & BROKER_PROPS)
			r->opts.props.correlation = bytes_of(r->number, (size_t)n);
		p->opts = &r->opts;
		return;
	}
	if (r->cap_headers < m->nheaders + 2) {
		r->cap_headers = m->nheaders + 2;
		r->headers = xrealloc(r->headers, r->cap_headers * sizeof *r->headers);
	}
	memcpy(r->headers, m->headers, m->nheaders * sizeof *r->headers);
	r->headers[m->nheaders] = (struct header){ BYTES("Reply-To"), buf_bytes(&r->topic) };
	r->headers[m->nheaders + 1] = (struct header){ BYTES("Correlation-Id"),
		bytes_of(r->number, (size_t)n) };
	m->headers = r->headers;
	m->nheaders += 2;
}

void
pub_request_await(struct pub_request *r)
{
	r->expected += r->each;
	if (r->got < r->expected)
		loop_timer_set(r->broker->loop, &r->late, r->args->timeout_ms);
}

bool
pub_request_over(const struct pub_request *r)
{
	if (!r->on || r->out.over)
		return true;
	return r->got >= r->expected ? !output_pending(&r->out) : is_late(r);
}

enum error_kind
pub_request_end(struct pub_request *r, bool quietly)
{
	enum error_kind kind = ERR_NONE;

	if (r->out_open && r->out.error.kind) {
		log_error("%s", r->out.error.text);
		kind = r->out.error.kind;
	} else if (r->out_open && r->got < r->expected && !quietly) {
		log_error("%llu of %llu replies came within %g s", (unsigned long long)r->got,
			(unsigned long long)r->expected, (double)r->args->timeout_ms / 1000);
		kind = ERR_TIMEOUT;
	}
	if (r->out_open) {
		loop_timer_clear(r->broker->loop, &r->late);
		output_close(&r->out);
	}
	buf_release(&r->topic);
	buf_release(&r->format.line);
	free(r->headers);
	return kind;
}
