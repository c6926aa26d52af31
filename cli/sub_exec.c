/* SPDX-License-Identifier: Apache-2.0 */
/* sub -x: see sub_exec.h. */
#include "cli/sub_exec.h"

#include <stdlib.h>

#include "cli/exec.h"

enum { PUBLISH_TIMEOUT_MS = 30000 };

/* What is being published for an event, or waits for that. */
struct letter {
	struct letter *next;
	uint64_t id;			/* of the publication */
	struct event *event;		/* kept: what is published, but for the topic */
	struct bytes topic;		/* its own copy */
	bool reply;			/* else the event itself, to --on-fail */
	bool sent;
};

struct sub_exec {
	struct common_args *common;
	const struct sub_exec_args *args;
	struct loop *loop;
	struct exec *exec;
	sub_exec_settled_fn *settled;
	sub_exec_failed_fn *failed;
	void *arg;
	/* Of the broker to publish by. */
	struct broker *broker;
	struct broker_options opts;
	struct letter *letters, **last;
	size_t nletters;
	uint64_t next_id;
	bool connected, broken, no_topic_said;
	struct loop_task pump;
	struct buf skipped;		/* numbers of events that no command is for */
	struct loop_task skip;
};

/* ---- publishing ---- */

static void
letter_free(struct sub_exec *x, struct letter *l)
{
	struct letter **at = &x->letters;

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	if (x->last == &l->next)
		x->last = at;
	x->nletters--;
	event_free(l->event);
	free((char *)l->topic.p);
	free(l);
}

/* It has not arrived: then the event is not done with either. */
static void
letter_failed(struct sub_exec *x, struct letter *l, const struct error *err)
{
	struct error e = *err;
	uint64_t number = l->event->number;

	error_prefix_bytes(&e, l->topic);
	error_prefix(&e, l->reply ? "--reply" : "--on-fail");
	letter_free(x, l);
	x->settled(number, false, x->arg);
	x->failed(&e, x->arg);
}

static void
on_outcome(struct broker *b, const struct outcome *o, void *arg)
{
	struct sub_exec *x = arg;
	struct letter *l = x->letters;
	uint64_t number;

	(void)b;
	while (l && !(l->sent && l->id == o->id))
		l = l->next;
	if (!l)
		return;
	if (o->fate != FATE_CONFIRMED) {
		letter_failed(x, l, o->error);
		return;
	}
	number = l->event->number;
	letter_free(x, l);
	x->settled(number, true, x->arg);
}

/* An answer's correlation is what the question's was. */
static int
letter_send(struct sub_exec *x, struct letter *l, struct error *err)
{
	struct publish_options opts = publish_defaults;
	struct publication p = { .id = l->id, .topic = l->topic, .msg = l->event->msg,
		.opts = &opts };

	if (l->reply) {
		opts.props.correlation = l->event->props.correlation;
	} else {
		opts.props = l->event->props;
		opts.wire = l->event->wire == EVENT_WIRE_MICRO ? WIRE_MICRO : WIRE_RAW;
		if (x->broker->opts.wire != WIRE_AUTO)
			opts.wire = WIRE_AUTO;
		if (!(broker_publication_caps(x->broker, &p) & (BROKER_PROPS | BROKER_REPLY)))
			opts.props = properties_none;
	}
	l->sent = true;		/* the outcome may come from within */
	return broker_publish(x->broker, &p, err);
}

static void
on_pump(struct loop_task *t)
{
	struct sub_exec *x = t->arg;
	struct letter *l, *next;
	struct error err;

	if (!x->connected)
		return;
	for (l = x->letters; l; l = next) {
		int r;

		next = l->next;
		if (l->sent)
			continue;
		r = letter_send(x, l, &err);
		if (r == PUBLISH_FULL) {
			l->sent = false;
			return;
		}
		if (r < 0)
			letter_failed(x, l, &err);
	}
}

static void
on_room(struct broker *b, void *arg)
{
	struct sub_exec *x = arg;

	(void)b;
	loop_defer(x->loop, &x->pump);
}

/* No more can be published: all that waits has failed for that reason. */
static void
on_failed(struct broker *b, const struct error *err, void *arg)
{
	struct sub_exec *x = arg;
	struct error e = *err;

	(void)b;
	x->broken = true;
	x->connected = false;
	while (x->letters)
		letter_failed(x, x->letters, &e);
}

static void
on_connected(struct broker *b, const struct error *err, void *arg)
{
	struct sub_exec *x = arg;

	if (err) {
		on_failed(b, err, x);
		return;
	}
	x->connected = true;
	loop_defer(x->loop, &x->pump);
}

static const struct broker_notify notify = {
	.outcome = on_outcome,
	.room = on_room,
	.connected = on_connected,
	.failed = on_failed,
};

static int
open_broker(struct sub_exec *x, struct error *err)
{
	if (x->broker)
		return 0;
	x->opts = (struct broker_options){ .timeout_ms = PUBLISH_TIMEOUT_MS, .publishes = true,
		.use = BROKER_FOR_PUB, .reconnect = -1, .notify = &notify, .notify_arg = x };
	x->broker = common_open(x->common, x->loop, &x->opts, err);
	return x->broker ? broker_connect(x->broker, err) : -1;
}

