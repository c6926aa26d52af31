/* SPDX-License-Identifier: Apache-2.0 */
/* What JetStream answers: see nats.h. */
#include "backends/proto/nats.h"
#include "core/json.h"

static bool
number(struct bytes w, uint64_t *n)
{
	*n = 0;
	if (!w.n || w.n > 19)
		return false;
	for (size_t i = 0; i < w.n; i++) {
		if (w.p[i] < '0' || w.p[i] > '9')
			return false;
		*n = *n * 10 + (uint64_t)(w.p[i] - '0');
	}
	return true;
}

static bool
read_error(struct nats_answer *a, struct json_scan *s, enum json_token t)
{
	struct bytes key;

	a->error = BYTES("no reason is given");
	if (t != JSON_OBJECT)
		return json_skip(s, t);
	while ((t = json_next(s)) == JSON_KEY) {
		key = json_unescape(s, NULL);
		t = json_next(s);
		if (t == JSON_STRING && bytes_eq(key, BYTES("description")))
			a->error = json_unescape(s, NULL);
		else if (t == JSON_NUMBER && bytes_eq(key, BYTES("err_code")))
			number(s->text, &a->code);
		else if (!json_skip(s, t))
			return false;
	}
	return t == JSON_OBJECT_END;
}

static bool
read_config(struct nats_answer *a, struct json_scan *s, enum json_token t)
{
	struct bytes key;

	if (t != JSON_OBJECT)
		return json_skip(s, t);
	while ((t = json_next(s)) == JSON_KEY) {
		key = json_unescape(s, NULL);
		t = json_next(s);
		if (t == JSON_NUMBER && bytes_eq(key, BYTES("ack_wait")))
			number(s->text, &a->ack_wait_ns);
		else if (t == JSON_STRING && bytes_eq(key, BYTES("filter_subject")))
			a->filter = json_unescape(s, NULL);
		else if (!json_skip(s, t))
			return false;
	}
	return t == JSON_OBJECT_END;
}

static bool
read_streams(struct nats_answer *a, struct json_scan *s, enum json_token t)
{
	if (t != JSON_ARRAY)
		return json_skip(s, t);
	while ((t = json_next(s)) == JSON_STRING)
		if (!a->nstreams++)
			a->first = json_unescape(s, NULL);
	return t == JSON_ARRAY_END;
}

static bool
read_field(struct nats_answer *a, struct json_scan *s, struct bytes key)
{
	enum json_token t = json_next(s);

	if (bytes_eq(key, BYTES("error")))
		return read_error(a, s, t);
	if (bytes_eq(key, BYTES("config")))
		return read_config(a, s, t);
	if (bytes_eq(key, BYTES("streams")))
		return read_streams(a, s, t);
	if (t == JSON_STRING && bytes_eq(key, BYTES("stream")))
		a->stream = json_unescape(s, NULL);
	else if (t == JSON_STRING && bytes_eq(key, BYTES("name")))
		a->name = json_unescape(s, NULL);
	else if (t == JSON_NUMBER && bytes_eq(key, BYTES("seq")))
		number(s->text, &a->seq);
	else if (t == JSON_NUMBER && bytes_eq(key, BYTES("num_pending")))
		number(s->text, &a->pending);
	else if (bytes_eq(key, BYTES("duplicate")))
		a->duplicate = t == JSON_TRUE;
	return json_skip(s, t);
}

int
nats_answer_read(struct nats_answer *a, char *p, size_t n)
{
	struct json_scan s;
	enum json_token t;

	*a = (struct nats_answer){ .code = 0 };
	json_scan_init(&s, p, n);
	s.quiet = true;
	if (json_next(&s) != JSON_OBJECT)
		return -1;
	while ((t = json_next(&s)) == JSON_KEY)
		if (!read_field(a, &s, json_unescape(&s, NULL)))
			return -1;
	return t == JSON_OBJECT_END ? 0 : -1;
}

/* $JS.ACK.STREAM.CONSUMER.delivered.seq.consumer-seq.time.pending; newer servers have a
 * domain and an account in front of the stream, and may have more behind. */
bool
nats_place_read(struct nats_place *m, struct bytes reply)
{
	uint64_t *const to[] = { &m->delivered, &m->seq, &m->consumer_seq, &m->time_ns, &m->pending };
	const char *p = reply.p, *end = reply.p + reply.n;
	struct bytes part[13];
	size_t n = 0, first;

	if (reply.n < 8 || memcmp(reply.p, "$JS.ACK.", 8) != 0)
		return false;
	while (n < 13) {
		const char *dot = memchr(p, '.', (size_t)(end - p));

		part[n++] = bytes_of(p, (size_t)((dot ? dot : end) - p));
		if (!dot)
			break;
		p = dot + 1;
	}
	first = n == 9 ? 4 : 6;
	if (n < 9 || n == 10)
		return false;
	for (size_t i = 0; i < 5; i++)
		if (!number(part[first + i], to[i]))
			return false;
	return true;
}
