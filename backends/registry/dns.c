/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dns registry, which is only read: a service is the SRV records of
 * _NAME._tcp.DOMAIN, as go-micro's DNS selector and Consul's own DNS have it, asked of
 * the system's name servers or of one that is named. The C library's resolver asks and
 * parses, in a thread, because it blocks.
 *
 * DNS tells of no change: a watch asks again every POLL_MS.
 */
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backends/registry/known.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/net.h"
#include "core/thread.h"

enum {
	POLL_MS = 2000,
	ANSWER_MAX = 65536,
	RECORDS_MAX = 2000		/* of an answer */
};

struct record {
	char target[NS_MAXDNAME];
	char address[INET6_ADDRSTRLEN];	/* "": not told along */
	unsigned port, priority, weight;
};

/* What is asked in a thread; the last of both sides frees it. */
struct job {
	unsigned refs;
	int over;			/* eventfd */
	bool has_server;
	struct sockaddr_in server;
	int timeout_s;
	int type;			/* ns_t_srv; of a list ns_t_ptr */
	int trouble;			/* h_errno; 0: none */
	struct record *records;
	size_t nrecords;
	char name[];
};

struct dns;

struct question {
	struct dns *d;
	struct question *next;
	struct lookup *user;		/* or: */
	struct poll *poll;
	struct loop_fd over;
	struct job *job;
	bool telling;
	char service[];
};

struct poll {
	struct dns *d;
	struct poll *next;
	struct watch *user;
	struct loop_timer again;
	struct known_table nodes;
	struct question *question;
	bool failing;
};

struct dns {
	struct registry base;
	const char *domain;
	bool has_server;
	struct sockaddr_in server;
	struct question *questions;
	struct poll *polls;
};

/* ---- in the thread ---- */

static bool
job_unref(struct job *j)
{
	if (__atomic_sub_fetch(&j->refs, 1, __ATOMIC_ACQ_REL))
		return true;
	free(j->records);
	close(j->over);
	free(j);
	return false;
}

static void
take_record(struct job *j, ns_msg *msg, const ns_rr *rr)
{
	struct record *r = &j->records[j->nrecords];
	const unsigned char *p = ns_rr_rdata(*rr);
	size_t skip = j->type == ns_t_srv ? 6 : 0;

	memset(r, 0, sizeof *r);
	if ((int)ns_rr_type(*rr) != j->type || ns_rr_rdlen(*rr) < skip + 1 ||
	    dn_expand(ns_msg_base(*msg), ns_msg_end(*msg), p + skip, r->target,
		    sizeof r->target) < 0)
		return;
	if (skip) {
		r->priority = ns_get16(p);
		r->weight = ns_get16(p + 2);
		r->port = ns_get16(p + 4);
	}
	j->nrecords++;
}

/* An address of one of the targets. */
static void
take_address(struct job *j, const ns_rr *rr)
{
	int family = ns_rr_type(*rr) == ns_t_a && ns_rr_rdlen(*rr) == 4 ? AF_INET :
		ns_rr_type(*rr) == ns_t_aaaa && ns_rr_rdlen(*rr) == 16 ? AF_INET6 : 0;

	for (size_t i = 0; family && i < j->nrecords; i++)
		if (!*j->records[i].address && strcasecmp(j->records[i].target, ns_rr_name(*rr)) == 0)
			inet_ntop(family, ns_rr_rdata(*rr), j->records[i].address,
				sizeof j->records[i].address);
}

static void
parse(struct job *j, const unsigned char *answer, int n)
{
	size_t most;
	ns_msg msg;
	ns_rr rr;

	if (ns_initparse(answer, n, &msg) < 0) {
		j->trouble = NO_RECOVERY;
		return;
	}
	most = ns_msg_count(msg, ns_s_an);
	if (most > RECORDS_MAX)
		most = RECORDS_MAX;
	j->records = xcalloc(most + 1, sizeof *j->records);
	for (size_t i = 0; i < most; i++)
		if (ns_parserr(&msg, ns_s_an, (int)i, &rr) == 0)
			take_record(j, &msg, &rr);
	for (int i = 0; i < ns_msg_count(msg, ns_s_ar) && i < RECORDS_MAX; i++)
		if (ns_parserr(&msg, ns_s_ar, i, &rr) == 0)
			take_address(j, &rr);
}

