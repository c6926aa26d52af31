/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a broker says to a server of its own, and what becomes of it: questions and
 * events go out in their order over a core/link, and each event has exactly one fate,
 * whatever becomes of the connection. A broker over it is a codec and a translation.
 *
 *	pipeline_open, pipeline_start
 *	   -> ops->greet: the connection is open; write the greeting to pipeline_out()
 *	   -> ops->data: parse what came. When the greeting is answered: pipeline_ready()
 *	   -> an event:		out = pipeline_begin(p); write it; pipeline_commit(p, ...)
 *	   -> a question:	out = pipeline_ask(p, fn, arg, ...); write it
 *	   -> an answer:	by place: pipeline_front(), then pipeline_settle() or
 *				pipeline_reply(); by name: pipeline_find(), then pipeline_end()
 *	   -> ops->lost: the connection has gone; perhaps ops->greet again, later
 *
 * IN ORDER. Events and questions share one ring. A server that answers in order
 * (Redis, nsqd) is understood by place: the answer is for pipeline_front(). One whose
 * answers name what they are for (packet ids, receipts, tags) by name: a name is
 * 1 + sequence number % options.names. A server that answers no event, but a question
 * behind them (a PING), by a barrier: events PIPE_SILENT, and pipeline_confirm() up to
 * where the question was asked.
 *
 * THE FATE OF AN EVENT is told to the core here and nowhere else, once: confirmed or
 * refused by what the broker makes of the answer; with --ack none confirmed when the
 * kernel has taken the last of its bytes. When its time is over it is unknown if one
 * of its bytes may have left, and keeps its place for the answer; else it is refused
 * and certainly never sent: its bytes are cut out of the output, but for those that
 * the transport has begun to take (stream_begun()). When the connection goes, what
 * was written is unknown (or sent again, if it is PIPE_REPEAT), and what was not goes
 * out over the next connection, if there is to be one and the bytes were kept.
 *
 * KEEPING. With p->keeps, and while there is no connection, the bytes of events are
 * written to p->keep and copied from there, because they may have to be sent again; it
 * is one more copy.
 *
 * THE END. With options.main the core is told by itself: connected, the first time;
 * failed, when there will be no other connection. A server that has been silent while
 * asked for keepalive_ms has gone, whatever is under way; and so has one that for
 * timeout_ms has answered nothing while the publisher was waiting for room: the run
 * does not go on losing a window after the other.
 *
 * A struct pipeline is the first thing in the broker's struct for a connection, or
 * where container-of is to find it; the fields are to be read, and written where it
 * says so. One thread, the loop's; nothing blocks.
 */
#ifndef MBUS_CORE_PIPELINE_H
#define MBUS_CORE_PIPELINE_H

#include "core/broker.h"
#include "core/flight.h"
#include "core/link.h"

#define PIPE_NONE UINT64_MAX

/* flight_entry.state */
enum {
	PIPE_OWN = 0xff,		/* these bits are the broker's */
	PIPE_EVENT = 0x100,		/* else a question */
	PIPE_SILENT = 0x200,		/* commit: nobody answers it but a barrier */
	PIPE_REPEAT = 0x400,		/* commit: may be sent again though it may have arrived;
					 * it must be kept */
	PIPE_OUT = 0x800,		/* its bytes are in, or behind, the connection's output */
	PIPE_SENT = 0x1000,		/* ... have been written to an earlier connection */
	PIPE_TOLD = 0x2000,		/* its fate was told */
	PIPE_DONE = 0x4000,		/* a place without meaning */
	PIPE_AGAIN = 0x8000,		/* refused for what will pass: goes over the next
					 * connection */
	PIPE_TRIAL = 0x10000,		/* pipeline_trial() ... */
	PIPE_FRESH = 0x20000		/* ... and fresh */
};

