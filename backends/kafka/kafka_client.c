/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A handle of the library. The library connects when it likes, again and again, and
 * calls nothing a failure; so what is a connection that cannot be made is decided here:
 * a login or a certificate that is refused at once; no server that can be reached
 * after a short while, in which the library itself tries again; no answer within the time
 * the user allows.
 */
#include "backends/kafka/kafka.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/address.h"
#include "core/log.h"
#include "core/one_cpu.h"
#include "core/thread.h"

enum { DOWN_MS = 250, DOWN_OF_SEVERAL_MS = 1000, BACK_MS = 1000, CLOSE_MS = 1000 };

bool
kafka_client_is_up(struct kafka_client *c)
{
	/* -1 until the first answer about the cluster. */
	if (!c->up && c->rk && rd_kafka_controllerid(c->rk, 0) >= 0) {
		c->up = true;
		c->down_told = false;
		c->last.kind = ERR_NONE;
		loop_timer_clear(c->kb->b.loop, &c->deadline);
	}
	return c->up;
}

void
kafka_client_fail(struct kafka_client *c, const struct error *err)
{
	if (c->dead)
		return;
	c->dead = true;
	loop_timer_clear(c->kb->b.loop, &c->deadline);
	loop_timer_clear(c->kb->b.loop, &c->back);
	c->failed(c, err);
}

static void
client_deadline(struct loop_timer *t)
{
	struct kafka_client *c = t->arg;
	struct error err;

	if (kafka_client_is_up(c) || c->dead)
		return;
	if (c->last.kind)
		err = c->last;
	else
		error_set(&err, ERR_CONNECT, "no answer within %g s",
			c->kb->b.opts.connect_timeout_ms / 1000.0);
	if (err.kind != ERR_AUTH)
		err.kind = ERR_CONNECT;
	error_prefix(&err, "%s", c->kb->servers);
	kafka_client_fail(c, &err);
}

void
kafka_client_unanswered(const struct kafka_client *c, rd_kafka_resp_err_t code, struct error *err)
{
	kafka_error(err, code, NULL);
	if (c->last.kind)
		*err = c->last;
	else if (err->kind == ERR_TIMEOUT)
		error_set(err, ERR_CONNECT, "no answer of the server that has it within %g s",
			c->kb->b.opts.connect_timeout_ms / 1000.0);
}

uint64_t
kafka_client_until(const struct kafka_client *c)
{
	unsigned ms = c->kb->b.opts.connect_timeout_ms;

	return ms ? loop_clock_ns() + ms * UINT64_C(1000000) : 0;
}

/* ---- a connection that was lost ---- */

/* Whether it is back: the library does not tell, nor how often it tried. */
static void
back_run(struct kafka_ask *a)
{
	const struct rd_kafka_metadata *md;

	for (unsigned i = 0; !kafka_ask_over(a); i++) {
		if (rd_kafka_metadata(a->rk, 0, NULL, &md, kafka_ask_slice_ms(a, i)) == 0) {
			rd_kafka_metadata_destroy(md);
			return;
		}
		kafka_ask_nap(a);
	}
}

static void
back_drop(struct kafka_ask *a)
{
	free(a);
}

static void
back_done(struct kafka_ask *a)
{
	struct kafka_client *c = a->client;

	if (c->dead)
		return;
	loop_timer_clear(c->kb->b.loop, &c->back);
	c->tries = 0;
	c->down_told = false;
	log_verbose("%s: connected again", c->kb->servers);
}

/* Asks for as long as it takes, behind whatever else is being asked. */
static void
back_start(struct kafka_client *c)
{
	struct kafka_ask *a = xcalloc(1, sizeof *a);

	a->run = back_run;
	a->done = back_done;
	a->drop = back_drop;
	kafka_ask_start(c, a);
}

/* An attempt is a time in which the library could have connected. */
static void
client_try(struct kafka_client *c)
{
	unsigned most = (unsigned)c->kb->b.opts.reconnect;
	struct error err;

	if (c->tries < most) {
		c->tries++;
		loop_timer_set(c->kb->b.loop, &c->back, BACK_MS);
		return;
	}
	if (c->last.kind == ERR_CONNECT && most)
		err = c->last;
	else
		error_set(&err, ERR_CONNECT, "connection lost");
	if (most)
		error_prefix(&err, "not connected again in %u %s", most, most == 1 ? "try" : "tries");
	error_prefix(&err, "%s", c->kb->servers);
	kafka_client_fail(c, &err);
}

