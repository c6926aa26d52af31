/* SPDX-License-Identifier: Apache-2.0 */
/*
 * go-micro's envelope. The long literals are what real go-micro programs sent
 * (v1.18 to v5.30); the errors are the words of Go 1.26's decoder for the same
 * input.
 */
#include "backends/proto/envelope.h"

#include <stdlib.h>

#include "core/text.h"
#include "tests/unit/test.h"

/* ---- writing ---- */

static void
check_written(const struct message *m, const struct header *extra, size_t nextra,
	struct bytes want)
{
	struct buf b = BUF_INIT;

	envelope_write(&b, m, extra, nextra);
	check_bytes(buf_bytes(&b), want);
	buf_release(&b);
}

TEST(writes_what_go_micro_writes)
{
	struct header h[] = {
		{ BYTES("id"), BYTES("0") },
		{ BYTES("b<>&"), BYTES("\xe2\x80\xa8\xc3\xa9\x01\"\\/") },
	};
	struct header topic = { BYTES("Micro-Topic"), BYTES("go.micro.topic.foo") };
	struct header old_topic = { BYTES(":topic"), BYTES("go.micro.topic.foo") };
	struct message m = { .headers = h, .nheaders = 2, .body = BYTES("hello <world>") };

	check_written(&m, &topic, 1, BYTES("{\"Header\":{\"Micro-Topic\":\"go.micro.topic.foo\","
		"\"b\\u003c\\u003e\\u0026\":\"\\u2028\xc3\xa9\\u0001\\\"\\\\/\",\"id\":\"0\"},"
		"\"Body\":\"aGVsbG8gPHdvcmxkPg==\"}"));
	m.nheaders = 1;
	m.body = BYTES("hello");
	check_written(&m, &old_topic, 1, BYTES("{\"Header\":{\":topic\":\"go.micro.topic.foo\","
		"\"id\":\"0\"},\"Body\":\"aGVsbG8=\"}"));
}

TEST(writes_null_for_what_is_not_there)
{
	static const struct header none[1];
	struct header topic = { BYTES("Micro-Topic"), BYTES("go.micro.topic.foo") };
	struct header valueless = { BYTES("k"), { NULL, 0 } };
	struct message m = { 0 };

	check_written(&m, NULL, 0, BYTES("{\"Header\":null,\"Body\":null}"));
	check_written(&m, &topic, 1,
		BYTES("{\"Header\":{\"Micro-Topic\":\"go.micro.topic.foo\"},\"Body\":null}"));
	m.headers = none;
	m.body = BYTES("");
	check_written(&m, NULL, 0, BYTES("{\"Header\":{},\"Body\":\"\"}"));
	m.headers = &valueless;
	m.nheaders = 1;
	check_written(&m, NULL, 0, BYTES("{\"Header\":{\"k\":\"\"},\"Body\":\"\"}"));
}

TEST(sorts_names_by_bytes_and_the_last_of_equals_wins)
{
	struct header h[] = {
		{ BYTES("b"), BYTES("1") }, { BYTES("a\xc3\xa9"), BYTES("2") },
		{ BYTES("B"), BYTES("3") }, { BYTES("a"), BYTES("4") }, { BYTES(""), BYTES("5") },
		{ BYTES("b"), BYTES("6") }, { BYTES("ab"), BYTES("7") }, { BYTES("a"), BYTES("8") },
	};
	struct header extra[] = { { BYTES("B"), BYTES("9") }, { BYTES("c"), BYTES("0") } };
	struct message m = { .headers = h, .nheaders = 8, .body = BYTES("hi") };

	check_written(&m, extra, 2, BYTES("{\"Header\":{\"\":\"5\",\"B\":\"9\",\"a\":\"8\","
		"\"ab\":\"7\",\"a\xc3\xa9\":\"2\",\"b\":\"6\",\"c\":\"0\"},\"Body\":\"aGk=\"}"));
}

/* More than are sorted on the stack: names 0...999 three times over, in an order
 * that is none; the third value of each counts. */
