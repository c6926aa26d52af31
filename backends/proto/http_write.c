/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1, the writing half: go-micro's request and replies byte for byte, and
 * what targets are made of. The replies differ in the order of their headers
 * because Go's server writes those a handler has set (sorted) before those it
 * adds itself (Date, Content-Length, Content-Type, Connection).
 */
#include "backends/proto/http.h"

#include "core/json.h"
#include "core/text.h"

#define TEXT_PLAIN "Content-Type: text/plain; charset=utf-8\r\n"
#define NOSNIFF TEXT_PLAIN "X-Content-Type-Options: nosniff\r\n"

#define ADD(out, lit) buf_add_bytes(out, BYTES(lit))

static const char *
status_text(unsigned status)
{
	switch (status) {
	case 400: return "Bad Request";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 408: return "Request Timeout";
	case 411: return "Length Required";
	case 413: return "Request Entity Too Large";
	case 417: return "Expectation Failed";
	case 431: return "Request Header Fields Too Large";
	case 500: return "Internal Server Error";
	case 501: return "Not Implemented";
	case 503: return "Service Unavailable";
	case 505: return "HTTP Version Not Supported";
	}
	return "Error";
}

/* ---- targets ---- */

/* Up to '?'. */
static size_t
before_query(struct bytes target)
{
	const char *q = memchr(target.p, '?', target.n);

	return q ? (size_t)(q - target.p) : target.n;
}

struct bytes
http_path(struct bytes target)
{
	const char *slash;
	size_t n;

	if (target.n == 0)
		return target;
	n = before_query(target);
	if (*target.p == '/')
		return bytes_of(target.p, n);
	if (n < 7)			/* no "http://": "*" */
		return bytes_of(target.p, n);
	slash = memchr(target.p + 7, '/', n - 7);
	return slash ? bytes_of(slash, n - (size_t)(slash - target.p)) : BYTES("/");
}

/* Appends the decoded text; false: a '%' without two digits behind it. */
static bool
unescape(struct buf *out, struct bytes s)
{
	char *w, *begin;

	if (s.n == 0)
		return true;
	/* Node ids nearly never have any. */
	if (!memchr(s.p, '%', s.n) && !memchr(s.p, '+', s.n)) {
		buf_add_bytes(out, s);
		return true;
	}
	begin = w = buf_room(out, s.n);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '+') {
			*w++ = ' ';
		} else if (s.p[i] != '%') {
			*w++ = s.p[i];
		} else {
			if (i + 2 >= s.n || !hex_decode(w, s.p + i + 1, 2))
				return false;
			w++;
			i += 2;
		}
	}
	buf_added(out, (size_t)(w - begin));
	return true;
}

/* Is pair "name=..." (or "name"), escapes decoded? Then its value is in out. Go
 * skips pairs with a ';' and pairs that cannot be decoded. */
static bool
query_pair(struct bytes pair, struct bytes name, struct buf *out)
{
	const char *eq = memchr(pair.p, '=', pair.n);
	size_t n = eq ? (size_t)(eq - pair.p) : pair.n;

	if (pair.n == 0 || memchr(pair.p, ';', pair.n))
		return false;
	buf_clear(out);
	if (!unescape(out, bytes_of(pair.p, n)) || !bytes_eq(buf_bytes(out), name))
		return false;
	buf_clear(out);
	return !eq || unescape(out, bytes_of(eq + 1, pair.n - n - 1));
}

bool
http_query(struct bytes target, const char *name, struct buf *out)
{
	size_t at = target.n ? before_query(target) : 0;

	while (at < target.n) {
		struct bytes pair = bytes_of(target.p + at + 1, target.n - at - 1);
		const char *amp = pair.n ? memchr(pair.p, '&', pair.n) : NULL;

		if (amp)
			pair.n = (size_t)(amp - pair.p);
		if (query_pair(pair, bytes_str(name), out))
			return true;
		at += 1 + pair.n;
	}
	buf_clear(out);
	return false;
}

/* Bytes that QueryEscape leaves as they are. */
static const bool kept[256] = {
	['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
	['-'] = 1, ['_'] = 1, ['.'] = 1, ['~'] = 1
};

void
http_add_query_escaped(struct buf *out, struct bytes s)
{
	static const char digits[] = "0123456789ABCDEF";
	char *w, *begin;

	if (s.n == 0)
		return;
	begin = w = buf_room(out, 3 * s.n);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];

		if (kept[b]) {
			*w++ = (char)b;
		} else if (b == ' ') {
			*w++ = '+';
		} else {
			*w++ = '%';
			*w++ = digits[b >> 4];
			*w++ = digits[b & 15];
		}
	}
	buf_added(out, (size_t)(w - begin));
}

/* ---- the request ---- */

void
http_add_publish_head(struct buf *out, struct bytes path, struct bytes id, struct bytes host,
	size_t content_length)
{
	ADD(out, "POST ");
	buf_add_bytes(out, path);
	ADD(out, "?id=");
	http_add_query_escaped(out, id);
	ADD(out, " HTTP/1.1\r\nHost: ");
	buf_add_bytes(out, host);
	ADD(out, "\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: ");
	buf_add_u64(out, content_length);
	ADD(out, "\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n");
}

/* ---- the replies ---- */