static void *
job_run(void *arg)
{
	struct job *j = arg;
	unsigned char *answer = xmalloc(ANSWER_MAX);
	struct __res_state state;
	int n;

	memset(&state, 0, sizeof state);
	if (res_ninit(&state) < 0) {
		j->trouble = NO_RECOVERY;
	} else {
		if (j->has_server) {
			state.nscount = 1;
			state.nsaddr_list[0] = j->server;
		}
		state.retrans = j->timeout_s;
		state.retry = 1;
		state.options |= RES_USE_EDNS0;
		n = res_nquery(&state, j->name, ns_c_in, j->type, answer, ANSWER_MAX);
		if (n >= 0)
			parse(j, answer, n < ANSWER_MAX ? n : ANSWER_MAX);
		else
			j->trouble = state.res_h_errno ? state.res_h_errno : TRY_AGAIN;
		res_nclose(&state);
	}
	free(answer);
	eventfd_write(j->over, 1);
	job_unref(j);
	return NULL;
}

static struct job *
job_start(const struct dns *d, const char *name, int type, struct error *err)
{
	size_t n = strlen(name) + 1;
	struct job *j = xcalloc(1, sizeof *j + n);
	unsigned ms = d->base.opts.connect_timeout_ms;

	memcpy(j->name, name, n);
	j->type = type;
	j->has_server = d->has_server;
	j->server = d->server;
	j->timeout_s = ms ? (int)(ms / 1000 + (ms % 1000 != 0)) : 5;
	j->refs = 2;
	j->over = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (j->over >= 0 && thread_start(job_run, j) == 0)
		return j;
	error_set(err, ERR_CONNECT, "dns: out of %s", j->over < 0 ? "descriptors" : "threads");
	if (j->over >= 0)
		close(j->over);
	free(j);
	return NULL;
}

/* ---- a question ---- */

static void
question_end(struct question *q)
{
	struct question **p = &q->d->questions;

	if (q->user)
		q->user->priv = NULL;
	if (q->poll)
		q->poll->question = NULL;
	q->user = NULL;
	q->poll = NULL;
	if (q->telling)
		return;
	while (*p != q)
		p = &(*p)->next;
	*p = q->next;
	if (q->job) {
		loop_fd_del(q->d->base.loop, &q->over);
		if (job_unref(q->job))
			thread_abandon();
	}
	free(q);
}

static void
tell_node(struct question *q, const struct record *r)
{
	char address[NS_MAXDNAME + 16], id[NS_MAXDNAME + 16], priority[12], weight[12];
	const char *host = *r->address ? r->address : r->target;
	struct keyval meta[] = {
		{ BYTES("priority"), { priority, (size_t)sprintf(priority, "%u", r->priority) } },
		{ BYTES("weight"), { weight, (size_t)sprintf(weight, "%u", r->weight) } },
	};
	struct node node = { .metadata = meta, .nmetadata = 2 };
	struct service s = { .name = bytes_str(q->service), .version = BYTES(""), .nodes = &node,
		.nnodes = 1 };

	/* "." says that there is none. */
	if (!r->port || !*r->target || strcmp(r->target, ".") == 0)
		return;
	snprintf(id, sizeof id, "%s:%u", r->target, r->port);
	snprintf(address, sizeof address, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, r->port);
	node.id = bytes_str(id);
	node.address = bytes_str(address);
	if (q->user)
		q->user->found(q->user, &s);
	else if (q->poll)
		known_see(&q->poll->nodes, &s, &node);
}

