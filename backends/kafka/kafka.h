/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kafka broker, on librdkafka: the plan of its files.
 *
 *	kafka.c		options and the ops
 *	kafka_conf.c	what the user said, as properties of the library
 *	kafka_show.c	the library's properties, for -X list
 *	kafka_client.c	one handle of the library: made, polled, up or not, given up
 *	kafka_reach.c	which address of a name is connected to
 *	kafka_error.c	what its errors mean
 *	kafka_ask.c	questions for which the library blocks, asked by a thread
 *	kafka_pub.c	publishing and what becomes of each event
 *	kafka_sent.c	what is under way, and to which topics
 *	kafka_fate.c	what its failures say of an event
 *	kafka_resend.c	a batch that was refused for its size
 *	kafka_txn.c	topics made when asked, transactions
 *	kafka_topics.c	topics and partitions, and what the user is told of them
 *	kafka_place.c	which partitions there are, and where to begin and end in them
 *	kafka_tail.c	where the last N events begin
 *	kafka_sub.c	subscriptions: all partitions, or a group's
 *	kafka_read.c	records become events
 *	kafka_group.c	rebalances
 *	kafka_commit.c	acknowledged events become commits
 *	kafka_marks.c	event numbers and the offsets they stand for; pure
 *	kafka_list.c	topics and groups, for `mbus topics`
 *
 * THREADS. The library's threads run nothing of ours but what puts them where they
 * belong (core/one_cpu), when they begin and end, and what looks up names
 * (kafka_reach.c): its callbacks are called from our polling, its log lines wait in a
 * queue, and what wakes our loop is its write to an eventfd. The one thread of ours asks
 * what the library answers only to those who wait (kafka_ask.c); it shares with the
 * loop's thread nothing but its struct, which belongs to one of them at a time.
 */
#ifndef MBUS_KAFKA_H
#define MBUS_KAFKA_H

#include <librdkafka/rdkafka.h>

#include "backends/kafka/kafka_marks.h"
#include "backends/proto/envelope.h"
#include "core/broker.h"
#include "core/pattern.h"

enum {
	KAFKA_BATCH = 1000,		/* records taken at once */
	KAFKA_GIVEN = 4096,		/* and given */
	KAFKA_GIVEN_BYTES = 512 * 1024,
	KAFKA_LATE_MS = 1200,		/* the library tells within a second of the time-out */
	KAFKA_REFRESH_MS = 5000,	/* new partitions are looked for so often */
	KAFKA_MISSING_MS = 500		/* and topics that are not there */
};

struct kafka_broker;
struct kafka_client;

/* ---- questions: kafka_ask.c ---- */

struct kafka_ask {
	/* In the thread. May block for short times; ends early when kafka_ask_over(). */
	void (*run)(struct kafka_ask *);
	/* In the loop's thread, when run has ended; not when the client has gone. */
	void (*done)(struct kafka_ask *);
	/* Frees what the question's own struct holds, in either thread. */
	void (*drop)(struct kafka_ask *);
	struct kafka_client *client;	/* the loop's thread only */
	rd_kafka_t *rk;
	uint64_t until_ns;		/* loop_clock_ns(); 0: for ever */
	struct kafka_ask *next;		/* waiting questions */
	int state;
	int wake;			/* the client's eventfd */
};

/* Asks when those before are answered. The struct is malloced, and ours from now on. */
void kafka_ask_start(struct kafka_client *, struct kafka_ask *);
/* Should run() end? */
bool kafka_ask_over(const struct kafka_ask *);
/* How long the library may block this time: grows with each try. */
int kafka_ask_slice_ms(const struct kafka_ask *, unsigned attempt);
/* Sleeps before the next try. */
void kafka_ask_nap(const struct kafka_ask *);
/* For kafka_client.c: looks whether one has ended. */
void kafka_ask_poll(struct kafka_client *);
/* The client ends: true: a thread still uses rk and destroys it. */
bool kafka_ask_abandon(struct kafka_client *);

/* ---- a handle ---- */

struct kafka_client {
	struct kafka_broker *kb;
	rd_kafka_t *rk;
	rd_kafka_queue_t *queue;	/* records and callbacks come here */
	void (*poll)(struct kafka_client *);
	/* May set callbacks of its own before the handle is made; may be NULL. */
	void (*configure)(struct kafka_client *, rd_kafka_conf_t *);
	/* It will not do. Once, and before it was up. */
	void (*failed)(struct kafka_client *, const struct error *);
	int wake;			/* eventfd */
	struct loop_fd fd;
	struct loop_timer deadline, back;
	bool up, dead, down_told;
	bool member;			/* of a group */
	bool counts;			/* heeds opts.reconnect */
	bool one_cpu;			/* its threads and ours: who only subscribes gains by it */
	unsigned tries;			/* to connect again, in a row */
	bool all_down;			/* as the library says, before it was up */
	uint64_t refused;		/* which of the servers listed were not to be had */
	unsigned listed;		/* how many there are; 0: nothing was refused yet */
	struct error last;		/* what the library said last of its connections */
	struct kafka_ask *ask, *waiting;
};

