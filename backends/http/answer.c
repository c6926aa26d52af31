/* SPDX-License-Identifier: Apache-2.0 */
/* What a node answers: heads, and bodies that nobody reads. */
#include "backends/http/endpoint_impl.h"

enum { INTERIM_MAX = 64 };		/* 1xx heads before an answer */

const char http_endpoint_wants_tls[] = "speaks TLS, and its node does not say so";

/* Is that what a server that wants TLS says to a plain request? */
static bool
wants_tls(const char *p, size_t n)
{
	static const char gos_head[] = "HTTP/1.0 400 Bad Request\r\n\r\n";
	static const char gos_words[] = "to an HTTPS server";
	size_t head = sizeof gos_head - 1;

	if (n > head && memcmp(p, gos_head, head) == 0)
		return memmem(p + head, n - head, gos_words, sizeof gos_words - 1) != NULL;
	/* An alert: the record type, and a version's first byte. */
	return n >= 2 && p[0] == 0x15 && p[1] == 3;
}

void
http_endpoint_drop_skipped(struct endpoint *e)
{
	while (e->head < e->sent && at(e, e->head)->skipped)
		endpoint_done(e, at(e, e->head++), NULL, 0, false);
}

static void
endpoint_answer(struct endpoint *e, const struct http_head *h)
{
	struct request r = *at(e, e->head++);
	struct error err;

	if (h->status == 200) {
		endpoint_done(e, &r, NULL, h->status, true);
		return;
	}
	error_set(&err, ERR_REFUSED, "%s: answered %u %.*s", e->address, h->status,
		BYTES_FMT(h->reason));
	endpoint_done(e, &r, &err, h->status, false);
}

/* Takes what belongs to the body of the last answer. */
static size_t
endpoint_body(struct endpoint *e, char *p, size_t n, const char **why)
{
	enum http_result r;
	size_t used, len;

	if (!e->chunked) {
		used = e->body_left < n ? (size_t)e->body_left : n;
		e->body_left -= used;
		return used;
	}
	r = http_chunked(&e->chunks, p, n, ANSWER_MAX, &used, &len, why);
	e->chunked = r == HTTP_MORE;
	return r == HTTP_BAD ? 0 : used;
}

/* One answer's head (no body is under way); 0: not complete, or *why is set. */
static size_t
endpoint_head(struct endpoint *e, char *p, size_t n, const char **why)
{
	struct http_head h;

	if (!e->secure && !e->proven && wants_tls(p, n)) {
		*why = http_endpoint_wants_tls;
		return 0;
	}
	if (!http_head_ripe(&e->drip, p, n) || http_response_parse(&h, p, n, why) != HTTP_OK)
		return 0;
	e->drip = (struct http_drip){ 0 };
	*why = NULL;
	if (h.status < 200 && h.status != 101) {
		*why = ++e->interim > INTERIM_MAX ? "sends 1xx heads without end" : NULL;
		return h.size;
	}
	e->interim = 0;
	http_endpoint_drop_skipped(e);
	if (e->head == e->sent) {
		*why = "answered without having been asked";
		return 0;
	}
	if (h.content_length > ANSWER_MAX) {
		*why = "answered with more than a megabyte";
		return 0;
	}
	if (h.chunked) {
		e->chunked = true;
		http_chunks_init(&e->chunks);
	} else if (h.has_length) {
		e->body_left = h.content_length;
	} else if (h.status != 204 && h.status != 304) {
		h.keep_alive = false;	/* the body ends with the connection */
		e->body_left = ANSWER_MAX;	/* or when we have had enough */
	}
	if (h.keep_alive)
		e->proven = true;
	else
		e->no_more = true;
	endpoint_answer(e, &h);
	return h.size;
}

size_t
http_endpoint_take(struct endpoint *e, char *p, size_t n, const char **why)
{
	return endpoint_in_body(e) ? endpoint_body(e, p, n, why) : endpoint_head(e, p, n, why);
}