/* "_greeter._tcp.DOMAIN" */
static void
tell_name(struct question *q, const struct record *r)
{
	const char *end = strstr(r->target, "._tcp.");
	struct service s = { .version = BYTES("") };

	if (*r->target != '_' || !end || end == r->target + 1 || !q->user)
		return;
	s.name = bytes_of(r->target + 1, (size_t)(end - r->target - 1));
	q->user->found(q->user, &s);
}

static void poll_again(struct poll *, const struct error *);

static void
answered(struct loop_fd *w, unsigned ready)
{
	struct question *q = w->arg;
	struct job *j = q->job;
	struct error err = ERROR_INIT;
	struct lookup *user;
	struct poll *poll;
	eventfd_t ignored;

	(void)ready;
	/* Orders the thread's words before our reading them. */
	eventfd_read(j->over, &ignored);
	if (j->trouble && j->trouble != HOST_NOT_FOUND && j->trouble != NO_DATA)
		error_set(&err, ERR_CONNECT, "dns: %s: %s", j->name, j->trouble == TRY_AGAIN ?
			"the name server does not answer, or refuses" :
			"the name server has failed");
	q->telling = true;
	if (q->poll && !err.kind)
		known_begin(&q->poll->nodes);
	for (size_t i = 0; i < j->nrecords; i++) {
		if (j->type == ns_t_ptr)
			tell_name(q, &j->records[i]);
		else
			tell_node(q, &j->records[i]);
	}
	if (q->poll && !err.kind)
		known_end(&q->poll->nodes, (struct bytes){ NULL, 0 });
	q->telling = false;
	user = q->user;
	poll = q->poll;
	question_end(q);
	if (user)
		user->done(user, err.kind ? &err : NULL);
	if (poll)
		poll_again(poll, err.kind ? &err : NULL);
}

static struct question *
ask(struct dns *d, struct bytes service, struct error *err)
{
	struct question *q;
	char name[NS_MAXDNAME];
	int n = service.p ?
		snprintf(name, sizeof name, "_%.*s._tcp.%s", BYTES_FMT(service), d->domain) :
		snprintf(name, sizeof name, "_services._dns-sd._udp.%s", d->domain);

	if (n >= (int)sizeof name || (service.p && (!service.n || memchr(service.p, '\0', service.n)))) {
		error_set(err, ERR_USAGE, "dns: %.*s cannot be a service's name", BYTES_FMT(service));
		return NULL;
	}
	q = xcalloc(1, sizeof *q + service.n + 1);
	q->d = d;
	if (service.n)
		memcpy(q->service, service.p, service.n);
	q->next = d->questions;
	d->questions = q;
	q->job = job_start(d, name, service.p ? ns_t_srv : ns_t_ptr, err);
	if (!q->job) {
		question_end(q);
		return NULL;
	}
	q->over = (struct loop_fd){ .fn = answered, .arg = q };
	if (loop_fd_add(d->base.loop, &q->over, q->job->over, LOOP_READ, err) == 0)
		return q;
	question_end(q);
	return NULL;
}

/* ---- the ops ---- */

static int
get(struct registry *r, struct bytes name, struct lookup *l, struct error *err)
{
	struct question *q = ask((struct dns *)r, name.p ? name : BYTES(""), err);

	if (!q)
		return -1;
	q->user = l;
	l->priv = q;
	return 0;
}

static int
list(struct registry *r, struct lookup *l, struct error *err)
{
	struct question *q = ask((struct dns *)r, (struct bytes){ NULL, 0 }, err);

	if (!q)
		return -1;
	q->user = l;
	l->priv = q;
	return 0;
}

static void
cancel(struct registry *r, struct lookup *l)
{
	(void)r;
	question_end(l->priv);
}

static void
changed(void *arg, enum registry_action action, const struct service *s)
{
	struct poll *p = arg;

	if (p->user)
		p->user->changed(p->user, action, s);
}

