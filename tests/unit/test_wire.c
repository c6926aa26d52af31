/* SPDX-License-Identifier: Apache-2.0 */
/* core/wire: what is an envelope is taken apart, and of what is none no byte changes. */
#include "core/log.h"
#include "core/wire.h"
#include "tests/unit/test.h"

static void
read_it(enum wire wire, const char *text, enum event_wire want, const char *body)
{
	struct event ev = { .topic = BYTES("t") };
	struct wire_reader r;
	bool warned = false;
	char p[400];

	snprintf(p, sizeof p, "%s", text);
	wire_reader_init(&r, wire);
	wire_read(&r, p, strlen(p), &ev, &warned);
	check_int(ev.wire, want);
	check_bytes(ev.msg.body, bytes_str(body));
	if (want == EVENT_WIRE_RAW) {
		check_str(p, text);
		check_bytes(ev.payload, bytes_str(text));
		check(!ev.msg.headers && !ev.msg.nheaders);
	} else {
		check_int(ev.msg.nheaders, 1);
	}
	check_int(warned, wire == WIRE_MICRO && want == EVENT_WIRE_RAW && *text);
	wire_reader_release(&r);
}

TEST(read)
{
	static const char canonical[] = "{\"Header\":{\"a\":\"b\"},\"Body\":\"aGVsbG8=\"}";
	static const char loose[] = "{\"body\":[104,105],\"HEADER\":{\"a\":\"\\u0041\"},\"x\":1}";
	static const char *const none[] = {
		"", "{", "hello", "{\"Header\":{\"a\":\"x\\u0041y\"},\"Body\":\"aGVsbG8=\" junk",
		"{\"Header\":{\"a\":\"b\"},\"Body\":\"aGVsbG8\"}", "{\"Header\":{\"a\":1},\"Body\":\"\"}",
		"{\"Body\":[104,105,300]}"
	};

	log_level = LOG_QUIET;
	for (enum wire w = WIRE_AUTO; w <= WIRE_RAW; w++) {
		read_it(w, canonical, w == WIRE_RAW ? EVENT_WIRE_RAW : EVENT_WIRE_MICRO,
			w == WIRE_RAW ? canonical : "hello");
		read_it(w, loose, w == WIRE_MICRO ? EVENT_WIRE_MICRO : EVENT_WIRE_RAW,
			w == WIRE_MICRO ? "hi" : loose);
		for (size_t i = 0; i < sizeof none / sizeof *none; i++)
			read_it(w, none[i], EVENT_WIRE_RAW, none[i]);
	}
}

TEST(written_and_guessed)
{
	static const struct header h[] = { { BYTES("name"), BYTES("value") } };
	struct message m = { h, 1, { NULL, 0 }, BYTES("some body") };
	struct buf b = BUF_INIT;

	wire_write(&b, &m, WIRE_AUTO);
	check_bytes(buf_bytes(&b),
		BYTES("{\"Header\":{\"name\":\"value\"},\"Body\":\"c29tZSBib2R5\"}"));
	check(wire_guess(&m, WIRE_AUTO) >= buf_len(&b) - 4 &&
		wire_guess(&m, WIRE_AUTO) <= buf_len(&b) + 4);
	buf_clear(&b);
	wire_write(&b, &m, WIRE_RAW);
	check_bytes(buf_bytes(&b), BYTES("some body"));
	check_int(wire_guess(&m, WIRE_RAW), 9);
	buf_release(&b);
	check(!(wire_caps(WIRE_RAW) & (BROKER_HEADER | BROKER_NULL_BODY)));
	check(wire_caps(WIRE_MICRO) & BROKER_HEADER);
}