TEST(sorts_many)
{
	enum { NAMES = 1000, N = 3 * NAMES };
	struct header *h = calloc(N, sizeof *h);
	char (*names)[4] = calloc(N, sizeof *names);
	struct message m = { .headers = h, .nheaders = N };
	struct buf b = BUF_INIT, want = BUF_INIT;
	struct envelope e;

	for (int i = 0; i < N; i++) {
		snprintf(names[i], sizeof names[i], "%03d", i * 7 % NAMES);
		h[i].name = bytes_of(names[i], 3);
		h[i].value = i < NAMES ? BYTES("1st") : i < 2 * NAMES ? BYTES("2nd") : BYTES("3rd");
	}
	buf_add_str(&want, "{\"Header\":{");
	for (int i = 0; i < NAMES; i++)
		buf_addf(&want, "%s\"%03d\":\"3rd\"", i ? "," : "", i);
	buf_add_str(&want, "},\"Body\":null}");
	envelope_write(&b, &m, NULL, 0);
	check_bytes(buf_bytes(&b), buf_bytes(&want));

	/* And the same when reading: unsorted, with everything thrice. */
	buf_clear(&b);
	buf_add_str(&b, "{\"Header\":{");
	for (int i = 0; i < N; i++)
		buf_addf(&b, "%s\"%s\":\"%s\"", i ? "," : "", names[i], h[i].value.p);
	buf_add_str(&b, "}}");
	envelope_init(&e);
	check_int(envelope_read(&e, buf_data(&b), buf_len(&b)), 0);
	check_int(e.msg.nheaders, NAMES);
	for (int i = 0; i < NAMES && i < (int)e.msg.nheaders; i++) {
		char name[4];

		snprintf(name, sizeof name, "%03d", i);
		check_bytes(e.msg.headers[i].name, bytes_of(name, 3));
		check_bytes(e.msg.headers[i].value, BYTES("3rd"));
	}
	envelope_release(&e);
	buf_release(&b);
	buf_release(&want);
	free(names);
	free(h);
}

/* ---- reading ---- */

/* The result as one line: the headers, or null, then the body, or null. */
static void
describe(struct buf *b, const struct message *m)
{
	if (!m->headers)
		buf_add_str(b, "null ");
	for (size_t i = 0; i < m->nheaders; i++) {
		buf_add_bytes(b, m->headers[i].name);
		buf_add_ch(b, '=');
		buf_add_bytes(b, m->headers[i].value);
		buf_add_ch(b, ' ');
	}
	buf_add_ch(b, '|');
	buf_add_bytes(b, m->body.p ? m->body : BYTES(" null"));
}

/* Both ways must say so: a space in front makes it one for the general way. */
static void
check_read(struct bytes text, struct bytes want)
{
	for (size_t space = 0; space < 2; space++) {
		char *p = malloc(text.n + space);
		struct buf b = BUF_INIT;
		struct envelope e;
		int r;

		memset(p, ' ', space);
		if (text.n)
			memcpy(p + space, text.p, text.n);
		envelope_init(&e);
		r = envelope_read(&e, p, text.n + space);
		if (r == 0) {
			check_str(e.error, "");
			describe(&b, &e.msg);
		} else {
			buf_add_str(&b, e.error);
		}
		check_bytes(buf_bytes(&b), want);
		envelope_release(&e);
		buf_release(&b);
		free(p);
	}
}

#define check_reads(text, want) check_read(BYTES(text), BYTES(want))

