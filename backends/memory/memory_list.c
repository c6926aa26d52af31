/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is on a bus, for `mbus topics`: who is attached, what is subscribed to, how far
 * behind everybody is. With -X memory.remove: what is left goes.
 */
#include "backends/memory/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/listing.h"
#include "core/log.h"

/* The listing under way, of one bus or several: rows grow, strings are kept apart. */
struct rows {
	struct listed_topic *topics;
	struct listed_group *groups;
	struct listed_subscriber *subs;
	struct listed_address *buses;
	size_t ntopics, ngroups, nsubs, nbuses;
	char **strings;
	size_t nstrings;
	const char *const *names;
	size_t nnames;
	bool want_groups;
};

#define ADD(rows, list, n) \
	((rows)->list = xrealloc((rows)->list, ((rows)->n + 1) * sizeof *(rows)->list), \
	 &(rows)->list[(rows)->n++])

static const char *
keep(struct rows *rows, const char *p, size_t n)
{
	rows->strings = xrealloc(rows->strings, (rows->nstrings + 1) * sizeof *rows->strings);
	return rows->strings[rows->nstrings++] = xmemdup0(p, n);
}

static bool
is_wanted(const struct rows *rows, const char *topic)
{
	for (size_t i = 0; i < rows->nnames; i++)
		if (strcmp(rows->names[i], topic) == 0)
			return true;
	return rows->nnames == 0;
}

static int64_t
behind(uint64_t all, uint64_t start, uint64_t done)
{
	uint64_t have = all - start;

	return have > done && have - done < INT64_MAX ? (int64_t)(have - done) : 0;
}

/* ---- one bus ---- */

static void
add_subscriber(struct rows *rows, struct memory_bus *m, const struct memory_sub *s,
	const char *topic, uint64_t events, const char *address)
{
	uint32_t slot = LOAD(s->slot);
	struct listed_subscriber *l;
	struct memory_group *g;
	struct stat st;
	char program[17] = "";
	uint64_t ns = stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;

	if (slot >= MEMORY_SLOTS)
		return;
	g = s->group ? memory_group_at(m, s->group - 1) : NULL;
	memcpy(program, m->slots[slot].program, 16);
	l = ADD(rows, subs, nsubs);
	*l = (struct listed_subscriber){ .topic = topic, .address = address,
		.pid = m->slots[slot].pid, .lag = -1, .dropped = -1 };
	l->program = keep(rows, program, strlen(program));
	if (ns && m->slots[slot].pid_ns && ns != m->slots[slot].pid_ns)
		l->where = "another pid namespace";
	if (g && g->name_n < sizeof g->name)
		l->group = keep(rows, g->name, g->name_n);
	else
		l->lag = behind(events, s->start_events, LOAD(s->events) + LOAD(s->lost) +
			LOAD(s->dropped));
	if (s->drop)
		l->dropped = (int64_t)((LOAD(s->lost) + LOAD(s->dropped)) & INT64_MAX);
}

static void
add_group(struct rows *rows, struct memory_bus *m, uint32_t i, const char *topic,
	uint64_t events, const char *address)
{
	struct memory_group *g = memory_group_at(m, i);
	struct listed_place *place = xcalloc(1, sizeof *place);
	struct listed_group *l = ADD(rows, groups, ngroups);
	int64_t lag = behind(events, g->start_events, LOAD(g->done));

	*place = (struct listed_place){ .topic = topic, .partition = -1,
		.offset = (int64_t)(LOAD(g->done) & INT64_MAX) };
	place->end = place->offset + lag;
	*l = (struct listed_group){ .name = keep(rows, g->name, g->name_n < sizeof g->name ?
		g->name_n : 0), .nmembers = memory_members(m, i), .nplaces = 1, .places = place,
		.address = address };
	l->state = l->nmembers ? "stable" : "empty";
	rows->strings = xrealloc(rows->strings, (rows->nstrings + 1) * sizeof *rows->strings);
	rows->strings[rows->nstrings++] = (char *)place;
}

static void
add_ring(struct rows *rows, struct memory_bus *m, uint32_t ring, const char *address)
{
	struct memory_ring *r = memory_ring_at(m, ring);
	uint64_t head, events = memory_ring_events(r, &head);
	uint32_t n = LOAD(r->filter_n);
	struct memory_group *g;
	struct memory_sub *s;
	const char *topic;
	struct listed_topic *t;
	int64_t nsubs = 0;

	if (LOAD(r->state) != STATE_USED || n > MEMORY_FILTER_MAX)
		return;
	topic = keep(rows, r->filter, n);
	if (!is_wanted(rows, topic))
		return;
	for (uint32_t i = 0; (s = memory_sub_at(m, i)); i++)
		if (LOAD(s->state) == STATE_USED && s->ring == ring) {
			nsubs++;
			add_subscriber(rows, m, s, topic, events, address);
		}
	for (uint32_t i = 0; rows->want_groups && (g = memory_group_at(m, i)); i++)
		if (LOAD(g->state) == STATE_USED && g->ring == ring)
			add_group(rows, m, i, topic, events, address);
	t = ADD(rows, topics, ntopics);
	*t = (struct listed_topic){ .name = topic, .address = address, .nsubscribers = nsubs,
		.events = (int64_t)(events & INT64_MAX),
		.lost = (int64_t)(LOAD(r->lost) & INT64_MAX) };
}

