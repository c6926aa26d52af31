/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock of a bus: a futex word that names its owner, and the kernel's word for
 * whether that lives.
 *
 * Not a robust pthread mutex: that keeps pointers in the shared memory, which whoever
 * may write there could bend, and knows its owner by a thread id, which another pid
 * namespace has, too. The price is that the death of an owner is noticed by who waits,
 * after a millisecond, and not by the kernel at once.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "backends/memory/memory_bus.h"

void (*memory_step_hook)(const char *step);

uint64_t
memory_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool
swap(uint32_t *p, uint32_t old, uint32_t new)
{
	return __atomic_compare_exchange_n(p, &old, new, false, __ATOMIC_SEQ_CST,
		__ATOMIC_RELAXED);
}

uint32_t
memory_lock_owner(const struct memory_bus *m)
{
	uint32_t v = LOAD(m->head->lock) & 1023;

	return v && v <= MEMORY_SLOTS ? v - 1 : MEMORY_SLOTS;
}

bool
memory_is_locked(const struct memory_bus *m)
{
	return __atomic_load_n(&m->head->lock, __ATOMIC_SEQ_CST) != 0;
}

/* What is no slot, or ours (who asks does not have it), is nobody's. */
static bool
owner_lives(const struct memory_bus *m, uint32_t v)
{
	uint32_t slot = (v & 1023) - 1, generation = (v & ~LOCK_WAITED) >> 10;

	v &= ~LOCK_WAITED;
	if (slot >= MEMORY_SLOTS || v == m->me)
		return false;
	if ((LOAD(m->slots[slot].generation) & 0x1fffff) != generation)
		return false;
	return memory_alive(m, slot, m->slots[slot].generation);
}

/* A millisecond at most: who dies between freeing the lock and waking does no harm. */
static void
futex_wait(uint32_t *p, uint32_t v)
{
	struct timespec ts = { 0, 1000000 };

	syscall(SYS_futex, p, FUTEX_WAIT, v, &ts, NULL, 0);
}

static bool
inherit(struct memory_bus *m, uint32_t v)
{
	if (!swap(&m->head->lock, v, m->me | LOCK_WAITED))
		return false;
	memory_step("inherited");
	memory_reap(m);
	return true;
}

static bool
lock_slowly(struct memory_bus *m)
{
	uint32_t *p = &m->head->lock, last = 0;
	uint64_t since = 0, begin;

	for (int i = 0; i < 100; i++) {
		relax();
		if (LOAD(*p) == 0 && swap(p, 0, m->me))
			return true;
	}
	sched_yield();
	if (LOAD(*p) == 0 && swap(p, 0, m->me))
		return true;
	begin = memory_now_ms();
	for (;;) {
		uint32_t v = LOAD(*p);
		uint64_t now = memory_now_ms();

		if (v == 0) {
			if (swap(p, 0, m->me | LOCK_WAITED))
				return true;
			continue;
		}
		if ((v | LOCK_WAITED) != last) {
			last = v | LOCK_WAITED;
			since = now;
		} else if (now > since && !owner_lives(m, v)) {
			if (inherit(m, v))
				return true;
			continue;
		}
		if (now - begin >= MEMORY_LOCK_MS)
			return false;
		if ((v & LOCK_WAITED) || swap(p, v, v | LOCK_WAITED))
			futex_wait(p, v | LOCK_WAITED);
	}
}

bool
memory_lock(struct memory_bus *m)
{
	bool got = swap(&m->head->lock, 0, m->me) || lock_slowly(m);

	if (got)
		memory_step("locked");
	return got;
}

void
memory_unlock(struct memory_bus *m)
{
	uint32_t v;

	memory_step("unlock");
	v = __atomic_exchange_n(&m->head->lock, 0, __ATOMIC_SEQ_CST);
	memory_step("unlocked");
	if (v & LOCK_WAITED)
		syscall(SYS_futex, &m->head->lock, FUTEX_WAKE, 1, NULL, NULL, 0);
}
