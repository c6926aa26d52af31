/* SPDX-License-Identifier: Apache-2.0 */
/* Saved results: lines of JSON, read by the table of bench_json.c. */
#include "cli/bench_json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/json.h"
#include "core/text.h"
#include "core/units.h"

enum {
	READ_PATH = 64,			/* longest path of the table */
	READ_LIST = 1000000,		/* elements of a list */
	READ_FILE = 256 << 20
};

struct reader {
	struct json_scan *scan;
	char path[READ_PATH];
	size_t npath;
};

/* Of "12", "-3", "1.5e3"; false: it is no number that can be. */
static bool
read_double(struct bytes text, double *v)
{
	char copy[40], *end;

	if (text.n >= sizeof copy)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	*v = strtod(copy, &end);
	return !*end && *v > -1e300 && *v < 1e300;
}

static bool
read_u64(struct bytes text, uint64_t max, uint64_t *v)
{
	char copy[24];

	if (text.n >= sizeof copy)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	return units_count(copy, max, v);
}

static bool
read_number(const struct json_field *f, struct bytes text, void *p)
{
	uint64_t u;
	double d;

	switch (f->type) {
	case FIELD_U64:
		return read_u64(text, UINT64_MAX, p);
	case FIELD_UNSIGNED:
		if (!read_u64(text, UINT32_MAX, &u))
			return false;
		*(unsigned *)p = (unsigned)u;
		return true;
	case FIELD_I64:
		if (!read_double(text, &d) || d < -1e15 || d > 1e15)
			return false;
		*(int64_t *)p = (int64_t)d;
		return true;
	case FIELD_DOUBLE:
		return read_double(text, p);
	case FIELD_KIND:
		if (!read_u64(text, ERR_KINDS - 1, &u))
			return false;
		*(enum error_kind *)p = (enum error_kind)u;
		return true;
	default:
		return false;
	}
}

static bool
read_string(const struct json_field *f, struct json_scan *scan, void *p)
{
	struct buf tmp = BUF_INIT;
	struct bytes text = json_unescape(scan, f->type == FIELD_TEXT ? &tmp : NULL);
	char copy[40];
	size_t n = 0;

	if (f->type == FIELD_TEXT) {
		/* As much as fits of whole characters. */
		for (unsigned len; n < text.n && (len = utf8_seq(text.p + n, text.n - n)) &&
		    n + len < f->size;)
			n += len;
		memcpy(p, text.p, n);
		((char *)p)[n] = '\0';
		buf_release(&tmp);
		return true;
	}
	n = text.n < sizeof copy ? text.n : sizeof copy - 1;
	memcpy(copy, text.p, n);
	copy[n] = '\0';
	if (f->type == FIELD_TIME)
		return units_time_us(copy, p);
	for (int i = 0; f->type == FIELD_ROLE && i < 4; i++)
		if (strcmp(copy, result_role(i)) == 0) {
			*(int *)p = i;
			return true;
		}
	for (int i = 0; f->type == FIELD_LIMIT && limit_names[i]; i++)
		if (strcmp(copy, limit_names[i]) == 0) {
			*(enum bench_limit *)p = (enum bench_limit)i;
			return true;
		}
	return false;
}

static int
bad(struct reader *r, struct error *err)
{
	return r->scan->error ? error_set(err, ERR_USAGE, "%s", r->scan->error) :
		error_set(err, ERR_USAGE, "%s: not what a result has there", r->path);
}

static const struct json_field *
field_of(const struct json_field *f, const char *path)
{
	while (f->path && strcmp(f->path, path) != 0)
		f++;
	return f->path ? f : NULL;
}

static int read_object(struct reader *, const struct json_field *, void *base,
	struct bench_result *whole, struct error *);

static int
read_array(struct reader *r, const struct json_array *a, struct bench_result *whole,
	struct error *err)
{
	char **list = (char **)((char *)whole + a->list);
	size_t *n = (size_t *)((char *)whole + a->n), cap = 0;
	enum json_token t;

	if (*list || *n)
		return error_set(err, ERR_USAGE, "%s is there twice", a->name);
	while ((t = json_next(r->scan)) == JSON_OBJECT) {
		if (*n == cap) {
			cap = cap ? 2 * cap : 16;
			*list = xrealloc(*list, cap * a->size);
		}
		memset(*list + *n * a->size, 0, a->size);
		if (*n == READ_LIST)
			return error_set(err, ERR_USAGE, "%s has too many elements", a->name);
		r->npath = 0;
		if (read_object(r, a->fields, *list + (*n)++ * a->size, NULL, err) < 0)
			return -1;
	}
	return t == JSON_ARRAY_END ? 0 : bad(r, err);
}

static int
read_value(struct reader *r, enum json_token t, const struct json_field *fields, void *base,
	struct bench_result *whole, struct error *err)
{
	const struct json_field *f = field_of(fields, r->path);
	void *p = f ? (char *)base + f->offset : NULL;

