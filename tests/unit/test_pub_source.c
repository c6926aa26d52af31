/* SPDX-License-Identifier: Apache-2.0 */
/* cli/pub_source: from arguments and input to publications. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/pub_source.h"
#include "tests/unit/test.h"

static struct error err;
static struct pub_source src;
static struct pub_args args;
static char *operands[4];
static int noperands;
static struct loop *loop;

/* As the options are when none was given. */
static void
no_options(void)
{
	args = (struct pub_args){ .qos = -1, .partition = -1, .report_fd = -1 };
	noperands = 0;
	err = (struct error)ERROR_INIT;
}

static void
operand(const char *text)
{
	operands[noperands++] = (char *)(uintptr_t)text;
}

/* What is wrong with the options, or NULL. */
static const char *
begin(void)
{
	if (pub_source_init(&src, &args, noperands, operands, &err) == 0)
		return NULL;
	check_int(err.kind, ERR_USAGE);
	return err.text;
}

static const char *
refused(void)
{
	const char *why = begin();

	pub_source_release(&src);
	return why ? why : "";
}

static void
more(struct input *in)
{
	loop_stop(in->arg);
}

static struct publication pub;

static bool
next(void)
{
	pub = (struct publication){ 0 };
	while (!pub_source_next(&src, &pub)) {
		if (src.dry)
			return false;
		loop_run(loop);
	}
	return true;
}

static void
end(void)
{
	check(!next());
	check(src.dry);
	pub_source_release(&src);
	loop_free(loop);
	loop = NULL;
}

/* Begins with these options, for a broker with these caps. */
static void
start(unsigned caps)
{
	struct broker b = { .caps = caps };

	need(!begin());
	check_int(pub_source_broker(&src, &b, &err), 0);
	loop = loop_new(&err);
	need(loop);
	pub_source_open(&src, loop, more, loop);
}

static void
place_is(const char *want)
{
	struct buf place = BUF_INIT;

	pub_source_place(&src, pub.id, &place);
	check_str(buf_cstr(&place), want);
	buf_release(&place);
}

/* A file with that text; its path is good until the fourth after it. */
static const char *
file(struct bytes text)
{
	static char paths[4][200];
	static unsigned at;
	char *path = paths[at++ % 4];
	const char *tmp = getenv("TMPDIR");
	int fd;

	snprintf(path, sizeof *paths, "%s/mbus-source.XXXXXX", tmp ? tmp : "/tmp");
	fd = mkstemp(path);
	if (fd < 0 || write(fd, text.p, text.n) != (ssize_t)text.n)
		abort();
	close(fd);
	return path;
}

static const char *files[2];

static void
with_files(const char *a, const char *b)
{
	files[0] = a;
	files[1] = b;
	args.files = (struct opt_list){ files, b ? 2 : 1 };
}

static void
remove_files(void)
{
	for (size_t i = 0; i < args.files.n; i++)
		unlink(args.files.v[i]);
}

/* ---- the command line ---- */

TEST(one_body)
{
	no_options();
	operand("t");
	operand("b");
	start(~0u);
	check(next());
	check_bytes(pub.topic, BYTES("t"));
	check_bytes(pub.msg.body, BYTES("b"));
	check_int(pub.msg.nheaders, 0);
	check(!pub.msg.key.p && !pub.opts);
	place_is("");
	end();

	no_options();
	args.topic = "other";
	args.key = "";
	args.qos = 2;
	args.ttl_ms = 1500;
	operand("b");
	start(~0u);
	check(next());
	check_bytes(pub.topic, BYTES("other"));
	check_bytes(pub.msg.body, BYTES("b"));
	check(pub.msg.key.p && !pub.msg.key.n);
	need(pub.opts);
	check_int(pub.opts->qos, 2);
	check_int(pub.opts->props.ttl_ms, 1500);
	check_int(pub.opts->partition, -1);
	end();
}

TEST(an_empty_and_a_null_body)
{
	for (int null = 0; null <= 1; null++) {
		no_options();
		operand("t");
		args.empty = !null;
		args.null = null;
		start(~0u);
		check(next());
		check_int(pub.msg.body.n, 0);
		check_int(pub.msg.body.p == NULL, null);
		end();
	}
}