TEST(reads_what_go_micro_writes)
{
	check_reads("{\"Header\":{\"Micro-Topic\":\"go.micro.topic.foo\",\"id\":\"0\"},"
		"\"Body\":\"aGVsbG8gPHdvcmxkPg==\"}",
		"Micro-Topic=go.micro.topic.foo id=0 |hello <world>");
	check_reads("{\"Header\":{\"Micro-Topic\":\"go.micro.topic.foo\","
		"\"b\\u003c\\u003e\\u0026\":\"x\\\"\\\\/\"},\"Body\":\"aGk=\"}",
		"Micro-Topic=go.micro.topic.foo b<>&=x\"\\/ |hi");
	check_reads("{\"Header\":{\":topic\":\"go.micro.topic.foo\",\"id\":\"0\"},"
		"\"Body\":\"aGVsbG8=\"}", ":topic=go.micro.topic.foo id=0 |hello");
	check_reads("{\"Header\":{\"Content-Type\":\"application/json\",\"Micro-Id\":\"7\","
		"\"Micro-Topic\":\"t\"},\"Body\":\"eyJoZWxsbyI6IndvcmxkIn0K\"}",
		"Content-Type=application/json Micro-Id=7 Micro-Topic=t |{\"hello\":\"world\"}\n");
	check_reads("{\"Header\":{\"Micro-Topic\":\"go.micro.topic.foo\"},\"Body\":null}",
		"Micro-Topic=go.micro.topic.foo | null");
	check_reads("{\"Header\":null,\"Body\":null}", "null | null");
	check_reads("{\"Header\":{},\"Body\":\"\"}", "|");
	check_reads("{\"Header\":{\"k\":\"\xc3\xa9\"},\"Body\":\"//4A\"}",
		"k=\xc3\xa9 |\xff\xfe\0");
}

TEST(empty_is_not_null)
{
	struct envelope e;
	char p[] = "{\"Header\":{},\"Body\":\"\"}", q[] = "{ \"Body\":[], \"Header\":{} }";

	envelope_init(&e);
	check_int(envelope_read(&e, p, sizeof p - 1), 0);
	check(e.msg.headers && !e.msg.nheaders && e.msg.body.p && !e.msg.body.n);
	check_int(envelope_read(&e, q, sizeof q - 1), 0);
	check(e.msg.headers && !e.msg.nheaders && e.msg.body.p && !e.msg.body.n);
	check(!e.msg.key.p);
	envelope_release(&e);
}

TEST(reads_what_go_tolerates)
{
	check_reads("{}", "null | null");
	check_reads(" {\n\t\"body\" : \"aGk=\" ,\r\n\"HEADER\":{ \"k\" : \"v\" } } ", "k=v |hi");
	check_reads("{\"bODY\":\"aGk=\",\"\\u0048eader\":{\"a\":\"1\"}}", "a=1 |hi");
	check_reads("{\"x\":[1,{\"Body\":2}],\"Body\":\"aGk=\",\"Bodyx\":3,\"\":{}}", "null |hi");
	check_reads("{\"@eader\":1,\"Body\\u0000\":1,\"\\u0042ody\":\"\"}", "null |");
	/* Duplicates: the last wins, headers merge, null takes away. */
	check_reads("{\"Body\":\"aGk=\",\"Body\":\"Zm9v\"}", "null |foo");
	check_reads("{\"Body\":\"aGk=\",\"body\":null}", "null | null");
	check_reads("{\"Header\":{\"b\":\"1\",\"a\":\"1\"},\"header\":{\"c\":\"2\",\"b\":\"2\"}}",
		"a=1 b=2 c=2 | null");
	check_reads("{\"Header\":{\"a\":\"1\"},\"Header\":null,\"Header\":{\"b\":\"2\"}}",
		"b=2 | null");
	check_reads("{\"Header\":{\"a\":\"1\"},\"Header\":null}", "null | null");
	check_reads("{\"Header\":{\"a\":\"1\",\"a\":\"2\"},\"Body\":\"\"}", "a=2 |");
	check_reads("{\"Header\":{\"b\":\"1\",\"a\":\"2\"},\"Body\":\"\"}", "a=2 b=1 |");
	check_reads("{\"Header\":{\"a\":\"1\",\"a\":null}}", "a= | null");
	/* Bodies of other makes. */
	check_reads("{\"Body\":[104,105]}", "null |hi");
	check_reads("{\"Body\":[ 0 , 255,null ]}", "null |\0\xff\0");
	check_reads("{\"Header\":{},\"Body\":\"aGVs\\r\\nbG8=\\n\"}", "|hello");
	check_reads("{\"Header\":{},\"Body\":\"\\/\\/4A\"}", "|\xff\xfe\0");
	check_reads("{\"Header\":{},\"Body\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAA\\/\\/4A\"}",
		"|\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xfe\0");
	check_reads("{\"Header\":{},\"Body\":\"aGl=\"}", "|hi");
	/* Odd characters. */
	check_reads("{\"Header\":{\"\xff\":\"\xed\xa0\x80\"},\"Body\":\"\"}",
		"\xef\xbf\xbd=\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd |");
	check_reads("{\"Header\":{\"\\ud83d\":\"\\ud83d\\ude00\"}}",
		"\xef\xbf\xbd=\xf0\x9f\x98\x80 | null");
	check_reads("{\"Header\":{\"\":\"\\u0000\"},\"Body\":\"\"}", "=\0 |");
}

