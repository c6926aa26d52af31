/* SPDX-License-Identifier: Apache-2.0 */
/* Replaces {n}, {ts} and others in what is published: see pub_template.h. */
#include "cli/pub_template.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "core/text.h"
#include "core/units.h"

enum { RANDOM_MAX = 64, NAME_MAX_BYTES = 128 };

static void
add_random(struct buf *out, size_t digits)
{
	unsigned char raw[RANDOM_MAX / 2];
	char hex[RANDOM_MAX];

	if (getrandom(raw, sizeof raw, 0) != (ssize_t)sizeof raw)
		abort();	/* so few bytes are always had */
	hex_encode(hex, raw, sizeof raw);
	buf_add(out, hex, digits);
}

static bool
add_uuid(struct pub_template *t, struct buf *out, struct bytes arg)
{
	static const char variant[] = "89ab";
	struct buf raw = BUF_INIT;
	char *p;

	(void)t;
	if (arg.p)
		return false;
	add_random(&raw, 32);
	p = buf_data(&raw);
	p[12] = '4';
	p[16] = variant[(p[16] <= '9' ? p[16] - '0' : p[16] - 'a' + 10) & 3];
	buf_addf(out, "%.8s-%.4s-%.4s-%.4s-%.12s", p, p + 8, p + 12, p + 16, p + 20);
	buf_release(&raw);
	return true;
}

static bool
add_rand(struct pub_template *t, struct buf *out, struct bytes arg)
{
	size_t n = 0;

	(void)t;
	if (!arg.n || arg.n > 2)
		return false;
	for (size_t i = 0; i < arg.n; i++) {
		if (arg.p[i] < '0' || arg.p[i] > '9')
			return false;
		n = n * 10 + (size_t)(arg.p[i] - '0');
	}
	if (!n || n > RANDOM_MAX)
		return false;
	add_random(out, n);
	return true;
}

static bool
add_number(struct pub_template *t, struct buf *out, struct bytes arg)
{
	if (!arg.p)
		buf_add_u64(out, t->n);
	return !arg.p;
}

static bool
add_time(struct pub_template *t, struct buf *out, struct bytes arg)
{
	struct timespec now;

	if (arg.p)
		return false;
	if (!t->now_us) {
		clock_gettime(CLOCK_REALTIME, &now);
		t->now_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
	}
	units_add_time_us(out, t->now_us);
	return true;
}

static bool
add_env(struct pub_template *t, struct buf *out, struct bytes arg)
{
	char name[NAME_MAX_BYTES];
	const char *value;

	(void)t;
	if (!arg.n || arg.n >= sizeof name || memchr(arg.p, '\0', arg.n))
		return false;
	memcpy(name, arg.p, arg.n);
	name[arg.n] = '\0';
	value = getenv(name);
	if (value)
		buf_add_str(out, value);
	return value != NULL;
}

static const struct known {
	const char *name;
	bool env;
	/* arg: behind the colon; p NULL: there is none. false: this is none of ours. */
	bool (*add)(struct pub_template *, struct buf *, struct bytes arg);
} known[] = {
	{ "n", false, add_number },
	{ "ts", false, add_time },
	{ "uuid", false, add_uuid },
	{ "rand", false, add_rand },
	{ "env", true, add_env },
};

/* What stands between braces. */
static bool
add_known(struct pub_template *t, struct buf *out, struct bytes in, bool env)
{
	const char *colon = memchr(in.p, ':', in.n);
	size_t n = colon ? (size_t)(colon - in.p) : in.n;
	struct bytes arg = bytes_of(colon ? colon + 1 : NULL, colon ? in.n - n - 1 : 0);

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (bytes_eq(bytes_str(known[i].name), bytes_of(in.p, n)) && (env || !known[i].env))
			return known[i].add(t, out, arg);
	return false;
}

static void
expand(struct pub_template *t, struct buf *out, struct bytes in, bool env)
{
	const char *p = in.p, *end = in.p + in.n, *open, *close;

	while ((open = memchr(p, '{', (size_t)(end - p)))) {
		size_t look = (size_t)(end - open - 1);

		buf_add(out, p, (size_t)(open - p));
		if (look && open[1] == '{') {
			buf_add_ch(out, '{');
			p = open + 2;
			continue;
		}
		/* No name is longer: a body of braces is looked through once. */
		if (look > NAME_MAX_BYTES + 8)
			look = NAME_MAX_BYTES + 8;
		close = memchr(open + 1, '}', look);
		if (close && add_known(t, out, bytes_of(open + 1, (size_t)(close - open - 1)), env)) {
			p = close + 1;
			continue;
		}
		buf_add_ch(out, '{');
		p = open + 1;
	}
	buf_add(out, p, (size_t)(end - p));
}

static struct bytes
apply(struct pub_template *t, struct bytes in, unsigned env)
{
	struct buf *out;

	if (!in.p || !memchr(in.p, '{', in.n))
		return in;
	if (t->nbufs == t->cap_bufs) {
		t->bufs = xrealloc(t->bufs, (t->cap_bufs + 8) * sizeof *t->bufs);
		memset(t->bufs + t->cap_bufs, 0, 8 * sizeof *t->bufs);
		t->cap_bufs += 8;
	}
	out = &t->bufs[t->nbufs++];
	buf_clear(out);
	expand(t, out, in, t->env & env);
	return buf_bytes(out);
}

void
pub_template_apply(struct pub_template *t, struct publication *p, uint64_t n)
{
	struct message *m = &p->msg;

	t->n = n;
	t->now_us = 0;
	t->nbufs = 0;
	if (t->cap_headers <= m->nheaders) {
		t->cap_headers = m->nheaders + 8;
		t->headers = xrealloc(t->headers, t->cap_headers * sizeof *t->headers);
	}
	for (size_t i = 0; i < m->nheaders; i++)
		t->headers[i] = (struct header){ m->headers[i].name,
			apply(t, m->headers[i].value, TEMPLATE_ENV_HEADERS) };
	m->headers = t->headers;
	p->topic = apply(t, p->topic, TEMPLATE_ENV_TOPIC);
	m->key = apply(t, m->key, TEMPLATE_ENV_KEY);
	m->body = apply(t, m->body, TEMPLATE_ENV_BODY);
}

void
pub_template_release(struct pub_template *t)
{
	for (size_t i = 0; i < t->cap_bufs; i++)
		buf_release(&t->bufs[i]);
	free(t->bufs);
	free(t->headers);
}
