/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Topics made when asked, and transactions: a run of pub is one. It is begun before
 * the first event, and the broker is connected only then; it ends by finish. Each step
 * blocks in the library, so a thread waits for it.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>

#include "core/log.h"

enum { TXN_END_MS = 10000 };

struct txn_ask {
	struct kafka_ask ask;
	bool end, commit, undone;	/* what could not be committed was aborted */
	rd_kafka_error_t *error;
};

static void
txn_drop(struct kafka_ask *a)
{
	struct txn_ask *t = (struct txn_ask *)a;

	if (t->error)
		rd_kafka_error_destroy(t->error);
	free(t);
}

static rd_kafka_error_t *
txn_step(struct txn_ask *t, int ms)
{
	if (!t->end)
		return rd_kafka_init_transactions(t->ask.rk, ms);
	return t->commit ? rd_kafka_commit_transaction(t->ask.rk, ms) :
		rd_kafka_abort_transaction(t->ask.rk, ms);
}

static void
txn_run(struct kafka_ask *a)
{
	struct txn_ask *t = (struct txn_ask *)a;

	for (unsigned i = 0;; i++) {
		if (t->error)
			rd_kafka_error_destroy(t->error);
		t->error = txn_step(t, kafka_ask_slice_ms(a, i));
		if (!t->error || !rd_kafka_error_is_retriable(t->error) || kafka_ask_over(a))
			break;
		kafka_ask_nap(a);
	}
	if (!t->error && !t->end)
		t->error = rd_kafka_begin_transaction(a->rk);
	/* Leaving it open would hold up its readers until it times out. */
	if (t->error && t->end && t->commit) {
		rd_kafka_error_t *e = rd_kafka_abort_transaction(a->rk, kafka_ask_slice_ms(a, 2));

		t->undone = !e;
		if (e)
			rd_kafka_error_destroy(e);
	}
}

static void
txn_begun(struct kafka_ask *a)
{
	struct txn_ask *t = (struct txn_ask *)a;
	struct kafka_client *c = a->client;
	struct error err;

	if (c->dead)
		return;
	if (!t->error) {
		c->kb->pub->in_transaction = true;
		kafka_client_is_up(c);
		broker_connected(&c->kb->b, NULL);
		return;
	}
	kafka_error(&err, rd_kafka_error_code(t->error), rd_kafka_error_string(t->error));
	if (c->last.kind && err.kind == ERR_TIMEOUT)
		err = c->last;
	if (err.kind == ERR_TIMEOUT)
		err.kind = ERR_CONNECT;
	error_prefix(&err, "the transaction cannot begin");
	kafka_client_fail(c, &err);
}

static void
txn_ended(struct kafka_ask *a)
{
	struct txn_ask *t = (struct txn_ask *)a;
	struct kafka_broker *kb = a->client->kb;
	struct error err;

	kb->pub->in_transaction = false;
	if (!t->error) {
		broker_finished(&kb->b, NULL);
		return;
	}
	kafka_error(&err, rd_kafka_error_code(t->error), rd_kafka_error_string(t->error));
	if (t->commit && !t->undone)
		err.kind = ERR_UNKNOWN;
	broker_finished(&kb->b, &err);
}

static void
txn_ask(struct kafka_broker *kb, bool end, bool commit)
{
	struct txn_ask *t = xcalloc(1, sizeof *t);
	unsigned ms = end ? TXN_END_MS : kb->b.opts.connect_timeout_ms;

	t->ask.run = txn_run;
	t->ask.done = end ? txn_ended : txn_begun;
	t->ask.drop = txn_drop;
	if (ms)
		t->ask.until_ns = loop_clock_ns() + ms * UINT64_C(1000000);
	t->end = end;
	t->commit = commit;
	kafka_ask_start(&kb->pub->client, &t->ask);
}

void
kafka_txn_begin(struct kafka_broker *kb)
{
	txn_ask(kb, false, false);
}

