/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing: an event as a command, and what its reply says. What becomes of events
 * without a reply is the pipeline's.
 */
#include "backends/redis/redis.h"

#include "core/log.h"

/* What the server takes in one word, as it is configured by default. */
#define WORD_MAX (512ull << 20)

/* ---- the command ---- */

/* The command and its topic, most often those of the event before. */
static void
write_head(struct redis_broker *rb, struct buf *to, struct bytes topic)
{
	static const struct bytes words[] = {
		[MODE_PUBSUB] = BYTES("*3\r\n$7\r\nPUBLISH\r\n"),
		[MODE_SHARDED] = BYTES("*3\r\n$8\r\nSPUBLISH\r\n"),
	};

	if (!rb->head_topic.p || !bytes_eq(rb->head_topic, topic)) {
		buf_clear(&rb->head);
		buf_add_bytes(&rb->head, words[rb->mode]);
		resp_word(&rb->head, topic);
		rb->head_topic = bytes_of(buf_data(&rb->head) + buf_len(&rb->head) - 2 - topic.n,
			topic.n);
	}
	buf_add_bytes(to, buf_bytes(&rb->head));
}

static void
write_publish(struct redis_broker *rb, struct buf *to, const struct publication *p)
{
	enum wire wire = rb->b.opts.wire;
	size_t begun;

	write_head(rb, to, p->topic);
	if (wire == WIRE_RAW) {
		resp_word(to, p->msg.body);
		return;
	}
	begun = resp_word_begin(to, wire_guess(&p->msg, wire));
	wire_write(to, &p->msg, wire);
	resp_word_end(to, begun);
}

static void
write_add(struct redis_broker *rb, struct buf *to, const struct publication *p)
{
	resp_command(to, 3 + (rb->trim ? 3 : 0) + redis_entry_words(&p->msg));
	resp_word(to, BYTES("XADD"));
	resp_word(to, p->topic);
	if (rb->trim) {
		resp_word(to, BYTES("MAXLEN"));
		resp_word_str(to, rb->trim_about ? "~" : "=");
		resp_word_u64(to, rb->trim);
	}
	resp_word(to, BYTES("*"));
	redis_entry_write(to, &p->msg);
}

static struct redis_conn *
pub_conn(struct redis_broker *rb, struct bytes topic)
{
	return rb->mode != MODE_PUBSUB && rb->slots ? redis_cluster_conn(rb, topic) :
		redis_publisher(rb);
}

int
redis_pub_event(struct redis_broker *rb, const struct publication *p, struct error *err)
{
	struct redis_conn *c = pub_conn(rb, p->topic);
	struct buf *to;

	if (p->size > WORD_MAX)
		return error_set(err, ERR_REFUSED, "larger than the 512 MiB that Redis takes");
	if (rb->hold_conn)
		return PUBLISH_FULL;
	to = pipeline_begin(&c->p);
	if (rb->mode == MODE_STREAM)
		write_add(rb, to, p);
	else
		write_publish(rb, to, p);
	pipeline_commit(&c->p, p, 0);
	return 0;
}

/* ---- the reply ---- */

/* Another node has the topic. true: the event, which is at the front, is on its way
 * there. */
static bool
pub_redirect(struct redis_conn *c, const struct resp_value *v, struct error *err)
{
	struct redis_conn *to;
	struct bytes address;
	unsigned slot;
	bool ask;

	if (!pipeline_front(&c->p)->copy_size || !redis_moved(v, &slot, &address, &ask))
		return false;
	to = redis_cluster_node(c->rb, c, address, err);
	if (!to || to == c)
		return false;
	if (ask) {
		/* Once, for this one command, while a slot is on its way. Before the
		 * other node has greeted us, this one is asked again. */
		if (to->p.ready)
			resp_word_str(redis_command(to, NULL, NULL, 1), "ASKING");
		else
			to = c;
	} else {
		redis_cluster_map(c->rb, slot, to);
		/* What is behind it here is to arrive before what is published now. */
		if (flight_count(&c->p.ring) > 1) {
			c->rb->hold_conn = c;
			c->rb->hold = c->p.ring.next;
		}
	}
	pipeline_move(&c->p, &to->p);
	return true;
}

/* What was held back may go on when all that was before it has been answered. */
void
redis_pub_unhold(struct redis_conn *c)
{
	const struct flight *f = &c->p.ring;

	if (c->rb->hold_conn == c && (f->first >= c->rb->hold || f->first == f->next ||
	    !c->p.ready)) {
		c->rb->hold_conn = NULL;
		broker_room(&c->rb->b);
	}
}

static void
pub_count(struct redis_broker *rb, const struct resp_value *v)
{
	if (v->type == RESP_INTEGER && v->n >= 0) {
		rb->events++;
		rb->receivers += (uint64_t)v->n;
		rb->nobody += v->n == 0;
	}
}

/* Apart, because what is confirmed should not have to clear the room for an error. */
static void __attribute__((noinline))
pub_refused(struct redis_conn *c, const struct resp_value *v)
{
	struct error err = ERROR_INIT;
	unsigned what = 0;

	if (pub_redirect(c, v, &err))
		return;
	if (!err.kind)
		what = redis_error(v, &err);
	if (what & REDIS_PASSES) {
		struct error why = err;

		error_prefix(&why, "%s", link_name(c->p.link));
		why.kind = ERR_CONNECT;
		if (pipeline_retry(&c->p, &why, what & REDIS_NEXT))
			return;
	}
	pipeline_settle(&c->p, FATE_REFUSED, &err);
}

void
redis_pub_reply(struct redis_conn *c, const struct resp_value *v)
{
	if (v->type != (c->rb->mode == MODE_STREAM ? RESP_STRING : RESP_INTEGER)) {
		pub_refused(c, v);
		return;
	}
	pub_count(c->rb, v);
	pipeline_settle(&c->p, FATE_CONFIRMED, NULL);
}
