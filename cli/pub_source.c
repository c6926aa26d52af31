/* SPDX-License-Identifier: Apache-2.0 */
/* From arguments and input to publications: see pub_source.h. */
#include "cli/pub_source.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/delim.h"
#include "core/json.h"
#include "core/text.h"

/* Bad lines of input that are told one by one. */
enum { PUB_BAD_TOLD = 20 };

/* A publication's id: the number of its input, and of the line in it. */
enum { PUB_LINE_BITS = 44 };

static const char *
source_name(const struct pub_source *s, size_t i)
{
	const char *path = i < s->npaths ? s->paths[i] : NULL;

	return !path || strcmp(path, "-") == 0 ? "stdin" : path;
}

void
pub_source_place(const struct pub_source *s, uint64_t id, struct buf *out)
{
	const char *name = source_name(s, (size_t)(id >> PUB_LINE_BITS));

	if (s->by_line)
		buf_addf(out, "%s:%llu", name,
			(unsigned long long)(id & ((UINT64_C(1) << PUB_LINE_BITS) - 1)));
	else if (s->npaths > 1)
		buf_add_str(out, name);
}

/* ---- headers ---- */

static struct header *
source_room(struct pub_source *s, size_t n)
{
	if (s->cap_changed < n) {
		s->cap_changed = n + 16;
		s->changed = xrealloc(s->changed, s->cap_changed * sizeof *s->changed);
	}
	return s->changed;
}

/* -H given with -J: into every event, instead of what it has by that name. */
static void
merge_headers(struct pub_source *s, struct message *m)
{
	struct header *h = source_room(s, m->nheaders + s->nheaders);
	size_t n = 0;

	for (size_t i = 0; i < m->nheaders; i++) {
		size_t j = 0;

		while (j < s->nheaders && !bytes_eq(s->headers[j].name, m->headers[i].name))
			j++;
		if (j == s->nheaders)
			h[n++] = m->headers[i];
	}
	for (size_t j = 0; j < s->nheaders; j++)
		h[n++] = s->headers[j];
	m->headers = h;
	m->nheaders = n;
}

static bool
is_utf8(struct bytes b)
{
	return utf8_valid(b.p, b.n);
}

static bool
omits_header(const struct message *m, size_t i, unsigned what)
{
	const struct header *h = &m->headers[i];

	if (what == OMIT_NULL)
		return !h->value.p;
	if (what == OMIT_BINARY)
		return !is_utf8(h->name) || !is_utf8(h->value);
	for (size_t j = 0; j < i; j++)
		if (bytes_eq(m->headers[j].name, h->name))
			return true;
	return false;
}

/* One field; a null body is sent empty, of a repeated header the first. */
static void
omit_field(struct pub_source *s, struct message *m, unsigned what)
{
	struct header *h;
	size_t n = 0;

	if (what == OMIT_KEY) {
		m->key = bytes_of(NULL, 0);
		return;
	}
	if (what == OMIT_HEADER) {
		m->nheaders = 0;
		return;
	}
	if (what == OMIT_NULL && !m->body.p)
		m->body = BYTES("");
	/* In place when the headers are ours already: n never overtakes i. But a
	 * repeat is looked for in what came before, so that must stay whole. */
	h = what == OMIT_REPEAT ? xcalloc(m->nheaders + 1, sizeof *h) :
		source_room(s, m->nheaders);
	for (size_t i = 0; i < m->nheaders; i++)
		if (!omits_header(m, i, what))
			h[n++] = m->headers[i];
	if (what == OMIT_REPEAT) {
		memcpy(source_room(s, n), h, n * sizeof *h);
		free(h);
	}
	m->headers = s->changed;
	m->nheaders = n;
}

void
pub_source_omit(struct pub_source *s, unsigned caps, struct publication *pub)
{
	static const struct {
		const char *name;
		unsigned bit;
	} fields[] = {
		{ "key", OMIT_KEY }, { "null", OMIT_NULL }, { "repeat", OMIT_REPEAT },
		{ "binary", OMIT_BINARY }, { "header", OMIT_HEADER }, { NULL, 0 }
	};
	unsigned may = s->args->omit;
	const char *field;

	while (may && (field = broker_cannot_carry(caps, pub))) {
		size_t f = 0;

		while (fields[f].name && strcmp(fields[f].name, field) != 0)
			f++;
		/* Left out once and still there: the broker has the last word. */
		if (!(may & fields[f].bit))
			break;
		may &= ~fields[f].bit;
		omit_field(s, &pub->msg, fields[f].bit);
	}
	s->omitted += may != s->args->omit;
}

