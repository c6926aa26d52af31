/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NATS from any bytes. Held to:
 *	- nothing behind a frame's end is looked at (each is copied to memory of its own
 *	  size, for the sanitizer), and one that is cut short is waited for;
 *	- what a frame borrows lies inside it;
 *	- an event that may be published comes back as it was: subject, reply, body, and its
 *	  headers in their order.
 */
#include <stdlib.h>

#include "backends/proto/nats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define must(cond) do { if (!(cond)) abort(); } while (0)

static bool
inside(struct bytes s, const char *p, size_t n)
{
	return !s.p || !s.n || (s.p >= p && s.p + s.n <= p + n);
}

/* Published once more, with another guess of its length. */
static void
comes_back(const struct nats_frame *f, const struct nats_head *h, size_t guess)
{
	struct nats_pub p = { f->subject, f->reply.p ? f->reply : BYTES(""), h->v, h->n };
	struct buf b = BUF_INIT, line = BUF_INIT;
	struct nats_head again = { 0 };
	struct nats_frame g;
	struct nats_mark m;
	const char *why;
	size_t size;

	for (size_t i = 0; i < h->n; i++)
		if (nats_bad_header(&h->v[i]))
			return;
	if (nats_bad_subject(f->subject, false) || (f->reply.p && nats_bad_subject(f->reply, false)))
		return;
	m = nats_begin(&b, &p, guess);
	buf_add(&b, f->body, f->n);
	size = nats_end(&b, &m);
	must(nats_payload_of(buf_bytes(&b)) == size);
	/* As the server passes it on: with the number of the subscription. */
	buf_addf(&line, h->n ? "HMSG %.*s 7 " : "MSG %.*s 7 ", BYTES_FMT(f->subject));
	size = (h->n ? 6 : 5) + f->subject.n;
	must(buf_len(&b) > size);
	buf_add(&line, buf_data(&b) + size, buf_len(&b) - size);
	must(nats_read(&g, buf_data(&line), buf_len(&line), &why) == (ssize_t)buf_len(&line));
	must(bytes_eq(g.subject, f->subject) && g.sid == 7);
	must(g.n == f->n && (!g.n || memcmp(g.body, f->body, g.n) == 0));
	must(!p.reply.n == !g.reply.p && bytes_eq(p.reply, g.reply.p ? g.reply : BYTES("")));
	nats_head_read(&again, g.head);
	must(again.n == h->n && !again.odd);
	for (size_t i = 0; i < h->n; i++)
		must(bytes_eq(again.v[i].name, h->v[i].name) &&
			bytes_eq(again.v[i].value, h->v[i].value));
	nats_head_release(&again);
	buf_release(&line);
	buf_release(&b);
}

static void
listed(const struct nats_listed *l, void *arg)
{
	(void)arg;
	must(l->name.n);
}

static void
look(struct nats_frame *f, const char *p, size_t n)
{
	struct nats_head h = { 0 };
	struct nats_info info;
	struct nats_place place;
	struct nats_answer answer;
	struct bytes subject;
	uint64_t total;
	char *body;

	must(inside(f->text, p, n) && inside(f->subject, p, n) && inside(f->reply, p, n));
	must(inside(f->head, p, n) && inside(bytes_of(f->body, f->n), p, n));
	if (f->op == NATS_INFO && nats_info_read(&info, f->text) == 0)
		for (size_t i = 0; i < info.nurls; i++)
			must(inside(info.urls[i], p, n));
	if (f->op == NATS_ERR && nats_err_subject(f->text, "Permissions Violation for Publish to ", &subject))
		must(inside(subject, p, n));
	if (f->op != NATS_MSG)
		return;
	if (f->reply.p)
		nats_place_read(&place, f->reply);
	if (f->n && (body = malloc(f->n))) {
		memcpy(body, f->body, f->n);
		if (nats_answer_read(&answer, body, f->n) == 0)
			must(inside(answer.stream, body, f->n) && inside(answer.name, body, f->n));
		memcpy(body, f->body, f->n);
		nats_list_read(body, f->n, "streams", listed, NULL, &total);
		free(body);
	}
	if (f->head.p)
		nats_head_read(&h, f->head);
	for (size_t i = 0; i < h.n; i++)
		must(inside(h.v[i].name, p, n) && inside(h.v[i].value, p, n));
	must(nats_matches(f->subject, f->subject));
	comes_back(f, &h, n % 1500);
	nats_head_release(&h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *why;

	while (n) {
		char *copy = malloc(n);
		struct nats_frame f;
		ssize_t took;

		memcpy(copy, data, n);
		took = nats_read(&f, copy, n, &why);
		free(copy);
		if (took <= 0)
			break;
		copy = malloc((size_t)took);
		memcpy(copy, data, (size_t)took);
		must(nats_read(&f, copy, (size_t)took, &why) == took);
		look(&f, copy, (size_t)took);
		free(copy);
		/* Cut short it is waited for. */
		copy = malloc((size_t)took);
		memcpy(copy, data, (size_t)took - 1);
		if (took > 1)
			must(nats_read(&f, copy, (size_t)took - 1, &why) == 0);
		free(copy);
		data += took;
		n -= (size_t)took;
	}
	return 0;
}