static void
add_bus(struct rows *rows, struct memory_bus *m)
{
	const char *address = keep(rows, m->place.name, strlen(m->place.name));
	struct listed_address *b = ADD(rows, buses, nbuses);
	uint32_t owner = memory_lock_owner(m);
	char text[60];
	struct stat st;

	*b = (struct listed_address){ .address = address };
	b->bytes = fstat(m->fd, &st) == 0 ? (int64_t)st.st_blocks * 512 : -1;
	for (uint32_t i = 0; i < MEMORY_BODIES; i++)
		if (LOAD(m->bodies[i].state) == STATE_USED)
			b->bytes += (int64_t)(m->bodies[i].size & INT32_MAX);
	for (uint32_t i = 0; i < MEMORY_SLOTS && i < LOAD(m->head->slots); i++)
		b->nattached += i != m->slot && memory_alive(m, i, LOAD(m->slots[i].generation));
	if (memory_lock(m)) {
		memory_reap(m);
		memory_unlock(m);
	} else if (owner < MEMORY_SLOTS) {
		snprintf(text, sizeof text, "locked by pid %d, which stands still",
			(int)m->slots[owner].pid);
		b->state = keep(rows, text, strlen(text));
	}
	for (uint32_t i = 0; memory_ring_at(m, i); i++)
		add_ring(rows, m, i, address);
}

/* ---- all of them ---- */

static int
list_one(struct memory_broker *mb, struct rows *rows, const char *name, struct error *err)
{
	struct memory_place place = mb->place;
	struct memory_bus *m;

	snprintf(place.name, sizeof place.name, "%s", name);
	if (memory_open(&m, &place, false, err) < 0)
		return -1;
	if (m) {
		add_bus(rows, m);
		memory_close(m);
	}
	return 0;
}

/* Of one that cannot be opened, the reason is said, and the others are shown. */
static void
list_all(struct memory_broker *mb, struct rows *rows)
{
	struct buf names = BUF_INIT;
	struct error err;
	const char *p;
	size_t n;

	memory_buses(mb->place.folder, mb->place.uid, &names, &n);
	p = buf_data(&names);
	for (size_t i = 0; i < n; i++, p += strlen(p) + 1)
		if (list_one(mb, rows, p, &err) < 0)
			log_warn("%s", err.text);
	buf_release(&names);
}

static int
remove_one(struct memory_broker *mb, struct error *err)
{
	bool none;

	if (memory_remove(&mb->place, mb->remove == 1, &none, err) < 0)
		return -1;
	if (none)
		return error_set(err, ERR_NOTFOUND, "there is no bus %s", mb->place.name);
	return 0;
}

static void
rows_release(struct rows *rows)
{
	for (size_t i = 0; i < rows->nstrings; i++)
		free(rows->strings[i]);
	free(rows->strings);
	free(rows->topics);
	free(rows->groups);
	free(rows->subs);
	free(rows->buses);
}

int
memory_list(struct broker *b, const char *const *topics, size_t n, bool groups, listing_fn *fn,
	void *arg, struct error *err)
{
	struct memory_broker *mb = memory_of(b);
	struct rows rows = { .names = topics, .nnames = n, .want_groups = groups };
	struct listing l;
	int r = 0;

	/* Ours is no user of it: who lists is not to be listed. */
	if (mb->bus)
		memory_close(mb->bus);
	mb->bus = NULL;
	if (mb->remove && n)
		r = error_set(err, ERR_USAGE, "-X memory.remove removes a bus, and not topics of it");
	else if (mb->remove)
		r = remove_one(mb, err);
	else if (mb->named)
		r = list_one(mb, &rows, mb->place.name, err);
	else
		list_all(mb, &rows);
	if (r == 0) {
		l = (struct listing){ .topics = rows.topics, .ntopics = rows.ntopics,
			.groups = rows.groups, .ngroups = rows.ngroups,
			.subscribers = rows.subs, .nsubscribers = rows.nsubs,
			.addresses = rows.buses, .naddresses = rows.nbuses };
		fn(b, &l, NULL, arg);
	}
	rows_release(&rows);
	return r;
}
