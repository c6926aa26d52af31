/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbus doctor: why does nothing come? It goes the way that pub and sub go, step by step,
 * and says of each how it went and what to do next. Nothing is published, no group is
 * joined and nobody is registered: what cannot be known without that is said to be so.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/connect.h"
#include "cli/doctor.h"
#include "cli/in_force.h"
#include "cli/shown.h"
#include "core/listing.h"

enum { AUDIENCE_MS = 700 };

static const char *const result_text[] = { "ok", "note", "warn", "FAIL" };
static const char *const result_word[] = { "ok", "note", "warn", "fail" };

/* ---- the report ---- */

static void
write_line(struct doctor *d, const char *check, enum result result, enum error_kind kind,
	const char *advice, const char *text)
{
	struct buf *out = &d->out;
	struct error err;

	if (d->args->json) {
		buf_add_str(out, "{\"v\":1,\"type\":\"check\"");
		add_json_member(out, "check", check);
		add_json_member(out, "result", result_word[result]);
		add_json_member(out, "text", text);
		add_json_member(out, "advice", advice);
		if (result == RESULT_FAIL)
			buf_addf(out, ",\"status\":%d", error_exit_status(kind));
		buf_add_str(out, "}\n");
	} else {
		buf_addf(out, "%-5s%-10s ", result_text[result], check);
		add_shown(out, text);
		if (advice)
			buf_addf(out, ": %s", advice);
		buf_add_ch(out, '\n');
	}
	/* At once: the next step may take its time. */
	stdout_write(out, &err);
	buf_clear(out);
}

void
doctor_say(struct doctor *d, const char *check, enum result result, enum error_kind kind,
	const char *advice, const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (result == RESULT_FAIL && !d->failed)
		d->failed = kind;
	write_line(d, check, result, kind, advice, text);
}

void
doctor_failed(struct doctor *d, const char *check, const struct error *err, const char *advice)
{
	doctor_say(d, check, RESULT_FAIL, err->kind, advice, "%s", err->text);
}

/* ---- waiting ---- */

bool
doctor_wait(struct doctor *d)
{
	while (!d->over && !d->late)
		loop_run(d->loop);
	d->over = false;
	return !d->late;
}

void
doctor_done(struct doctor *d)
{
	d->over = true;
	loop_stop(d->loop);
}

static void
doctor_late(struct loop_timer *t)
{
	struct doctor *d = t->arg;

	d->late = true;
	loop_stop(d->loop);
}

/* ---- what would be used ---- */

static void
say_setting(struct doctor *d, const char *option)
{
	struct in_force f = in_force_one(&d->args->common, option);
	struct buf from = BUF_INIT;

	if (f.value) {
		in_force_add_origin(&from, &f);
		doctor_say(d, option, RESULT_OK, ERR_NONE, NULL, "%s (%s)", f.value,
			buf_cstr(&from));
	}
	buf_release(&from);
}

static void
say_settings(struct doctor *d)
{
	const struct common_args *c = &d->args->common;
	bool registry = c->ops->caps & BROKER_REGISTRY;

	say_setting(d, "broker");
	if (!registry)
		say_setting(d, "address");
	if (registry) {
		say_setting(d, "registry");
		say_setting(d, "registry-address");
	}
	if (c->ops->caps & BROKER_USER) {
		say_setting(d, "username");
		if (c->password.p && !c->username && !c->url_user)
			doctor_say(d, "username", RESULT_NOTE, ERR_NONE, NULL,
				"none, and there is a password");
	}
	if (c->ops->caps & BROKER_RAW)
		say_setting(d, "wire");
	if (c->tls.on)
		say_setting(d, "tls-ca");
	if (c->tls.insecure)
		doctor_say(d, "tls", RESULT_WARN, ERR_NONE, "use --tls-ca FILE",
			"--tls-insecure: anybody can be the server");
}

/* ---- the broker ---- */

