/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages: see dns.h. */
#include "backends/proto/dns.h"

enum { POINTER = 0xc0, POINTER_MAX = 0x3fff, JUMPS_MAX = 128 };

static uint16_t
get16(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void
put16(unsigned char *p, unsigned v)
{
	p[0] = (unsigned char)(v >> 8);
	p[1] = (unsigned char)v;
}

static void
add16(struct buf *b, unsigned v)
{
	put16((unsigned char *)buf_room(b, 2), v);
	buf_added(b, 2);
}

/* ---- names ---- */

const char *
dns_name_set(struct dns_name *name, struct bytes dotted)
{
	size_t at = 0;

	name->n = 0;
	if (dotted.n == 0)
		return "empty name";
	while (at <= dotted.n) {
		const char *dot = memchr(dotted.p + at, '.', dotted.n - at);
		size_t len = dot ? (size_t)(dot - dotted.p) - at : dotted.n - at;

		if (len == 0)
			return "empty label (a dot at an end, or two in a row)";
		if (len > DNS_LABEL_MAX)
			return "label over 63 bytes";
		if (name->n + 1 + len + 1 > DNS_NAME_MAX)
			return "name over 255 bytes";
		name->b[name->n++] = (unsigned char)len;
		memcpy(name->b + name->n, dotted.p + at, len);
		name->n += (unsigned)len;
		at += len + 1;
	}
	name->b[name->n++] = 0;
	return NULL;
}

const char *
dns_name_add(struct dns_name *name, const struct dns_name *tail)
{
	if (name->n - 1 + tail->n > DNS_NAME_MAX)
		return "name over 255 bytes";
	memcpy(name->b + name->n - 1, tail->b, tail->n);
	name->n += tail->n - 1;
	return NULL;
}

bool
dns_name_eq(const struct dns_name *a, const struct dns_name *b)
{
	return a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

/* Where tail begins in name, which is at a label of name; 0: it does not. */
static unsigned
tail_at(const struct dns_name *name, const struct dns_name *tail)
{
	unsigned at = 0;

	if (name->n <= tail->n)
		return 0;
	while (name->n - at > tail->n)
		at += name->b[at] + 1u;
	return name->n - at == tail->n && memcmp(name->b + at, tail->b, tail->n) == 0 ? at : 0;
}

bool
dns_name_is_under(const struct dns_name *name, const struct dns_name *tail)
{
	return tail_at(name, tail) != 0;
}

void
dns_name_text(struct buf *out, const struct dns_name *name, const struct dns_name *tail)
{
	unsigned end = tail ? tail_at(name, tail) : name->n - 1;

	for (unsigned at = 0; at < end; at += name->b[at] + 1u) {
		if (at)
			buf_add_ch(out, '.');
		buf_add(out, name->b + at + 1, name->b[at]);
	}
}

/* ---- reading ---- */

bool
dns_open(struct dns_reader *r, const void *p, size_t n)
{
	memset(r, 0, sizeof *r);
	if (n < DNS_HEAD_SIZE)
		return false;
	r->p = p;
	r->n = n;
	r->at = DNS_HEAD_SIZE;
	r->id = get16(r->p);
	r->flags = get16(r->p + 2);
	r->questions = get16(r->p + 4);
	r->answers = get16(r->p + 6);
	r->authority = get16(r->p + 8);
	r->additional = get16(r->p + 10);
	r->records = r->answers + r->authority + r->additional;
	return true;
}

/* The name at *at, which moves behind it. Each pointer must point before where
 * the run of labels that ends in it began, so their targets only go down; and a
 * pointer for each label is enough, so that a packet of pointers costs little. */
static bool
read_name(const struct dns_reader *r, size_t *at, struct dns_name *out)
{
	size_t pos = *at, floor = *at;
	unsigned jumps = 0;

	out->n = 0;
	for (;;) {
		unsigned len;

		if (pos >= r->n)
			return false;
		len = r->p[pos];
		if ((len & POINTER) == POINTER) {
			size_t target;

			if (pos + 2 > r->n)
				return false;
			target = get16(r->p + pos) & POINTER_MAX;
			if (target >= floor || jumps == JUMPS_MAX)
				return false;
			if (!jumps++)
				*at = pos + 2;
			pos = floor = target;
			continue;
		}
		if (len > DNS_LABEL_MAX || pos + 1 + len > r->n || out->n + 1 + len > DNS_NAME_MAX)
			return false;
		memcpy(out->b + out->n, r->p + pos, len + 1);
		out->n += len + 1;
		pos += len + 1;
		if (len == 0)
			break;
	}
	if (!jumps)
		*at = pos;
	return true;
}

int
dns_next_question(struct dns_reader *r, struct dns_question *q)
{
	if (r->questions == 0)
		return 0;
	if (!read_name(r, &r->at, &q->name) || r->n - r->at < 4)
		return -1;
	q->type = get16(r->p + r->at);
	q->class = get16(r->p + r->at + 2);
	r->at += 4;
	r->questions--;
	return 1;
}

int
dns_next_record(struct dns_reader *r, struct dns_record *rr)
{
	const unsigned char *p;
	struct dns_question q;

	while (r->questions)
		if (dns_next_question(r, &q) < 0)
			return -1;
	if (r->records == 0)
		return 0;
	if (!read_name(r, &r->at, &rr->name) || r->n - r->at < 10)
		return -1;
	p = r->p + r->at;
	rr->type = get16(p);
	rr->class = get16(p + 2);
	rr->ttl = (uint32_t)get16(p + 4) << 16 | get16(p + 6);
	rr->ndata = get16(p + 8);
	r->at += 10;
	if (r->n - r->at < rr->ndata)
		return -1;
	rr->data = r->p + r->at;
	r->at += rr->ndata;
	r->records--;
	return 1;
}

bool
dns_read_srv(const struct dns_reader *r, const struct dns_record *rr, struct dns_srv *out)
{
	size_t data = (size_t)(rr->data - r->p), at = data + 6;

	/* The name fills the rest of the data. */
	if (rr->ndata <= 6 || !read_name(r, &at, &out->target) || at != data + rr->ndata)
		return false;
	out->priority = get16(rr->data);
	out->weight = get16(rr->data + 2);
	out->port = get16(rr->data + 4);
	return true;
}

bool
dns_read_txt(struct bytes data, struct buf *out)
{
	size_t at = 0;

	while (at < data.n) {
		size_t len = (unsigned char)data.p[at++];

		if (data.n - at < len)
			return false;
		buf_add(out, data.p + at, len);
		at += len;
	}
	return true;
}

/* ---- writing ---- */

void
dns_begin(struct dns_writer *w, struct buf *out, uint16_t id, uint16_t flags, bool compress)
{
	unsigned char *p = (unsigned char *)buf_room(out, DNS_HEAD_SIZE);

	w->out = out;
	w->base = buf_len(out);
	w->compress = compress;
	w->nnames = 0;
	memset(p, 0, DNS_HEAD_SIZE);
	put16(p, id);
	put16(p + 2, flags);
	buf_added(out, DNS_HEAD_SIZE);
}

static unsigned char *
message(const struct dns_writer *w)
{
	return (unsigned char *)buf_data(w->out) + w->base;
}

static size_t
message_len(const struct dns_writer *w)
{
	return buf_len(w->out) - w->base;
}

static void
count(struct dns_writer *w, enum dns_section s)
{
	unsigned char *p = message(w) + 4 + 2 * s;

	put16(p, get16(p) + 1u);
}

/* Is the (perhaps compressed) name that we wrote at `at` this one? */
static bool
written_is(const struct dns_writer *w, unsigned at, const unsigned char *name)
{
	const unsigned char *m = message(w);

	for (;;) {
		unsigned len = m[at];

		if ((len & POINTER) == POINTER) {
			at = get16(m + at) & POINTER_MAX;
			continue;
		}
		if (len != *name || memcmp(m + at + 1, name + 1, len) != 0)
			return false;
		if (len == 0)
			return true;
		at += len + 1;
		name += len + 1;
	}
}

/* Offset of a name written before; 0: none. */
static unsigned
find_written(const struct dns_writer *w, const unsigned char *name)
{
	for (unsigned i = 0; i < w->nnames; i++)
		if (written_is(w, w->names[i], name))
			return w->names[i];
	return 0;
}

static void
add_name(struct dns_writer *w, const struct dns_name *name, bool may_point)
{
	unsigned fresh[DNS_NAME_MAX / 2 + 1], nfresh = 0, at = 0, target = 0;
	size_t begin = message_len(w);

	if (!w->compress) {
		buf_add(w->out, name->b, name->n);
		return;
	}
	for (; name->b[at]; at += name->b[at] + 1u) {
		unsigned seen = find_written(w, name->b + at);

		if (seen && may_point) {
			target = seen;
			break;
		}
		if (!seen && begin + at <= POINTER_MAX)
			fresh[nfresh++] = (unsigned)begin + at;
	}
	buf_add(w->out, name->b, at);
	if (target)
		add16(w->out, (unsigned)POINTER << 8 | target);
	else
		buf_add_ch(w->out, '\0');
	for (unsigned i = 0; i < nfresh && w->nnames < DNS_COMPRESS_MAX; i++)
		w->names[w->nnames++] = (uint16_t)fresh[i];
}

void
dns_add_question(struct dns_writer *w, const struct dns_name *name, uint16_t type,
	uint16_t class)
{
	count(w, DNS_QUESTION);
	add_name(w, name, true);
	add16(w->out, type);
	add16(w->out, class);
}

/* The head of a record; its data follows, then end_record(). */
static size_t
begin_record(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
	uint16_t type, uint32_t ttl)
{
	count(w, s);
	add_name(w, name, true);
	add16(w->out, type);
	add16(w->out, DNS_IN);
	add16(w->out, ttl >> 16);
	add16(w->out, ttl & 0xffff);
	add16(w->out, 0);
	return message_len(w);
}

static void
end_record(struct dns_writer *w, size_t data_at)
{
	put16(message(w) + data_at - 2, (unsigned)(message_len(w) - data_at));
}

void
dns_add_ptr(struct dns_writer *w, enum dns_section s, const struct dns_name *name, uint32_t ttl,
	const struct dns_name *target)
{
	size_t at = begin_record(w, s, name, DNS_PTR, ttl);

	add_name(w, target, true);
	end_record(w, at);
}

void
dns_add_srv(struct dns_writer *w, enum dns_section s, const struct dns_name *name, uint32_t ttl,
	const struct dns_srv *srv)
{
	size_t at = begin_record(w, s, name, DNS_SRV, ttl);

	add16(w->out, srv->priority);
	add16(w->out, srv->weight);
	add16(w->out, srv->port);
	add_name(w, &srv->target, false);
	end_record(w, at);
}

void
dns_add_data(struct dns_writer *w, enum dns_section s, const struct dns_name *name,
	uint16_t type, uint32_t ttl, struct bytes data)
{
	size_t at = begin_record(w, s, name, type, ttl);

	buf_add_bytes(w->out, data);
	end_record(w, at);
}

void
dns_add_strings(struct buf *out, struct bytes text)
{
	for (size_t at = 0; at < text.n;) {
		size_t len = text.n - at < 255 ? text.n - at : 255;

		buf_add_ch(out, (char)(unsigned char)len);
		buf_add(out, text.p + at, len);
		at += len;
	}
}
