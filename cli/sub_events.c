/* SPDX-License-Identifier: Apache-2.0 */
/* An event's way through mbus sub, and what is acknowledged of it: see the head of
 * cmd_sub.c. */
#include "cli/sub_impl.h"

enum { SUB_PENDING_MAX = 256 * 1024 };	/* more unwritten output: reading is paused */

void
sub_end(struct sub *s, enum error_kind kind)
{
	s->kind = error_graver(s->kind, kind);
	s->ending = true;
	loop_defer(s->loop, &s->settle);
}

void
sub_fail(struct sub *s, const struct error *err)
{
	if (!s->ending)
		log_error("%s", err->text);
	sub_end(s, err->kind);
}

/* What --tee wants is in its file before the event may be acknowledged. */
static void
sub_flush_tee(struct sub *s)
{
	struct error err;

	if (!buf_len(&s->save.printed) || sub_save_flush(&s->save, &err) == 0)
		return;
	log_error("%s", err.text);
	sub_end(s, err.kind);
}

/* Writes what is there and remembers up to which event that is. */
static void
sub_flush(struct sub *s)
{
	sub_flush_tee(s);
	if (!output_pending(&s->out) || s->out.over)
		return;
	output_flush(&s->out);
	if (!output_pending(&s->out))
		ends_all(&s->ends);
}

void
sub_ack(struct sub *s)
{
	uint64_t last;

	ends_written(&s->ends, s->out.written);
	/* Also those of which nothing is printed. */
	last = output_pending(&s->out) || s->out.over ? s->ends.whole : s->last;
	if (last <= s->acked || s->exec)
		return;
	broker_ack(s->broker, s->acked + 1, last, true);
	s->acked = last;
}

static void
sub_pause(struct sub *s, bool on)
{
	if (s->paused != on && s->listening) {
		s->paused = on;
		broker_pause(s->broker, on);
	}
}

/* Of -x: how many events are still with a command. */
size_t
sub_commands(const struct sub *s)
{
	return s->exec ? sub_exec_count(s->exec) : 0;
}

/* What -c or -e asks for has not come yet. */
bool
sub_is_short(const struct sub *s)
{
	if (s->args->count && s->printed >= s->args->count)
		return false;
	return s->args->count || (s->how.ended && s->nended < s->ntopics);
}

/* Nobody reads on. That ends a run without an end; another has not done what it was
 * asked for. */
static void
sub_gone(struct sub *s)
{
	bool unread = sub_is_short(s) ||
		((s->args->count || s->how.ended) && output_pending(&s->out));

	s->gone = true;
	if (s->out.error.kind)
		log_error("%s", s->out.error.text);
	else if (unread)
		log_error("the reader of stdout has gone before %s",
			s->args->count ? "-c was reached" : "the end");
	sub_end(s, s->out.error.kind ? s->out.error.kind : unread ? ERR_REFUSED : ERR_NONE);
}

void
sub_settle(struct loop_task *t)
{
	struct sub *s = t->arg;

	if (s->ending)
		sub_flush(s);
	sub_ack(s);
	/* A reader counts from when there may be something to read; also when the run
	 * ends anyway, for what -c asked for was then not printed. */
	if (s->out.over && !s->gone && s->nlive == s->ntopics && !s->args->check)
		sub_gone(s);
	if (s->ending && (s->out.over || !output_pending(&s->out)) && !sub_commands(s))
		loop_stop(s->loop);
	else if (s->ending || output_pending(&s->out) > SUB_PENDING_MAX ||
	    (s->exec && sub_exec_is_full(s->exec)))
		sub_pause(s, true);
	else if (!output_pending(&s->out))
		sub_pause(s, false);
}

void
sub_progress(struct output *o)
{
	struct sub *s = o->arg;

	loop_defer(s->loop, &s->settle);
}

/* Also the moment at which --idle sees that something has come: once a batch, so
 * that no event costs a look at the clock. */
