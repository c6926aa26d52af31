/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions the library answers only to those who wait for it (which partitions, what
 * offsets, the steps of a transaction) are asked by a thread, one at a time for each
 * handle. The handle cannot be destroyed while the library is in such a call; so when
 * the client goes first, the thread is left with both and ends them.
 */
#include "backends/kafka/kafka.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"
#include "core/thread.h"

enum { ASK_RUNNING, ASK_DONE, ASK_ABANDONED };
enum { ASK_SLICE_MS = 250, ASK_SLICE_MAX_MS = 4000, ASK_NAP_MS = 50 };

bool
kafka_ask_over(const struct kafka_ask *a)
{
	return __atomic_load_n(&a->state, __ATOMIC_ACQUIRE) == ASK_ABANDONED ||
		(a->until_ns && loop_clock_ns() >= a->until_ns);
}

int
kafka_ask_slice_ms(const struct kafka_ask *a, unsigned attempt)
{
	uint64_t now = loop_clock_ns();
	int ms = attempt > 4 ? ASK_SLICE_MAX_MS : ASK_SLICE_MS << attempt;
	uint64_t left = a->until_ns > now ? (a->until_ns - now) / 1000000 + 1 : 1;

	return a->until_ns && left < (uint64_t)ms ? (int)left : ms;
}

void
kafka_ask_nap(const struct kafka_ask *a)
{
	(void)a;
	poll(NULL, 0, ASK_NAP_MS);
}

static void *
ask_thread(void *arg)
{
	struct kafka_ask *a = arg;
	int was = ASK_RUNNING, wake = a->wake;

	a->run(a);
	if (__atomic_compare_exchange_n(&a->state, &was, ASK_DONE, false, __ATOMIC_ACQ_REL,
	    __ATOMIC_ACQUIRE)) {
		/* `a` is the loop's now; the descriptor lives as long as this thread: the
		 * client gives it up only after it has seen the state, and then by dup. */
		eventfd_write(wake, 1);
		close(wake);
		return NULL;
	}
	rd_kafka_destroy_flags(a->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	a->drop(a);
	close(wake);
	return NULL;
}

static void
ask_next(struct kafka_client *c)
{
	struct kafka_ask *a = c->waiting;

	if (!a || c->ask)
		return;
	c->waiting = a->next;
	c->ask = a;
	a->rk = c->rk;
	a->state = ASK_RUNNING;
	a->wake = dup(c->wake);
	if (a->wake < 0 || thread_start(ask_thread, a) != 0) {
		struct error err;

		error_set(&err, ERR_LOCAL_IO, "out of %s", a->wake < 0 ? "descriptors" : "threads");
		if (a->wake >= 0)
			close(a->wake);
		c->ask = NULL;
		a->drop(a);
		broker_failed(&c->kb->b, &err);
	}
}

void
kafka_ask_start(struct kafka_client *c, struct kafka_ask *a)
{
	struct kafka_ask **end = &c->waiting;

	a->client = c;
	a->next = NULL;
	while (*end)
		end = &(*end)->next;
	*end = a;
	ask_next(c);
}

void
kafka_ask_poll(struct kafka_client *c)
{
	struct kafka_ask *a = c->ask;

	if (!a || __atomic_load_n(&a->state, __ATOMIC_ACQUIRE) != ASK_DONE)
		return;
	c->ask = NULL;
	a->done(a);
	a->drop(a);
	ask_next(c);
}

bool
kafka_ask_abandon(struct kafka_client *c)
{
	struct kafka_ask *a;
	int was = ASK_RUNNING;

	while ((a = c->waiting)) {
		c->waiting = a->next;
		a->drop(a);
	}
	a = c->ask;
	c->ask = NULL;
	if (!a)
		return false;
	if (__atomic_compare_exchange_n(&a->state, &was, ASK_ABANDONED, false, __ATOMIC_ACQ_REL,
	    __ATOMIC_ACQUIRE)) {
		thread_abandon();
		return true;
	}
	a->drop(a);
	return false;
}
