/* SPDX-License-Identifier: Apache-2.0 */
/* The memory broker: its options, addresses and ops, and when it sleeps; see memory.h. */
#include "backends/memory/memory.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/log.h"
#include "core/text.h"
#include "core/units.h"

enum {
	LOOKS = 50,			/* ... at once, one behind the other, */
	LOOK_NS = 20000,		/* so long a busy reader looks before it sleeps */
	YIELD_NS = 5000,		/* one that took longer: others want the CPU */
	DOZE_MS = 1,			/* somebody has the lock: see memory_layout.h */
	ROOM_MS = 5,			/* who holds up a publisher may be dead */
	LOCK_AGAIN_MS = 10,
	HOT_NS = 200000,		/* who slept for less should rather have looked again */
	CLAIMS_MS = 100			/* another member of the group may be dead */
};

#define AT(type, member) XOPT_##type(struct memory_broker, member)
static const struct broker_option memory_options[] = {
	{ "drop", "no|old|new", "no",
		"rather lose events, the oldest or the newest, than hold publishers up",
		AT(CHOICE, drop), .use = BROKER_FOR_SUB },
	{ "group_keep", "TIME", "30s",
		"a group keeps its place for so long after its last member has gone",
		AT(TIME, keep_ms), .use = BROKER_FOR_SUB },
	{ "take", "N", "64", "a member of a group takes up to N events at a time",
		AT(COUNT, claim_max), .least = 1, .most = 10000, .use = BROKER_FOR_SUB },
	{ "again", "TIME", "60s",
		"what a live member of a group has not acknowledged after so long goes to another "
		"one; 0: never",
		AT(TIME, again_ms), .use = BROKER_FOR_SUB },
	{ "size", "SIZE", "1M", "room for each topic or pattern subscribed to, when the bus is "
		"made",
		AT(SIZE, place.ring_bytes), .least = MEMORY_RING_MIN, .most = UINT64_C(1) << 30 },
	{ "mode", "600|660|666", "600", "who may use the bus: its files' mode, when it is made",
		AT(CHOICE, mode) },
	{ "dir", "PATH", "/dev/shm", "the folder of the buses, a tmpfs",
		AT(STR, place.folder), .most = 400 },
	{ "remove", "no|unused|all", "no",
		"remove the bus when nobody uses it, or whoever uses it",
		AT(CHOICE, remove), .use = BROKER_FOR_TOPICS },
	{ NULL, NULL, NULL, NULL }
};

/* ---- addresses: NAME, UID/NAME, memory://... ---- */

static bool
is_name(const char *p)
{
	size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && n <= 64 && !p[n] && strcmp(p, ".") != 0 && strcmp(p, "..") != 0;
}

static int
read_address(struct memory_broker *mb, struct error *err)
{
	const char *a = mb->b.opts.address, *name;
	uint64_t uid;
	char digits[24];

	mb->place.uid = geteuid();
	mb->named = a && *a;
	if (!mb->named)
		a = "default";
	if (strncmp(a, "memory://", 9) == 0)
		a += 9;
	name = strchr(a, '/');
	if (name && (size_t)(name - a) < sizeof digits) {
		memcpy(digits, a, (size_t)(name - a));
		digits[name - a] = '\0';
		if (units_count(digits, UINT32_MAX - 1, &uid)) {
			mb->place.uid = (uint32_t)uid;
			a = name + 1;
		}
	}
	if (!is_name(a))
		return error_set(err, ERR_USAGE, "the address '%.80s': a bus is NAME, or UID/NAME of "
			"another user's, of up to 64 letters, digits and ._-", mb->b.opts.address);
	snprintf(mb->place.name, sizeof mb->place.name, "%s", a);
	return 0;
}

static void memory_turn(struct memory_broker *, bool rung);
static void memory_rest(struct memory_broker *);

static void
bell_rang(struct loop_fd *w, unsigned ready)
{
	(void)ready;
	memory_turn(w->arg, true);
}

static void
look(struct loop_timer *t)
{
	memory_turn(t->arg, true);
}

static void
commit(struct loop_task *t)
{
	memory_commit(t->arg);
}

/* Behind what the user's own hook has deferred: then output is written, and what was
 * acknowledged has moved the cursors. */
