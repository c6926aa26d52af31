/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events to streams (JetStream). An event has a reply subject of ours, which ends with
 * its name in the pipeline; there the stream answers that it has it, with its sequence
 * number, or why not. Where no stream takes the subject, the server answers 503.
 */
#include "backends/nats/nats.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "core/log.h"

/* ---- publishing ---- */

static struct header *
own_header(struct nats_broker *nb, size_t *n, struct bytes name, struct bytes value)
{
	struct header *h = &nb->heads[(*n)++];

	h->name = name;
	h->value = value;
	return h;
}

/* Those that say what the stream is to look at, and then the event's. */
static void
add_headers(struct nats_broker *nb, const struct publication *p, struct nats_pub *head)
{
	const struct header *id = nb->msg_id ? message_header(&p->msg, bytes_str(nb->msg_id)) : NULL;
	size_t n = 0, most = head->nheaders + 3;

	for (size_t i = 0; i < head->nheaders; i++)
		head->id |= bytes_eq(head->headers[i].name, BYTES("Nats-Msg-Id"));
	if (!id && !nb->expect_stream && !nb->expects_seq)
		return;
	if (nb->heads_cap < most) {
		nb->heads_cap = most * 2;
		nb->heads = xrealloc(nb->heads, nb->heads_cap * sizeof *nb->heads);
	}
	if (id && !head->id) {
		own_header(nb, &n, BYTES("Nats-Msg-Id"), id->value);
		head->id = true;
	}
	if (nb->expect_stream)
		own_header(nb, &n, BYTES("Nats-Expected-Stream"), bytes_str(nb->expect_stream));
	if (nb->expects_seq) {
		snprintf(nb->expect_text, sizeof nb->expect_text, "%llu",
			(unsigned long long)nb->expect_seq++);
		own_header(nb, &n, BYTES("Nats-Expected-Last-Sequence"), bytes_str(nb->expect_text));
	}
	for (size_t i = 0; i < head->nheaders; i++)
		nb->heads[n++] = head->headers[i];
	head->headers = nb->heads;
	head->nheaders = n;
}

void
nats_js_event(struct nats_broker *nb, const struct publication *p, struct nats_pub *head)
{
	add_headers(nb, p, head);
	if (nb->b.opts.ack == PUBLISH_ACK_NONE)
		return;
	buf_clear(&nb->reply);
	buf_add(&nb->reply, nb->inbox, nb->inbox_n);
	buf_add_ch(&nb->reply, '.');
	buf_add_u64(&nb->reply, pipeline_next_name(&nb->p));
	head->reply = buf_bytes(&nb->reply);
}

/* Before what waits goes out. */
void
nats_js_ready(struct nats_broker *nb)
{
	struct buf *out = pipeline_out(&nb->p), subject = BUF_INIT;

	if (nb->inbox_open || (nb->mode != NATS_JETSTREAM && !nb->listing))
		return;
	buf_addf(&subject, "%s.*", nb->inbox);
	nats_write_sub(out, buf_bytes(&subject), NULL, NATS_INBOX_SID);
	buf_release(&subject);
	nb->inbox_open = true;
	pipeline_kick(&nb->p);
}

/* ---- answers ---- */

/* What comes to INBOX.NAME is for the event of that name. */
static uint64_t
event_of(const struct nats_broker *nb, struct bytes subject)
{
	uint64_t name = 0;

	if (subject.n <= nb->inbox_n + 1 || memcmp(subject.p, nb->inbox, nb->inbox_n) != 0)
		return PIPE_NONE;
	for (size_t i = nb->inbox_n + 1; i < subject.n; i++) {
		if (subject.p[i] < '0' || subject.p[i] > '9' || name > UINT32_MAX)
			return PIPE_NONE;
		name = name * 10 + (uint64_t)(subject.p[i] - '0');
	}
	return name > UINT32_MAX ? PIPE_NONE : pipeline_find(&nb->p, (uint32_t)name);
}

static void
count(struct nats_broker *nb, const struct nats_answer *a)
{
	nb->taken++;
	nb->duplicates += a->duplicate;
	if (!bytes_eq(a->stream, buf_bytes(&nb->stream)) || a->seq > nb->last_seq)
		nb->last_seq = a->seq;
	if (!bytes_eq(a->stream, buf_bytes(&nb->stream))) {
		buf_clear(&nb->stream);
		buf_add_bytes(&nb->stream, a->stream);
	}
}

