/* SPDX-License-Identifier: Apache-2.0 */
/* What an nsqd sends: see nsq.h. */
#include "backends/proto/nsq.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"

static uint64_t
get(const char *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

ssize_t
nsq_frame(struct nsq_frame *f, char *p, size_t n)
{
	enum { HEAD = 8, MESSAGE_HEAD = 8 + 2 + NSQ_ID };
	uint64_t size, kind;

	if (n < HEAD)
		return 0;
	size = get(p, 4);
	kind = get(p + 4, 4);
	if (size < 4 || size > NSQ_FRAME_MAX || kind > NSQ_MESSAGE ||
	    (kind == NSQ_MESSAGE && size - 4 < MESSAGE_HEAD))
		return -1;
	if (n < size + 4)
		return 0;
	*f = (struct nsq_frame){ .kind = (enum nsq_kind)kind, .p = p + HEAD, .n = size - 4 };
	if (kind == NSQ_MESSAGE) {
		f->time_ns = get(f->p, 8);
		f->attempts = (unsigned)get(f->p + 8, 2);
		f->id = f->p + 10;
		f->p += MESSAGE_HEAD;
		f->n -= MESSAGE_HEAD;
	}
	return (ssize_t)size + 4;
}

/* Of up to 18 digits; 0: it is none. */
static uint64_t
number(struct bytes text)
{
	uint64_t v = 0;

	if (text.n > 18)
		return 0;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return 0;
		v = v * 10 + (uint64_t)(text.p[i] - '0');
	}
	return v;
}

int
nsq_identity(struct nsq_identity *id, struct bytes text)
{
	struct json_scan s;
	enum json_token t;

	json_scan_init(&s, text.p, text.n);
	s.quiet = true;
	if (json_next(&s) != JSON_OBJECT)
		return -1;
	while ((t = json_next(&s)) == JSON_KEY) {
		struct bytes key = s.text;
		uint64_t n;

		t = json_next(&s);
		n = t == JSON_NUMBER ? number(s.text) : 0;
		if (bytes_eq(key, BYTES("tls_v1")))
			id->tls = t == JSON_TRUE;
		else if (bytes_eq(key, BYTES("max_rdy_count")) && n)
			id->rdy_max = n;
		else if (bytes_eq(key, BYTES("msg_timeout")) && n)
			id->msg_timeout_ms = n;
		if (!json_skip(&s, t))
			return -1;
	}
	return t == JSON_OBJECT_END && json_next(&s) == JSON_END ? 0 : -1;
}