TEST(syntax_errors)
{
	check_reads("", "unexpected end of JSON input");
	check_reads("{\"Header\":{\"id\":\"0\"},\"Bo", "unexpected end of JSON input");
	check_reads("{\"Header\":{},\"Body\":\"aGk=\"", "unexpected end of JSON input");
	check_reads("{\"Header\":{},\"Body\":\"aGk=\"}x",
		"invalid character 'x' after top-level value");
	check_reads("{\"Header\":{},\"Body\":\"aGk=\"}}",
		"invalid character '}' after top-level value");
	check_reads("{\"Header\":{},\"Body\":\"aG\nk=\"}",
		"invalid character '\\n' in string literal");
	check_reads("{\"Header\":{},\"Body\":\"\n\n\n\n\"}",
		"invalid character '\\n' in string literal");
	check_reads("{\"Header\":{},\"Body\":\"aGk=\\\"}", "unexpected end of JSON input");
	check_reads("{\"Header\":{\"a\":\"1\",},\"Body\":\"\"}",
		"invalid character '}' looking for beginning of object key string");
	check_reads("{\"Header\":{\"a\"=\"1\"},\"Body\":\"\"}",
		"invalid character '=' after object key");
	check_reads("{\"Header\":{},\"Body\":nil}", "invalid character 'i' in literal null "
		"(expecting 'u')");
	check_reads("\xef\xbb\xbf{\"Header\":{},\"Body\":\"\"}",
		"invalid character '\xc3\xaf' looking for beginning of value");
	check_reads("hello", "invalid character 'h' looking for beginning of value");
	/* Type errors are seen first, but syntax is said first. */
	check_reads("{\"Header\":7,\"Body\":\"!\"", "unexpected end of JSON input");
	check_reads("7 7", "invalid character '7' after top-level value");
}

#define FIELD "json: cannot unmarshal "
#define HEADER_MAP " into Go struct field Message.Header of type map[string]string"
#define HEADER_VALUE " into Go struct field Message.Header of type string"
#define BODY_SLICE " into Go struct field Message.Body of type []uint8"
#define BODY_BYTE " into Go struct field Message.Body of type uint8"
#define MESSAGE " into Go value of type broker.Message"