int kafka_client_open(struct kafka_client *, struct kafka_broker *, rd_kafka_type_t,
	const char *group, bool to_end, struct error *);
void kafka_client_close(struct kafka_client *);
/* For a handle of a thread's own, that only looks at what is there. */
rd_kafka_conf_t *kafka_client_looker(struct kafka_broker *);
/* Has there been an answer of any server? */
bool kafka_client_is_up(struct kafka_client *);
/* Something was served, and there may be more: come back in the next turn. */
void kafka_client_again(struct kafka_client *);
/* A question was not answered in time: perhaps because the server that would is not to
 * be found where the others say that it is. */
void kafka_client_unanswered(const struct kafka_client *, rd_kafka_resp_err_t, struct error *);
/* For ask.until_ns: as long as connecting may take. */
uint64_t kafka_client_until(const struct kafka_client *);
void kafka_client_fail(struct kafka_client *, const struct error *);

/* ---- publishing ---- */

/* What is under way. The list is in the order of publishing. */
struct kafka_sent {
	struct kafka_sent *next, *prev;
	uint64_t id, until_ns;
	size_t size;
	int64_t time_ms;		/* its own; -1: it has none */
	struct kafka_copy *copy;	/* it waits to be sent again; NULL: it does not */
};

struct kafka_batch {
	rd_kafka_message_t msgs[KAFKA_GIVEN];
	struct buf bytes;		/* payloads and keys; msgs have offsets until it goes */
	size_t n;
	struct kafka_out *topic;
	int32_t partition;
};

/* A topic published to. */
struct kafka_out {
	struct kafka_out *next;		/* of its hash */
	struct bytes name;
	rd_kafka_topic_t *rkt;
	enum { OUT_READY, OUT_NEW, OUT_MAKING, OUT_FAILED } made;
	struct error why;		/* OUT_FAILED */
	int nparts;			/* 0: not known */
};

struct kafka_pub {
	struct kafka_client client;
	struct kafka_out *topics[64];
	struct kafka_out *recent;
	struct kafka_batch *batch, *spare;
	struct loop_task flush;
	struct loop_timer late, held;
	struct kafka_sent sent;		/* the ring's head */
	struct kafka_sent *idle;	/* not in use */
	struct kafka_sent **slabs;
	size_t nslabs;
	struct buf value;		/* an envelope */
	bool in_transaction, finishing, pushed;
	bool silent;			/* an event's whole time, and nothing was confirmed */
	uint64_t confirmed, heard_ns;	/* how many; the last */
	enum { RESEND_NONE, RESEND_DRAIN, RESEND_DONE } resend;
	size_t nwaiting;		/* to be sent again */
	uint64_t parts_waiting;		/* bits of their partitions */
	bool out_of_order;
};

/* What is sent again. */
struct kafka_copy {
	struct kafka_out *topic;
	rd_kafka_headers_t *headers;
	int32_t partition;
	struct bytes key, value;	/* p NULL: none; the bytes follow */
	char bytes[];
};

/* One for rd_kafka_produceva(). */
struct kafka_record {
	struct kafka_out *topic;
	int32_t partition;
	struct bytes key, value;
	rd_kafka_headers_t *headers;	/* NULL: none */
	int64_t time_ms;		/* -1: now */
};

/* ---- subscribing ---- */

struct kafka_topic;

struct kafka_part {
	struct kafka_topic *topic;
	struct kafka_mark mark;		/* with a group */
	int64_t next, end;		/* end -1: none */
	bool started, ended, revoking;
	int32_t id;
};

struct kafka_topic {
	struct kafka_topic *next;
	struct kafka_sub *ks;		/* NULL: not subscribed any more */
	struct bytes name;		/* its own */
	rd_kafka_topic_t *rkt;
	struct kafka_part **parts;
	int32_t nparts;
};

struct kafka_sub {
	struct kafka_sub *next;
	struct kafka_broker *kb;
	struct subscription *s;		/* NULL: unsubscribed */
	struct bytes topic;
	regex_t regex;
	bool internal;			/* the server's own topics, __NAME, are meant, too */
	bool is_regex, told, missing_told, ended;
	bool warned;			/* that something is no envelope */
	size_t nleft;			/* partitions that have not come to their end */
};