/* ---- one publication ---- */

static void
source_failed(struct pub_source *s, const struct error *err)
{
	s->kind = error_graver(s->kind, err->kind);
	log_error("%s", err->text);
}

static void
bad_line(struct pub_source *s, const struct error *err)
{
	s->kind = error_graver(s->kind, err->kind);
	if (s->pretty) {
		s->bad++;
		return;
	}
	if (++s->bad <= PUB_BAD_TOLD)
		log_error("%s:%llu: %s%s", s->in.name, (unsigned long long)s->in.line, err->text,
			s->bad == PUB_BAD_TOLD ? "; more bad lines are only counted" : "");
}

static bool
is_blank(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
			return false;
	return true;
}

/* What the command line says comes before the line's meta. */
static const struct publish_options *
merge_options(struct pub_source *s)
{
	const struct publish_options *o = &s->opts;
	struct publish_options *m = &s->line_opts;

	*m = s->line.meta;
	if (o->qos >= 0)
		m->qos = o->qos;
	if (o->partition >= 0)
		m->partition = o->partition;
	if (o->props.ttl_ms >= 0)
		m->props.ttl_ms = o->props.ttl_ms;
	if (o->props.reply_to.p)
		m->props.reply_to = o->props.reply_to;
	if (o->props.content_type.p)
		m->props.content_type = o->props.content_type;
	m->retain = m->retain || o->retain;
	return m;
}

/* false: there is no event in this line. */
static bool
take_json(struct pub_source *s, char *p, size_t n, struct publication *pub)
{
	struct error err = ERROR_INIT;
	bool one_brace;			/* how what jq prints begins */

	if (is_blank(p, n))
		return false;
	one_brace = (*p == '{' || *p == '[') && is_blank(p + 1, n - 1);
	if (event_json_read(&s->line, p, n, &err) == 0 && !s->line.topic.p && !s->topic.p)
		error_set(&err, ERR_USAGE, "topic: missing, and no -t");
	if (err.kind) {
		if (one_brace && !s->bad)
			error_set(&err, ERR_USAGE, "not an event in one line: write one a line, as "
				"jq -c does (more bad lines are only counted)");
		bad_line(s, &err);
		s->pretty = s->pretty || (one_brace && s->bad == 1);
		return false;
	}
	pub->topic = s->topic.p ? s->topic : s->line.topic;
	pub->msg = s->line.msg;
	if (s->key.p)
		pub->msg.key = s->key;
	if (s->args->null && !pub->msg.body.n)
		pub->msg.body.p = NULL;
	if (s->nheaders)
		merge_headers(s, &pub->msg);
	if (s->line.has_meta)
		pub->opts = merge_options(s);
	return true;
}

/* -K: KEY, the delimiter, BODY; a line without it has no key. And -Z. */
static __attribute__((noinline)) void
take_apart(const struct pub_source *s, struct message *m)
{
	const char *p = m->body.p, *at = NULL;
	size_t n;

	if (s->key_delim.p)
		at = memmem(p, m->body.n, s->key_delim.p, s->key_delim.n);
	if (at) {
		n = (size_t)(at - p);
		m->key = bytes_of(p, n);
		n += s->key_delim.n;
		m->body = bytes_of(p + n, m->body.n - n);
	}
	if (s->args->null && !m->body.n)
		m->body.p = NULL;
}

static void
take_body(struct pub_source *s, struct bytes body, struct publication *pub)
{
	pub->topic = s->topic;
	pub->msg = (struct message){ .headers = s->headers, .nheaders = s->nheaders,
		.key = s->key, .body = body };
	if (s->apart)
		take_apart(s, &pub->msg);
	/* go-micro's own handlers never run without a Content-Type. */
	if (s->mark_json && !s->args->template && pub->msg.body.n && json_valid(pub->msg.body.p, pub->msg.body.n))
		pub->msg.nheaders++;
}