void
sub_idle(struct loop_idle *h)
{
	struct sub *s = h->arg;

	if (s->counted != s->printed) {
		s->counted = s->printed;
		s->counted_ns = loop_now_ns(s->loop);
	}
	sub_flush(s);
	/* Events of which nothing is printed are settled, too. */
	if (s->last != s->acked && !output_pending(&s->out))
		loop_defer(s->loop, &s->settle);
}

/* Into the output, and to wherever else. -1: some copy could not be kept. */
static int
sub_print(struct sub *s, const struct event *ev, struct error *err)
{
	size_t before = output_pending(&s->out);

	if (s->plain) {
		format_add(&s->format, &s->out.buf, ev, s->printed);
		return 0;
	}
	if (sub_save_event(&s->save, ev, s->printed, err) < 0)
		return -1;
	if (s->exec) {
		sub_exec_take(s->exec, ev, s->printed);
		if (sub_exec_is_full(s->exec))
			loop_defer(s->loop, &s->settle);
	}
	if (s->silent)
		return 0;
	format_add(&s->format, &s->out.buf, ev, s->printed);
	return sub_save_printed(&s->save, bytes_of(buf_data(&s->out.buf) + before,
		output_pending(&s->out) - before), err);
}

/* With -x events are settled as their commands end. One that is given back comes again,
 * to somebody; a broker with offsets cannot give one back, so that no more are taken. */
void
sub_settled(uint64_t number, bool ok, void *arg)
{
	struct sub *s = arg;

	broker_ack(s->broker, number, number, ok);
	if (!ok && !(s->ending && s->interrupt.signo)) {
		s->kind = error_graver(s->kind, ERR_REFUSED);
		if (s->broker->caps & BROKER_PARTITION)
			sub_end(s, ERR_REFUSED);
	}
	loop_defer(s->loop, &s->settle);
}

void
sub_exec_failed(const struct error *err, void *arg)
{
	sub_fail(arg, err);
}

static void
sub_judge(struct sub *s, const struct event *ev)
{
	if (sub_filter_expected(&s->filter, ev))
		return;
	if (!s->unexpected++)
		log_error("event %llu is not as --expect says", (unsigned long long)s->printed);
	s->kind = error_graver(s->kind, ERR_REFUSED);
}

/* Which form it was that --wire auto found. */
static void
sub_tell_wire(struct sub *s, const struct event *ev)
{
	s->wires |= 1u << ev->wire;
	log_verbose("%.*s: %s", BYTES_FMT(ev->topic), ev->wire == EVENT_WIRE_MICRO ?
		"events come in go-micro's envelope" : "events come as bare bodies");
}

enum handled
sub_event(struct subscription *sub, const struct event *ev, void *arg)
{
	struct sub *s = arg;
	struct error err;

	(void)sub;
	if (s->ending)
		return EVENT_DROPPED;
	if (!s->plain && !sub_filter_passes(&s->filter, ev)) {
		s->last = ev->number;
		/* Nobody else settles it with -x; broker_ack() may not be called from here. */
		if (s->exec)
			sub_exec_skip(s->exec, ev);
		return EVENT_TAKEN;
	}
	s->printed++;
	if (sub_print(s, ev, &err) < 0) {
		sub_fail(s, &err);
		return EVENT_DROPPED;
	}
	if (!s->plain) {
		if (s->stats)
			sub_stats_count(s->stats, ev);
		sub_judge(s, ev);
	}
	s->last = ev->number;
	if (log_level >= LOG_VERBOSE && !(s->wires & 1u << ev->wire))
		sub_tell_wire(s, ev);
	ends_add(&s->ends, output_position(&s->out), ev->number);
	if (output_pending(&s->out) >= OUTPUT_BATCH) {
		sub_flush(s);
		if (output_pending(&s->out) > SUB_PENDING_MAX)
			loop_defer(s->loop, &s->settle);
	}
	if (s->printed == s->args->count)
		sub_end(s, ERR_NONE);
	return EVENT_TAKEN;
}
