/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Broker contract: what every backend provides, what it may count on, and
 * how to add one. It mirrors go-micro's Broker interface:
 *
 *	go-micro			here
 *	NewBroker, Init(options)	broker_new()		ops->init
 *	Options()			broker->opts
 *	Address()			broker_address()	ops->address
 *	Connect(), Disconnect()		broker_connect()...	ops->connect, disconnect
 *	Publish(topic, msg)		broker_publish()	ops->publish
 *	Subscribe(topic, h, opts)	broker_subscribe()	ops->subscribe
 *	Subscriber.Unsubscribe()	broker_unsubscribe()	ops->unsubscribe
 *	Event.Topic, Message, Error	struct event		broker_deliver()
 *	Event.Ack			broker_ack()		ops->ack
 *	String()			ops->name
 *
 * Two things go-micro hides are explicit here: the fate of every published
 * event, and back-pressure in both directions.
 *
 * THREADS. A broker belongs to the thread of its loop. Every function below is
 * called there, and every callback is called there. A library with threads of
 * its own hands its events over (a queue and a descriptor the loop watches).
 *
 * BLOCKING. Nothing here blocks. What takes time is finished by a callback.
 *
 * THE FATE OF AN EVENT. broker_publish() takes an event (then exactly one
 * struct outcome follows, perhaps before it returns), or answers PUBLISH_FULL
 * (nothing was taken; try again after notify->room), or refuses it at once
 * (-1 and an error; no outcome follows). The outcome is the strongest word the
 * broker gives: confirmed, refused, or unknown when it was sent and the
 * connection went before an answer came.
 *
 * RECEIVING. A backend calls broker_deliver() with a borrowed event; the core
 * numbers it (1, 2, 3 ... per broker) and calls the subscription's handler.
 * The handler is done with the bytes when it returns. Whoever subscribed calls
 * broker_ack() once the event is safe (printed): by number, for a range, so
 * that one call settles a whole batch. A backend without ACK in its caps has
 * no ack slot and delivers what it pleases.
 *
 * BACK-PRESSURE. broker_pause(true) asks the backend to stop delivering: it
 * stops reading its sockets, so that the peer feels it. Events already read may
 * still be delivered. For publishing, the core counts events and bytes under
 * way against opts.window_*, and answers PUBLISH_FULL; backends need not.
 *
 * HOW TO ADD A BROKER, by the example of tests/example/toy.c (make EXAMPLE=1), which has
 * a server and a wire of its own; backends/null.c is the smallest that has none.
 *	1. backends/NAME.c, or a folder of that name: translate, and nothing more. Every
 *	   extern begins with NAME_. The struct broker_ops is the last thing in the
 *	   file: the instance struct (toy: struct toy_broker) begins with struct broker
 *	   and has ops->size bytes, the rows of `options` say where their values go in
 *	   it (XOPT_AT).
 *	   - To the server: core/pipeline.h. init() opens it (toy_init), connect() starts
 *	     it, its ops greet and parse (toy_greet, toy_data). publish() writes between
 *	     pipeline_begin() and pipeline_commit() (toy_publish), whatever else is asked
 *	     is pipeline_ask() with who gets the answer (ask, subscribed). -W, --ack none,
 *	     --reconnect, keep-alive and the fates of events are the pipeline's.
 *	   - A broker without headers of its own: core/wire.h for --wire.
 *	   - To be acknowledged: core/ledger.h, from the numbers of events to what the
 *	     server calls them (event, toy_ack), forgotten with the connection.
 *	   - After a reconnection ask for the subscriptions again (answered): the core
 *	     tells who subscribed only once.
 *	   - For mbus topics, ops->list and core/listing.h.
 *	   - Parsers of what comes from outside that are more than toy's belong into
 *	     backends/proto, without I/O, with a fuzz target (tests/fuzz).
 *	2. a line in the table of core/backends.def: name, the schemes of its URLs, what it
 *	   is for, the Debian package it needs.
 *	3. a line in the Makefile: SRC_NAME, and the word NAME in BUILTIN or MODULES.
 *	4. tests/battery/brokers/NAME.bash: how its server is started, and which of the
 *	   tests that every broker passes it cannot have (tests/battery/example/toy.bash);
 *	   what is special about it is tests/bats/NAME.bats.
 *	Then it gets a man page mbus-NAME.7 and a row in the README's table. No other file
 *	names a backend.
 */
