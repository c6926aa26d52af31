/* SPDX-License-Identifier: Apache-2.0 */
/* Envelope or bare body: see wire.h. */
#include "core/wire.h"

#include "core/log.h"

enum { COPY_KEEP = 64 * 1024 };		/* a copy larger than this is not kept */

void
wire_write(struct buf *b, const struct message *m, enum wire wire)
{
	if (wire == WIRE_RAW)
		buf_add_bytes(b, m->body);
	else
		envelope_write(b, m, NULL, 0);
}

size_t
wire_guess(const struct message *m, enum wire wire)
{
	size_t n = sizeof "{\"Header\":null,\"Body\":\"\"}" - 1 + (m->body.n + 2) / 3 * 4;

	if (wire == WIRE_RAW)
		return m->body.n;
	for (size_t i = 0; i < m->nheaders; i++)
		n += m->headers[i].name.n + m->headers[i].value.n + sizeof "\"\":\"\"," - 1;
	return n;
}

void
wire_reader_init(struct wire_reader *r, enum wire wire)
{
	*r = (struct wire_reader){ .wire = wire };
	envelope_init(&r->envelope);
}

void
wire_reader_release(struct wire_reader *r)
{
	envelope_release(&r->envelope);
	buf_release(&r->copy);
}

/* Decoding is done in place, and what looks like an envelope is one (tests/fuzz holds
 * that); go-micro takes more than that, but it may be none after all, so a copy is
 * tried. */
static bool
is_envelope(struct wire_reader *r, char *p, size_t n, const struct event *ev, bool *warned)
{
	if (r->wire == WIRE_RAW || !n || (r->wire == WIRE_AUTO && *p != '{'))
		return false;
	if (envelope_looks_like(p, n))
		return envelope_read(&r->envelope, p, n) == 0;
	if (r->wire == WIRE_AUTO)
		return false;
	if (r->copy.cap > COPY_KEEP)
		buf_release(&r->copy);
	buf_clear(&r->copy);
	buf_room(&r->copy, n + 1);
	buf_add(&r->copy, p, n);
	if (envelope_read(&r->envelope, buf_data(&r->copy), n) == 0)
		return true;
	if (!*warned)
		log_warn("%.*s: not an envelope of go-micro (%s): shown as it is, and so are others",
			BYTES_FMT(ev->topic), r->envelope.error);
	*warned = true;
	return false;
}

void
wire_read(struct wire_reader *r, char *p, size_t n, struct event *ev, bool *warned)
{
	if (is_envelope(r, p, n, ev, warned)) {
		ev->wire = EVENT_WIRE_MICRO;
		ev->msg = r->envelope.msg;
		return;
	}
	ev->wire = EVENT_WIRE_RAW;
	ev->payload = bytes_of(p, n);
	ev->msg = (struct message){ .body = ev->payload };
}
