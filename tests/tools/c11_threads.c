/* SPDX-License-Identifier: Apache-2.0 */
/*
 * C11's threads, by pthread's. Part of an mbus that is built with ThreadSanitizer
 * (SANITIZE=thread): librdkafka starts and orders its threads by <threads.h>, of which
 * gcc 12's libtsan sees nothing, and the first of our callbacks on such a thread would
 * be the end of it. The program's own definitions come before those of libc.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

/* They share their bytes in glibc, too: what was initialised there may be used here. */
_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "mtx_t");
_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "cnd_t");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "thrd_t");

static int
answer(int code)
{
	switch (code) {
	case 0: return thrd_success;
	case ENOMEM: return thrd_nomem;
	case ETIMEDOUT: return thrd_timedout;
	case EBUSY: return thrd_busy;
	}
	return thrd_error;
}

struct start {
	thrd_start_t fn;
	void *arg;
};

static void *
run(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	return (void *)(intptr_t)s.fn(s.arg);
}

int
thrd_create(thrd_t *id, thrd_start_t fn, void *arg)
{
	struct start *s = malloc(sizeof *s);
	int code;

	if (!s)
		return thrd_nomem;
	*s = (struct start){ fn, arg };
	code = pthread_create(id, NULL, run, s);
	if (code)
		free(s);
	return answer(code);
}

int
thrd_join(thrd_t id, int *result)
{
	void *value = NULL;
	int code = pthread_join(id, &value);

	if (result)
		*result = (int)(intptr_t)value;
	return answer(code);
}

/* The library tells other threads of its new mutexes under rwlocks and by atomic words,
 * which are not seen: so neither is the making. */
__attribute__((no_sanitize("thread"))) int
mtx_init(mtx_t *m, int type)
{
	static const pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
	static const pthread_mutex_t recursive = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

	*(pthread_mutex_t *)m = type & mtx_recursive ? recursive : plain;
	return thrd_success;
}

int
mtx_lock(mtx_t *m)
{
	return answer(pthread_mutex_lock((pthread_mutex_t *)m));
}

int
mtx_trylock(mtx_t *m)
{
	return answer(pthread_mutex_trylock((pthread_mutex_t *)m));
}

int
mtx_unlock(mtx_t *m)
{
	return answer(pthread_mutex_unlock((pthread_mutex_t *)m));
}

void
mtx_destroy(mtx_t *m)
{
	(void)m;
}

__attribute__((no_sanitize("thread"))) int
cnd_init(cnd_t *c)
{
	static const pthread_cond_t made = PTHREAD_COND_INITIALIZER;

	*(pthread_cond_t *)c = made;
	return thrd_success;
}

int
cnd_wait(cnd_t *c, mtx_t *m)
{
	return answer(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

int
cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until)
{
	return answer(pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until));
}

int
cnd_signal(cnd_t *c)
{
	return answer(pthread_cond_signal((pthread_cond_t *)c));
}

int
cnd_broadcast(cnd_t *c)
{
	return answer(pthread_cond_broadcast((pthread_cond_t *)c));
}

void
cnd_destroy(cnd_t *c)
{
	(void)c;
}