static void
idle(struct loop_idle *h)
{
	struct memory_broker *mb = h->arg;

	loop_defer(mb->b.loop, &mb->rest);
}

static void
rest(struct loop_task *t)
{
	memory_rest(t->arg);
}

static int
memory_init(struct broker *b, struct error *err)
{
	static const unsigned modes[] = { 0600, 0660, 0666 };
	struct memory_broker *mb = memory_of(b);

	mb->bell.fn = bell_rang;
	mb->bell.arg = mb;
	mb->bell.fd = -1;
	mb->look = (struct loop_timer){ .fn = look, .arg = mb };
	mb->commit = (struct loop_task){ .fn = commit, .arg = mb };
	mb->rest = (struct loop_task){ .fn = rest, .arg = mb };
	mb->idle = (struct loop_idle){ .fn = idle, .arg = mb };
	mb->taken_first = mb->taken_next = 1;
	mb->place.wait_ms = b->opts.connect_timeout_ms ? b->opts.connect_timeout_ms : 5000;
	mb->place.mode = modes[mb->mode];
	mb->place.ring_bytes = MEMORY_UP(mb->place.ring_bytes);
	return read_address(mb, err);
}

static void
memory_release(struct broker *b)
{
	struct memory_broker *mb = memory_of(b);

	memory_pub_release(mb);
	memory_sub_release(mb);
	free(mb->headers.v);
	buf_release(&mb->audience_topic);
	memory_router_release(&mb->router);
}

/* ---- coming and going ---- */

/* Opens the bus, where there is one or it is to be made. */
int
memory_attach(struct memory_broker *mb, bool create, struct error *err)
{
	bool mine;

	if (mb->bus || (!create && !memory_exists(&mb->place)))
		return 0;
	mine = mb->place.uid == geteuid();
	if (memory_open(&mb->bus, &mb->place, create && mine, err) < 0)
		return -1;
	if (!mb->bus && create)
		return error_set(err, ERR_NOTFOUND, "user %u has no bus %s here (only he can make "
			"it: -X memory.mode=666)", (unsigned)mb->place.uid, mb->place.name);
	return 0;
}

static int
need_bell(struct memory_broker *mb, struct error *err)
{
	if (mb->bell.added)
		return 0;
	if (memory_bell_open(mb->bus, err) < 0 ||
	    loop_fd_add(mb->b.loop, &mb->bell, mb->bus->bell, LOOP_READ, err) < 0)
		return -1;
	loop_idle_add(mb->b.loop, &mb->idle);
	return 0;
}

static int
memory_connect(struct broker *b, struct error *err)
{
	struct memory_broker *mb = memory_of(b);

	if (!mb->remove && memory_attach(mb, false, err) < 0)
		return -1;
	if (!mb->remove && !mb->bus && mb->place.uid != geteuid())
		return memory_attach(mb, true, err);
	broker_connected(b, NULL);
	return 0;
}

static void
unwatch(struct memory_broker *mb)
{
	loop_timer_clear(mb->b.loop, &mb->look);
	loop_task_cancel(&mb->rest);
	loop_idle_del(mb->b.loop, &mb->idle);
	loop_fd_del(mb->b.loop, &mb->bell);
}

static void
memory_disconnect(struct broker *b)
{
	struct memory_broker *mb = memory_of(b);

	unwatch(mb);
	loop_task_cancel(&mb->commit);
	memory_sub_release(mb);
	if (mb->unheard)
		log_verbose("%" PRIu64 " event%s had no subscriber", mb->unheard,
			mb->unheard == 1 ? "" : "s");
	mb->unheard = 0;
	if (mb->bus)
		memory_close(mb->bus);
	mb->bus = NULL;
}

void
memory_fail(struct memory_broker *mb, const struct error *err)
{
	struct error e = *err;

	if (mb->over)
		return;
	mb->over = true;
	unwatch(mb);
	broker_failed(&mb->b, &e);
}

/* ---- who subscribes ---- */

