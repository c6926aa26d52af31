/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of streams and consumers: see nats.h. */
#include "backends/proto/nats.h"

#include <stdlib.h>

#include "core/json.h"

/* ASCII digits, as JSON has them; what is no such number is 0. */
static uint64_t
count(struct bytes text)
{
	uint64_t n = 0;

	for (size_t i = 0; i < text.n && i < 19; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return 0;
		n = n * 10 + (uint64_t)(text.p[i] - '0');
	}
	return n;
}

/* A member of one in the list, or of an object in it, whose key is `of`. */
static void
member(struct nats_listed *l, struct bytes of, struct bytes key, enum json_token t, struct json_scan *s)
{
	const struct { const char *of, *key; uint64_t *to; } numbers[] = {
		{ "config", "num_replicas", &l->replicas },
		{ "state", "first_seq", &l->first },
		{ "state", "last_seq", &l->last },
		{ "state", "messages", &l->messages },
		{ "ack_floor", "stream_seq", &l->acked },
		{ "", "num_pending", &l->pending },
		{ "", "num_ack_pending", &l->unanswered },
	};

	if (t == JSON_STRING && bytes_eq(key, BYTES("name")) && (!of.n || bytes_eq(of, BYTES("config"))))
		l->name = json_unescape(s, NULL);
	if (t == JSON_STRING && bytes_eq(key, BYTES("durable_name")))
		l->durable = true;
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers && t == JSON_NUMBER; i++)
		if (bytes_eq(of, bytes_str(numbers[i].of)) && bytes_eq(key, bytes_str(numbers[i].key)))
			*numbers[i].to = count(s->text);
}

static bool
one(struct nats_listed *l, struct bytes of, struct json_scan *s)
{
	struct bytes key;
	enum json_token t;

	while ((t = json_next(s)) == JSON_KEY) {
		key = json_unescape(s, NULL);
		t = json_next(s);
		member(l, of, key, t, s);
		if (t == JSON_OBJECT && !of.n ? !one(l, key, s) : !json_skip(s, t))
			return false;
	}
	return t == JSON_OBJECT_END;
}

static bool
all(struct json_scan *s, nats_listed_fn *fn, void *arg)
{
	enum json_token t;

	while ((t = json_next(s)) == JSON_OBJECT) {
		struct nats_listed l = { .durable = false };

		if (!one(&l, BYTES(""), s))
			return false;
		if (l.name.n)
			fn(&l, arg);
	}
	return t == JSON_ARRAY_END;
}

int
nats_list_read(char *p, size_t n, const char *list, nats_listed_fn *fn, void *arg, uint64_t *total)
{
	struct json_scan s;
	enum json_token t;
	struct bytes key;
	bool good = false;

	*total = 0;
	json_scan_init(&s, p, n);
	s.quiet = true;
	if (json_next(&s) != JSON_OBJECT)
		return -1;
	while ((t = json_next(&s)) == JSON_KEY) {
		key = json_unescape(&s, NULL);
		t = json_next(&s);
		if (bytes_eq(key, BYTES("total")) && t == JSON_NUMBER) {
			*total = count(s.text);
			good = true;
		}
		if (bytes_eq(key, bytes_str(list)) && t == JSON_ARRAY ? !all(&s, fn, arg) : !json_skip(&s, t))
			return -1;
	}
	return t == JSON_OBJECT_END && good ? 0 : -1;
}