static void
client_back(struct loop_timer *t)
{
	client_try(t->arg);
}

/* No server can be reached any more. The library never gives up; whether to is for the
 * user to say. A publisher's events have a time of their own, so that it must be told. */
static void
client_lost(struct kafka_client *c)
{
	bool counts = c->counts && c->kb->b.opts.reconnect >= 0;

	if (c->down_told || c->dead)
		return;
	c->down_told = true;
	if (!counts || c->kb->b.opts.reconnect)
		log_verbose("%s: connection lost; trying again", c->kb->servers);
	if (counts) {
		if (c->kb->b.opts.reconnect)
			back_start(c);
		client_try(c);
	}
}

/* Which of the servers it was: "[ssl://]HOST:PORT/bootstrap: ..." is what the library says. */
static void
client_refused(struct kafka_client *c, const char *reason)
{
	const char *scheme = strstr(reason, "://"), *name = scheme ? scheme + 3 : reason;
	struct bytes list = bytes_str(c->kb->servers), one;

	for (unsigned i = 0; address_next(&list, &one); i++) {
		if (i < 64 && strncmp(name, one.p, one.n) == 0 && name[one.n] == '/')
			c->refused |= UINT64_C(1) << i;
		c->listed = i + 1;
	}
}

/* The library calls all servers down when some are that it has not tried: with a group it
 * counts the coordinator, which it does not know yet. */
static bool
all_refused(const struct kafka_client *c)
{
	return c->listed <= 1 || c->listed > 64 ||
		c->refused == UINT64_MAX >> (64 - c->listed);
}

/* Nobody can be reached, and nobody could before. */
static void
client_down(struct kafka_client *c)
{
	unsigned wait_ms = c->listed > 1 ? DOWN_OF_SEVERAL_MS : DOWN_MS;

	if (!c->all_down || c->down_told || !all_refused(c))
		return;
	c->down_told = true;
	if (c->kb->b.opts.connect_timeout_ms > wait_ms)
		loop_timer_set(c->kb->b.loop, &c->deadline, wait_ms);
}

static void
client_error(rd_kafka_t *rk, int code, const char *reason, void *arg)
{
	struct kafka_client *c = arg;
	struct error err;
	char fatal[300];

	if (code == RD_KAFKA_RESP_ERR__FATAL) {
		code = rd_kafka_fatal_error(rk, fatal, sizeof fatal);
		reason = fatal;
	} else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		if (kafka_client_is_up(c)) {
			client_lost(c);
		} else {
			c->all_down = true;
			client_down(c);
		}
		return;
	}
	kafka_error(&err, (rd_kafka_resp_err_t)code, reason);
	log_debug("kafka: %s", err.text);
	if (!kafka_client_is_up(c))
		kafka_error_connect(&err, c->kb->b.opts.tls != NULL, c->kb->b.opts.username ||
			c->kb->b.opts.password.p);
	if (err.kind == ERR_AUTH || err.kind == ERR_CONNECT || !c->last.kind)
		c->last = err;
	if (kafka_client_is_up(c))
		return;
	if (err.kind == ERR_AUTH) {
		error_prefix(&err, "%s", c->kb->servers);
		kafka_client_fail(c, &err);
		return;
	}
	client_refused(c, reason);
	client_down(c);
}

void
kafka_client_again(struct kafka_client *c)
{
	eventfd_write(c->wake, 1);
}

static void
client_ready(struct loop_fd *fd, unsigned ready)
{
	struct kafka_client *c = fd->arg;
	eventfd_t n;

	(void)ready;
	eventfd_read(c->wake, &n);
	kafka_ask_poll(c);
	if (c->rk)
		c->poll(c);
}

rd_kafka_conf_t *
kafka_client_looker(struct kafka_broker *kb)
{
	struct error err;
	rd_kafka_conf_t *conf = kafka_conf_make(kb, RD_KAFKA_CONSUMER, NULL, true, &err);

	if (conf) {
		rd_kafka_conf_set_log_cb(conf, kafka_log);
		rd_kafka_conf_set_resolve_cb(conf, kafka_reach);
	}
	return conf;
}

/* ---- threads ---- */

