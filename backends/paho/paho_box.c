/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop, the helper and paho's threads hand each other: see paho.h. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "backends/paho/paho.h"
#include "core/thread.h"

enum {
	END_WAIT_S = 1			/* for paho, when the run ends */
};

/* ---- queues ---- */

void *
paho_queue_at(const struct paho_queue *q, size_t i)
{
	return q->p + i * q->size;
}

static void
queue_add(struct paho_queue *q, const void *thing)
{
	if (q->n == q->cap) {
		q->cap = q->cap ? q->cap * 2 : 64;
		q->p = xrealloc(q->p, q->cap * q->size);
	}
	memcpy(paho_queue_at(q, q->n++), thing, q->size);
}

static void
paho_queue_swap(struct paho_queue *a, struct paho_queue *b)
{
	struct paho_queue t = *a;

	*a = *b;
	*b = t;
}

void
paho_queue_release(struct paho_queue *q)
{
	free(q->p);
	q->p = NULL;
	q->n = q->cap = 0;
}

void
paho_message_free(struct paho_message *m)
{
	if (!m->m)
		return;
	MQTTAsync_free(m->topic);
	MQTTAsync_freeMessage(&m->m);
}

/* ---- the helper ---- */

/* Nobody waits for it any more, and what commands point to may be gone. */
bool
paho_box_is_over(struct paho_box *box)
{
	bool over;

	pthread_mutex_lock(&box->lock);
	over = box->over;
	pthread_mutex_unlock(&box->lock);
	return over;
}

static void *
helper_main(void *arg)
{
	struct paho_box *box = arg;
	struct paho_queue work = { .size = sizeof(struct paho_command) };
	bool quit = false;

	while (!quit) {
		pthread_mutex_lock(&box->lock);
		while (!box->commands.n)
			pthread_cond_wait(&box->todo, &box->lock);
		paho_queue_swap(&box->commands, &work);
		pthread_mutex_unlock(&box->lock);
		for (size_t i = 0; i < work.n && !quit; i++) {
			const struct paho_command *c = paho_queue_at(&work, i);

			if (c->kind == COMMAND_QUIT || paho_box_is_over(box))
				quit = true;
			else
				paho_client_run(c);
		}
		work.n = 0;
	}
	paho_queue_release(&work);
	return NULL;
}

/* It, and the threads that paho starts from it, take no signals. */
static int
helper_start(struct paho_box *box, struct error *err)
{
	sigset_t all, was;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	r = pthread_create(&box->helper, NULL, helper_main, box);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	if (r) {
		errno = r;
		return error_sys(err, ERR_LOCAL_IO, "no thread for paho");
	}
	box->helped = true;
	return 0;
}

/* ---- handing over ---- */

int
paho_box_command(struct paho_box *box, const struct paho_command *c, struct error *err)
{
	if (!box->helped && helper_start(box, err) < 0)
		return -1;
	pthread_mutex_lock(&box->lock);
	queue_add(&box->commands, c);
	pthread_cond_signal(&box->todo);
	pthread_mutex_unlock(&box->lock);
	return 0;
}

static void
box_wake(struct paho_box *box)
{
	static const uint64_t one = 1;

	if (box->woken)
		return;
	box->woken = true;
	if (write(box->wake, &one, sizeof one) < 0)
		box->woken = false;
}

void
paho_box_note(struct paho_box *box, const struct paho_note *n)
{
	pthread_mutex_lock(&box->lock);
	queue_add(&box->notes, n);
	box_wake(box);
	pthread_mutex_unlock(&box->lock);
}

void
paho_box_message(struct paho_box *box, const struct paho_message *m)
{
	queue_add(&box->messages, m);
	box_wake(box);
}

void
paho_box_take(struct paho_box *box, struct paho_queue *notes, struct paho_queue *messages)
{
	uint64_t count;

	pthread_mutex_lock(&box->lock);
	if (box->woken && read(box->wake, &count, sizeof count) == sizeof count)
		box->woken = false;
	paho_queue_swap(&box->notes, notes);
	if (messages) {
		paho_queue_swap(&box->messages, messages);
		if (box->message_bytes)
			pthread_cond_broadcast(&box->room);
		box->message_bytes = 0;
	}
	pthread_mutex_unlock(&box->lock);
}

/* ---- life ---- */

int
paho_box_init(struct paho_box *box, struct error *err)
{
	pthread_mutex_init(&box->lock, NULL);
	pthread_cond_init(&box->todo, NULL);
	pthread_cond_init(&box->room, NULL);
	box->commands.size = sizeof(struct paho_command);
	box->notes.size = sizeof(struct paho_note);
	box->messages.size = sizeof(struct paho_message);
	box->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return box->wake < 0 ? error_sys(err, ERR_LOCAL_IO, "no eventfd") : 0;
}

static bool
helper_end(struct paho_box *box)
{
	struct paho_command quit = { .kind = COMMAND_QUIT };
	struct timespec until;
	struct error err;

	paho_box_command(box, &quit, &err);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += END_WAIT_S;
	if (pthread_timedjoin_np(box->helper, NULL, &until) == 0)
		return true;
	pthread_mutex_lock(&box->lock);
	box->over = true;
	pthread_mutex_unlock(&box->lock);
	pthread_detach(box->helper);
	thread_abandon();
	return false;
}

bool
paho_box_release(struct paho_box *box)
{
	if (box->helped && !helper_end(box))
		return false;
	for (size_t i = 0; i < box->notes.n; i++)
		free(((struct paho_note *)paho_queue_at(&box->notes, i))->text);
	for (size_t i = 0; i < box->messages.n; i++)
		paho_message_free(paho_queue_at(&box->messages, i));
	paho_queue_release(&box->commands);
	paho_queue_release(&box->notes);
	paho_queue_release(&box->messages);
	if (box->wake >= 0)
		close(box->wake);
	pthread_mutex_destroy(&box->lock);
	pthread_cond_destroy(&box->todo);
	pthread_cond_destroy(&box->room);
	return true;
}
