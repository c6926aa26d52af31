/* SPDX-License-Identifier: Apache-2.0 */
/* Fates of published events as lines of JSON: see pub_report.h. */
#include "cli/pub_report.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/json.h"
#include "core/text.h"

enum {
	REPORT_UNREAD_MAX = 1024 * 1024,	/* more lines: no more events are taken */
	REPORT_DRAIN_MS = 1000			/* at the end, for a slow reader */
};

struct kept {
	uint64_t id;			/* the source's */
	size_t next;			/* of a free slot: the next, 1 more */
	bool used;
	struct buf json, tee;
};

static void
report_idle(struct loop_idle *idle)
{
	struct pub_report *r = idle->arg;

	if (output_pending(&r->tee))
		output_flush(&r->tee);
}

static int
tee_open(struct pub_report *r, const struct pub_args *a, struct loop *loop,
	void (*room)(struct output *), void *arg, struct error *err)
{
	r->on = r->tees = true;
	r->tee_format.format = a->json ? &format_json : &format_body;
	r->tee_format.max_body = UINT64_MAX;
	r->tee_format.terminal = isatty(STDOUT_FILENO);
	r->tee_format.color = a->json && common_color(&a->common, STDOUT_FILENO);
	if (!a->json && r->source->in.delim.p)
		r->tee_format.end = r->source->in.delim;
	r->tee.progress = room;
	r->tee.arg = arg;
	r->idle = (struct loop_idle){ .fn = report_idle, .arg = r };
	loop_idle_add(loop, &r->idle);
	return output_open(&r->tee, loop, STDOUT_FILENO, "stdout", err);
}

int
pub_report_open(struct pub_report *r, const struct pub_args *a, const struct pub_source *source,
	struct loop *loop, void (*room)(struct output *), void *arg, struct error *err)
{
	int fd = a->report_fd;

	*r = (struct pub_report){ .source = source, .fd = -1, .all = a->report_all };
	if (a->tee && tee_open(r, a, loop, room, arg, err) < 0)
		return -1;
	if (a->report && strcmp(a->report, "-") == 0)
		fd = STDOUT_FILENO;
	else if (a->report)
		fd = r->fd = open(a->report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY,
			0666);
	if (fd < 0)
		return a->report ? error_sys(err, ERR_LOCAL_IO, "--report %s", a->report) : 0;
	r->on = r->reports = true;
	r->out.progress = room;
	r->out.arg = arg;
	return output_open(&r->out, loop, fd, a->report ? a->report : "--report-fd", err);
}

void
pub_report_broker(struct pub_report *r, const struct broker *b)
{
	r->broker = b;
	r->format.broker = r->tee_format.broker = b->ops->name;
}

bool
pub_report_full(const struct pub_report *r)
{
	return (r->reports && !r->out.over && output_pending(&r->out) > REPORT_UNREAD_MAX) ||
		(r->tees && !r->tee.over && output_pending(&r->tee) > REPORT_UNREAD_MAX);
}

/* ---- keeping ---- */

static size_t
take_slot(struct pub_report *r)
{
	size_t slot = r->unused;

	if (!slot) {
		size_t more = r->nslots ? r->nslots : 64;

		r->slots = xrealloc(r->slots, (r->nslots + more) * sizeof *r->slots);
		memset(r->slots + r->nslots, 0, more * sizeof *r->slots);
		for (size_t i = 0; i + 1 < more; i++)
			r->slots[r->nslots + i].next = r->nslots + i + 2;
		slot = r->nslots + 1;
		r->nslots += more;
	}
	r->unused = r->slots[slot - 1].next;
	return slot - 1;
}

/* The event that a subscriber would see, as far as it is known here. */
static struct event
as_event(const struct pub_report *r, const struct publication *p)
{
	const struct publish_options *o = p->opts ? p->opts : &publish_defaults;
	enum wire wire = r->broker->opts.wire;
	struct event ev = event_none;

	ev.topic = p->topic;
	ev.msg = p->msg;
	ev.qos = o->qos;
	ev.retain = o->retain;
	ev.partition = o->partition;
	ev.props = o->props;
	ev.time_kind = o->time_us < 0 ? EVENT_TIME_NONE : EVENT_TIME_CREATE;
	ev.time_us = o->time_us;
	ev.wire = wire == WIRE_RAW || (wire == WIRE_AUTO && o->wire == WIRE_RAW) ?
		EVENT_WIRE_RAW : EVENT_WIRE_MICRO;
	return ev;
}

uint64_t
pub_report_keep(struct pub_report *r, const struct publication *p)
{
	struct event ev = as_event(r, p);
	size_t slot = take_slot(r);
	struct kept *k = &r->slots[slot];

	k->id = p->id;
	k->used = true;
	buf_clear(&k->json);
	buf_clear(&k->tee);
	r->n++;
	if (r->reports)
		format_add_json_event(&r->format, &k->json, &ev, r->n, false);
	if (r->tees)
		format_add(&r->tee_format, &k->tee, &ev, r->n);
	return slot;
}

