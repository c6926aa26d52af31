/* SPDX-License-Identifier: Apache-2.0 */
/* -X options: found, read, bounded and worded once, for brokers and registries. */
#include "core/xopt.h"

#include <inttypes.h>
#include <string.h>

#include "core/units.h"

const struct broker_option *
xopt_find(const struct broker_option *o, const char *name)
{
	for (; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

/* ---- who has an effect of it ---- */

void
broker_add_use(struct buf *out, unsigned use)
{
	static const char *const words[] = { "pub", "sub", "topics" };
	const char *comma = "";

	for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
		if (use & 1u << i) {
			buf_addf(out, "%s%s", comma, words[i]);
			comma = " and ";
		}
}

int
xopt_check_use(const char *name, unsigned use, unsigned wanted, struct error *err)
{
	struct buf words = BUF_INIT;

	if (!use || !wanted || (use & wanted))
		return 0;
	broker_add_use(&words, use);
	error_set(err, ERR_USAGE, "-X %.60s: is for %s, and has no effect here", name,
		buf_cstr(&words));
	buf_release(&words);
	return -1;
}

/* ---- values ---- */

static void
add_ms(struct buf *b, uint64_t ms)
{
	buf_addf(b, ms % 1000 ? "%" PRIu64 "ms" : "%" PRIu64 "s", ms % 1000 ? ms : ms / 1000);
}

void
xopt_add_bounds(struct buf *out, const struct broker_option *o)
{
	static void (*const adds[])(struct buf *, uint64_t) = {
		[XOPT_T_STR] = buf_add_u64, [XOPT_T_COUNT] = buf_add_u64,
		[XOPT_T_TIME] = add_ms, [XOPT_T_SIZE] = units_add_size,
	};
	void (*add)(struct buf *, uint64_t) = o->type < sizeof adds / sizeof *adds ?
		adds[o->type] : NULL;

	if (add && o->most) {
		buf_add_str(out, " from ");
		add(out, o->least);
		buf_add_str(out, " to ");
		add(out, o->most);
	} else if (add && o->least) {
		buf_add_str(out, ", at least ");
		add(out, o->least);
	}
	if (o->type == XOPT_T_STR && (o->least || o->most))
		buf_add_str(out, " bytes");
}

/* "-X memory.size=1K: a size from 64.0 KiB to 1.00 GiB" */
static int
refuse(const char *owner, const struct broker_option *o, const char *value, struct error *err)
{
	static const char *const what[] = {
		[XOPT_T_STR] = "a text", [XOPT_T_BOOL] = "yes or no",
		[XOPT_T_COUNT] = "a whole number", [XOPT_T_TIME] = "a time, such as 30s",
		[XOPT_T_SIZE] = "a size", [XOPT_T_CHOICE] = "one of ",
	};
	struct buf text = BUF_INIT;

	buf_addf(&text, "%s%s", what[o->type], o->type == XOPT_T_CHOICE ? o->arg : "");
	xopt_add_bounds(&text, o);
	error_set(err, ERR_USAGE, "-X %s.%s=%.60s: %s", owner, o->name,
		o->secret ? "@FILE" : value, buf_cstr(&text));
	buf_release(&text);
	return -1;
}

static bool
in_bounds(const struct broker_option *o, uint64_t n)
{
	return n >= o->least && (!o->most || n <= o->most);
}

/* Which of "a|b|c"; -1: none of them. */
static int
choice(const char *names, const char *value)
{
	size_t n = strlen(value);

	for (int i = 0; names; i++) {
		const char *bar = strchr(names, '|');

		if (n == (bar ? (size_t)(bar - names) : strlen(names)) &&
		    memcmp(names, value, n) == 0)
			return i;
		names = bar ? bar + 1 : NULL;
	}
	return -1;
}

static bool
read_one(void *to, const struct broker_option *o, const char *v)
{
	uint64_t n = 0;
	bool is = true;

	switch (o->type) {
	case XOPT_T_TEXT:
		return true;
	case XOPT_T_STR:
		*(const char **)to = v;
		return in_bounds(o, strlen(v));
	case XOPT_T_BOOL:
		*(bool *)to = strcmp(v, "yes") == 0;
		return *(bool *)to || strcmp(v, "no") == 0;
	case XOPT_T_CHOICE:
		*(int *)to = choice(o->arg, v);
		return *(int *)to >= 0;
	case XOPT_T_COUNT:
		is = units_count(v, UINT64_MAX, &n);
		break;
	case XOPT_T_TIME:
		is = units_duration_ms(v, &n);
		break;
	case XOPT_T_SIZE:
		is = units_size(v, &n);
		break;
	}
	*(uint64_t *)to = n;
	return is && in_bounds(o, n);
}

int
xopt_read(void *instance, const char *owner, const struct broker_option *rows,
	const char *(*value)(const void *, const char *), struct error *err)
{
	for (const struct broker_option *o = rows; o && o->name; o++) {
		const char *v = o->type ? value(instance, o->name) : NULL;

		if (v && !read_one((char *)instance + o->place, o, v))
			return refuse(owner, o, v, err);
	}
	return 0;
}
