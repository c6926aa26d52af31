/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An event as an entry of a stream, and any entry as an event. A stream's entry is
 * a list of fields with values, in order, names may repeat:
 *
 *	body		the body; without this field the body is null
 *	key		the key
 *	"" = ""		nothing: an entry must have a field, an event need not
 *	any other	a header
 *
 * A header that is called as one of these, or so with colons in front, gets one more
 * colon when it is written and loses one when it is read. So an entry that somebody
 * else made is shown with all it has, and comes out the same when it is copied.
 */
#include "backends/redis/redis.h"

#include <stdio.h>

static bool
is_reserved(struct bytes name)
{
	while (name.n && *name.p == ':') {
		name.p++;
		name.n--;
	}
	return name.n == 0 || bytes_eq(name, BYTES("body")) || bytes_eq(name, BYTES("key"));
}

size_t
redis_entry_words(const struct message *m)
{
	size_t fields = m->nheaders + (m->key.p != NULL) + (m->body.p != NULL);

	return 2 * (fields ? fields : 1);
}

static void
write_name(struct buf *b, struct bytes name)
{
	size_t begun;

	if (!is_reserved(name)) {
		resp_word(b, name);
		return;
	}
	begun = resp_word_begin(b, name.n + 1);
	buf_add_ch(b, ':');
	buf_add_bytes(b, name);
	resp_word_end(b, begun);
}

void
redis_entry_write(struct buf *b, const struct message *m)
{
	for (size_t i = 0; i < m->nheaders; i++) {
		write_name(b, m->headers[i].name);
		resp_word(b, m->headers[i].value);
	}
	if (m->key.p) {
		resp_word(b, BYTES("key"));
		resp_word(b, m->key);
	}
	if (m->body.p) {
		resp_word(b, BYTES("body"));
		resp_word(b, m->body);
	}
	if (!m->nheaders && !m->key.p && !m->body.p) {
		resp_word(b, BYTES(""));
		resp_word(b, BYTES(""));
	}
}

void
redis_entry_read(struct redis_broker *rb, const struct resp_value *fields, struct message *m)
{
	const struct resp_value *v = fields + 1;
	size_t n = (size_t)fields->n / 2;

	*m = (struct message){ 0 };
	if (n > rb->cap_headers) {
		rb->cap_headers = n + 16;
		rb->headers = xrealloc(rb->headers, rb->cap_headers * sizeof *rb->headers);
	}
	m->headers = rb->headers;
	for (; n--; v += 2) {
		struct bytes name = resp_bytes(&v[0]), value = resp_bytes(&v[1]);

		if (!m->body.p && bytes_eq(name, BYTES("body"))) {
			m->body = value;
		} else if (!m->key.p && bytes_eq(name, BYTES("key"))) {
			m->key = value;
		} else if (name.n || value.n) {
			if (name.n && *name.p == ':' && is_reserved(name)) {
				name.p++;
				name.n--;
			}
			rb->headers[m->nheaders++] = (struct header){ name, value };
		}
	}
}

/* ---- ids ---- */

/* "1526919030474-55"; the part behind '-' may be missing. */
bool
redis_id_parse(struct bytes s, struct redis_id *id)
{
	uint64_t *part = &id->ms;
	size_t digits = 0;

	*id = (struct redis_id){ 0 };
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '-' && part == &id->ms && digits) {
			part = &id->seq;
			digits = 0;
		} else if (s.p[i] >= '0' && s.p[i] <= '9') {
			uint64_t d = (uint64_t)(s.p[i] - '0');

			if (*part > (UINT64_MAX - d) / 10)
				return false;
			*part = *part * 10 + d;
			digits++;
		} else {
			return false;
		}
	}
	return digits > 0;
}

int
redis_id_cmp(struct redis_id a, struct redis_id b)
{
	if (a.ms != b.ms)
		return a.ms < b.ms ? -1 : 1;
	return a.seq < b.seq ? -1 : a.seq > b.seq;
}

struct redis_id
redis_id_before(struct redis_id id)
{
	if (id.seq)
		id.seq--;
	else if (id.ms)
		id = (struct redis_id){ id.ms - 1, UINT64_MAX };
	return id;
}

void
redis_id_word(struct buf *b, struct redis_id id)
{
	char text[48];

	resp_word(b, bytes_of(text, (size_t)snprintf(text, sizeof text, "%llu-%llu",
		(unsigned long long)id.ms, (unsigned long long)id.seq)));
}