#ifndef MBUS_CORE_BROKER_H
#define MBUS_CORE_BROKER_H

#include "core/backend.h"
#include "core/buf.h"
#include "core/error.h"
#include "core/loop.h"
#include "core/message.h"
#include "core/xopt.h"

struct broker;
struct registry;
struct registry_ops;

/* What a backend can do. Code asks for these, never for a name. */
enum broker_caps {
	BROKER_REGISTRY = 1 << 0,	/* finds its peers through opts.registry */
	BROKER_GROUP = 1 << 1,		/* subscribers of one group share the events */
	BROKER_ACK = 1 << 2,		/* has an ack slot */
	BROKER_AUDIENCE = 1 << 3,	/* knows who subscribes: ops->audience */
	BROKER_KEY = 1 << 4,		/* carries message.key */
	BROKER_NULL_BODY = 1 << 5,	/* null and empty body are different things */
	BROKER_NULL_HEADER = 1 << 6,	/* a header may have no value */
	BROKER_REPEAT_HEADER = 1 << 7,	/* a header name may come twice */
	BROKER_BINARY_HEADER = 1 << 8,	/* names and values need not be UTF-8 */
	BROKER_BINARY_TOPIC = 1 << 9,	/* nor the topic */
	BROKER_NO_NETWORK = 1 << 10,	/* has no server and no peers */
	BROKER_TLS = 1 << 11,		/* heeds opts.tls */
	BROKER_HEADER = 1 << 12,	/* has headers at all */
	BROKER_USER = 1 << 13,		/* heeds opts.username, opts.password */
	BROKER_RECONNECT = 1 << 14,	/* heeds opts.reconnect */
	BROKER_RAW = 1 << 15,		/* heeds WIRE_RAW when it publishes */
	BROKER_QOS = 1 << 16,		/* quality of service 0, 1, 2 */
	BROKER_RETAIN = 1 << 17,	/* keeps the last event of a topic */
	BROKER_PARTITION = 1 << 18,	/* topics have partitions */
	BROKER_OFFSET = 1 << 19,	/* heeds subscribe_options.from, until */
	BROKER_END = 1 << 20,		/* heeds subscribe_options.ended */
	BROKER_PROPS = 1 << 21,		/* carries struct properties */
	BROKER_ACK_CHOICE = 1 << 22,	/* heeds the ack of both options */
	BROKER_TIME = 1 << 23,		/* an event may be published with its time */
	BROKER_COMPRESS = 1 << 24,	/* heeds opts.compress */
	BROKER_CREATE = 1 << 25,	/* heeds opts.create */
	BROKER_TRANSACTION = 1 << 26,	/* heeds opts.transaction; has ops->finish */
	BROKER_SHOWS_RAW = 1 << 28,	/* has no BROKER_RAW, but heeds WIRE_RAW when it
				 * subscribes */
	BROKER_REPLY = 1 << 29,		/* of struct properties it carries reply_to only */
	BROKER_REGEX = 1 << 30,		/* heeds subscribe_options.regex */
	BROKER_HEEDLESS = 1 << 27	/* takes all that is asked for and does nothing of it: it
					 * is there to measure others */
};

/* What is put on the wire, and looked for on it. */
enum wire {
	WIRE_AUTO,			/* pub: as WIRE_MICRO; sub: whichever it is */
	WIRE_MICRO,			/* go-micro's envelope where the broker's plugin has one */
	WIRE_RAW			/* the bare body and the broker's own headers */
};