#define OK_BEGIN "HTTP/1.1 200 OK\r\nDate: "
#define OK_END "\r\nContent-Length: 0\r\n"
#define OK_CLOSE "Connection: close\r\n"

/* Once per event: one look for room, then copies of constant size. */
void
http_add_ok(struct buf *out, const char *date, bool close)
{
	enum { BEGIN = sizeof OK_BEGIN - 1, END = sizeof OK_END - 1, CLOSE = sizeof OK_CLOSE - 1 };
	char *w = buf_room(out, BEGIN + 29 + END + CLOSE + 2), *begin = w;

	memcpy(w, OK_BEGIN, BEGIN);
	memcpy(w += BEGIN, date, 29);
	memcpy(w += 29, OK_END, END);
	w += END;
	if (close) {
		memcpy(w, OK_CLOSE, CLOSE);
		w += CLOSE;
	}
	memcpy(w, "\r\n", 2);
	buf_added(out, (size_t)(w + 2 - begin));
}

static void
add_status_line(struct buf *out, unsigned status)
{
	buf_addf(out, "HTTP/1.1 %u %s\r\n", status, status_text(status));
}

static void
add_date_and_length(struct buf *out, const char *date, size_t length)
{
	buf_addf(out, "Date: %.29s\r\nContent-Length: %zu\r\n", date, length);
}

static void
add_end(struct buf *out, bool close)
{
	if (close)
		ADD(out, OK_CLOSE);
	ADD(out, "\r\n");
}

/* go-micro's errors.Error as JSON. */
static void
add_error_json(struct buf *out, unsigned code, struct bytes detail)
{
	buf_addf(out, "{\"id\":\"go.micro.broker\",\"code\":%u,\"detail\":", code);
	json_add_go_string(out, detail);
	buf_addf(out, ",\"status\":\"%s\"}", status_text(code));
}

void
http_add_error(struct buf *out, unsigned status, struct bytes detail, const char *date,
	bool close)
{
	struct buf body = BUF_INIT;

	/* go-micro says 405 in the head and 400 in the body. */
	add_error_json(&body, status == 405 ? 400 : status, detail);
	add_status_line(out, status);
	if (status == 405) {
		buf_add_ch(&body, '\n');
		ADD(out, NOSNIFF);
		add_date_and_length(out, date, buf_len(&body));
	} else {
		add_date_and_length(out, date, buf_len(&body));
		ADD(out, TEXT_PLAIN);
	}
	add_end(out, close);
	buf_add_bytes(out, buf_bytes(&body));
	buf_release(&body);
}

void
http_add_page_not_found(struct buf *out, const char *date, bool close)
{
	static const char body[] = "404 page not found\n";

	add_status_line(out, 404);
	ADD(out, NOSNIFF);
	add_date_and_length(out, date, sizeof body - 1);
	add_end(out, close);
	buf_add_str(out, body);
}

void
http_add_bad_request(struct buf *out, unsigned status, const char *why)
{
	const char *text = status_text(status);

	if (status == 501) {
		buf_addf(out, "HTTP/1.1 501 %s\r\n" TEXT_PLAIN OK_CLOSE
			"\r\nUnsupported transfer encoding", text);
		return;
	}
	if (status == 431)
		why = NULL;
	for (int body = 0; body < 2; body++)
		buf_addf(out, "%s%u %s%s%s%s", body ? "" : "HTTP/1.1 ", status, text,
			why ? ": " : "", why ? why : "",
			body ? "" : "\r\n" TEXT_PLAIN OK_CLOSE "\r\n");
}

static char *
put_number(char *w, unsigned n, unsigned digits)
{
	for (unsigned i = digits; i-- > 0; n /= 10)
		w[i] = (char)('0' + n % 10);
	return w + digits;
}

static char *
put_text(char *w, const char *text, size_t n)
{
	memcpy(w, text, n);
	return w + n;
}

/* Days since 1970-01-01 to a date, by years that begin in March, so that the
 * leap day is the last of its year; 400 years are an era. */
void
http_date(char out[30], int64_t seconds)
{
	static const char days[] = "ThuFriSatSunMonTueWed";
	static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
	const int64_t first = -62162035200, last = 253402300799;	/* what fits the form */
	unsigned day, in_day, in_era, of_era, in_year, month;
	char *w = out;

	seconds = seconds < first ? first : seconds > last ? last : seconds;
	day = (unsigned)((seconds - first) / 86400);
	in_day = (unsigned)((seconds - first) % 86400);
	in_era = day % 146097;
	of_era = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	in_year = in_era - (365 * of_era + of_era / 4 - of_era / 100);
	month = (5 * in_year + 2) / 153;

	/* first was a Wednesday */
	w = put_text(w, days + 3 * ((day + 6) % 7), 3);
	w = put_text(w, ", ", 2);
	w = put_number(w, in_year - (153 * month + 2) / 5 + 1, 2);
	w = put_text(w, " ", 1);
	w = put_text(w, months + 3 * month, 3);
	w = put_text(w, " ", 1);
	w = put_number(w, day / 146097 * 400 + of_era + (month >= 10), 4);
	w = put_text(w, " ", 1);
	w = put_number(w, in_day / 3600, 2);
	w = put_text(w, ":", 1);
	w = put_number(w, in_day / 60 % 60, 2);
	w = put_text(w, ":", 1);
	w = put_number(w, in_day % 60, 2);
	memcpy(w, " GMT", 5);
}