static void
poll_due(struct loop_timer *t)
{
	struct poll *p = t->arg;
	struct error err;

	if (!p->user) {
		known_release(&p->nodes);
		free(p);
		return;
	}
	p->question = ask(p->d, p->user->name, &err);
	if (p->question)
		p->question->poll = p;
	else
		poll_again(p, &err);
}

static void
poll_again(struct poll *p, const struct error *err)
{
	if (err && !p->failing)
		log_warn("watch: %s; it is tried again", err->text);
	if (!err)
		p->nodes.quiet = false;
	p->failing = err;
	loop_timer_set(p->d->base.loop, &p->again, POLL_MS);
}

static int
watch(struct registry *r, struct watch *user, struct error *err)
{
	struct dns *d = (struct dns *)r;
	struct poll *p;

	if (!user->name.p)
		return error_set(err, ERR_NOTFOUND, "dns: DNS cannot be asked for all services: "
			"watch NAME");
	p = xcalloc(1, sizeof *p);
	p->d = d;
	p->user = user;
	p->nodes = (struct known_table){ .changed = changed, .arg = p, .quiet = true };
	p->again = (struct loop_timer){ .fn = poll_due, .arg = p };
	p->next = d->polls;
	d->polls = p;
	user->added = true;
	loop_timer_set(r->loop, &p->again, 0);
	return 0;
}

static void
unwatch(struct registry *r, struct watch *user)
{
	struct dns *d = (struct dns *)r;
	struct poll **at = &d->polls, *p;

	while ((*at)->user != user)
		at = &(*at)->next;
	p = *at;
	*at = p->next;
	user->added = false;
	p->user = NULL;
	/* Within a change it is freed behind it. */
	if (p->question && p->question->telling) {
		loop_timer_set(r->loop, &p->again, 0);
		return;
	}
	if (p->question)
		question_end(p->question);
	loop_timer_clear(r->loop, &p->again);
	known_release(&p->nodes);
	free(p);
}

static int
add(struct registry *r, const struct service *s, unsigned ttl_ms, struct registry_reply *reply,
	struct error *err)
{
	(void)r;
	(void)s;
	(void)ttl_ms;
	(void)reply;
	return error_set(err, ERR_NOTFOUND, "registry dns: nothing can be registered through DNS; "
		"what fills the name server does that (--registry consul, for Consul's)");
}

static void
remove_node(struct registry *r, const struct service *s)
{
	(void)r;
	(void)s;
}

static int
init(struct registry *r, struct error *err)
{
	struct dns *d = (struct dns *)r;
	const char *address = r->opts.address;
	union sockaddr_any a;
	socklen_t len;
	char text[80];

	if (!address || !*address)
		return 0;
	snprintf(text, sizeof text, strchr(address, ':') ? "%.70s" : "%.70s:53", address);
	if (!net_parse(bytes_str(text), &a, &len) || a.sa.sa_family != AF_INET)
		return error_set(err, ERR_USAGE, "dns: the address of a name server is an IPv4 "
			"address and a port");
	d->has_server = true;
	d->server = a.in;
	return 0;
}

static void
release(struct registry *r)
{
	struct dns *d = (struct dns *)r;

	while (d->polls)
		unwatch(r, d->polls->user);
	while (d->questions)
		question_end(d->questions);
}

static const struct broker_option options[] = {
	{ "domain", "NAME", "local", "services are _NAME._tcp.DOMAIN (Consul's: service.consul)",
	  XOPT_STR(struct dns, domain), .least = 1, .most = 253 },
	{ NULL }
};

const struct registry_ops dns_registry_ops = {
	.name = "dns",
	.default_address = "/etc/resolv.conf",
	.size = sizeof(struct dns),
	.options = options,
	.caps = REGISTRY_SERVER | REGISTRY_READ_ONLY,
	.hearsay = true,
	.init = init,
	.release = release,
	.add = add,
	.remove = remove_node,
	.get = get,
	.list = list,
	.cancel = cancel,
	.watch = watch,
	.unwatch = unwatch,
};

MODULE_REGISTRY(dns_registry_ops);