void
memory_describe(struct memory_bus *m, uint32_t reader, struct buf *out)
{
	struct memory_sub *s = reader < MEMORY_SUBS ? memory_sub_at(m, reader) : NULL;
	struct memory_group *g = NULL;
	struct memory_slot *slot;
	char program[17] = "";

	if (reader >= MEMORY_SUBS)
		g = memory_group_at(m, reader - MEMORY_SUBS);
	if (g) {
		char name[256];
		uint32_t n = LOAD(g->name_n);

		memcpy(name, g->name, sizeof name);
		buf_addf(out, "group %.*s", n < sizeof name ? (int)n : 0, name);
	} else if (s && LOAD(s->slot) < MEMORY_SLOTS) {
		slot = &m->slots[s->slot];
		memcpy(program, slot->program, 16);
		buf_addf(out, "pid %d (%s)", (int)slot->pid, program);
	} else {
		buf_add_str(out, "somebody");
	}
}

/* Live subscriptions of a topic. */
static unsigned
audience_of(struct memory_broker *mb)
{
	struct memory_bus *m = mb->bus;
	struct memory_targets *t = memory_route(m, &mb->router, buf_bytes(&mb->audience_topic));
	struct memory_sub *s;
	unsigned n = 0;

	for (uint32_t i = 0; (s = memory_sub_at(m, i)); i++) {
		uint32_t ring = LOAD(s->ring);

		for (uint32_t k = 0; LOAD(s->state) == STATE_USED && k < t->n; k++)
			n += t->ring[k] == ring && memory_alive(m, LOAD(s->slot), s->generation);
	}
	return n;
}

static void
look_at_audience(struct memory_broker *mb)
{
	audience_fn *fn = mb->audience;

	if (!fn || audience_of(mb) < mb->audience_n)
		return;
	mb->audience = NULL;
	STORE(mb->bus->slots[mb->bus->slot].wants, WANTS_NOTHING);
	fn(&mb->b, NULL, mb->audience_arg);
}

static int
memory_audience(struct broker *b, struct bytes topic, unsigned n, audience_fn *fn, void *arg,
	struct error *err)
{
	struct memory_broker *mb = memory_of(b);
	const char *bad = memory_bad_topic(topic);

	if (bad)
		return error_set(err, ERR_USAGE, "the topic: %s", bad);
	if (memory_attach(mb, true, err) < 0 || need_bell(mb, err) < 0)
		return -1;
	buf_clear(&mb->audience_topic);
	buf_add_bytes(&mb->audience_topic, topic);
	mb->audience = fn;
	mb->audience_arg = arg;
	mb->audience_n = n;
	STORE(mb->bus->slots[mb->bus->slot].wants, WANTS_AUDIENCE);
	memory_look_soon(mb);
	return 0;
}

/* ---- waking and sleeping ---- */

/* By the bell: a timer of no delay would be late by the kernel's slack. */
void
memory_look_soon(struct memory_broker *mb)
{
	struct error err;

	if (mb->over || mb->poked)
		return;
	if (need_bell(mb, &err) < 0) {
		memory_fail(mb, &err);
		return;
	}
	mb->poked = true;
	memory_bell_poke(mb->bus);
}

void
memory_rest_soon(struct memory_broker *mb)
{
	if (!mb->over)
		loop_defer(mb->b.loop, &mb->rest);
}

static void
removed(struct memory_broker *mb)
{
	struct error err;

	error_set(&err, ERR_CONNECT, "the bus %s was removed", mb->place.name);
	memory_fail(mb, &err);
}

/* It was rung, by others or by ourselves; or it has looked by itself, and a byte that
 * may be in its bell stays there for the loop to find. */
static void
memory_turn(struct memory_broker *mb, bool rung)
{
	if (mb->over || !mb->bus)
		return;
	memory_bell_wake(mb->bus);
	loop_timer_clear(mb->b.loop, &mb->look);
	if (mb->slept_ns) {
		mb->hot = loop_now_ns(mb->b.loop) - mb->slept_ns < HOT_NS;
		mb->slept_ns = 0;
	}
	if (LOAD(mb->bus->head->removed)) {
		removed(mb);
		return;
	}
	if (memory_read(mb))
		mb->busy++;
	if (mb->full && !mb->over)
		memory_commit(mb);
	if (mb->over || !mb->bus)
		return;
	look_at_audience(mb);
	if (memory_readable(mb)) {
		memory_look_soon(mb);
	} else if (rung) {
		memory_bell_drain(mb->bus);
		mb->poked = false;	/* idle() follows when nothing else is to be done */
	}
}