static const char *
advice_for(const struct error *err)
{
	return err->kind == ERR_AUTH ? "check user, password and certificates (mbus --list -v "
		"says where they come from)" :
		err->kind == ERR_NOTFOUND ? "choose another option or broker (mbus --list)" :
		err->kind == ERR_USAGE ? "correct this option" :
		err->kind == ERR_CONNECT ? "is it the right kind of server (-B), with TLS or "
		"without (--tls)?" : NULL;
}

/* What ends a step may come when nobody waits any more: it goes to what lives as long as
 * the broker. */
static void
broker_is_connected(struct broker *b, const struct error *err, void *arg)
{
	struct doctor *d = arg;

	(void)b;
	if (err)
		d->err = *err;
	doctor_done(d);
}

static void
broker_has_failed(struct broker *b, const struct error *err, void *arg)
{
	broker_is_connected(b, err, arg);
}

static bool
connect_broker(struct doctor *d)
{
	static const struct broker_notify notify = { .connected = broker_is_connected,
		.failed = broker_has_failed };
	struct common_args *c = &d->args->common;
	struct error err = ERROR_INIT;
	uint64_t began = loop_clock_ns();

	d->opts.notify = &notify;
	d->opts.notify_arg = d;
	d->broker = common_open(c, d->loop, &d->opts, &err);
	if (!d->broker) {
		doctor_failed(d, "options", &err, advice_for(&err));
		return false;
	}
	if (broker_connect(d->broker, &err) < 0)
		d->err = err;
	else if (!doctor_wait(d))
		return false;
	if (d->err.kind) {
		doctor_failed(d, "connect", &d->err, advice_for(&d->err));
		return false;
	}
	if (!(c->ops->caps & BROKER_REGISTRY))
		doctor_say(d, "connect", RESULT_OK, ERR_NONE, NULL, "%s is there, answers%s%s "
			"(%.1f ms)", c->ops->name, c->tls.on ? " over TLS" : "",
			d->opts.username ? " and takes this user" : "",
			(double)(loop_clock_ns() - began) / 1e6);
	return true;
}

/* ---- topics and subscribers ---- */

static struct listing_step {
	struct doctor *d;
	struct doctor_near near;
	size_t ntopics;
	int64_t nsubscribers;
	bool has;
} listing;

static void
listed(struct broker *b, const struct listing *l, const struct error *err, void *arg)
{
	struct listing_step *s = arg;
	struct doctor *d = s->d;

	(void)b;
	if (err)
		d->err = *err;
	for (size_t i = 0; !err && i < l->ntopics; i++) {
		const struct listed_topic *t = &l->topics[i];

		s->ntopics++;
		if (d->topic && strcmp(t->name, d->topic) == 0) {
			s->has = true;
			s->nsubscribers = t->parts ? -1 : t->nsubscribers;
		} else if (d->topic) {
			doctor_consider(d->topic, bytes_str(t->name), &s->near);
		}
	}
	doctor_done(d);
}

static void
tell_listing(struct doctor *d, const struct listing_step *s)
{
	const char *name = d->broker->ops->name;
	bool near = s->near.best <= 2 && s->near.best < strlen(d->topic ? d->topic : "");

	if (d->err.kind) {
		doctor_say(d, "topics", RESULT_WARN, ERR_NONE, NULL, "%s", d->err.text);
		return;
	}
	doctor_say(d, "topics", s->ntopics ? RESULT_OK : RESULT_WARN, ERR_NONE, NULL,
		"%s knows of %zu topic%s (mbus topics)", name, s->ntopics,
		s->ntopics == 1 ? "" : "s");
	if (!d->topic)
		return;
	if (s->has && s->nsubscribers > 0)
		doctor_say(d, "topic", RESULT_OK, ERR_NONE, NULL, "%s has %lld subscriber%s",
			d->topic, (long long)s->nsubscribers, s->nsubscribers == 1 ? "" : "s");
	else if (s->has)
		doctor_say(d, "topic", RESULT_OK, ERR_NONE, NULL, "%s is there", d->topic);
	else if (near)
		doctor_say(d, "topic", RESULT_FAIL, ERR_NOTFOUND, "correct the name on the side "
			"that is wrong", "nobody has %s, but there is %s", d->topic, s->near.name);
	else
		/* Where pub would publish to nobody all the same it may be meant. */
		doctor_say(d, "topic", d->broker->caps & (BROKER_REGISTRY | BROKER_CREATE) ?
			RESULT_FAIL : RESULT_WARN, ERR_NOTFOUND, "does the other side use this "
			"name, this broker and this address?", "nobody has %s", d->topic);
}