struct pipeline_ops {
	/* The connection is open: greet. MUST. */
	void (*greet)(struct pipeline *);
	/* As on_data in core/stream.h. MUST. */
	size_t (*data)(struct pipeline *, char *p, size_t n);
	/* The connection has gone: forget what was asked for on it. *why may be worded
	 * better; *again may be set by who will start it again. Events get their fates after
	 * that. true: go on as options.main says; false: the core is not to be told. MAY. */
	bool (*lost)(struct pipeline *, struct error *why, bool *again);
	/* Ask something that any living server answers at once, if that can be asked now.
	 * MUST with keepalive_ms. */
	void (*ping)(struct pipeline *);
	/* Writes a kept event to the output, in other words than it was kept in (an alias, a
	 * mark that it is a repetition). false: it does not go out now (no quota), nor does
	 * what is behind it: call pipeline_send() when it may. NULL: as it was kept. */
	bool (*send)(struct pipeline *, struct flight_entry *, struct bytes kept, struct buf *out);
	/* An event whose time is over was taken out of the output again. MAY. */
	void (*cut)(struct pipeline *, const struct flight_entry *);
};

struct pipeline_options {
	struct broker *broker;
	struct link_options link;	/* link.broker: its address, tls, reconnect */
	uint64_t keepalive_ms;		/* 0: never. May be changed before pipeline_ready() */
	bool beat;			/* the server wants to hear from us, too: it is asked after
					 * each half of keepalive_ms, whatever came, and while we
					 * do not listen */
	uint64_t first;			/* sequence number to begin with */
	uint32_t names;			/* see IN ORDER; 0: every sequence number its own */
	bool main;			/* see THE END */
};

struct pipeline {
	struct broker *b;
	struct link *link;
	const struct pipeline_ops *ops;
	void *arg;			/* the broker's */
	struct pipeline_options opts;
	struct flight ring;
	bool keeps;			/* set by the broker, at any time */
	bool paused;			/* pipeline_pause() */
	bool held;			/* pipeline_retry(): no event goes out any more ... */
	bool next;			/* ... and another server is to get them */
	bool ready;			/* greeted, and not lost */
	bool failed;			/* pipeline_fail(): the loss is on its way */
	bool ever;			/* was ready once */
	bool pinged;			/* asked for a sign of life, and nothing has come */
	bool direct;			/* pipeline_begin(): into the output */
	bool progress;			/* something was confirmed; set by the broker, too, for an
					 * event that is news */
	struct buf keep;		/* of the entries with a copy_size, in order */
	uint64_t fed;			/* the first event that was not given to the output ... */
	size_t fed_at;			/* ... and where it is in keep */
	uint64_t turn;			/* the first whose answer by place has not come */
	uint64_t taken;			/* --ack none: the first not yet looked at */
	size_t begun;			/* pipeline_begin(): where it began in its buffer */
	uint64_t heard_ns;		/* when something came */
	unsigned trials, fresh;		/* questions of PIPE_TRIAL, PIPE_FRESH under way */
	bool late;			/* it was said that events were refused too late */
	bool mixed;			/* the ends of their times are not in order */
	struct error why;		/* pipeline_retry() */
	struct loop_timer alive, deadline;
	struct loop_task written;
};

/* ---- life ---- */

/* Makes the link; does not connect. */
int pipeline_open(struct pipeline *, const struct pipeline_options *,
	const struct pipeline_ops *, void *arg, struct error *);
/* Another address (or other options) from now on; the connection must be closed. */
int pipeline_relink(struct pipeline *, const struct link_options *, struct error *);
void pipeline_release(struct pipeline *);	/* events get no fate any more */
void pipeline_start(struct pipeline *);
void pipeline_close(struct pipeline *);		/* politely: link_close(); likewise */
/* The greeting is answered: sends what is waiting, tells the core the first time. */
void pipeline_ready(struct pipeline *);
/* link_fail(), link_refused(), link_fail_next(). Only the first counts. */
void pipeline_fail(struct pipeline *, const struct error *);
void pipeline_refused(struct pipeline *, const struct error *);
void pipeline_fail_next(struct pipeline *, const struct error *);
void pipeline_pause(struct pipeline *, bool);
/* The connection has gone without the link saying so (it was closed): as ops->lost, but
 * that it is not called, and the core is not told. */
