/* SPDX-License-Identifier: Apache-2.0 */
/* core/message and core/error: events that are kept, and what errors say. */
#include "core/error.h"
#include "core/message.h"
#include "tests/unit/test.h"

TEST(keeping_an_event)
{
	char text[] = "topickeybodypaynamevalue";
	struct header h[] = { { bytes_of(text + 15, 4), bytes_of(text + 19, 5) },
		{ BYTES(""), { NULL, 0 } } };
	struct event ev = event_none, *kept, *empty;

	ev.topic = bytes_of(text, 5);
	ev.msg.key = bytes_of(text + 5, 3);
	ev.msg.body = bytes_of(text + 8, 4);
	ev.payload = bytes_of(text + 12, 3);
	ev.msg.headers = h;
	ev.msg.nheaders = 2;
	kept = event_keep(&ev);
	empty = event_keep(&event_none);
	memset(text, 'x', sizeof text);
	memset(h, 0, sizeof h);
	check_bytes(kept->topic, BYTES("topic"));
	check_bytes(kept->msg.key, BYTES("key"));
	check_bytes(kept->msg.body, BYTES("body"));
	check_bytes(kept->payload, BYTES("pay"));
	check_int(kept->msg.nheaders, 2);
	check_bytes(kept->msg.headers[0].name, BYTES("name"));
	check_bytes(kept->msg.headers[0].value, BYTES("value"));
	check(kept->msg.headers[1].name.p && !kept->msg.headers[1].value.p);
	check(!empty->topic.p && !empty->msg.body.p && !empty->msg.key.p);
	check_int(empty->offset, -1);
	event_free(kept);
	event_free(empty);
	event_free(NULL);
}

TEST(prefixes_leave_room_for_the_reason)
{
	struct error err;
	char longer[600];

	error_set(&err, ERR_REFUSED, "the reason");
	check_int(error_prefix(&err, "%s", "where"), -1);
	check_str(err.text, "where: the reason");
	for (size_t i = 0; i + 2 < sizeof longer; i += 2)
		memcpy(longer + i, "\xc3\xa9", 3);
	error_prefix(&err, "x%s", longer);
	check(strlen(err.text) < 260);
	check(strstr(err.text, "\xa9...: where: the reason"));
	check_int(err.kind, ERR_REFUSED);
}

TEST(the_graver_error_wins)
{
	/* From the lightest; as error_exit_status() has them. */
	static const struct { enum error_kind kind; int status; } order[] = {
		{ ERR_NONE, 0 }, { ERR_USAGE, 2 }, { ERR_REFUSED, 1 }, { ERR_UNKNOWN, 1 },
		{ ERR_TIMEOUT, 124 }, { ERR_NOTFOUND, 5 }, { ERR_CONNECT, 3 }, { ERR_AUTH, 4 },
		{ ERR_LOCAL_IO, 6 },
	};

	check_int(sizeof order / sizeof *order, ERR_KINDS);
	for (int i = 0; i < ERR_KINDS; i++) {
		check_int(error_exit_status(order[i].kind), order[i].status);
		for (int j = 0; j < ERR_KINDS; j++)
			check_int(error_graver(order[i].kind, order[j].kind),
				order[i > j ? i : j].kind);
	}
}