/* With a group, how long until somebody's claim may be found left; 0: no need. */
static unsigned
claims_ms(struct memory_broker *mb)
{
	for (struct memory_reader *r = mb->readers; r; r = r->next)
		if (r->live && r->group && memory_claimed_by_others(mb->bus, r->index))
			return CLAIMS_MS;
	return 0;
}

/* For the other members of a group, awake. */
static bool
is_waiting(const struct memory_broker *mb)
{
	for (struct memory_reader *r = mb->readers; r; r = r->next)
		if (r->live && r->waits)
			return true;
	return false;
}

static bool
is_settling(const struct memory_broker *mb)
{
	for (struct memory_reader *r = mb->readers; r; r = r->next)
		if (!r->live)
			return true;
	return mb->settling;
}

static bool
is_worth_a_turn(struct memory_broker *mb)
{
	return memory_readable(mb) || memory_has_room(mb);
}

/* Under load the writer is about to write again: not every event is worth a sleep and
 * a wake-up. The answer to what was just published takes a microsecond, with which the
 * CPU is not given away; after that it is, and where others want it, it is better to be
 * woken than to wait in line. */
static bool
looks_again(struct memory_broker *mb)
{
	uint64_t begin, last;

	for (int i = 0; i < LOOKS; i++) {
		if (is_worth_a_turn(mb))
			return true;
		relax();
	}
	begin = last = loop_clock_ns();
	while (last - begin < LOOK_NS) {
		uint64_t now;

		if (is_worth_a_turn(mb))
			return true;
		sched_yield();
		now = loop_clock_ns();
		if (now - last > YIELD_NS)
			return is_worth_a_turn(mb);
		last = now;
	}
	return false;
}

static void
turn_now(struct memory_broker *mb)
{
	loop_again(mb->b.loop);
	memory_turn(mb, false);
}

/* Nothing to do: sleep, but for what nobody rings for. */
static void
memory_rest(struct memory_broker *mb)
{
	unsigned ms = 0;
	struct error err;

	if (mb->over || !mb->bus || mb->poked || (!mb->readers && !mb->full && !mb->audience))
		return;
	if (need_bell(mb, &err) < 0) {
		memory_fail(mb, &err);
		return;
	}
	/* Here and now, with no system call: a round trip is a matter of some hundred
	 * nanoseconds. idle() follows, and so does this. */
	if ((mb->busy > 1 || mb->hot) && looks_again(mb)) {
		turn_now(mb);
		return;
	}
	mb->busy = 0;
	if (is_waiting(mb)) {
		loop_timer_set(mb->b.loop, &mb->look, 1);
		return;
	}
	/* Who is paused is not to be rung for every event meanwhile. */
	if (mb->paused && !mb->full && !mb->audience && !is_settling(mb))
		return;
	memory_bell_sleep(mb->bus);
	if (memory_readable(mb) || memory_has_room(mb)) {
		turn_now(mb);
		return;
	}
	mb->slept_ns = loop_clock_ns();
	if (memory_is_locked(mb->bus))
		ms = DOZE_MS;
	else if (mb->full)
		ms = ROOM_MS;
	else if (is_settling(mb))
		ms = LOCK_AGAIN_MS;
	else if (!mb->paused)
		ms = claims_ms(mb);
	if (ms)
		loop_timer_set(mb->b.loop, &mb->look, ms);
}

const struct broker_ops memory_broker_ops = {
	.name = "memory",
	.default_address = "default",
	.caps = BROKER_GROUP | BROKER_ACK | BROKER_AUDIENCE | BROKER_HEADER | BROKER_KEY |
		BROKER_NULL_BODY | BROKER_NULL_HEADER | BROKER_REPEAT_HEADER |
		BROKER_BINARY_HEADER | BROKER_BINARY_TOPIC | BROKER_NO_NETWORK | BROKER_PROPS |
		BROKER_TIME | BROKER_RAW,
	.bare = true,
	.window = 4096,
	.size = sizeof(struct memory_broker),
	.options = memory_options,
	.init = memory_init,
	.release = memory_release,
	.connect = memory_connect,
	.disconnect = memory_disconnect,
	.publish = memory_publish,
	.subscribe = memory_subscribe_op,
	.unsubscribe = memory_unsubscribe_op,
	.ack = memory_ack,
	.pause = memory_pause,
	.audience = memory_audience,
	.drain = memory_drain,
	.list = memory_list,
};

MODULE_BROKER(memory_broker_ops);
