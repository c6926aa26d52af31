/* SPDX-License-Identifier: Apache-2.0 */
/* What passes between an endpoint and its node: a request's bytes, an answer's. */
#include "backends/http/endpoint.h"

enum { INTERIM_MAX = 64 };		/* 1xx heads before an answer */

const char endpoint_wants_tls[] = "speaks TLS, and its node does not say so";

/* ---- requests ---- */

static struct bytes
endpoint_topic_id(struct http_broker *hb, const struct peer *p)
{
	struct buf *id = &hb->scratch;

	buf_clear(id);
	buf_add(id, p->topic, p->topic_len);
	buf_add(id, p->id + p->id_len - 37, 37);
	return buf_bytes(id);
}

/* A new-dialect envelope begins {"Header":{"... because the topic is always in
 * it; the old dialect's is the same with its own topic header put in front. */
void
endpoint_render(struct endpoint *e, const struct request *r)
{
	static const struct bytes begin = BYTES("{\"Header\":{");
	struct buf *out = stream_out(e->stream);
	struct bytes body = buf_bytes(&r->flight->body), topic;
	struct bytes id = bytes_of(r->peer->id, r->peer->id_len);
	size_t extra;

	if (r->peer->says_topic)
		id = endpoint_topic_id(e->hb, r->peer);
	if (e->dialect == DIALECT_NEW) {
		http_add_publish_head(out, bytes_str(dialects[e->dialect].path), id,
			bytes_str(e->address), body.n);
		buf_add_bytes(out, body);
		return;
	}
	topic = buf_bytes(&r->flight->route->topic_json);
	extra = sizeof "\"" HEADER_OLD_TOPIC "\":," - 1 + topic.n;
	http_add_publish_head(out, bytes_str(dialects[e->dialect].path), id,
		bytes_str(e->address), body.n + extra);
	buf_add_bytes(out, begin);
	buf_add_str(out, "\"" HEADER_OLD_TOPIC "\":");
	buf_add_bytes(out, topic);
	buf_add_ch(out, ',');
	buf_add(out, body.p + begin.n, body.n - begin.n);
}

/* ---- answers ---- */

void
endpoint_drop_skipped(struct endpoint *e)
{
	while (e->head < e->sent && at(e, e->head)->skipped)
		peer_unref(e->hb, at(e, e->head++)->peer);
}

static void
endpoint_answer(struct endpoint *e, const struct http_head *h)
{
	struct request r = *at(e, e->head++);
	struct error err;

	if (h->status == 200) {
		route_result(e->hb, &r, NULL, true);
		return;
	}
	/* Another process has that address now, and never heard of this node. */
	if (h->status == 404 && !r.peer->gone)
		directory_drop(e->hb, r.peer);
	error_set(&err, ERR_REFUSED, "%s: answered %u %.*s", e->address, h->status,
		BYTES_FMT(h->reason));
	route_result(e->hb, &r, &err, false);
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

	if (!e->secure && !e->proven && secure_wanted(p, n)) {
		*why = endpoint_wants_tls;
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
	endpoint_drop_skipped(e);
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
endpoint_take(struct endpoint *e, char *p, size_t n, const char **why)
{
	return endpoint_in_body(e) ? endpoint_body(e, p, n, why) : endpoint_head(e, p, n, why);
}