void
kafka_txn_finish(struct kafka_broker *kb, bool commit)
{
	if (kb->pub && kb->pub->in_transaction)
		txn_ask(kb, true, commit);
	else
		broker_finished(&kb->b, NULL);
}

/* ---- topics ---- */

struct make_ask {
	struct kafka_ask ask;
	struct kafka_out *out;		/* the loop's thread only */
	char *name;
	int partitions;
	rd_kafka_resp_err_t code;
	char why[300];
};

static void
make_drop(struct kafka_ask *a)
{
	struct make_ask *m = (struct make_ask *)a;

	free(m->name);
	free(m);
}

static void
make_result(struct make_ask *m, rd_kafka_event_t *ev)
{
	const rd_kafka_CreateTopics_result_t *res;
	const rd_kafka_topic_result_t **topics;
	size_t n = 0;

	m->code = rd_kafka_event_error(ev);
	snprintf(m->why, sizeof m->why, "%s", m->code ? rd_kafka_event_error_string(ev) : "");
	res = m->code ? NULL : rd_kafka_event_CreateTopics_result(ev);
	topics = res ? rd_kafka_CreateTopics_result_topics(res, &n) : NULL;
	if (n) {
		const char *why = rd_kafka_topic_result_error_string(topics[0]);

		m->code = rd_kafka_topic_result_error(topics[0]);
		snprintf(m->why, sizeof m->why, "%s", why ? why : "");
	}
}

static void
make_run(struct kafka_ask *a)
{
	struct make_ask *m = (struct make_ask *)a;
	rd_kafka_queue_t *q = rd_kafka_queue_new(a->rk);
	rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(a->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	rd_kafka_NewTopic_t *t;
	rd_kafka_event_t *ev = NULL;

	rd_kafka_AdminOptions_set_request_timeout(o, 30000, NULL, 0);
	rd_kafka_AdminOptions_set_operation_timeout(o, 10000, NULL, 0);
	t = rd_kafka_NewTopic_new(m->name, m->partitions, -1, m->why, sizeof m->why);
	if (!t) {
		m->code = RD_KAFKA_RESP_ERR__INVALID_ARG;
	} else {
		rd_kafka_CreateTopics(a->rk, &t, 1, o, q);
		while (!ev && !kafka_ask_over(a))
			ev = rd_kafka_queue_poll(q, 250);
		m->code = RD_KAFKA_RESP_ERR__TIMED_OUT;
		if (ev)
			make_result(m, ev);
		rd_kafka_NewTopic_destroy(t);
	}
	if (ev)
		rd_kafka_event_destroy(ev);
	rd_kafka_AdminOptions_destroy(o);
	rd_kafka_queue_destroy(q);
}

static void
make_done(struct kafka_ask *a)
{
	struct make_ask *m = (struct make_ask *)a;
	struct kafka_broker *kb = a->client->kb;

	if (m->code && m->code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
		kafka_error(&m->out->why, m->code, m->why);
		error_prefix(&m->out->why, "%s: cannot be made", m->name);
		m->out->made = OUT_FAILED;
	} else {
		kafka_out_ready(kb->pub, m->out);
		if (!m->code)
			log_verbose("%s: made, with %d partition%s", m->name, m->partitions,
				m->partitions == 1 ? "" : "s");
	}
	broker_room(&kb->b);
}

void
kafka_topic_make(struct kafka_broker *kb, struct kafka_out *t)
{
	struct make_ask *m = xcalloc(1, sizeof *m);

	m->ask.run = make_run;
	m->ask.done = make_done;
	m->ask.drop = make_drop;
	m->ask.until_ns = loop_clock_ns() + (kb->b.opts.timeout_ms ? kb->b.opts.timeout_ms : 30000) *
		UINT64_C(1000000);
	m->out = t;
	m->name = xmemdup0(t->name.p, t->name.n);
	m->partitions = (int)kb->b.opts.create;
	kafka_ask_start(&kb->pub->client, &m->ask);
}