static void
open_next(struct pub_source *s)
{
	enum input_mode mode = s->by_line ? INPUT_LINES : INPUT_WHOLE;
	struct error err;

	for (; s->path < s->npaths; s->path++) {
		s->in_open = input_open(&s->in, s->loop, s->paths[s->path], mode, &err) == 0;
		if (s->in_open)
			return;
		source_failed(s, &err);
	}
	/* Round again, unless there is nothing to go round with. */
	if (s->args->loop && s->got) {
		s->got = false;
		s->round++;
		s->path = 0;
		if (s->stdin_begin >= 0)
			lseek(STDIN_FILENO, s->stdin_begin, SEEK_SET);
		return;
	}
	s->dry = true;
}

static void
close_input(struct pub_source *s)
{
	if (s->sized)
		s->passed += input_taken(&s->in);
	input_close(&s->in);
	s->in_open = false;
	s->path++;
}

bool
pub_source_next(struct pub_source *s, struct publication *pub)
{
	struct error err;
	char *p;
	size_t n;

	pub->opts = s->has_opts ? &s->opts : NULL;
	if (s->has_body && !s->dry) {
		take_body(s, s->body, pub);
		s->dry = !s->args->loop;
		return true;
	}
	while (!s->dry && !(s->fail_fast && s->kind)) {
		if (!s->in_open) {
			open_next(s);
			continue;
		}
		switch (input_next(&s->in, &p, &n, &err)) {
		case INPUT_ITEM:
			pub->id = (uint64_t)s->path << PUB_LINE_BITS | s->in.line;
			if (!s->args->json)
				take_body(s, bytes_of(p, n), pub);
			else if (!take_json(s, p, n, pub))
				continue;
			s->got = true;
			return true;
		case INPUT_LATER:
			return false;
		case INPUT_FAILED:
			source_failed(s, &err);
			close_input(s);
			break;
		case INPUT_END:
			close_input(s);
			break;
		}
	}
	return false;
}

uint64_t
pub_source_size(struct pub_source *s)
{
	uint64_t sum = 0;
	struct stat st;

	s->sized = true;
	for (size_t i = 0; i < s->npaths; i++) {
		const char *path = s->paths[i];
		bool std = !path || strcmp(path, "-") == 0;

		if ((std ? fstat(STDIN_FILENO, &st) : stat(path, &st)) < 0)
			continue;	/* told when it is opened */
		if (!S_ISREG(st.st_mode))
			return 0;
		sum += (uint64_t)st.st_size;
	}
	return sum;
}

uint64_t
pub_source_taken(const struct pub_source *s)
{
	return s->passed + (s->in_open ? input_taken(&s->in) : 0);
}

bool
pub_source_again(struct pub_source *s)
{
	return s->in_open && input_again(&s->in);
}

/* ---- the command line ---- */

static int
usage(struct error *err, const char *text)
{
	return error_set(err, ERR_USAGE, "%s", text);
}

/* "name:value", "name=value", one space after either; "name": a null value. */
static int
add_header(struct pub_source *s, const char *text, struct error *err)
{
	size_t n = strcspn(text, ":=");
	struct header *h = &s->headers[s->nheaders++];

	if (!n)
		return error_set(err, ERR_USAGE, "-H '%s': the name is missing",
			opt_shown(text));
	h->name = bytes_of(text, n);
	h->value = bytes_of(NULL, 0);
	if (text[n])
		h->value = bytes_str(text + n + 1 + (text[n + 1] == ' '));
	return 0;
}

static int
read_headers(struct pub_source *s, struct error *err)
{
	static const struct header json = {
		{ "Content-Type", sizeof "Content-Type" - 1 },
		{ "application/json", sizeof "application/json" - 1 }
	};
	const struct pub_args *a = s->args;
	bool typed = false;

	s->headers = xcalloc(a->headers.n + 2, sizeof *s->headers);
	for (size_t i = 0; i < a->headers.n; i++) {
		if (add_header(s, a->headers.v[i], err) < 0)
			return -1;
		typed = typed || (s->headers[i].name.n == json.name.n &&
			strncasecmp(s->headers[i].name.p, json.name.p, json.name.n) == 0);
	}
	if (a->content_type && typed)
		return usage(err, "Content-Type is given twice, by -H and --content-type");
	if (a->content_type && strcmp(a->content_type, "none") != 0)
		s->headers[s->nheaders++] =
			(struct header){ json.name, bytes_str(a->content_type) };
	s->mark_json = !typed && !a->content_type && !a->json;
	s->headers[s->nheaders] = json;
	return 0;
}