uint64_t
pub_report_id(const struct pub_report *r, uint64_t slot)
{
	return r->slots[slot].id;
}

/* ---- telling ---- */

static void
add_line(struct pub_report *r, const struct kept *k, enum fate fate, const struct error *err)
{
	static const char *const name[] = {
		[FATE_CONFIRMED] = "confirmed", [FATE_REFUSED] = "refused",
		[FATE_UNKNOWN] = "unknown"
	};
	struct buf *out = &r->out.buf, place = BUF_INIT;

	buf_addf(out, "{\"v\":1,\"type\":\"fate\",\"fate\":\"%s\"", name[fate]);
	if (err) {
		buf_add_str(out, ",\"error\":");
		if (utf8_valid(err->text, strlen(err->text)))
			json_add_string(out, bytes_str(err->text));
		else
			json_add_go_string(out, bytes_str(err->text));
	}
	buf_addf(out, ",\"status\":%d", err ? error_exit_status(err->kind) : 0);
	pub_source_place(r->source, k->id, &place);
	if (buf_len(&place)) {
		buf_add_str(out, ",\"place\":");
		if (utf8_valid(buf_data(&place), buf_len(&place)))
			json_add_string(out, buf_bytes(&place));
		else
			json_add_go_string(out, buf_bytes(&place));
	}
	buf_release(&place);
	buf_add_str(out, ",\"event\":");
	buf_add_bytes(out, buf_bytes(&k->json));
	buf_add_str(out, "}\n");
}

void
pub_report_fate(struct pub_report *r, uint64_t slot, enum fate fate, const struct error *err)
{
	enum { KEEP = 4096 };
	struct kept *k = &r->slots[slot];

	if (r->reports && (r->all || fate != FATE_CONFIRMED))
		add_line(r, k, fate, err);
	if (r->tees && fate == FATE_CONFIRMED && !r->tee.over)
		buf_add_bytes(&r->tee.buf, buf_bytes(&k->tee));
	k->used = false;
	if (k->json.cap > KEEP)
		buf_release(&k->json);
	if (k->tee.cap > KEEP)
		buf_release(&k->tee);
	k->next = r->unused;
	r->unused = slot + 1;
	if (output_pending(&r->out) >= OUTPUT_BATCH)
		output_flush(&r->out);
	if (output_pending(&r->tee) >= OUTPUT_BATCH)
		output_flush(&r->tee);
}

void
pub_report_rest(struct pub_report *r, uint64_t waits)
{
	static const struct error none = { ERR_UNKNOWN, "the run ended before its answer came" };

	for (size_t i = 0; i < r->nslots; i++)
		if (r->slots[i].used && i != waits)
			pub_report_fate(r, i, FATE_UNKNOWN, &none);
}

/* ---- the end ---- */

static void
drain_over(struct loop_timer *t)
{
	loop_stop(t->arg);
}

static void
drained(struct output *o)
{
	if (o->over || !output_pending(o))
		loop_stop(o->arg);
}

/* Writes what is left, for REPORT_DRAIN_MS if need be. */
static int
drain(struct output *out, const char *what, struct error *err)
{
	struct loop *loop = out->loop;
	struct loop_timer bound = { .fn = drain_over, .arg = loop };

	out->progress = drained;
	out->arg = loop;
	output_flush(out);
	if (output_pending(out) && !out->over) {
		loop_timer_set(loop, &bound, REPORT_DRAIN_MS);
		loop_run(loop);
		loop_timer_clear(loop, &bound);
	}
	if (out->error.kind) {
		*err = out->error;
		return error_prefix(err, "%s", what);
	}
	/* A reader of --tee that has gone wanted no more; a report is wanted whole. */
	if (output_pending(out) && !(out->over && strcmp(what, "--tee") == 0))
		return error_set(err, ERR_LOCAL_IO, "%s: %zu bytes were not written", what,
			output_pending(out));
	return 0;
}

int
pub_report_close(struct pub_report *r, struct error *err)
{
	int result = 0;

	if (r->tees) {
		result = drain(&r->tee, "--tee", err);
		loop_idle_del(r->tee.loop, &r->idle);
	}
	if (r->reports && drain(&r->out, "the report", err) < 0)
		result = -1;
	if (r->reports)
		output_close(&r->out);
	if (r->tees)
		output_close(&r->tee);
	if (r->fd >= 0)
		close(r->fd);
	for (size_t i = 0; i < r->nslots; i++) {
		buf_release(&r->slots[i].json);
		buf_release(&r->slots[i].tee);
	}
	free(r->slots);
	buf_release(&r->tee_format.line);
	r->slots = NULL;
	r->nslots = 0;
	return result;
}