static rd_kafka_resp_err_t
thread_begins(rd_kafka_t *rk, rd_kafka_thread_type_t type, const char *name, void *arg)
{
	(void)rk, (void)type, (void)name, (void)arg;
	one_cpu_join();
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t
thread_ends(rd_kafka_t *rk, rd_kafka_thread_type_t type, const char *name, void *arg)
{
	(void)rk, (void)type, (void)name, (void)arg;
	one_cpu_leave();
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t
handle_made(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg, char *why, size_t size)
{
	(void)conf, (void)arg, (void)why, (void)size;
	rd_kafka_interceptor_add_on_thread_start(rk, "mbus", thread_begins, NULL);
	return rd_kafka_interceptor_add_on_thread_exit(rk, "mbus", thread_ends, NULL);
}

int
kafka_client_open(struct kafka_client *c, struct kafka_broker *kb, rd_kafka_type_t type,
	const char *group, bool to_end, struct error *err)
{
	static const uint64_t one = 1;
	rd_kafka_conf_t *conf = kafka_conf_make(kb, type, group, to_end, err);
	char why[300];

	if (!conf)
		return -1;
	c->kb = kb;
	c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->wake < 0) {
		rd_kafka_conf_destroy(conf);
		return error_sys(err, ERR_LOCAL_IO, "eventfd");
	}
	rd_kafka_conf_set_opaque(conf, c);
	rd_kafka_conf_set_error_cb(conf, client_error);
	rd_kafka_conf_set_log_cb(conf, kafka_log);
	rd_kafka_conf_set_resolve_cb(conf, kafka_reach);
	if (c->configure)
		c->configure(c, conf);
	if (c->one_cpu) {
		rd_kafka_conf_interceptor_add_on_new(conf, "mbus", handle_made, NULL);
		one_cpu_begin();
	}
	c->rk = rd_kafka_new(type, conf, why, sizeof why);
	if (!c->rk) {
		rd_kafka_conf_destroy(conf);
		close(c->wake);
		/* A file of a certificate, a combination of properties. */
		return error_set(err, ERR_USAGE, "%s", why);
	}
	c->member = group != NULL;
	if (group)
		rd_kafka_poll_set_consumer(c->rk);
	c->queue = group ? rd_kafka_queue_get_consumer(c->rk) : type == RD_KAFKA_CONSUMER ?
		rd_kafka_queue_new(c->rk) : rd_kafka_queue_get_main(c->rk);
	rd_kafka_set_log_queue(c->rk, group || type == RD_KAFKA_PRODUCER ? c->queue : NULL);
	rd_kafka_queue_io_event_enable(c->queue, c->wake, &one, sizeof one);
	if (!group && type == RD_KAFKA_CONSUMER) {
		rd_kafka_queue_t *main = rd_kafka_queue_get_main(c->rk);

		rd_kafka_queue_io_event_enable(main, c->wake, &one, sizeof one);
		rd_kafka_queue_destroy(main);
	}
	c->fd.fn = client_ready;
	c->fd.arg = c->deadline.arg = c->back.arg = c;
	c->deadline.fn = client_deadline;
	c->back.fn = client_back;
	if (kb->b.opts.connect_timeout_ms)
		loop_timer_set(kb->b.loop, &c->deadline, kb->b.opts.connect_timeout_ms);
	if (loop_fd_add(kb->b.loop, &c->fd, c->wake, LOOP_READ, err) < 0)
		return -1;
	kafka_client_again(c);	/* what came before anybody looked */
	return 0;
}

static void
handle_destroy(void *rk)
{
	rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

/* What the library still has to do, it does in its threads, and destroying waits for
 * them: at once, but for a commit that is not answered (a minute), or a name that is being
 * looked up. */
void
kafka_client_close(struct kafka_client *c)
{
	if (!c->rk)
		return;
	loop_timer_clear(c->kb->b.loop, &c->deadline);
	loop_timer_clear(c->kb->b.loop, &c->back);
	loop_fd_del(c->kb->b.loop, &c->fd);
	rd_kafka_queue_io_event_enable(c->queue, -1, NULL, 0);
	rd_kafka_queue_destroy(c->queue);
	if (!kafka_ask_abandon(c)) {
		if (c->member || !c->up || c->down_told)
			thread_bounded(handle_destroy, c->rk, CLOSE_MS);
		else
			handle_destroy(c->rk);
	}
	c->rk = NULL;
	close(c->wake);
}
