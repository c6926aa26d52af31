/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1, the reading half: request and response heads, chunked bodies.
 *
 * A head is parsed in one pass, from its beginning each time it is tried: heads
 * are some 200 bytes and nearly always arrive whole, so keeping state between
 * tries would cost more than it saves. Lines are found eight bytes at a time by
 * looking for any control character: that one scan also refuses NUL, bare CR,
 * bare LF and the like, which is where two readers of one message may come to
 * disagree about where it ends.
 */
#include <endian.h>

#include "backends/proto/http.h"

/* Bytes a method or header name may have (RFC 9110, token). */
static const bool token_byte[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
	['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1,
	['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1
};

/* Bytes of a Host value, those that Go's server takes. */
static const bool host_byte[256] = {
	['!'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['('] = 1, [')'] = 1, ['*'] = 1,
	['+'] = 1, [','] = 1, ['-'] = 1, ['.'] = 1, [':'] = 1, [';'] = 1, ['='] = 1, ['['] = 1,
	[']'] = 1, ['_'] = 1, ['~'] = 1,
	['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1
};

struct parse {
	struct http_head *h;
	const char *p, *end;		/* what is left */
	const char *error;
	bool response;
	bool coding;			/* there was a Transfer-Encoding */
	bool close, keep;		/* what Connection said */
};

static enum http_result
bad(struct parse *ps, unsigned status, const char *error)
{
	ps->h->status = status;
	ps->error = error;
	return HTTP_BAD;
}

/* The first byte below space other than tab, or DEL; end if there is none.
 * Subtracting sets the top bit of every byte that is smaller, and borrows only
 * from bytes above it, so that the lowest bit set is always a true one. */
static const char *
find_control(const char *p, const char *end)
{
	const uint64_t ones = 0x0101010101010101, tops = ones * 0x80;

	while (end - p >= 8) {
		uint64_t w, del, hit;

		memcpy(&w, p, 8);
		w = le64toh(w);
		del = w ^ ones * 0x7f;
		hit = (((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & tops;
		if (!hit) {
			p += 8;
			continue;
		}
		p += __builtin_ctzll(hit) / 8;
		if (*p != '\t')
			return p;
		p++;
	}
	for (; p < end; p++)
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return p;
	return end;
}

/* Takes a line and gives it without its CR LF. */
static enum http_result
take_line(struct parse *ps, struct bytes *line)
{
	const char *e = find_control(ps->p, ps->end);

	if (e == ps->end || (*e == '\r' && e + 1 == ps->end))
		return HTTP_MORE;
	if (*e == '\n')
		return bad(ps, 400, "a line ends with a bare LF");
	if (*e != '\r')
		return bad(ps, 400, "control character in the head");
	if (e[1] != '\n')
		return bad(ps, 400, "bare CR in the head");
	*line = bytes_of(ps->p, (size_t)(e - ps->p));
	ps->p = e + 2;
	return HTTP_OK;
}

/* lower: lower case letters, digits, '-', ':' and '/'. Setting bit 5 makes letters
 * lower case and leaves those others alone; what else it would turn into one of
 * them are control characters, of which a line has none. */
static bool
same_word(struct bytes word, const char *lower, size_t n)
{
	if (word.n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if ((word.p[i] | 0x20) != lower[i])
			return false;
	return true;
}
#define SAME_WORD(word, lit) same_word(word, "" lit, sizeof(lit) - 1)

static struct bytes
trim(struct bytes b)
{
	while (b.n && (*b.p == ' ' || *b.p == '\t')) {
		b.p++;
		b.n--;
	}
	while (b.n && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t'))
		b.n--;
	return b;
}

static enum http_result
content_length(struct parse *ps, struct bytes value)
{
	struct http_head *h = ps->h;
	uint64_t n = 0;

	if (value.n == 0)
		return bad(ps, 400, "Content-Length is empty");
	for (size_t i = 0; i < value.n; i++) {
		unsigned digit = (unsigned char)value.p[i] - '0';

		if (digit > 9)
			return bad(ps, 400, "Content-Length is not a number");
		if (n > ((uint64_t)INT64_MAX - digit) / 10)
			return bad(ps, 400, "Content-Length is too large");
		n = n * 10 + digit;
	}
	/* Equal ones as well: whoever stands between may have looked at one of them
	 * before it changed the other. */
	if (h->has_length)
		return bad(ps, 400, "more than one Content-Length");
	h->has_length = true;
	h->content_length = n;
	return HTTP_OK;
}

static void
connection(struct parse *ps, struct bytes value)
{
	while (value.n) {
		const char *comma = memchr(value.p, ',', value.n);
		size_t n = comma ? (size_t)(comma - value.p) : value.n;
		struct bytes word = trim(bytes_of(value.p, n));

		ps->close |= SAME_WORD(word, "close");
		ps->keep |= SAME_WORD(word, "keep-alive");
		n += comma != NULL;
		value.p += n;
		value.n -= n;
	}
}

static enum http_result
host(struct parse *ps, struct bytes value)
{
	if (ps->response)
		return HTTP_OK;
	if (ps->h->host.p)
		return bad(ps, 400, "more than one Host header");
	for (size_t i = 0; i < value.n; i++)
		if (!host_byte[(unsigned char)value.p[i]])
			return bad(ps, 400, "malformed Host header");
	ps->h->host = value;
	return HTTP_OK;
}

/* Told apart by length first: few headers have one of these six lengths. */
static enum http_result
header(struct parse *ps, struct bytes name, struct bytes value)
{
	struct http_head *h = ps->h;

	switch (name.n) {
	case 4:
		if (SAME_WORD(name, "host"))
			return host(ps, value);
		break;
	case 6:
		if (ps->response || !SAME_WORD(name, "expect"))
			break;
		if (!SAME_WORD(value, "100-continue"))
			return bad(ps, 417, "unknown expectation");
		h->expect_continue = h->minor > 0;
		break;
	case 10:
		if (SAME_WORD(name, "connection"))
			connection(ps, value);
		break;
	case 12:
		if (SAME_WORD(name, "content-type") && !h->content_type.p)
			h->content_type = value;
		break;
	case 14:
		if (SAME_WORD(name, "content-length"))
			return content_length(ps, value);
		break;
	case 17:
		if (!SAME_WORD(name, "transfer-encoding"))
			break;
		if (ps->coding || !SAME_WORD(value, "chunked"))
			return bad(ps, 501, "unsupported transfer encoding");
		ps->coding = true;
		break;
	}
	return HTTP_OK;
}

static enum http_result
header_line(struct parse *ps, struct bytes line)
{
	size_t n = 0;

	while (n < line.n && token_byte[(unsigned char)line.p[n]])
		n++;
	if (n == 0 && (*line.p == ' ' || *line.p == '\t'))
		return bad(ps, 400, "folded header line");
	if (n == line.n)
		return bad(ps, 400, "header line without a colon");
	if (n == 0 || line.p[n] != ':')
		return bad(ps, 400, "invalid header name");
	return header(ps, bytes_of(line.p, n), trim(bytes_of(line.p + n + 1, line.n - n - 1)));
}

/* What only the whole head can tell. */
static enum http_result
finish(struct parse *ps)
{
	struct http_head *h = ps->h;

	if (ps->coding && h->has_length)
		return bad(ps, 400, "both Content-Length and Transfer-Encoding");
	if (ps->coding && h->minor == 0)
		return bad(ps, 400, "Transfer-Encoding in HTTP/1.0");
	h->chunked = ps->coding;
	if (ps->response) {
		h->keep_alive = !ps->close && (h->minor > 0 || ps->keep);
		if (h->status < 200 || h->status == 204 || h->status == 304) {
			h->chunked = false;
			h->has_length = true;
			h->content_length = 0;
		}
		return HTTP_OK;
	}
	if (!h->host.p && h->minor > 0)
		return bad(ps, 400, "missing required Host header");
	h->keep_alive = !ps->close && h->minor > 0;
	return HTTP_OK;
}

/* "HTTP/1.x"; v has 8 bytes. */
static enum http_result
version(struct parse *ps, const char *v)
{
	unsigned major = (unsigned char)v[5] - '0', minor = (unsigned char)v[7] - '0';

	if (memcmp(v, "HTTP/", 5) != 0 || v[6] != '.' || major > 9 || minor > 9)
		return bad(ps, 400, "malformed HTTP version");
	if (major != 1)
		return bad(ps, 505, "unsupported protocol version");
	ps->h->minor = minor;
	return HTTP_OK;
}

/* METHOD target HTTP/1.x */
static enum http_result
request_line(struct parse *ps, struct bytes line)
{
	struct http_head *h = ps->h;
	size_t n = 0, target;

	while (n < line.n && token_byte[(unsigned char)line.p[n]])
		n++;
	/* "M /" and " HTTP/1.1" at the very least */
	if (n == 0 || line.n < n + 11 || line.p[n] != ' ' || line.p[line.n - 9] != ' ')
		return bad(ps, 400, "malformed request line");
	target = n + 1;
	h->method = bytes_of(line.p, n);
	h->target = bytes_of(line.p + target, line.n - 9 - target);
	if (memchr(h->target.p, ' ', h->target.n) || memchr(h->target.p, '\t', h->target.n))
		return bad(ps, 400, "malformed request line");
	if (*h->target.p != '/' && !(h->target.n > 7 && SAME_WORD(bytes_of(h->target.p, 7), "http://")))
		return bad(ps, 400, "malformed request target");
	return version(ps, line.p + line.n - 8);
}

/* HTTP/1.x NNN reason; the reason and the space before it may be missing. */
static enum http_result
status_line(struct parse *ps, struct bytes line)
{
	struct http_head *h = ps->h;
	unsigned status = 0;
	size_t reason;

	if (line.n < 12 || line.p[8] != ' ' || (line.n > 12 && line.p[12] != ' '))
		return bad(ps, 0, "malformed status line");
	if (version(ps, line.p) != HTTP_OK)
		return HTTP_BAD;
	for (int i = 9; i < 12; i++) {
		unsigned digit = (unsigned char)line.p[i] - '0';

		if (digit > 9)
			return bad(ps, 0, "malformed status code");
		status = status * 10 + digit;
	}
	if (status < 100 || status > 599)
		return bad(ps, 0, "malformed status code");
	h->status = status;
	reason = line.n > 12 ? 13 : 12;
	h->reason = bytes_of(line.p + reason, line.n - reason);
	return HTTP_OK;
}

static enum http_result
lines(struct parse *ps)
{
	enum http_result (*first)(struct parse *, struct bytes) =
		ps->response ? status_line : request_line;
	const char *begin = ps->p;
	enum http_result r;
	struct bytes line;

	r = take_line(ps, &line);
	if (r == HTTP_OK)
		r = first(ps, line);
	while (r == HTTP_OK) {
		r = take_line(ps, &line);
		if (r != HTTP_OK)
			return r;
		if (line.n == 0) {
			ps->h->size = (size_t)(ps->p - begin);
			return finish(ps);
		}
		r = header_line(ps, line);
	}
	return r;
}

/* Only the first HTTP_HEAD_MAX bytes are looked at: so the answer to a head that
 * is too long is the same however its bytes came in. */
static enum http_result
parse(struct http_head *h, bool response, const char *p, size_t n, const char **error)
{
	bool full = n >= HTTP_HEAD_MAX;
	struct parse ps = {
		.h = h, .p = p, .end = p + (full ? HTTP_HEAD_MAX : n), .response = response
	};
	enum http_result r;

	memset(h, 0, sizeof *h);
	r = lines(&ps);
	if (r == HTTP_MORE && full)
		r = bad(&ps, 431, "the head is too long");
	if (r == HTTP_BAD)
		*error = ps.error;
	return r;
}

bool
http_head_ripe(struct http_drip *d, const char *p, size_t n)
{
	const char *lf = p + (d->seen > 2 ? d->seen - 2 : 0), *end = p + n;
	/* Doubling keeps the sum of all tries within four times the head. */
	bool ripe = n / 2 >= d->tried || n >= HTTP_HEAD_MAX;

	d->seen = n;
	while (!ripe && (lf = memchr(lf, '\n', (size_t)(end - lf)))) {
		lf++;
		ripe = (end - lf >= 1 && lf[0] == '\n') ||
			(end - lf >= 2 && lf[0] == '\r' && lf[1] == '\n');
	}
	if (ripe)
		d->tried = n;
	return ripe;
}

enum http_result
http_request_parse(struct http_head *h, const char *p, size_t n, const char **error)
{
	return parse(h, false, p, n, error);
}

enum http_result
http_response_parse(struct http_head *h, const char *p, size_t n, const char **error)
{
	return parse(h, true, p, n, error);
}
