/* SPDX-License-Identifier: Apache-2.0 */
/* backends/kafka/kafka_fate: what a report of the library says of an event, row by row. */
#include "tests/unit/test.h"

#ifndef HAVE_KAFKA
TEST(left_out)
{
}
#else
#include "backends/kafka/kafka_fate.c"	/* NOLINT */

#define NOT RD_KAFKA_MSG_STATUS_NOT_PERSISTED
#define POSSIBLY RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED
#define YES RD_KAFKA_MSG_STATUS_PERSISTED

TEST(fates)
{
	static const struct {
		rd_kafka_resp_err_t code;
		rd_kafka_msg_status_t status;
		bool left;		/* a request, after the event was given */
		enum fate want;
	} rows[] = {
		{ RD_KAFKA_RESP_ERR_NO_ERROR, YES, true, FATE_CONFIRMED },
		{ RD_KAFKA_RESP_ERR_NO_ERROR, POSSIBLY, true, FATE_CONFIRMED },
		{ RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, YES, true, FATE_CONFIRMED },
		{ RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, POSSIBLY, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, POSSIBLY, false, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, NOT, false, FATE_REFUSED },
		{ RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE, NOT, false, FATE_REFUSED },
		{ RD_KAFKA_RESP_ERR__PURGE_QUEUE, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR__PURGE_QUEUE, NOT, false, FATE_REFUSED },
		{ RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, POSSIBLY, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, NOT, true, FATE_REFUSED },
		{ RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, POSSIBLY, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, NOT, true, FATE_REFUSED },
		{ RD_KAFKA_RESP_ERR_INVALID_RECORD, NOT, true, FATE_REFUSED },
		{ RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, NOT, true, FATE_REFUSED },
		{ RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, NOT, true, FATE_REFUSED },
		/* What may have been written. */
		{ RD_KAFKA_RESP_ERR_UNKNOWN, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR__NODE_UPDATE, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR__DESTROY, NOT, true, FATE_UNKNOWN },
		{ RD_KAFKA_RESP_ERR__FATAL, NOT, true, FATE_UNKNOWN },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		uint64_t given = 1000;

		sent_ns = rows[i].left ? given : given - 1;
		if (kafka_fate(rows[i].code, rows[i].status, given) != rows[i].want)
			test_failed(__FILE__, __LINE__, "row %zu: %s", i,
				rd_kafka_err2name(rows[i].code));
	}
}

TEST(only_a_request_with_events_counts)
{
	enum { API_VERSIONS = 18 };

	sent_ns = 0;
	request_sent(NULL, 0, "", 0, API_VERSIONS, 0, 0, 0, NULL);
	check(sent_ns == 0);
	request_sent(NULL, 0, "", 0, PRODUCE, 0, 0, 0, NULL);
	check(sent_ns != 0 && sent_ns <= loop_clock_ns());
}
#endif