TEST(what_contradicts)
{
	no_options();
	check_str(refused(), "which topic?");
	operand("t");
	operand("b");
	operand("c");
	check_str(refused(), "'c' is one word too many: TOPIC and BODY are one each (quote a body "
		"with spaces)");
	noperands = 2;
	args.message = "m";
	check(strncmp(refused(), "only one of BODY, -m", 20) == 0);
	noperands = 1;
	args.all_stdin = true;
	check(strncmp(refused(), "only one of BODY, -m", 20) == 0);
	args.message = NULL;
	args.lines = true;
	check(strncmp(refused(), "only one of -s, -l", 18) == 0);
	args.all_stdin = false;
	args.empty = true;
	check(strncmp(refused(), "only one of BODY, -m", 20) == 0);
	args.empty = false;
	args.delim = ";";
	args.nul = true;
	check_str(refused(), "only one of -D and -0");
	args.delim = NULL;
	args.key_delim = ":";
	args.key = "k";
	check(strncmp(refused(), "-K reads a key", 14) == 0);
	args.key = NULL;
	args.keep_meta = true;
	check_str(refused(), "--keep-meta goes with -J");
	no_options();
	args.json = true;
	args.wait = 1;
	check_str(refused(), "--wait needs a topic (-t)");
	args.wait = 0;
	args.key_delim = ":";
	check(strncmp(refused(), "-K reads a key", 14) == 0);
}

/* "-l t -" says twice what is read. */
TEST(a_dash)
{
	no_options();
	args.lines = true;
	operand("t");
	operand("-");
	check(!begin());
	pub_source_release(&src);
}

/* ---- headers ---- */

static const char *header_list[4];

static void
with_headers(const char *a, const char *b, const char *c)
{
	size_t n = 0;

	for (const char *const *h = (const char *const []){ a, b, c, NULL }; n < 3 && h[n]; n++)
		header_list[n] = h[n];
	args.headers = (struct opt_list){ header_list, n };
}

static void
header_is(size_t i, const char *name, const char *value)
{
	need(i < pub.msg.nheaders);
	check_bytes(pub.msg.headers[i].name, bytes_str(name));
	check_bytes(pub.msg.headers[i].value, bytes_str(value));
}

TEST(headers)
{
	no_options();
	operand("t");
	operand("b");
	with_headers("a:b=c", "d=  e:", "f");
	start(~0u);
	check(next());
	check_int(pub.msg.nheaders, 3);
	header_is(0, "a", "b=c");
	header_is(1, "d", " e:");		/* one blank is no part of it */
	header_is(2, "f", NULL);
	end();
	with_headers(":x", NULL, NULL);
	check_str(refused(), "-H ':x': the name is missing");
	with_headers("content-TYPE:x", NULL, NULL);
	args.content_type = "a/b";
	check_str(refused(), "Content-Type is given twice, by -H and --content-type");
}

/* A body that is JSON says so, in go-micro's wire, unless somebody said what it is. */
TEST(the_content_type)
{
	static const struct {
		const char *body, *header, *type;
		int wire;
		size_t n;
		const char *last;
	} rows[] = {
		{ "{\"a\":1}", NULL, NULL, WIRE_AUTO, 1, "application/json" },
		{ " 5 ", NULL, NULL, WIRE_MICRO, 1, "application/json" },
		{ "{\"a\":1", NULL, NULL, WIRE_AUTO, 0, NULL },
		{ "", NULL, NULL, WIRE_AUTO, 0, NULL },
		{ "5", NULL, NULL, WIRE_RAW, 0, NULL },
		{ "5", "x:y", NULL, WIRE_AUTO, 2, "application/json" },
		{ "5", "Content-type:y", NULL, WIRE_AUTO, 1, "y" },
		{ "5", NULL, "none", WIRE_AUTO, 0, NULL },
		{ "5", NULL, "a/b", WIRE_AUTO, 1, "a/b" },
		{ "5", NULL, "a/b", WIRE_RAW, 0, NULL },	/* it is a property */
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		no_options();
		operand("t");
		operand(rows[i].body);
		with_headers(rows[i].header, NULL, NULL);
		args.content_type = rows[i].type;
		args.common.wire = rows[i].wire;
		start(~0u);
		check(next());
		check_int(pub.msg.nheaders, rows[i].n);
		if (rows[i].n)
			check_bytes(pub.msg.headers[rows[i].n - 1].value, bytes_str(rows[i].last));
		if (rows[i].type && rows[i].wire == WIRE_RAW)
			check_bytes(pub.opts->props.content_type, BYTES("a/b"));
		end();
	}
}

/* Without properties, and bare, it is the header that was asked for. */
TEST(a_content_type_without_properties)
{
	no_options();
	operand("t");
	operand("5");
	args.content_type = "a/b";
	args.common.wire = WIRE_RAW;
	start(BROKER_HEADER);
	check(next());
	header_is(0, "Content-Type", "a/b");
	end();
}

