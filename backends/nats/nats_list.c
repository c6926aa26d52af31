/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept, for `mbus topics`: the streams, page by page, and then the consumers of
 * each. A stream is shown as a topic of one partition, a consumer as a group, whose lag is
 * what it has not acknowledged.
 */
#include "backends/nats/nats.h"

#include <stdlib.h>

#include "core/listing.h"

enum { PAGE = 256, STREAMS_MAX = 100000 };

struct nats_listing {
	listing_fn *fn;
	void *arg;
	const char *const *names;
	size_t nnames;
	bool groups;
	size_t offset;			/* of the page that was asked for */
	size_t at;			/* whose consumers are asked for */
	bool consumers;
	size_t ntopics, ngroups;
	struct listed_topic *topics;
	struct listed_part *parts;	/* one each */
	struct listed_group *of;
	struct listed_place *places;	/* one each */
};

static void
release(struct nats_listing *l)
{
	for (size_t i = 0; i < l->ntopics; i++)
		free((char *)l->topics[i].name);
	for (size_t i = 0; i < l->ngroups; i++)
		free((char *)l->of[i].name);
	free(l->topics);
	free(l->parts);
	free(l->of);
	free(l->places);
	free(l);
}

/* err NULL: it is whole. */
static void
finish(struct nats_broker *nb, const struct error *err)
{
	struct nats_listing *l = nb->listing;
	struct listing all = { .ntopics = l->ntopics, .topics = l->topics, .ngroups = l->ngroups,
		.groups = l->of };

	nb->listing = NULL;
	for (size_t i = 0; i < l->ntopics; i++) {
		l->topics[i].parts = &l->parts[i];
		l->topics[i].nparts = 1;
	}
	for (size_t i = 0; i < l->ngroups; i++) {
		l->of[i].places = &l->places[i];
		l->of[i].nplaces = 1;
	}
	l->fn(&nb->b, err ? NULL : &all, err, l->arg);
	release(l);
}

static void
ask(struct nats_broker *nb, const char *subject)
{
	struct buf text = BUF_INIT, body = BUF_INIT;

	buf_addf(&body, "{\"offset\":%zu}", nb->listing->offset);
	buf_addf(&text, "PUB %s %s.l %zu\r\n%s\r\n", subject, nb->inbox, buf_len(&body), buf_cstr(&body));
	buf_add_bytes(pipeline_out(&nb->p), buf_bytes(&text));
	pipeline_kick(&nb->p);
	buf_release(&text);
	buf_release(&body);
}

static void
ask_consumers(struct nats_broker *nb)
{
	struct nats_listing *l = nb->listing;
	struct buf subject = BUF_INIT;

	l->consumers = true;
	if (!l->groups || l->at == l->ntopics) {
		finish(nb, NULL);
		return;
	}
	buf_addf(&subject, "$JS.API.CONSUMER.LIST.%s", l->topics[l->at].name);
	ask(nb, buf_cstr(&subject));
	buf_release(&subject);
}

static bool
is_wanted(const struct nats_listing *l, struct bytes name)
{
	for (size_t i = 0; i < l->nnames; i++)
		if (bytes_eq(name, bytes_str(l->names[i])))
			return true;
	return l->nnames == 0;
}

static int64_t signed_of(uint64_t n) { return n > INT64_MAX ? INT64_MAX : (int64_t)n; }

static void
add_stream(const struct nats_listed *s, void *arg)
{
	struct nats_listing *l = arg;

	if (!is_wanted(l, s->name))
		return;
	l->topics = xrealloc(l->topics, (l->ntopics + 1) * sizeof *l->topics);
	l->parts = xrealloc(l->parts, (l->ntopics + 1) * sizeof *l->parts);
	l->topics[l->ntopics] = (struct listed_topic){ .name = xmemdup0(s->name.p, s->name.n),
		.nsubscribers = -1, .events = signed_of(s->messages), .lost = -1 };
	l->parts[l->ntopics++] = (struct listed_part){ .nreplicas = s->replicas, .ninsync = s->replicas,
		.first = signed_of(s->first), .end = signed_of(s->last) + 1 };
}

static void
add_consumer(const struct nats_listed *c, void *arg)
{
	struct nats_listing *l = arg;
	int64_t at = signed_of(c->acked);

	l->of = xrealloc(l->of, (l->ngroups + 1) * sizeof *l->of);
	l->places = xrealloc(l->places, (l->ngroups + 1) * sizeof *l->places);
	l->of[l->ngroups] = (struct listed_group){ .name = xmemdup0(c->name.p, c->name.n),
		.state = c->durable ? "durable" : "ephemeral", .nmembers = SIZE_MAX };
	l->places[l->ngroups++] = (struct listed_place){ .topic = l->topics[l->at].name, .partition = -1,
		.offset = at + 1, .end = at + 1 + signed_of((c->pending + c->unanswered) & INT32_MAX) };
}

void
nats_list_answer(struct nats_broker *nb, struct nats_frame *f)
{
	struct nats_listing *l = nb->listing;
	struct error err;
	uint64_t total;

	if (!l)
		return;
	if ((f->head.p && nb->head.status) || nats_list_read(f->body, f->n, l->consumers ? "consumers" :
	    "streams", l->consumers ? add_consumer : add_stream, l, &total) < 0) {
		error_set(&err, ERR_NOTFOUND, "%s: the server lists no streams: it has no JetStream, or not "
			"for this user", link_name(nb->p.link));
		finish(nb, &err);
		return;
	}
	l->offset += PAGE;
	if (l->offset < total && l->offset < STREAMS_MAX) {
		if (l->consumers)
			ask_consumers(nb);
		else
			ask(nb, "$JS.API.STREAM.LIST");
		return;
	}
	l->offset = 0;
	l->at += l->consumers;
	ask_consumers(nb);
}

int
nats_list(struct nats_broker *nb, const char *const *names, size_t n, bool groups, listing_fn *fn,
	void *arg, struct error *err)
{
	if (!nb->p.ready || nb->listing)
		return error_set(err, ERR_CONNECT, "%s: not connected", link_name(nb->p.link));
	nb->listing = xcalloc(1, sizeof *nb->listing);
	nb->listing->fn = fn;
	nb->listing->arg = arg;
	nb->listing->names = names;
	nb->listing->nnames = n;
	nb->listing->groups = groups;
	nats_js_ready(nb);
	ask(nb, "$JS.API.STREAM.LIST");
	return 0;
}

void
nats_list_denied(struct nats_broker *nb, const struct error *err)
{
	if (nb->listing)
		finish(nb, err);
}

void
nats_list_release(struct nats_broker *nb)
{
	if (nb->listing)
		release(nb->listing);
	nb->listing = NULL;
}