TEST(type_errors)
{
	check_reads("[]", FIELD "array" MESSAGE);
	check_reads("\"x\"", FIELD "string" MESSAGE);
	check_reads("7", FIELD "number" MESSAGE);
	check_reads("true", FIELD "bool" MESSAGE);
	/* Go accepts this one, and go-micro's http broker then falls over it. */
	check_reads("null", FIELD "null" MESSAGE);
	check_reads("{\"Header\":[]}", FIELD "array" HEADER_MAP);
	check_reads("{\"Header\":\"x\"}", FIELD "string" HEADER_MAP);
	check_reads("{\"Header\":false}", FIELD "bool" HEADER_MAP);
	check_reads("{\"Header\":{\"id\":7},\"Body\":\"\"}", FIELD "number" HEADER_VALUE);
	check_reads("{\"Header\":{\"id\":{\"a\":1}}}", FIELD "object" HEADER_VALUE);
	check_reads("{\"Header\":{\"id\":[1]}}", FIELD "array" HEADER_VALUE);
	check_reads("{\"Header\":{\"id\":true}}", FIELD "bool" HEADER_VALUE);
	check_reads("{\"Body\":7}", FIELD "number" BODY_SLICE);
	check_reads("{\"Body\":{}}", FIELD "object" BODY_SLICE);
	check_reads("{\"Body\":true}", FIELD "bool" BODY_SLICE);
	check_reads("{\"Body\":[256]}", FIELD "number 256" BODY_BYTE);
	check_reads("{\"Body\":[-1]}", FIELD "number -1" BODY_BYTE);
	check_reads("{\"Body\":[1.0]}", FIELD "number 1.0" BODY_BYTE);
	check_reads("{\"Body\":[1e2]}", FIELD "number 1e2" BODY_BYTE);
	check_reads("{\"Body\":[\"a\"]}", FIELD "string" BODY_BYTE);
	check_reads("{\"Body\":[[1]]}", FIELD "array" BODY_BYTE);
	check_reads("{\"Body\":[true]}", FIELD "bool" BODY_BYTE);
	/* The first of several. */
	check_reads("{\"Body\":\"!\",\"Header\":{\"id\":7}}",
		"illegal base64 data at input byte 0");
	check_reads("{\"Header\":{\"id\":7},\"Body\":\"!\"}", FIELD "number" HEADER_VALUE);
}

TEST(base64_errors)
{
	check_reads("{\"Header\":{},\"Body\":\"!!!!\"}", "illegal base64 data at input byte 0");
	check_reads("{\"Header\":{},\"Body\":\"aGVsbG8\"}", "illegal base64 data at input byte 4");
	check_reads("{\"Header\":{},\"Body\":\"aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVs_G8=\"}",
		"illegal base64 data at input byte 36");
	check_reads("{\"Header\":{},\"Body\":\"aGk=aGk=\"}", "illegal base64 data at input byte 4");
	check_reads("{\"Header\":{},\"Body\":\"aGk\\u003d\"}", "|hi");
	check_reads("{\"Header\":{},\"Body\":\"aG\xc3\xa9k\"}",
		"illegal base64 data at input byte 2");
}

TEST(a_number_of_any_length_fits_the_error)
{
	struct envelope e;
	char p[5000] = "{\"Body\":[";

	memset(p + 9, '1', sizeof p - 11);
	memcpy(p + sizeof p - 2, "]}", 2);
	envelope_init(&e);
	check_int(envelope_read(&e, p, sizeof p), -1);
	check_int(strlen(e.error), sizeof e.error - 1);
	envelope_release(&e);
}

/* Every header in need of scratch, which must not move under those before. */
TEST(many_headers_that_are_not_utf8)
{
	struct buf b = BUF_INIT;
	struct envelope e;

	buf_add_str(&b, "{\"Header\":{");
	for (int i = 0; i < 2000; i++)
		buf_addf(&b, "%s\"%04d\xff\":\"\xfe%d\"", i ? "," : "", i, i);
	buf_add_str(&b, "},\"Body\":\"\"}");
	envelope_init(&e);
	check_int(envelope_read(&e, buf_data(&b), buf_len(&b)), 0);
	check_int(e.msg.nheaders, 2000);
	for (int i = 0; i < (int)e.msg.nheaders; i++) {
		char name[16], value[16];

		snprintf(name, sizeof name, "%04d\xef\xbf\xbd", i);
		snprintf(value, sizeof value, "\xef\xbf\xbd%d", i);
		check_bytes(e.msg.headers[i].name, bytes_str(name));
		check_bytes(e.msg.headers[i].value, bytes_str(value));
	}
	envelope_release(&e);
	buf_release(&b);
}