/* TOPIC, unless -t has it, then BODY. */
static int
read_operands(struct pub_source *s, int n, char **v, const char **body, struct error *err)
{
	const char *topic = s->args->topic ? s->args->topic : s->args->common.topic;

	if (!topic && n) {
		topic = *v++;
		n--;
	}
	if (!topic && !s->args->json)
		return usage(err, "which topic?");
	s->topic = bytes_str(topic);
	*body = n ? v[0] : NULL;
	if (n > 1)
		return error_set(err, ERR_USAGE, "'%s' is one word too many: TOPIC and BODY "
			"are one each (quote a body with spaces)", opt_shown(v[1]));
	return 0;
}

static void
one_body(struct pub_source *s, const char *text)
{
	s->body = bytes_str(text);
	s->has_body = true;
}

/* Where the events come from. */
static int
choose(struct pub_source *s, const char *body, struct error *err)
{
	static const char *const std[] = { NULL };
	const struct pub_args *a = s->args;
	bool lines = a->lines || (!a->json && (a->delim || a->nul || a->key_delim));
	bool dash = body && strcmp(body, "-") == 0;
	unsigned given;

	s->by_line = lines || a->json;
	/* "-l TOPIC -" only says twice what is read. */
	given = (body && !(dash && s->by_line)) + (a->message != NULL) + a->all_stdin + a->empty;
	if (lines + a->json + a->all_stdin > 1)
		return usage(err, "only one of -s, -l (-D, -0 and -K mean it, too), -J");
	if (given + (a->files.n || s->by_line) > 1)
		return usage(err, "only one of BODY, -m, -f, -s, -l, -J, -n (though -l and -J "
			"go with -f)");
	if (a->message || (body && !dash)) {
		one_body(s, a->message ? a->message : body);
		return 0;
	}
	if (a->empty || (a->null && !given && !a->files.n && !s->by_line)) {
		one_body(s, "");
		return 0;
	}
	if (!given && !a->files.n && !s->by_line && isatty(STDIN_FILENO))
		return usage(err, "no body: give one, or -m, -f, -s, -l (stdin is a terminal)");
	s->paths = a->files.n ? a->files.v : std;
	s->npaths = a->files.n ? a->files.n : 1;
	return 0;
}

/* --loop reads its input again, so it must be there again. */
static int
check_loop(struct pub_source *s, struct error *err)
{
	struct stat st;

	s->stdin_begin = -1;
	for (size_t i = 0; s->args->loop && i < s->npaths; i++) {
		bool std = !s->paths[i] || strcmp(s->paths[i], "-") == 0;

		/* One that is not there is told when it is opened. */
		if ((std ? fstat(STDIN_FILENO, &st) : stat(s->paths[i], &st)) < 0)
			continue;
		if (!S_ISREG(st.st_mode))
			return error_set(err, ERR_USAGE, "--loop reads files again and again, and %s "
				"is none", source_name(s, i));
		if (std)
			s->stdin_begin = lseek(STDIN_FILENO, 0, SEEK_CUR);
	}
	return 0;
}

/* What stands between events, and between key and body. */
static int
read_delims(struct pub_source *s, struct error *err)
{
	const struct pub_args *a = s->args;

	if (a->delim && a->nul)
		return usage(err, "only one of -D and -0");
	if (a->key_delim && (a->json || a->key))
		return usage(err, "-K reads a key from each line; with -J it is in the line, with "
			"-k it is given");
	if (a->nul)
		s->in.delim = bytes_of("", 1);
	if (a->delim && delim_parse("-D", a->delim, &s->in.delim, err) < 0)
		return -1;
	if (a->key_delim && delim_parse("-K", a->key_delim, &s->key_delim, err) < 0)
		return -1;
	s->key = bytes_str(a->key);
	s->apart = s->key_delim.p || a->null;
	return 0;
}