static void
post(struct sub_exec *x, const struct event *ev, struct bytes topic, bool reply)
{
	struct letter *l = xcalloc(1, sizeof *l);
	struct error err;

	l->id = ++x->next_id;
	l->event = event_keep(ev);
	l->topic = bytes_of(xmemdup0(topic.p, topic.n), topic.n);
	l->reply = reply;
	*x->last = l;
	x->last = &l->next;
	x->nletters++;
	if (x->broken)
		error_set(&err, ERR_CONNECT, "the connection to publish by is lost");
	else if (open_broker(x, &err) == 0)
		err.kind = ERR_NONE;
	else
		x->broken = true;
	if (err.kind)
		letter_failed(x, l, &err);
	else
		loop_defer(x->loop, &x->pump);
}

/* ---- what became of a command ---- */

/* Where a broker has no reply topics, they are a header. */
static struct bytes
reply_topic(const struct event *ev)
{
	const struct header *h = message_header(&ev->msg, BYTES("Reply-To"));

	return ev->props.reply_to.p ? ev->props.reply_to : h ? h->value : bytes_of(NULL, 0);
}

static void
post_reply(struct sub_exec *x, const struct event *ev, struct bytes output)
{
	const struct header *h = message_header(&ev->msg, BYTES("Correlation-Id"));
	struct event answer = *ev;
	struct bytes topic = reply_topic(ev);

	if (!topic.p || !topic.n) {
		if (!x->no_topic_said)
			log_warn("--reply: an event has no reply topic (pub --reply-to or --request, or "
				"a header Reply-To): its reply is dropped");
		x->no_topic_said = true;
		x->settled(ev->number, true, x->arg);
		return;
	}
	answer.msg = (struct message){ .body = output };
	if (h && h->value.p) {
		answer.msg.headers = h;
		answer.msg.nheaders = 1;
	}
	post(x, &answer, topic, true);
}

static void
on_done(const struct event *ev, bool ok, struct bytes output, void *arg)
{
	struct sub_exec *x = arg;

	if (ok && x->args->reply)
		post_reply(x, ev, output);
	else if (!ok && x->args->on_fail && !x->broken)
		post(x, ev, bytes_str(x->args->on_fail), false);
	else
		x->settled(ev->number, ok, x->arg);
}

static void
on_skip(struct loop_task *t)
{
	struct sub_exec *x = t->arg;
	uint64_t number;

	for (; buf_len(&x->skipped); buf_consume(&x->skipped, sizeof number)) {
		memcpy(&number, buf_data(&x->skipped), sizeof number);
		x->settled(number, true, x->arg);
	}
}

void
sub_exec_skip(struct sub_exec *x, const struct event *ev)
{
	buf_add(&x->skipped, &ev->number, sizeof ev->number);
	loop_defer(x->loop, &x->skip);
}

/* ---- the whole ---- */

struct sub_exec *
sub_exec_new(struct common_args *common, const struct sub_exec_args *args, struct loop *loop,
	const char *broker, sub_exec_settled_fn *settled, sub_exec_failed_fn *failed, void *arg)
{
	struct sub_exec *x = xcalloc(1, sizeof *x);
	struct exec_options opts = { .command = args->command, .broker = broker,
		.jobs = args->jobs ? (unsigned)args->jobs : 1, .retries = (unsigned)args->retries,
		.timeout_ms = args->timeout_ms, .keep_output = args->reply, .done = on_done, .arg = x };

	x->common = common;
	x->args = args;
	x->loop = loop;
	x->settled = settled;
	x->failed = failed;
	x->arg = arg;
	x->last = &x->letters;
	x->skip = (struct loop_task){ .fn = on_skip, .arg = x };
	x->pump = (struct loop_task){ .fn = on_pump, .arg = x };
	x->exec = exec_new(loop, &opts);
	return x;
}

void
sub_exec_free(struct sub_exec *x)
{
	if (!x)
		return;
	exec_free(x->exec);
	loop_task_cancel(&x->pump);
	loop_task_cancel(&x->skip);
	buf_release(&x->skipped);
	if (x->broker)
		common_close(x->broker, &x->opts);
	while (x->letters)
		letter_free(x, x->letters);
	free(x);
}

void
sub_exec_take(struct sub_exec *x, const struct event *ev, uint64_t n)
{
	exec_take(x->exec, ev, n);
}

void
sub_exec_reap(struct sub_exec *x)
{
	exec_reap(x->exec);
}

void
sub_exec_stop(struct sub_exec *x)
{
	exec_stop(x->exec);
}

size_t
sub_exec_count(const struct sub_exec *x)
{
	return exec_count(x->exec) + x->nletters;
}

bool
sub_exec_is_full(const struct sub_exec *x)
{
	return exec_is_full(x->exec) || x->nletters >= 64;
}