TEST(written_is_read_again)
{
	struct envelope e;
	struct buf b = BUF_INIT, body = BUF_INIT;
	struct header h[] = { { BYTES("a\0b"), BYTES("\n") }, { BYTES("k"), BYTES("v") } };
	struct message m = { .headers = h, .nheaders = 2 };

	envelope_init(&e);
	for (int n = 0; n < 300; n++) {
		m.body = buf_bytes(&body);
		buf_clear(&b);
		envelope_write(&b, &m, NULL, 0);
		check(envelope_looks_like(buf_data(&b), buf_len(&b)));
		check_int(envelope_read(&e, buf_data(&b), buf_len(&b)), 0);
		check_bytes(e.msg.body, m.body);
		check_int(e.msg.nheaders, 2);
		check_bytes(e.msg.headers[0].name, h[0].name);
		check_bytes(e.msg.headers[0].value, h[0].value);
		check_bytes(e.msg.headers[1].value, h[1].value);
		buf_add_ch(&body, (char)(n * 37));
	}
	envelope_release(&e);
	buf_release(&b);
	buf_release(&body);
}

/* ---- is it one? ---- */

TEST(looks_like)
{
	static const char *const yes[] = {
		"{\"Header\":null,\"Body\":null}",
		"{\"Header\":{},\"Body\":\"\"}",
		"{\"Header\":{\"k\":\"v\",\"\":\"\\n\"},\"Body\":\"aGVsbG8=\"}",
		" { \"Body\" : \"aGk=\" , \"Header\" : { } }\n",
		"{\"Header\":{},\"Body\":\"\\/\\/4A\"}",
		"{\"Header\":{},\"Body\":\"aG\\nk\\u003D\\r\\n\"}",
	};
	static const char *const no[] = {
		"", "hello", "7", "null", "[]", "{}", "{\"Header\":{}}", "{\"Body\":\"\"}",
		"{\"Header\":{},\"Body\":\"\",\"x\":1}",
		"{\"header\":{},\"body\":\"\"}",
		"{\"Header\":{},\"Header\":{},\"Body\":\"\"}",
		"{\"Header\":{},\"Body\":\"\",\"Body\":\"\"}",
		"{\"Header\":{\"k\":1},\"Body\":\"\"}",
		"{\"Header\":{\"k\":null},\"Body\":\"\"}",
		"{\"Header\":[],\"Body\":\"\"}",
		"{\"Header\":{},\"Body\":[104]}",
		"{\"Header\":{},\"Body\":\"hello\"}",
		"{\"Header\":{},\"Body\":\"aGk\"}",
		"{\"Header\":{},\"Body\":\"aGk=aGk=\"}",
		"{\"Header\":{},\"Body\":\"aG\\tk=\"}",
		"{\"Header\":{},\"Body\":\"aGk\\u00e9\"}",
		"{\"Header\":{},\"Body\":\"\"}x",
		"{\"Header\":{},\"Body\":\"\"",
	};

	for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
		if (!envelope_looks_like(yes[i], strlen(yes[i])))
			test_failed(__FILE__, __LINE__, "%s", yes[i]);
	for (size_t i = 0; i < sizeof no / sizeof *no; i++)
		if (envelope_looks_like(no[i], strlen(no[i])))
			test_failed(__FILE__, __LINE__, "%s", no[i]);
}

/* The body is looked at piece by piece: padding at and around the seams. */
TEST(looks_like_with_long_bodies)
{
	for (size_t n = 1018; n <= 2056; n += n == 1034 ? 1008 : 1)
		for (int escaped = 0; escaped < 2; escaped++) {
			struct buf b = BUF_INIT;

			buf_add_str(&b, "{\"Header\":null,\"Body\":\"");
			for (size_t i = 0; i < n; i++)
				buf_add_ch(&b, 'A');
			for (size_t i = n; i % 4; i++)
				buf_add_ch(&b, n % 4 == 1 ? 'A' : '=');
			buf_add_str(&b, escaped ? "\\n\"}" : "\"}");
			check(envelope_looks_like(buf_data(&b), buf_len(&b)));
			buf_truncate(&b, buf_len(&b) - 2);
			buf_add_str(&b, "=\"}");
			check(!envelope_looks_like(buf_data(&b), buf_len(&b)));
			buf_release(&b);
		}
}