	if (t == JSON_OBJECT)
		return read_object(r, fields, base, whole, err);
	if (t == JSON_ARRAY && whole)
		for (const struct json_array *a = result_arrays; a->name; a++)
			if (strcmp(a->name, r->path) == 0)
				return read_array(r, a, whole, err);
	if (!f)
		return json_skip(r->scan, t) ? 0 : bad(r, err);
	if (t == JSON_NUMBER && read_number(f, r->scan->text, p))
		return 0;
	if (t == JSON_STRING && read_string(f, r->scan, p))
		return 0;
	if ((t == JSON_TRUE || t == JSON_FALSE) && f->type == FIELD_BOOL) {
		*(bool *)p = t == JSON_TRUE;
		return 0;
	}
	return bad(r, err);
}

/* Behind the brace. */
static int
read_object(struct reader *r, const struct json_field *fields, void *base,
	struct bench_result *whole, struct error *err)
{
	size_t before = r->npath;
	enum json_token t;

	while ((t = json_next(r->scan)) == JSON_KEY) {
		struct bytes key = json_unescape(r->scan, NULL);
		size_t n = before + (before > 0) + key.n;

		/* A path that is too long for the table is not in it. */
		if (n >= READ_PATH || memchr(key.p, 0, key.n)) {
			if (!json_skip(r->scan, json_next(r->scan)))
				return bad(r, err);
			continue;
		}
		if (before)
			r->path[before] = '.';
		memcpy(r->path + before + (before > 0), key.p, key.n);
		r->path[n] = '\0';
		r->npath = n;
		if (read_value(r, json_next(r->scan), fields, base, whole, err) < 0)
			return -1;
		r->npath = before;
		r->path[before] = '\0';
	}
	return t == JSON_OBJECT_END ? 0 : bad(r, err);
}

/* What is not of this program would be nonsense further on. */
static void
make_sound(struct bench_result *r)
{
	size_t k = 0;

	for (size_t i = 0; i < r->ncurve; i++)
		if (r->curve[i].part >= 0 && r->curve[i].part <= 1)
			r->curve[k++] = r->curve[i];
	r->ncurve = k;
}

int
json_read_result(const char *p, size_t n, struct bench_result *out, bool *is, struct error *err)
{
	struct json_scan scan;
	struct reader r = { .scan = &scan };
	char *copy = xmemdup0(p, n);
	int ret;

	*out = (struct bench_result){ .machine_busy = 101, .qos = -1 };
	*is = memmem(p, n, "\"bench.result\"", 14);
	if (!*is) {
		free(copy);
		return json_valid(p, n) ? 0 : error_set(err, ERR_USAGE, "no JSON");
	}
	json_scan_init(&scan, copy, n);
	ret = json_next(&scan) == JSON_OBJECT ? read_object(&r, result_fields, out, out, err) :
		bad(&r, err);
	if (ret == 0 && json_next(&scan) != JSON_END)
		ret = bad(&r, err);
	make_sound(out);
	free(copy);
	if (ret < 0) {
		result_release(out);
		*is = false;
	}
	return ret;
}

static int
read_whole(const char *path, struct buf *b, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	if (fd < 0)
		return error_sys(err, ERR_LOCAL_IO, "%s", path);
	while (n != 0 && buf_len(b) < READ_FILE) {
		n = read(fd, buf_room(b, 65536), 65536);
		if (n > 0)
			buf_added(b, (size_t)n);
		else if (n < 0 && errno != EINTR)
			break;
	}
	if (n < 0)
		error_sys(err, ERR_LOCAL_IO, "%s", path);
	close(fd);
	if (n > 0)
		return error_set(err, ERR_USAGE, "%s: over %d MiB", path, READ_FILE >> 20);
	return n < 0 ? -1 : 0;
}

int
results_read(const char *path, struct bench_results *out, struct error *err)
{
	struct buf b = BUF_INIT;
	unsigned line = 0;
	int r = read_whole(path, &b, err);

	*out = (struct bench_results){ 0 };
	for (const char *p = buf_data(&b), *end = p + buf_len(&b); r == 0 && p < end;) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);
		struct bench_result one;
		bool is = false;

		line++;
		if (n)
			r = json_read_result(p, n, &one, &is, err);
		if (r < 0)
			error_prefix(err, "%s:%u", path, line);
		if (is) {
			out->v = xrealloc(out->v, (out->n + 1) * sizeof *out->v);
			out->v[out->n++] = one;
		}
		p += n + 1;
	}
	buf_release(&b);
	if (r == 0 && !out->n)
		r = error_set(err, ERR_USAGE, "%s: no result of mbus bench (-J, --out) is in it", path);
	if (r < 0)
		results_release(out);
	return r;
}

void
results_release(struct bench_results *r)
{
	for (size_t i = 0; i < r->n; i++)
		result_release(&r->v[i]);
	free(r->v);
	*r = (struct bench_results){ 0 };
}