TEST(a_header_that_no_event_can_have)
{
	struct broker b = { .caps = BROKER_HEADER, .ops = &(const struct broker_ops){ .name = "x" } };

	no_options();
	operand("t");
	operand("b");
	with_headers("a", NULL, NULL);
	need(!begin());
	check_int(pub_source_broker(&src, &b, &err), -1);
	check_int(err.kind, ERR_NOTFOUND);
	check(strncmp(err.text, "-H: ", 4) == 0);
	pub_source_release(&src);
	args.omit = OMIT_NULL;
	need(!begin());
	check_int(pub_source_broker(&src, &b, &err), 0);
	check_int(src.omitted, 0);
	pub_source_release(&src);
}

/* ---- lines ---- */

TEST(lines_are_events)
{
	no_options();
	operand("t");
	args.lines = true;
	with_files(file(BYTES("a\r\n\n\nlast")), file(BYTES("b\n")));
	start(~0u);
	check(next());
	check_bytes(pub.msg.body, BYTES("a\r"));
	check(strstr(files[0], "mbus-source"));
	for (int i = 0; i < 2; i++) {
		check(next());
		check(pub.msg.body.p && !pub.msg.body.n);
	}
	check(next());
	check_bytes(pub.msg.body, BYTES("last"));
	check_int(pub.id & 0xffff, 4);
	/* The place of what is in the second file is of that, whenever it is asked for. */
	check(next());
	check_bytes(pub.msg.body, BYTES("b"));
	{
		char want[220];

		snprintf(want, sizeof want, "%s:1", files[1]);
		place_is(want);
		pub.id = 4;
		snprintf(want, sizeof want, "%s:4", files[0]);
		place_is(want);
	}
	end();
	remove_files();
}

TEST(what_ends_lines_and_keys)
{
	no_options();
	operand("t");
	args.delim = ";;";
	args.key_delim = ":";
	args.null = true;
	with_files(file(BYTES("k:v;;:w;;x;;;k2:;;")), NULL);
	start(~0u);
	check(next());
	check_bytes(pub.msg.key, BYTES("k"));
	check_bytes(pub.msg.body, BYTES("v"));
	check(next());
	check(pub.msg.key.p && !pub.msg.key.n);
	check_bytes(pub.msg.body, BYTES("w"));
	check(next());
	check(!pub.msg.key.p);
	check_bytes(pub.msg.body, BYTES("x"));
	check(next());
	check_bytes(pub.msg.key, BYTES(";k2"));
	check(!pub.msg.body.p);			/* -Z: an empty one is null */
	end();
	remove_files();

	no_options();
	operand("t");
	args.nul = true;
	with_files(file(bytes_of("a\n\0b", 4)), NULL);
	start(~0u);
	check(next());
	check_bytes(pub.msg.body, BYTES("a\n"));
	check(next());
	check_bytes(pub.msg.body, BYTES("b"));
	end();
	remove_files();
}

TEST(files_as_they_are)
{
	no_options();
	operand("t");
	with_files(file(bytes_of("a\n\0b\n", 5)), file(BYTES("")));
	start(~0u);
	check(next());
	check_bytes(pub.msg.body, bytes_of("a\n\0b\n", 5));
	place_is(files[0]);
	check(next());
	check(pub.msg.body.p && !pub.msg.body.n);
	place_is(files[1]);
	end();
	remove_files();
}

/* One that cannot be opened is told, and the others are read. */
TEST(a_file_that_is_not_there)
{
	log_level = LOG_QUIET;
	no_options();
	operand("t");
	with_files("/nowhere/at/all", file(BYTES("x")));
	start(~0u);
	check(next());
	check_bytes(pub.msg.body, BYTES("x"));
	place_is(files[1]);
	end();
	check_int(src.kind, ERR_LOCAL_IO);
	unlink(files[1]);
}

/* ---- lines of JSON ---- */

TEST(json_lines)
{
	log_level = LOG_QUIET;
	no_options();
	args.json = true;
	with_headers("a:new", "c:d", NULL);
	with_files(file(BYTES("{\"topic\":\"t\",\"body\":\"1\",\"headers\":{\"a\":\"old\",\"b\":\"x\"}}\n"
		" \t\r\n\nnonsense\n{\"body\":\"2\"}\n{\"topic\":\"u\",\"key\":\"k\",\"body\":\"3\"}")), NULL);
	start(~0u);
	check(next());
	check_bytes(pub.topic, BYTES("t"));
	check_bytes(pub.msg.body, BYTES("1"));
	check_int(pub.msg.nheaders, 3);
	header_is(0, "b", "x");
	header_is(1, "a", "new");
	header_is(2, "c", "d");
	check_int(pub.id & 0xffff, 1);
	check(next());
	check_bytes(pub.topic, BYTES("u"));
	check_bytes(pub.msg.key, BYTES("k"));
	check_int(pub.id & 0xffff, 6);
	check_int(src.bad, 2);			/* no JSON, no topic; blank lines are nothing */
	check_int(src.kind, ERR_USAGE);
	end();
	remove_files();
}

