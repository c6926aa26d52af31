/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a link, for link.c and link_target.c only. */
#ifndef MBUS_CORE_LINK_IMPL_H
#define MBUS_CORE_LINK_IMPL_H

#include "core/link.h"
#include "core/retry.h"
#include "core/tls.h"

/* One address of the user's, or where a redirect led. */
struct target {
	char *text;			/* what the address borrows from; NULL: the user's */
	struct address address;
	unsigned port;			/* given or not */
	bool tls;
	char *name;			/* "127.0.0.1:6379", "unix:/run/redis.sock" */
	char *tls_name;			/* for the certificate; NULL: its host */
	struct target *next;		/* of those that were learnt */
};

enum link_state {
	LINK_IDLE,			/* not begun, closed, or at its end */
	LINK_WAITING,			/* before another attempt */
	LINK_CONNECTING,		/* looking up the name, connecting, TLS */
	LINK_OPEN,			/* the user greets */
	LINK_READY,
	/* With the task deferred: */
	LINK_FAILING,			/* open, and the user does not want it so */
	LINK_NEXT,			/* one did not answer the greeting; there are more */
	LINK_MISSED			/* the attempt has failed */
};

struct link {
	struct loop *loop;
	struct link_options opts;
	const struct link_ops *ops;
	void *arg;
	struct tls *tls;		/* NULL: none is wanted */
	struct target *targets;
	size_t ntargets;
	struct target *learnt;		/* what servers told of ... */
	size_t nlearnt;			/* ... so many */
	struct target elsewhere;	/* where a redirect led; name NULL: none did */
	bool secure;			/* one of the targets wants TLS */

	enum link_state state;
	bool ready;			/* this connection was, even if FAILING by now */
	unsigned lazy_us;
	bool paused;			/* by the user */
	bool moving;			/* FAILING because of a redirect */
	bool heard;			/* a byte, of this connection */
	struct stream *stream;
	struct loop_timer timer;	/* a pause, or the greeting's bound */
	struct loop_task task;
	struct error error;		/* why FAILING */
	uint64_t written;		/* of the last stream */

	/* The attempt under way. */
	const struct target *target;	/* NULL: before the first */
	size_t at;			/* the next target */
	size_t from;			/* of the user's, the one to begin with */
	uint64_t deadline_ns;
	unsigned share_ms;		/* of what is tried now; 0: no bound */
	struct error why;		/* of each target so far */

	/* Over attempts. */
	struct retry retry;
	unsigned redirects;		/* in a row */
	uint64_t redirect_ns;
};

int targets_parse(struct link *, struct error *);
void targets_release(struct link *);
int target_redirect(struct link *, struct bytes address, struct error *);
void target_learn(struct link *, struct bytes address);

size_t target_count(const struct link *);
const struct target *target_at(const struct link *, size_t);
/* The user's list begins behind the present one from now on. */
void target_skip(struct link *);
/* For the certificate. Good until the next call. */
const char *target_tls_name(const struct target *);

/* What a server that hung up before it said a word may mean. */
void target_advise(const struct target *, struct error *);

/* Another target of the attempt; why one of them failed. */
bool attempt_has_more(const struct link *);
void attempt_note(struct link *, const struct error *);

#endif
