/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of an event that the library reports as failed.
 *
 *	the library's status	its error			fate
 *
 *	persisted		any				confirmed
 *	possibly persisted	any				unknown
 *	not persisted		a server's that looks before
 *				it writes, or the library's of
 *				what it cannot send (certain[])	refused
 *	not persisted		time over, or thrown away:
 *				no request has left since it
 *				was given			refused
 *				one has				unknown
 *	not persisted		any other			unknown
 *
 * "Not persisted" alone is not enough (read in 2.0.2 to 2.15). The library says it
 *	- of NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_OR_PARTITION, KAFKA_STORAGE_ERROR ("either
 *	  rejected or not sent"), which a server also answers to what it has written and
 *	  holds for its replicas, when the partition moves away meanwhile;
 *	- of OUT_OF_ORDER_SEQUENCE and UNKNOWN_PRODUCER_ID, when it means to send again;
 *	- of every error that it does not know, UNKNOWN_SERVER_ERROR among them, and of
 *	  __NODE_UPDATE, with which it hangs up on requests under way.
 * What is to be sent again waits with that status, and when its time is over is
 * reported like an event that never left. So an event's time is held against that of
 * the last request: what was given after it was in none.
 */
#include "backends/kafka/kafka.h"

enum { PRODUCE = 0 };		/* the number of that request */

/* Of all handles: it is read to be on the safe side only, and the library's threads
 * may outlive a handle. */
static uint64_t sent_ns;

/* The whole of a request is with the kernel. */
static rd_kafka_resp_err_t
request_sent(rd_kafka_t *rk, int fd, const char *name, int32_t broker, int16_t key,
	int16_t version, int32_t id, size_t size, void *arg)
{
	(void)rk, (void)fd, (void)name, (void)broker, (void)version, (void)id, (void)size;
	(void)arg;
	if (key == PRODUCE)
		__atomic_store_n(&sent_ns, loop_clock_ns(), __ATOMIC_RELEASE);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_resp_err_t
kafka_fate_watch(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg, char *why, size_t size)
{
	(void)conf, (void)arg, (void)why, (void)size;
	return rd_kafka_interceptor_add_on_request_sent(rk, "mbus", request_sent, NULL);
}

static bool
is_certain(rd_kafka_resp_err_t code)
{
	static const rd_kafka_resp_err_t certain[] = {
		RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
		RD_KAFKA_RESP_ERR__INVALID_ARG, RD_KAFKA_RESP_ERR__QUEUE_FULL,
		/* The topic is not there, and so nothing in it. */
		RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
		RD_KAFKA_RESP_ERR_INVALID_MSG, RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE,
		RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
		RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS,
		RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
		RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
		RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
		RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
		RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
		RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE,
		RD_KAFKA_RESP_ERR_POLICY_VIOLATION, RD_KAFKA_RESP_ERR_INVALID_RECORD,
	};

	for (size_t i = 0; i < sizeof certain / sizeof *certain; i++)
		if (certain[i] == code)
			return true;
	return false;
}

enum fate
kafka_fate(rd_kafka_resp_err_t code, rd_kafka_msg_status_t status, uint64_t given_ns)
{
	if (!code || status == RD_KAFKA_MSG_STATUS_PERSISTED)
		return FATE_CONFIRMED;
	if (status != RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
		return FATE_UNKNOWN;
	if (is_certain(code))
		return FATE_REFUSED;
	switch (code) {
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
	case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
		if (__atomic_load_n(&sent_ns, __ATOMIC_ACQUIRE) < given_ns)
			return FATE_REFUSED;
		/* fall through */
	default:
		return FATE_UNKNOWN;
	}
}