/* What makes a published event confirmed. */
enum publish_ack {
	PUBLISH_ACK_BROKER,		/* the broker's word */
	PUBLISH_ACK_NONE,		/* the kernel has taken it */
	PUBLISH_ACK_ALL			/* and its replicas have it, where it has any */
};

enum subscribe_ack {
	SUBSCRIBE_ACK_AUTO,		/* after-write where the broker can */
	SUBSCRIBE_ACK_AFTER_WRITE,	/* must be: by broker_ack() */
	SUBSCRIBE_ACK_NONE		/* the backend settles what it delivers itself, or
					 * asks the broker not to wait for it */
};

enum fate {
	FATE_CONFIRMED,
	FATE_REFUSED,			/* it is known not to have been (fully) taken */
	FATE_UNKNOWN			/* sent, no answer: it may have arrived */
};

struct outcome {
	uint64_t id;			/* what broker_publish() was given */
	enum fate fate;
	const struct error *error;	/* why not confirmed; NULL when confirmed.
					 * Good for the length of the call. */
};

/* How the broker speaks to its user. All may be NULL. arg is opts.notify_arg. */
struct broker_notify {
	/* The fate of one published event. May call broker_publish(). */
	void (*outcome)(struct broker *, const struct outcome *, void *arg);
	/* There is room again after PUBLISH_FULL. May call broker_publish(). */
	void (*room)(struct broker *, void *arg);
	/* broker_connect() has ended: err NULL, all is well. */
	void (*connected)(struct broker *, const struct error *err, void *arg);
	/* The connection was lost for good, or could not be kept; the user ends
	 * the run with err's kind. Reconnecting is the backend's own business. */
	void (*failed)(struct broker *, const struct error *err, void *arg);
	/* broker_finish() has ended: err NULL, it is done. */
	void (*finished)(struct broker *, const struct error *err, void *arg);
};

struct broker_options {
	const char *address;		/* MICRO_BROKER_ADDRESS; NULL: default */
	struct registry *registry;	/* set where ops->caps has BROKER_REGISTRY */
	const struct broker_xopt *xopts;
	size_t nxopts;
	const struct tls_options *tls;	/* core/tls.h; NULL: none were given. A backend
					 * without BROKER_TLS never sees them */
	unsigned connect_timeout_ms;
	const char *username;		/* NULL: none */
	struct bytes password;		/* p NULL: none. Never to be shown or logged */
	int reconnect;			/* attempts in a row after a connection that was
					 * there has gone; -1: for ever; 0: none */
	bool reconnect_given;		/* the user's word, and not the default */
	enum wire wire;
	enum publish_ack ack;
	bool publishes;			/* what it is for, where that is known: the backend
					 * may prepare it */
	unsigned use;			/* enum broker_use: whose -X options are taken; 0: all */
	bool transaction;		/* all that is published, or nothing: see finish */
	unsigned create;		/* topics that are not there are made, with so many
					 * partitions; 0: they are not */
	const char *compress;		/* NULL: the broker's default */
	unsigned timeout_ms;		/* each event: from publish to its outcome.
					 * The backend keeps it: 0 means for ever */
	size_t window_events;		/* under way at once; 0: what is best for the broker */
	size_t window_bytes;		/* likewise; one event always fits */
	const struct broker_notify *notify;
	void *notify_arg;
};

struct subscription;

/* A place in what a broker keeps of a topic. */
enum position_kind {
	POSITION_DEFAULT,		/* the broker's own default */
	POSITION_BEGINNING, POSITION_END,
	POSITION_STORED,		/* where the group stopped */
	POSITION_OFFSET,		/* n */
	POSITION_TAIL,			/* the last n */
	POSITION_TIME,			/* n: milliseconds since 1970 */
	POSITION_ID			/* text: the broker's own name ("1526919030474-55") */
};

struct position {
	enum position_kind kind;
	int64_t n;
	const char *text;
};