static void
list_topics(struct doctor *d)
{
	struct broker *b = d->broker;

	if (!b->ops->list) {
		doctor_say(d, "topics", RESULT_NOTE, ERR_NONE, NULL, "%s does not tell which topics "
			"there are", b->ops->name);
		return;
	}
	listing = (struct listing_step){ .d = d, .near.best = 100, .nsubscribers = -1 };
	d->err = (struct error)ERROR_INIT;
	if (b->ops->list(b, NULL, 0, false, listed, &listing, &d->err) == 0 && !doctor_wait(d))
		return;
	tell_listing(d, &listing);
}

static void
audience_is_there(struct broker *b, const struct error *err, void *arg)
{
	broker_is_connected(b, err, arg);
}

static void
audience_is_not(struct loop_timer *t)
{
	struct doctor *d = t->arg;

	error_set(&d->err, ERR_NOTFOUND, "nobody subscribes to %s", d->topic);
	doctor_done(d);
}

/* Where subscribers can be counted, and no list has said it. */
static void
count_audience(struct doctor *d)
{
	struct loop_timer patience = { .fn = audience_is_not, .arg = d };
	struct broker *b = d->broker;

	if (!d->topic || !(b->caps & BROKER_AUDIENCE) || b->ops->list)
		return;
	d->err = (struct error)ERROR_INIT;
	loop_timer_set(d->loop, &patience, AUDIENCE_MS);
	if (broker_audience(b, bytes_str(d->topic), 1, audience_is_there, d, &d->err) == 0)
		doctor_wait(d);
	loop_timer_clear(d->loop, &patience);
	if (d->late)
		return;
	if (d->err.kind)
		doctor_say(d, "topic", RESULT_WARN, ERR_NONE, "does the other side use this name, "
			"this broker and this address?", "%s", d->err.text);
	else
		doctor_say(d, "topic", RESULT_OK, ERR_NONE, NULL, "somebody subscribes to %s",
			d->topic);
}

/* ---- may I? ---- */

static enum handled
drop_event(struct subscription *s, const struct event *ev, void *arg)
{
	(void)s;
	(void)ev;
	(void)arg;
	return EVENT_DROPPED;
}

static void
is_subscribed(struct subscription *sub, const struct error *err, void *arg)
{
	(void)sub;
	broker_is_connected(NULL, err, arg);
}

static void
try_subscribe(struct doctor *d)
{
	struct subscribe_options o = subscribe_defaults;
	struct broker *b = d->broker;
	struct subscription *sub;

	if (!d->topic) {
		doctor_say(d, "subscribe", RESULT_NOTE, ERR_NONE, NULL, "not tried: no TOPIC was "
			"given");
		return;
	}
	if (b->caps & BROKER_REGISTRY) {
		doctor_say(d, "subscribe", RESULT_NOTE, ERR_NONE, NULL, "not tried: publishers "
			"would take this for a subscriber; nobody has to allow it");
		return;
	}
	o.ack = b->caps & BROKER_ACK_CHOICE ? SUBSCRIBE_ACK_NONE : SUBSCRIBE_ACK_AUTO;
	o.no_retained = b->caps & BROKER_RETAIN;
	d->err = (struct error)ERROR_INIT;
	sub = broker_subscribe(b, bytes_str(d->topic), &o, drop_event, is_subscribed, d, &d->err);
	if (sub && !doctor_wait(d))
		return;
	if (d->err.kind)
		doctor_failed(d, "subscribe", &d->err, d->err.kind == ERR_AUTH ? "let the server's "
			"rules allow this user to read the topic" : advice_for(&d->err));
	else
		doctor_say(d, "subscribe", RESULT_OK, ERR_NONE, NULL, "%s can be subscribed to "
			"(tried, without a group, and ended again)", d->topic);
	if (sub)
		broker_unsubscribe(sub);
}