struct kafka_group {
	const char *name;
	struct kafka_marks marks;
	enum { GROUP_CALM, GROUP_ASSIGN, GROUP_REVOKE } state;
	rd_kafka_topic_partition_list_t *list;	/* of the rebalance */
	struct loop_task task;
	struct loop_timer patience, waits, commit;
	rd_kafka_queue_t *leaving;	/* what comes while it leaves */
	uint64_t committed_ns;
	bool committing, assigned, warned, cooperative;
	bool on_delivery;		/* --ack none: what was delivered is done */
	uint64_t delivered;		/* up to this one */
	uint64_t commits;
};

struct kafka_subs {
	struct kafka_client client;
	struct kafka_sub *subs;
	struct kafka_topic *topics;
	rd_kafka_topic_t *recent_rkt;
	struct kafka_topic *recent;
	struct loop_task start;
	struct loop_timer refresh;
	struct kafka_group group;
	struct envelope envelope;
	struct buf copy;		/* of an envelope, which is read in place */
	struct header *headers;
	size_t cap_headers;
	rd_kafka_message_t *batch[KAFKA_BATCH];
	rd_kafka_message_t **held;	/* came while paused */
	size_t nheld, cap_held;
	struct loop_timer paused_tick;
	bool paused, paused_there, draining, placing, full;
};

struct kafka_broker {
	struct broker b;
	char *servers;
	int missing_fails;		/* -X missing: wait, fail */
	bool one_cpu;
	struct kafka_pub *pub;
	struct kafka_subs *sub;
	struct kafka_client *lister;
	listing_fn *listed;
	void *listed_arg;
};

static inline struct kafka_broker *kafka_of(struct broker *b) { return (struct kafka_broker *)b; }

/* kafka_conf.c */
extern const struct broker_option kafka_options[];
int kafka_conf_check(const char *name, const char *value, unsigned *use, struct error *);
/* Whose property it is: 0, all, or of enum broker_use. */
unsigned kafka_conf_use(const char *name);
/* Is it an option of ours, or said by one? */
bool kafka_conf_is_ours(const char *name);
int kafka_conf_servers(struct kafka_broker *, struct error *);
rd_kafka_conf_t *kafka_conf_make(struct kafka_broker *, rd_kafka_type_t, const char *group,
	bool to_end, struct error *);
/* What the user's -X says of a property; NULL: nothing. */
const char *kafka_conf_given(const struct kafka_broker *, const char *name);

/* kafka_show.c */
void kafka_conf_list(struct buf *);

/* kafka_reach.c */
struct addrinfo;
/* For rd_kafka_conf_set_resolve_cb(). Blocks: it is the library's thread. */
int kafka_reach(const char *host, const char *port, const struct addrinfo *hints,
	struct addrinfo **list, void *arg);

/* kafka_error.c */
/* code and the library's words for it; reason: more than that, or NULL. */
int kafka_error(struct error *, rd_kafka_resp_err_t, const char *reason);
int kafka_error_partition(struct error *, const char *topic, int64_t partition, int nparts);
/* What it said of a connection that never came to be, in the words of our options. */
void kafka_error_connect(struct error *, bool tls, bool user);
void kafka_log(const rd_kafka_t *, int level, const char *facility, const char *text);

/* kafka_pub.c */
int kafka_pub_open(struct kafka_broker *, struct error *);
void kafka_pub_close(struct kafka_broker *);
int kafka_pub_event(struct kafka_broker *, const struct publication *, struct error *);

/* kafka_sent.c */
struct kafka_sent *kafka_sent_new(struct kafka_pub *);
void kafka_sent_free(struct kafka_pub *, struct kafka_sent *);
/* It is not to be sent again. */
void kafka_sent_forget(struct kafka_pub *, struct kafka_sent *);
/* For a timer: ends those whose reports do not come. */
void kafka_sent_late(struct loop_timer *);
/* One is timed out; and then, when all such are told: may end the run. */
void kafka_sent_silent(struct kafka_broker *, const struct kafka_sent *);
void kafka_sent_stuck(struct kafka_broker *);
void kafka_pub_told(struct kafka_broker *, struct kafka_sent *, enum fate, const struct error *);
void kafka_pub_error(struct kafka_broker *, rd_kafka_resp_err_t, struct error *);
/* Of a topic that has not the partition: which it has. */
void kafka_no_partition(struct kafka_broker *, const char *topic, int32_t, struct error *);
struct kafka_out *kafka_out_find(struct kafka_broker *, struct bytes name, struct error *);
/* The topic is there: it can be published to. */
void kafka_out_ready(struct kafka_pub *, struct kafka_out *);
/* 0: the library has the event and its headers. */
int kafka_pub_record(struct kafka_broker *, const struct kafka_record *, struct kafka_sent *,
	struct error *);

