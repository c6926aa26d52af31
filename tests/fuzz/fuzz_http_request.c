/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request heads. Properties: an accepted head ends with an empty line and is the
 * same whatever follows it; cut short it wants more, refused it stays refused
 * with more behind it; every field lies inside the head; what a peer could read
 * in two ways (two framings, a second Host) is not accepted; an id that is
 * written into a target is read out of it again.
 */
#include "tests/fuzz/http.h"

static void
check_fields(const struct http_head *h, const char *p)
{
	must_lie_in(h->method, p, h->size);
	must_lie_in(h->target, p, h->size);
	must_lie_in(h->host, p, h->size);
	must_lie_in(h->content_type, p, h->size);
	must(h->method.n > 0 && h->target.n > 0);
	must(!memchr(h->target.p, ' ', h->target.n));
	must(!(h->chunked && h->has_length));
	must(h->minor > 0 || !(h->keep_alive || h->chunked || h->expect_continue));
	must(h->minor == 0 || h->host.p);
	must(h->content_length <= INT64_MAX);
	must(h->size >= 14 && h->size <= HTTP_HEAD_MAX);
	must(memcmp(p + h->size - 4, "\r\n\r\n", 4) == 0);
	must(!memchr(p, '\0', h->size));
}

static void
check_target(struct bytes target)
{
	struct bytes path = http_path(target);
	struct buf id = BUF_INIT, again = BUF_INIT, value = BUF_INIT;

	must(path.n > 0 && *path.p == '/' && !memchr(path.p, '?', path.n));
	if (http_query(target, "id", &id)) {
		must(buf_len(&id) <= target.n);
		http_add_publish_head(&again, path, buf_bytes(&id), BYTES("h"), 1);
		must(http_query(bytes_of(buf_data(&again) + 5, buf_len(&again) - 5), "id", &value) ||
			buf_len(&id) == 0);
	}
	buf_release(&id);
	buf_release(&again);
	buf_release(&value);
}

/* The id of any bytes, through our own head. */
static void
check_id(const uint8_t *data, size_t n)
{
	struct buf head = BUF_INIT, id = BUF_INIT;
	struct http_head h;
	const char *error;

	http_add_publish_head(&head, BYTES("/_sub"), bytes_of(data, n), BYTES("[::1]:80"), n);
	if (buf_len(&head) <= HTTP_HEAD_MAX) {
		must(http_request_parse(&h, buf_data(&head), buf_len(&head), &error) == HTTP_OK);
		must(h.size == buf_len(&head) && h.content_length == n && h.keep_alive);
		must(http_query(h.target, "id", &id));
		must(bytes_eq(buf_bytes(&id), bytes_of(data, n)));
		must(bytes_eq(http_path(h.target), BYTES("/_sub")));
	}
	buf_release(&head);
	buf_release(&id);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	struct http_head h;

	if (check_head(http_request_parse, &h, p, n)) {
		check_fields(&h, p);
		check_target(h.target);
	}
	check_id(data, n);
	return 0;
}