static void
try_publish(struct doctor *d)
{
	doctor_say(d, "publish", RESULT_NOTE, ERR_NONE, NULL, d->broker->caps & BROKER_REGISTRY ?
		"not tried: it would be an event; each subscriber decides for itself" :
		"not tried: it would be an event; pub ends with 4 where it is not allowed");
}

/* ---- the whole ---- */

static void
examine(struct doctor *d)
{
	struct common_args *c = &d->args->common;
	struct error err = ERROR_INIT;

	if (common_prepare(c, &err) < 0) {
		doctor_failed(d, "settings", &err, advice_for(&err));
		return;
	}
	say_settings(d);
	if (!doctor_reach(d) || d->late || !connect_broker(d))
		return;
	list_topics(d);
	if (!d->late)
		doctor_registry(d);
	if (!d->late)
		count_audience(d);
	if (!d->late)
		try_subscribe(d);
	if (!d->late)
		try_publish(d);
}

static int
doctor_run(void *args, int noperands, char **operands, struct error *err)
{
	struct doctor d = { .args = args };

	if (noperands > 1)
		return error_set(err, ERR_USAGE, "one TOPIC at most, not %d", noperands);
	d.topic = noperands ? operands[0] : NULL;
	if (common_url(&d.args->common, err) < 0)
		return -1;
	if (!d.topic)
		d.topic = d.args->common.topic;
	d.loop = loop_new(err);
	if (!d.loop)
		return -1;
	d.limit = (struct loop_timer){ .fn = doctor_late, .arg = &d };
	loop_timer_set(d.loop, &d.limit, d.args->timeout_ms);
	examine(&d);
	if (d.late)
		doctor_say(&d, "time", RESULT_FAIL, ERR_TIMEOUT, "give it longer (-W)", "it is over "
			"before all was looked at");
	loop_timer_clear(d.loop, &d.limit);
	common_close(d.broker, &d.opts);
	loop_free(d.loop);
	buf_release(&d.out);
	return error_exit_status(d.failed);
}

#define A struct doctor_args

static const struct opt doctor_opts[] = {
	{ "json", 'J', OPT_FLAG(A, json), .group = "Output",
		.help = "one line of JSON a check" },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .def = "15s", .min = 1,
		.help = "give up after this time (status 124)" },
	{ NULL }
};

const struct command cmd_doctor = {
	.name = "doctor",
	.summary = "find out why nothing comes",
	.synopsis = "[OPTION...] [TOPIC]",
	.opts = doctor_opts,
	.args_size = sizeof(struct doctor_args),
	.uses = USE_BROKER | USE_SERVER | USE_CONNECT | USE_REGISTRY,
	.broker_use = BROKER_FOR_SUB | BROKER_FOR_TOPICS | BROKER_FOR_PUB,
	.notes = "Nothing is published and nobody is registered. The status is that of the first\n"
		"FAIL, else 0.",
	.examples = "  mbus doctor orders\n"
		"  mbus doctor -B mqtt -b broker.example --username me orders\n"
		"  mbus doctor -J | jq -r 'select(.result != \"ok\") | .text'\n",
	.run = doctor_run,
};