struct subscribe_options {
	const char *group;		/* go-micro's queue; NULL: every event */
	enum subscribe_ack ack;
	struct position from;		/* where to begin, with BROKER_OFFSET */
	struct position until;		/* POSITION_TIME: events before it only */
	int64_t partition;		/* with BROKER_PARTITION: this one only; -1: all */
	int qos;			/* with BROKER_QOS: the highest wanted; -1: its default */
	bool regex;			/* with BROKER_REGEX: the topic is an expression that
					 * pattern_compile() takes, for those that there are,
					 * and will be */
	bool no_retained;		/* with BROKER_RETAIN: no old events */
	bool no_headers;		/* the handler does not look at them: where reading
					 * them costs, they may be left out */
	/* With BROKER_END, once: all was delivered that was there when the
	 * subscription began and is before `until`. NULL: not asked for. */
	void (*ended)(struct subscription *, void *arg);
};

extern const struct subscribe_options subscribe_defaults;

/* What the handler did with an event. */
enum handled {
	EVENT_TAKEN,			/* broker_ack() will follow for its number */
	EVENT_DROPPED			/* not wanted any more: settle it as failed */
};

typedef enum handled event_handler(struct subscription *, const struct event *, void *arg);
/* Once, when the subscription is live (err NULL) or cannot be (the kind says why). */
typedef void subscribed_fn(struct subscription *, const struct error *err, void *arg);

/* Allocated by broker_subscribe(), freed by broker_unsubscribe(). A backend
 * keeps its own state in priv. */
struct subscription {
	struct broker *broker;
	struct bytes topic;		/* its own copy */
	struct subscribe_options opts;
	event_handler *handler;
	subscribed_fn *subscribed;
	void *arg;
	void *priv;			/* the backend's */
	bool told;			/* broker_subscribed() has been called */
	struct subscription *next;	/* the broker's list */
};

/* Common head of every instance. Fields are the core's; backends read opts. */
struct broker {
	const struct broker_ops *ops;
	struct loop *loop;
	struct broker_options opts;
	unsigned caps;			/* ops->caps, in which init() may change bits to what
					 * holds for this instance (its wire, its protocol) */
	unsigned raw_caps;		/* likewise for an event published with
					 * publish_options.wire WIRE_RAW; 0: the same */
	struct subscription *subs;
	bool connected;
	bool draining;
	void (*drained)(struct broker *, void *arg);
	void *drained_arg;
	uint64_t delivered;		/* number of the last event delivered */
	size_t flying_events, flying_bytes;
	bool was_full;
};

/* What only some brokers heed; the caps say which. */
struct publish_options {
	int qos;			/* -1: the broker's default */
	bool retain;
	int64_t partition;		/* -1: the broker's choice */
	struct properties props;
	int64_t time_us;		/* with BROKER_TIME: microseconds since 1970; -1: now */
	enum wire wire;			/* how the event came, where it did: with opts.wire
					 * WIRE_AUTO it goes out so, too */
};

extern const struct publish_options publish_defaults;

/* broker_publish() gives each of these to the backend. */
struct publication {
	uint64_t id;			/* the user's, returned in the outcome */
	struct bytes topic;
	struct message msg;
	const struct publish_options *opts;	/* NULL: publish_defaults */
	size_t size;			/* set by broker_publish(): publication_size() */
};

enum { PUBLISH_FULL = 1, BROKER_WINDOW = 1024 };

/* Called when at least n subscribers of a topic are there (err NULL), or when
 * that cannot be found out. */
typedef void audience_fn(struct broker *, const struct error *err, void *arg);

/* What is there, for `mbus topics`: core/listing.h. */
struct listing;
typedef void listing_fn(struct broker *, const struct listing *, const struct error *err,
	void *arg);

