/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an nsqd sends, protocol "  V2": frames, each with its size and its kind in front
 * (four bytes each, big-endian). No I/O, nothing is copied.
 */
#ifndef MBUS_PROTO_NSQ_H
#define MBUS_PROTO_NSQ_H

#include <stdint.h>
#include <sys/types.h>

#include "core/bytes.h"

enum {
	NSQ_ID = 16,			/* bytes of a message's id */
	NSQ_FRAME_MAX = 64 << 20	/* none is larger, whatever nsqd is told to take */
};

enum nsq_kind { NSQ_ANSWER, NSQ_ERROR, NSQ_MESSAGE };

struct nsq_frame {
	enum nsq_kind kind;
	char *p;			/* answer, error: its text; message: its body */
	size_t n;
	/* of a message */
	uint64_t time_ns;		/* since 1970 */
	unsigned attempts;
	char *id;			/* NSQ_ID bytes */
};

/* How many of the n bytes at p are one frame; 0: it is not whole; -1: it is none. */
ssize_t nsq_frame(struct nsq_frame *, char *p, size_t n);

/* The answer to IDENTIFY, a JSON object; what it does not say stays as it is. */
struct nsq_identity {
	bool tls;
	uint64_t rdy_max, msg_timeout_ms;
};

int nsq_identity(struct nsq_identity *, struct bytes text);

#endif