void pipeline_forget(struct pipeline *, const struct error *why, bool again);

static inline struct buf *pipeline_out(struct pipeline *p) { return link_out(p->link); }
static inline void pipeline_kick(struct pipeline *p) { link_kick(p->link); }

/* ---- events ---- */

/* Where the event is to be written. Then commit, or cancel. */
struct buf *pipeline_begin(struct pipeline *);
/* state: PIPE_SILENT, PIPE_REPEAT and bits of the broker's own. */
void pipeline_commit(struct pipeline *, const struct publication *, unsigned state);
void pipeline_cancel(struct pipeline *);
/* Gives to the output what waits, as far as ops->send lets it. */
void pipeline_send(struct pipeline *);

/* ---- questions ---- */

/* The connection must be ready. What is written to the buffer is answered by fn, with
 * the entry (id and last: the two numbers) and what pipeline_reply() was given. Forgotten
 * with the connection. fn may be NULL: whatever it is. */
struct buf *pipeline_ask(struct pipeline *, pipeline_answer *fn, void *arg, uint64_t id,
	uint64_t last);

/* Likewise, by place, of what a subscription needs: a server may hang up instead of an
 * answer, and will again, so that a connection that goes meanwhile counts as refused
 * (link_trial()). fresh: nothing is live yet, and there is nothing to come back for. */
struct buf *pipeline_trial(struct pipeline *, pipeline_answer *fn, void *arg, uint64_t id,
	uint64_t last, bool fresh);

/* For ops->drain, by place: what was said so far has reached the server when it answers
 * ops->ping, and then broker_drained() is called; at once without a connection. */
void pipeline_drain(struct pipeline *);

/* ---- answers by place ---- */

struct flight_entry *pipeline_front_slowly(struct pipeline *);

/* What the next answer is for; NULL: nothing was asked. */
static inline struct flight_entry *
pipeline_front(struct pipeline *p)
{
	struct flight_entry *e;

	if (p->turn == p->ring.first && p->turn != p->fed) {
		e = flight_at(&p->ring, p->turn);
		if ((e->state & (PIPE_OUT | PIPE_DONE | PIPE_SILENT)) == PIPE_OUT)
			return e;
	}
	return pipeline_front_slowly(p);
}

/* The front is an event, and this is its answer. If its fate was told before (its time
 * was over, --ack none) a refusal is told once, as a warning. */
void pipeline_settle(struct pipeline *, enum fate, const struct error *);
/* The front is a question: it leaves the ring, and its fn gets the answer. */
void pipeline_reply(struct pipeline *, const void *answer);
/* The front is an event that the server has refused for a reason that passes, and not
 * for that event: it goes over the next connection, and what is behind it does, too.
 * When all that is under way is answered the connection is failed for `why`; next: and
 * another address is tried first. false: its bytes were not kept, or there will be no
 * other connection, and so it must be settled. */
bool pipeline_retry(struct pipeline *, const struct error *why, bool next);
/* The front is a kept event that another server must get. */
void pipeline_move(struct pipeline *from, struct pipeline *to);

/* ---- answers by name, barriers ---- */

static inline uint32_t
pipeline_name(const struct pipeline *p, uint64_t seq)
{
	return (uint32_t)(1 + (p->opts.names ? seq % p->opts.names : seq));
}
/* The name of what is committed, or asked, next. */
static inline uint32_t pipeline_next_name(const struct pipeline *p)
{
	return pipeline_name(p, p->ring.next);
}
/* The sequence number of what is under way by that name; PIPE_NONE: nothing is. */
uint64_t pipeline_find(const struct pipeline *, uint32_t name);
/* The protocol has done with it: an event has that fate, unless it has one already; a
 * question just leaves. */
void pipeline_end(struct pipeline *, uint64_t seq, enum fate, const struct error *);
/* Likewise all events of PIPE_SILENT (or all, if any) that were sent, before seq `upto`. */
void pipeline_confirm(struct pipeline *, uint64_t upto, bool any);

#endif