struct broker_ops {
	const char *name;		/* go-micro's String() */
	const char *default_address;	/* shown by --list; NULL: none */
	unsigned caps;			/* enum broker_caps */
	bool bare;			/* its events have one form, without an envelope:
					 * WIRE_MICRO is nothing to it */
	size_t window;			/* opts.window_events when the user does not say; 0:
					 * BROKER_WINDOW */
	size_t size;			/* of the instance, which begins with struct broker */
	const struct broker_option *options;	/* ends with name NULL; may be NULL */
	const char *url_path;		/* what the path of its URLs is: "topic" (cli/ then
					 * takes it out of opts.address), or NULL: the
					 * backend's own matter */
	const char *path_schemes;	/* those (blanks between) whose path is the backend's own
					 * matter all the same; may be NULL */

	/* MUST. Memory is zeroed, the head is filled. Checks options; does no
	 * I/O. Must leave the instance fit for release() even when it fails. */
	int (*init)(struct broker *, struct error *);
	/* MUST. Frees what the instance holds, not the instance. Disconnect came
	 * before if it was connected. No callback may happen in or after it. */
	void (*release)(struct broker *);
	/* MUST. Starts connecting; ends by broker_connected(), which may be called
	 * before connect returns. -1: failed at once, no broker_connected(). */
	int (*connect)(struct broker *, struct error *);
	/* MUST. Unsubscribes what is left, deregisters, closes. What was
	 * delivered and not acknowledged is given back to the broker as not done.
	 * May write a last packet, without waiting. Events under way get no
	 * outcome any more. */
	void (*disconnect)(struct broker *);
	/* MUST. 0: taken, broker_outcome() will follow exactly once and within
	 * opts.timeout_ms. -1: refused, err says why. PUBLISH_FULL: no room of its
	 * own, and nothing was taken; broker_room() will follow. Borrowed bytes:
	 * copy. */
	int (*publish)(struct broker *, const struct publication *, struct error *);
	/* MUST. Starts subscribing; ends by broker_subscribed(), perhaps at once.
	 * -1: refused. */
	int (*subscribe)(struct subscription *, struct error *);
	/* MUST. No handler call for it happens after this returns. Deliveries not
	 * yet acknowledged stay acknowledgeable. */
	void (*unsubscribe)(struct subscription *);
	/* With BROKER_ACK. The events first...last (numbers, both included) are
	 * done (ok) or failed. Numbers are acknowledged at most once, not
	 * necessarily in order; some may belong to connections that are gone. */
	void (*ack)(struct broker *, uint64_t first, uint64_t last, bool ok);
	/* MAY. Stop (start) reading from the outside. */
	void (*pause)(struct broker *, bool);
	/* With BROKER_AUDIENCE. One at a time. */
	int (*audience)(struct broker *, struct bytes topic, unsigned n,
		audience_fn *, void *arg, struct error *);
	/* MAY. The run ends: finish what acknowledging began (replies, a last
	 * commit), then call broker_drained(), perhaps at once. What is delivered
	 * meanwhile is dropped by the handler. */
	void (*drain)(struct broker *);
	/* With BROKER_TRANSACTION: makes all that was published count (commit), or
	 * nothing of it. Every event has its outcome by then, or commit is false. Ends
	 * by broker_finished(), perhaps at once. */
	void (*finish)(struct broker *, bool commit);
	/* MAY. What is there: these topics (n 0: all), and the groups that have a place in
	 * them. Ends by fn, once: the listing is good for the length of the call, or err
	 * says why there is none. */
	int (*list)(struct broker *, const char *const *topics, size_t n, bool groups,
		listing_fn *, void *arg, struct error *);
	/* MAY. Is this an option of a library under it, which `options` does not have,
	 * and a value it can have? *use: as in struct broker_option. -1: err (ERR_USAGE)
	 * says what is wrong. */
	int (*check_option)(const char *name, const char *value, unsigned *use, struct error *);
	/* MAY. Adds those options to `options`, for -X list. */
	void (*list_options)(struct buf *);
	/* MAY. The address in use: what was bound, or the server. NULL: opts.address. */
	const char *(*address)(struct broker *);
	/* MAY. Why this instance lacks one of these caps, which its ops have: "channels
	 * have none (-X mode=stream has)". NULL: no more is to be said. */
	const char *(*lacks)(const struct broker *, unsigned caps);
};