/* What the command line says comes before the line. */
TEST(json_lines_with_options)
{
	no_options();
	args.json = args.keep_meta = args.null = true;
	args.topic = "mine";
	args.key = "K";
	args.qos = 1;
	with_files(file(BYTES("{\"topic\":\"t\",\"key\":\"k\",\"body\":\"\","
		"\"meta\":{\"qos\":2,\"retain\":true,\"ttl\":7}}\n")), NULL);
	start(~0u);
	check(next());
	check_bytes(pub.topic, BYTES("mine"));
	check_bytes(pub.msg.key, BYTES("K"));
	check(!pub.msg.body.p);
	need(pub.opts);
	check_int(pub.opts->qos, 1);
	check(pub.opts->retain);
	check_int(pub.opts->props.ttl_ms, 7);
	end();
	remove_files();
}

/* What jq prints without -c is one mistake and not hundreds. */
TEST(json_over_several_lines)
{
	log_level = LOG_QUIET;
	no_options();
	args.json = true;
	with_files(file(BYTES("{\n  \"topic\": \"t\",\n  \"body\": \"x\"\n}\n")), NULL);
	start(~0u);
	check(!next());
	check(src.pretty);
	check_int(src.bad, 4);
	end();
	remove_files();
}

/* ---- --omit ---- */

TEST(left_out)
{
	static const struct {
		unsigned omit, lacks;
		const char *fields;	/* what is still there: k(ey), n(ull header), r(epeat),
					 * b(inary), h(eader) */
		const char *left;	/* what the broker still cannot carry */
	} rows[] = {
		{ 0, BROKER_KEY, "knrbh", "key" },
		{ OMIT_KEY, BROKER_KEY, "nrbh", NULL },
		{ OMIT_KEY, BROKER_NULL_HEADER, "knrbh", "null" },
		{ OMIT_NULL, BROKER_NULL_HEADER, "krbh", NULL },
		{ OMIT_REPEAT, BROKER_REPEAT_HEADER, "knbh", NULL },
		{ OMIT_BINARY, BROKER_BINARY_HEADER, "knrh", NULL },
		{ OMIT_HEADER, BROKER_HEADER, "k", NULL },
		{ OMIT_KEY | OMIT_NULL | OMIT_REPEAT | OMIT_BINARY,
			BROKER_KEY | BROKER_NULL_HEADER | BROKER_REPEAT_HEADER | BROKER_BINARY_HEADER,
			"h", NULL },
		{ OMIT_KEY, 0, "knrbh", NULL },		/* nothing has to be */
	};
	static const struct header all[] = {
		{ { "h", 1 }, { "1", 1 } }, { { "n", 1 }, { NULL, 0 } }, { { "h", 1 }, { "2", 1 } },
		{ { "b", 1 }, { "\xff", 1 } },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		unsigned caps = ~(rows[i].lacks | BROKER_HEEDLESS);
		struct buf got = BUF_INIT;
		const char *left;

		no_options();
		operand("t");
		operand("b");
		args.omit = rows[i].omit;
		start(~0u);
		check(next());
		pub.msg.key = BYTES("k");
		pub.msg.headers = (struct header *)(uintptr_t)all;
		pub.msg.nheaders = 4;
		pub_source_omit(&src, caps, &pub);
		if (pub.msg.key.p)
			buf_add_ch(&got, 'k');
		for (const char *f = "nrbh"; *f; f++)
			for (size_t h = 0; h < pub.msg.nheaders; h++) {
				const struct header *x = &pub.msg.headers[h];
				char is = *x->name.p == 'h' ? *x->value.p == '2' ? 'r' : 'h' : *x->name.p;

				if (is == *f)
					buf_add_ch(&got, *f);
			}
		check_str(buf_cstr(&got), rows[i].fields);
		buf_release(&got);
		left = broker_cannot_carry(caps, &pub);
		check_str(left ? left : "", rows[i].left ? rows[i].left : "");
		check_int(src.omitted, rows[i].omit && rows[i].lacks && !rows[i].left);
		end();
	}
}
