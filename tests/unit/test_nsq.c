/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of nsqd, and its answer to IDENTIFY. */
#include <string.h>

#include "backends/proto/nsq.h"
#include "tests/unit/test.h"

TEST(an_answer)
{
	char in[] = "\0\0\0\6\0\0\0\0OK\0\0";
	struct nsq_frame f;

	for (size_t n = 0; n < 10; n++)
		check_int(nsq_frame(&f, in, n), 0);
	check_int(nsq_frame(&f, in, 12), 10);
	check_int(f.kind, NSQ_ANSWER);
	check(f.n == 2 && memcmp(f.p, "OK", 2) == 0);
}

TEST(a_message)
{
	char in[] = "\0\0\0\x20\0\0\0\2\0\0\0\0\0\0\1\2\0\3" "0123456789abcdef" "hi";
	struct nsq_frame f;

	check_int(nsq_frame(&f, in, sizeof in - 1), 36);
	check_int(f.kind, NSQ_MESSAGE);
	check_int(f.time_ns, 258);
	check_int(f.attempts, 3);
	check(memcmp(f.id, "0123456789abcdef", 16) == 0);
	check(f.n == 2 && memcmp(f.p, "hi", 2) == 0);
}

TEST(what_is_no_frame)
{
	char small[] = "\0\0\0\3\0\0\0\0", kind[] = "\0\0\0\4\0\0\0\3", large[] = "\4\0\0\1\0\0\0\0";
	char brief[] = "\0\0\0\x1d\0\0\0\2", http[] = "HTTP/1.1 400 Bad Request";
	struct nsq_frame f;

	check_int(nsq_frame(&f, small, 8), -1);
	check_int(nsq_frame(&f, kind, 8), -1);
	check_int(nsq_frame(&f, large, 8), -1);
	check_int(nsq_frame(&f, brief, 8), -1);
	check_int(nsq_frame(&f, http, sizeof http - 1), -1);
}

TEST(identity)
{
	struct nsq_identity id = { false, 7, 8 };

	check_int(nsq_identity(&id, BYTES("{\"max_rdy_count\":2500,\"x\":{\"tls_v1\":false},"
		"\"tls_v1\":true,\"msg_timeout\":60000}")), 0);
	check(id.tls);
	check_int(id.rdy_max, 2500);
	check_int(id.msg_timeout_ms, 60000);
	check_int(nsq_identity(&id, BYTES("{\"max_rdy_count\":-1,\"msg_timeout\":1e5}")), 0);
	check_int(id.rdy_max, 2500);
	check_int(id.msg_timeout_ms, 60000);
	check_int(nsq_identity(&id, BYTES("OK")), -1);
	check_int(nsq_identity(&id, BYTES("{}x")), -1);
	check_int(nsq_identity(&id, BYTES("{\"a\":1")), -1);
}