/* kafka_fate.c */
/* For an interceptor of a new handle. */
rd_kafka_resp_err_t kafka_fate_watch(rd_kafka_t *, const rd_kafka_conf_t *, void *, char *why,
	size_t);
/* given_ns: when the event was published, by loop_clock_ns(). */
enum fate kafka_fate(rd_kafka_resp_err_t, rd_kafka_msg_status_t, uint64_t given_ns);

/* kafka_resend.c */
/* It is not the event's end: it will be sent again. */
bool kafka_resend_takes(struct kafka_broker *, const rd_kafka_message_t *);
/* After reports: is it time for a second handle, and kafka_resend_all()? Once. */
bool kafka_resend_ready(struct kafka_broker *);
void kafka_resend_all(struct kafka_broker *);

/* kafka_txn.c */
void kafka_txn_begin(struct kafka_broker *);
void kafka_txn_finish(struct kafka_broker *, bool commit);
void kafka_topic_make(struct kafka_broker *, struct kafka_out *);

/* kafka_tail.c: in an asking thread. from: the first offsets that there are, which become
 * those of the last want[i] events; 0: it stays as it is. *conf is NULL when it was used. */
void kafka_tails(rd_kafka_conf_t **conf, rd_kafka_topic_partition_list_t *from,
	const rd_kafka_topic_partition_list_t *end, const int64_t *want,
	const struct kafka_ask *);

/* kafka_place.c */
/* Looks for partitions of the subscriptions that are not read yet. */
void kafka_place_start(struct kafka_broker *);

/* kafka_topics.c */
struct kafka_sub *kafka_sub_of_topic(struct kafka_subs *, struct bytes);
struct kafka_topic *kafka_sub_topic(struct kafka_subs *, struct bytes name);
struct kafka_part *kafka_topic_part(struct kafka_topic *, int32_t id);
struct kafka_part *kafka_group_part(struct kafka_subs *, const rd_kafka_topic_partition_t *);
void kafka_sub_tell(struct kafka_sub *, const struct error *);
void kafka_sub_tell_all(struct kafka_subs *, const struct error *);
/* A partition has come to its end; or a subscription has none that has one. */
void kafka_sub_part_ended(struct kafka_part *);
void kafka_sub_check_ended(struct kafka_sub *);

/* kafka_sub.c */
int kafka_sub_subscribe(struct subscription *, struct error *);
void kafka_sub_unsubscribe(struct subscription *);
void kafka_sub_close(struct kafka_broker *);
void kafka_sub_pause(struct kafka_broker *, bool);
void kafka_sub_drain(struct kafka_broker *);

/* kafka_read.c */
void kafka_read_poll(struct kafka_client *);

/* kafka_group.c */
void kafka_group_init(struct kafka_subs *);
void kafka_group_rebalance(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *,
	void *);
/* Partitions are waited for. */
void kafka_group_wait(struct kafka_subs *);
/* Is the server there that keeps the group? */
void kafka_group_look(struct kafka_subs *);
/* A topic is waited for. */
void kafka_group_missing(struct kafka_subs *);
void kafka_group_release(struct kafka_subs *);

/* kafka_commit.c */
void kafka_commit_init(struct kafka_subs *);
void kafka_group_committed(rd_kafka_t *, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t *,
	void *);
void kafka_group_ack(struct kafka_subs *, uint64_t first, uint64_t last, bool ok);
/* A batch was delivered. */
void kafka_group_delivered(struct kafka_subs *);
/* How many partitions have something to commit; and which, if list. */
int kafka_group_dirty(struct kafka_subs *, rd_kafka_topic_partition_list_t *list);
/* Soon: now when the last was long ago, or when somebody waits for it. */
void kafka_group_commit(struct kafka_subs *);
/* After a commit, or instead of one. */
void kafka_group_next(struct kafka_subs *);
void kafka_group_drain(struct kafka_subs *);
void kafka_group_lag(struct kafka_subs *);
/* It leaves the group: serves that, and says whether it is so. */
bool kafka_group_closing(struct kafka_subs *);

/* kafka_list.c */
int kafka_list_start(struct broker *, const char *const *topics, size_t n, bool groups, listing_fn *,
	void *arg, struct error *);
void kafka_list_close(struct kafka_broker *);

#endif