static int
read_options(struct pub_source *s, struct error *err)
{
	const struct pub_args *a = s->args;
	struct publish_options *o = &s->opts;

	if (a->keep_meta && !a->json)
		return usage(err, "--keep-meta goes with -J");
	if (a->report && a->report_fd >= 0)
		return usage(err, "only one of --report and --report-fd");
	if (a->report_all && !a->report && a->report_fd < 0)
		return usage(err, "--report-all goes with --report or --report-fd");
	if (a->tee && ((a->report && strcmp(a->report, "-") == 0) || a->report_fd == STDOUT_FILENO))
		return usage(err, "--tee and the report both go to stdout (--report FILE)");
	if (a->tee && a->transaction)
		return usage(err, "no event of a transaction is confirmed before its end: no --tee");
	if (a->transaction && (a->report || a->report_fd >= 0))
		return usage(err, "a transaction has one fate, which the status says: no --report");
	s->fail_fast = a->fail_fast;
	s->line.keep_meta = a->keep_meta;
	*o = publish_defaults;
	o->qos = (int)a->qos;
	o->partition = a->partition;
	o->retain = a->retain;
	o->props.reply_to = bytes_str(a->reply_to);
	if (a->ttl_ms)
		o->props.ttl_ms = (int64_t)a->ttl_ms;
	s->has_opts = a->qos >= 0 || a->partition >= 0 || a->retain || a->reply_to || a->ttl_ms;
	return 0;
}

/* A header of the command line that the broker cannot carry stops all events. */
static int
check_headers(struct pub_source *s, const struct broker *b, struct error *err)
{
	struct publication all = { .topic = BYTES("t"), .msg = { .headers = s->headers,
		.nheaders = s->nheaders, .body = BYTES("b") } };
	const char *field;

	pub_source_omit(s, b->caps, &all);
	s->omitted = 0;
	field = broker_cannot_carry(b->caps, &all);
	if (!field)
		return 0;
	broker_refuse_field(b, field, &all.msg, err);
	err->kind = ERR_NOTFOUND;
	return error_prefix(err, "-H");
}

/* In the bare wire nothing is added that nobody asked for, and a content type is a
 * property where there are properties. */
static void
place_content_type(struct pub_source *s, const struct broker *b)
{
	const char *type = s->args->content_type;

	if (s->args->common.wire != WIRE_RAW)
		return;
	s->mark_json = false;
	if (!type || strcmp(type, "none") == 0 || !(b->caps & BROKER_PROPS))
		return;
	s->nheaders--;		/* it is the last of them */
	s->opts.props.content_type = bytes_str(type);
	s->has_opts = true;
}

int
pub_source_broker(struct pub_source *s, const struct broker *b, struct error *err)
{
	s->line.keep_time = (b->caps & BROKER_TIME) || s->args->pace;
	s->line.keep_wire = b->raw_caps && b->opts.wire == WIRE_AUTO;
	place_content_type(s, b);
	return check_headers(s, b, err);
}

void
pub_source_excuse(struct pub_args *a)
{
	a->common.excused = (a->omit & OMIT_KEY ? BROKER_KEY : 0) |
		(a->omit & OMIT_NULL ? BROKER_NULL_BODY : 0) |
		(a->omit & OMIT_HEADER ? BROKER_HEADER : 0);
}

int
pub_source_init(struct pub_source *s, const struct pub_args *args, int noperands,
	char **operands, struct error *err)
{
	const char *body = NULL;

	memset(s, 0, offsetof(struct pub_source, line));
	event_json_init(&s->line);
	s->args = args;
	if (read_operands(s, noperands, operands, &body, err) < 0 || choose(s, body, err) < 0)
		return -1;
	if (args->wait && !s->topic.p)
		return usage(err, "--wait needs a topic (-t)");
	if (read_delims(s, err) < 0 || read_options(s, err) < 0 || check_loop(s, err) < 0)
		return -1;
	return read_headers(s, err);
}

void
pub_source_open(struct pub_source *s, struct loop *loop, void (*ready)(struct input *),
	void *arg)
{
	s->loop = loop;
	s->in.ready = ready;
	s->in.arg = arg;
	if (!s->has_body)
		open_next(s);
}

void
pub_source_release(struct pub_source *s)
{
	if (s->in_open)
		input_close(&s->in);
	input_release(&s->in);
	event_json_release(&s->line);
	if (s->args->delim)
		free((char *)s->in.delim.p);
	free((char *)s->key_delim.p);
	free(s->headers);
	free(s->changed);
}
