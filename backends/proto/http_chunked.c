/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 chunked bodies, decoded in place. Every byte of wire is taken as it
 * comes, also in the middle of a chunk, so that the caller need not keep any.
 * What is skipped (chunk extensions, the trailer) has a limit like everything
 * else that the other side may send.
 *
 * The error texts are those of Go's reader: go-micro passes them on in the body
 * of its reply ("Error reading request body: malformed chunked encoding").
 */
#include "backends/proto/http.h"

enum { SKIPPED_MAX = 16 * 1024 };

enum chunk_state {
	SIZE,			/* digits */
	SIZE_EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,		/* at the beginning of a line */
	TRAILER_LINE,
	TRAILER_LINE_LF,
	END_LF,
	DONE
};

void
http_chunks_init(struct http_chunks *c)
{
	memset(c, 0, sizeof *c);
}

static int
hex_digit(unsigned char b)
{
	if (b >= '0' && b <= '9')
		return b - '0';
	b |= 0x20;
	return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

/* The size is known: what comes next? */
static const char *
size_end(struct http_chunks *c, uint64_t max)
{
	if (c->left > max || c->total > max - c->left)
		return "the body is too large";
	c->total += c->left;
	c->digits = 0;
	c->state = c->left ? DATA : TRAILER;
	return NULL;
}

static const char *
size_byte(struct http_chunks *c, unsigned char b)
{
	int digit = hex_digit(b);

	if (digit < 0 && c->digits == 0 && b == '\r')
		return "empty hex number for chunk length";
	if (digit < 0 && c->digits && b == '\r')
		c->state = SIZE_LF;
	else if (digit < 0 && c->digits && b == ';')
		c->state = SIZE_EXTENSION;
	else if (b == '\n')
		return "chunked line ends with bare LF";
	else if (digit < 0)
		return "invalid byte in chunk length";
	else if (c->digits == 16)
		return "http chunk length too large";
	else {
		c->left = c->left << 4 | (unsigned)digit;
		c->digits++;
	}
	return NULL;
}

/* A byte of an extension or of a trailer line, up to CR. */
static const char *
skipped_byte(struct http_chunks *c, unsigned char b, enum chunk_state after_cr)
{
	if (b == '\r')
		c->state = after_cr;
	else if (b == '\n')
		return "chunked line ends with bare LF";
	else if (b < 0x20 && b != '\t')
		return "malformed chunked encoding";
	else if (++c->trailer > SKIPPED_MAX)
		return "too much beside the data of a chunked body";
	return NULL;
}

/* One byte that is not data. NULL: fine. */
static const char *
frame_byte(struct http_chunks *c, unsigned char b, uint64_t max)
{
	switch ((enum chunk_state)c->state) {
	case SIZE:
		return size_byte(c, b);
	case SIZE_EXTENSION:
		return skipped_byte(c, b, SIZE_LF);
	case SIZE_LF:
		return b == '\n' ? size_end(c, max) : "malformed chunked encoding";
	case DATA_CR:
		if (b != '\r')
			return "malformed chunked encoding";
		c->state = DATA_LF;
		return NULL;
	case DATA_LF:
		if (b != '\n')
			return "malformed chunked encoding";
		c->state = SIZE;
		return NULL;
	case TRAILER:
		if (b == '\r') {
			c->state = END_LF;
			return NULL;
		}
		c->state = TRAILER_LINE;
		return skipped_byte(c, b, TRAILER_LINE_LF);
	case TRAILER_LINE:
		return skipped_byte(c, b, TRAILER_LINE_LF);
	case TRAILER_LINE_LF:
	case END_LF:
		if (b != '\n')
			return "malformed chunked encoding";
		c->state = c->state == END_LF ? DONE : TRAILER;
		return NULL;
	case DATA:
	case DONE:
		break;
	}
	return NULL;
}

enum http_result
http_chunked(struct http_chunks *c, char *p, size_t n, uint64_t max, size_t *used, size_t *len,
	const char **error)
{
	size_t in = 0, out = 0;
	const char *why = NULL;

	while (in < n && c->state != DONE && !why) {
		if (c->state == DATA) {
			size_t take = c->left < n - in ? (size_t)c->left : n - in;

			memmove(p + out, p + in, take);
			in += take;
			out += take;
			c->left -= take;
			if (c->left == 0)
				c->state = DATA_CR;
		} else {
			why = frame_byte(c, (unsigned char)p[in], max);
			in += !why;
		}
	}
	*used = in;
	*len = out;
	if (why) {
		*error = why;
		return HTTP_BAD;
	}
	return c->state == DONE ? HTTP_OK : HTTP_MORE;
}