void
nats_js_answer(struct nats_broker *nb, struct nats_frame *f)
{
	uint64_t seq;
	struct nats_answer a;
	struct error err;

	if (f->subject.n == nb->inbox_n + 2 && f->subject.p[nb->inbox_n + 1] == 'l') {
		nats_list_answer(nb, f);
		return;
	}
	if (nats_js_sub_answer(nb, f))
		return;
	seq = event_of(nb, f->subject);
	if (seq == PIPE_NONE || !(flight_at(&nb->p.ring, seq)->state & PIPE_EVENT)) {
		log_debug("%s: an answer for an event that is not under way", link_name(nb->p.link));
		return;
	}
	if (f->head.p && nb->head.status) {
		error_set(&err, ERR_NOTFOUND, nb->head.status == 503 ?
			"no stream takes this subject (or the server has no JetStream)" :
			"the server answers %u instead of a stream", nb->head.status);
		pipeline_end(&nb->p, seq, FATE_REFUSED, &err);
	} else if (nats_answer_read(&a, f->body, f->n) < 0 || (!a.stream.p && !a.error.p)) {
		error_set(&err, ERR_UNKNOWN, "what answered is no stream");
		pipeline_end(&nb->p, seq, FATE_UNKNOWN, &err);
	} else if (a.error.p) {
		error_set(&err, ERR_REFUSED, "the stream does not take it: %.*s",
			(int)(a.error.n < 300 ? a.error.n : 300), a.error.p);
		pipeline_end(&nb->p, seq, FATE_REFUSED, &err);
	} else {
		count(nb, &a);
		pipeline_end(&nb->p, seq, FATE_CONFIRMED, NULL);
	}
	broker_room(&nb->b);
}

/* Nobody's answer can come; what the events are told of has been told. */
static void
is_deaf(struct pipeline *p, const struct flight_entry *e, const void *answer)
{
	struct nats_broker *nb = p->arg;
	struct error err = nb->deaf;

	(void)e, (void)answer;
	if (!flight_count(&p->ring))		/* what comes now is refused */
		return;
	error_prefix(&err, "%s", link_name(p->link));
	pipeline_fail(p, &err);
}

static bool
begins(struct bytes s, const char *with, size_t n)
{
	return s.n >= n && memcmp(s.p, with, n) == 0;
}

bool
nats_js_denied(struct nats_broker *nb, struct bytes subject, const struct error *err)
{
	bool inbox = begins(subject, nb->inbox, nb->inbox_n);

	if ((nb->mode != NATS_JETSTREAM && !nb->listing) || (!inbox && !begins(subject, "$JS.", 4)))
		return false;
	nats_js_sub_denied(nb, err);
	nats_list_denied(nb, err);
	if (!nb->nsubs && inbox && nb->mode == NATS_JETSTREAM) {
		nb->deaf = *err;
		buf_add_str(pipeline_ask(&nb->p, is_deaf, NULL, 0, 0), "PING\r\n");
	}
	return true;
}

/* ---- life ---- */

int
nats_js_init(struct nats_broker *nb, struct error *err)
{
	unsigned char r[10];
	struct header h;
	const char *why;

	nb->expects_seq = broker_xopt(&nb->b, "expect_seq") != NULL;
	if (nb->mode == NATS_CORE && (nb->msg_id || nb->expect_stream || nb->expects_seq))
		return error_set(err, ERR_USAGE, "-X nats.%s goes with -X nats.mode=jetstream", nb->msg_id ?
			"msg_id" : nb->expect_stream ? "expect_stream" : "expect_seq");
	h = (struct header){ BYTES("x"), bytes_str(nb->expect_stream) };
	why = nb->expect_stream ? nats_bad_header(&h) : NULL;
	if (why)
		return error_set(err, ERR_USAGE, "-X nats.expect_stream: a name");
	if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
		return error_sys(err, ERR_LOCAL_IO, "no random number");
	nb->inbox_n = (size_t)snprintf(nb->inbox, sizeof nb->inbox, "_INBOX.");
	for (size_t i = 0; i < sizeof r; i++)
		nb->inbox_n += (size_t)snprintf(nb->inbox + nb->inbox_n, 3, "%02x", r[i]);
	return 0;
}

void
nats_js_close(struct nats_broker *nb)
{
	if (nb->taken)
		log_verbose("nats: %llu events in streams, the last in %.*s with sequence %llu; %llu "
			"of them were there already", (unsigned long long)nb->taken,
			BYTES_FMT(buf_bytes(&nb->stream)), (unsigned long long)nb->last_seq,
			(unsigned long long)nb->duplicates);
	nb->taken = 0;
}

void
nats_js_release(struct nats_broker *nb)
{
	buf_release(&nb->reply);
	buf_release(&nb->stream);
	free(nb->heads);
	nats_js_sub_lost(nb);
	nats_list_release(nb);
	ledger_release(&nb->ledger);
}