/* ---- for those who use a broker ---- */

/* Finds the backend by name (loading its module), makes an instance. NULL: err
 * says one of: no such broker (with the nearest name), known but not built, its
 * library is missing (which package), or what init said. opts is copied, the
 * strings in it are borrowed for the broker's life. */
struct broker *broker_new(const char *name, struct loop *, const struct broker_options *,
	struct error *);
/* The backend's ops (capabilities, options) without an instance; NULL as above. */
const struct broker_ops *broker_find(const char *name, struct error *);
void broker_free(struct broker *);

int broker_connect(struct broker *, struct error *);
void broker_disconnect(struct broker *);
const char *broker_address(struct broker *);

/* 0, PUBLISH_FULL or -1; see THE FATE OF AN EVENT. Checks first what the
 * backend's caps say it cannot carry (ERR_REFUSED naming the field). */
int broker_publish(struct broker *, struct publication *, struct error *);

/* NULL: refused at once. The subscription is the broker's until unsubscribed. */
struct subscription *broker_subscribe(struct broker *, struct bytes topic,
	const struct subscribe_options *, event_handler *, subscribed_fn *, void *arg,
	struct error *);
void broker_unsubscribe(struct subscription *);
void broker_ack(struct broker *, uint64_t first, uint64_t last, bool ok);
void broker_pause(struct broker *, bool);
int broker_audience(struct broker *, struct bytes topic, unsigned n, audience_fn *,
	void *arg, struct error *);
/* Before disconnecting: fn is called once the last acknowledgements have reached
 * the broker as far as that can be known, perhaps before this returns. The caller
 * bounds the wait. */
void broker_drain(struct broker *, void (*fn)(struct broker *, void *arg), void *arg);

/* What was published counts, or nothing of it: see broker_ops.finish. */
void broker_finish(struct broker *, bool commit);

/* The caps that hold for this publication. */
unsigned broker_publication_caps(const struct broker *, const struct publication *);
/* Which field of the publication something with these caps cannot carry; NULL:
 * none. The first of "topic", "key", "null" (a null body or header value),
 * "header", "repeat", "binary", "qos", "retain", "partition", "property". */
const char *broker_cannot_carry(unsigned caps, const struct publication *);
/* Says so (ERR_REFUSED); -1. */
int broker_refuse_field(const struct broker *, const char *field, const struct message *,
	struct error *);

/* ---- for backends ---- */

/* The value of a -X option: the user's last, else the table's default. */
const char *broker_xopt(const struct broker *, const char *name);
/* Whether the user gave it. */
bool broker_xopt_given(const struct broker *, const char *name);
/* Puts the values of typed options where their rows say: xopt_read(). */
int broker_read_xopts(struct broker *, struct error *);

void broker_connected(struct broker *, const struct error *err);
void broker_failed(struct broker *, const struct error *err);
/* There is room after ops->publish answered PUBLISH_FULL. */
void broker_room(struct broker *);
void broker_drained(struct broker *);
void broker_finished(struct broker *, const struct error *err);
/* The first time it tells who subscribed; after that (it was asked for again over another
 * connection) an error ends the run, and all else is nothing. */
void broker_subscribed(struct subscription *, const struct error *err);
/* See subscribe_options.ended. */
void broker_ended(struct subscription *);
/* bytes: what the publication counted for: its size. */
void broker_outcome(struct broker *, uint64_t id, size_t bytes, enum fate,
	const struct error *err);
/* Numbers the event (ev->number) and gives it to the handler. */
enum handled broker_deliver(struct subscription *, struct event *ev);

/* What a publication counts for in the window. */
size_t publication_size(const struct publication *);

#endif
