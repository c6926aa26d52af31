/* SPDX-License-Identifier: Apache-2.0 */
/* What the library's errors mean, and where its log lines go. */
#include "backends/kafka/kafka.h"

#include <string.h>
#include <strings.h>

#include "core/log.h"

static enum error_kind
kind_of(rd_kafka_resp_err_t code, const char *text)
{
	switch (code) {
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
		return ERR_AUTH;
	case RD_KAFKA_RESP_ERR__SSL:
		return strstr(text, "certificate") ? ERR_AUTH : ERR_CONNECT;
	case RD_KAFKA_RESP_ERR__TRANSPORT:
		/* What the server thinks of our certificate comes after the handshake. */
		if (strstr(text, "SSL alert") &&
		    (strstr(text, "certificate") || strstr(text, "unknown ca")))
			return ERR_AUTH;
		return ERR_CONNECT;
	case RD_KAFKA_RESP_ERR__RESOLVE:
	case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
	case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
	case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
		return ERR_CONNECT;
	case RD_KAFKA_RESP_ERR__TIMED_OUT:
	case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
	case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
	case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
		return ERR_TIMEOUT;
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
	case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
	case RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND:
		return ERR_NOTFOUND;
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
	case RD_KAFKA_RESP_ERR__INVALID_ARG:
		return ERR_USAGE;
	default:
		return ERR_REFUSED;
	}
}

/* Its words begin with where they come from ("sasl_plaintext://127.0.0.1:9/1: ", or
 * "Local: " for what it thought of itself) and
 * end with how long it took ("(after 3ms in state CONNECT)"), which say nothing here
 * that the first word did not. */
static struct bytes
trim(const char *text)
{
	const char *where = strstr(text, "/bootstrap: "), *end;
	const char *space = strchr(text, ' ');

	/* Only in its first word: "host:port/bootstrap:", "host:port/1:". */
	if (where && where < space)
		text = where + 12;
	else if (space && space - text > 2 && space[-1] == ':' && memchr(text, '/',
	    (size_t)(space - text)))
		text = space + 1;
	if (strncmp(text, "Local: ", 7) == 0)
		text += 7;
	end = strstr(text, " (after ");
	return bytes_of(text, end ? (size_t)(end - text) : strlen(text));
}

/* Of a connection that was never there: what the library makes of it, in the words of
 * its properties, and ours. The first row that fits; tls: with TLS. */
void
kafka_error_connect(struct error *err, bool tls, bool user)
{
	static const struct {
		const char *part;
		signed char tls, user;	/* -1: either */
		const char *says;
	} rows[] = {
		{ "certificate verify failed", -1, -1, "its certificate is by an authority that "
			"is not trusted (--tls-ca FILE)" },
		{ "SSL handshake failed", -1, -1, "this port does not speak TLS: leave out "
			"--tls" },
		{ "alert bad certificate", 1, -1, "the server wants another certificate, or one at "
			"all (--tls-cert FILE)" },
		{ "certificate required", 1, -1, "the server wants another certificate, or one at "
			"all (--tls-cert FILE)" },
		{ "connecting to a SSL listener", 0, -1, "the server hung up on what is not TLS "
			"(does this port speak TLS? --tls)" },
		{ "supported mechanisms:", -1, 1, "this port has no users: leave out --username "
			"and MBUS_PASSWORD" },
		{ "Disconnected", 1, 0, "the server hung up before it answered: perhaps it wants "
			"a user (--username, --password-file)" },
		{ "Disconnected", 0, 0, "the server hung up before it answered: perhaps it wants "
			"a user (--username, --password-file) or --tls" },
		{ "Send failed: Broken pipe", 0, 0, "the server hung up before it answered: "
			"perhaps it wants a user (--username, --password-file) or --tls" },
		{ "Connection reset by peer", 0, 0, "the server hung up before it answered: "
			"perhaps it wants a user (--username, --password-file) or --tls" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *part = strstr(err->text, rows[i].part);

		if (!part || (rows[i].tls >= 0 && rows[i].tls != tls) ||
		    (rows[i].user >= 0 && rows[i].user != user))
			continue;
		/* The handshake of some servers, and any other list, is not this. */
		if (*part == 's' && part[strlen(rows[i].part)] && part[strlen(rows[i].part) + 1])
			continue;
		if (strstr(rows[i].part, "handshake") && !strstr(part, "eof") &&
		    !strstr(part, "wrong version") && !strstr(part, "reset"))
			continue;
		error_set(err, err->kind, "%s", rows[i].says);
		return;
	}
}

int
kafka_error(struct error *err, rd_kafka_resp_err_t code, const char *reason)
{
	const char *words = rd_kafka_err2str(code);
	struct bytes text = trim(reason && *reason ? reason : words);
	enum error_kind kind = kind_of(code, reason ? reason : words);

	error_set(err, kind, "%.*s", text.n > 400 ? 400 : (int)text.n, text.p);
	/* The client-final message of these has the nonce twice, which 4.x refuses with the
	 * words of a wrong password. */
	if (kind == ERR_AUTH && strstr(text.p, "SCRAM") && rd_kafka_version() < 0x020601ff)
		error_set(err, kind, "%.*s (or Kafka is 4.0 or newer: SCRAM with librdkafka before "
			"2.6.1, here %s, fails there whatever the password)",
			text.n > 300 ? 300 : (int)text.n, text.p, rd_kafka_version_str());
	return -1;
}

int
kafka_error_partition(struct error *err, const char *topic, int64_t partition, int nparts)
{
	return error_set(err, ERR_NOTFOUND, "there is no partition %lld (0 to %d: mbus topics %s)",
		(long long)partition, nparts - 1, topic);
}

void
kafka_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
	(void)rk;
	(void)level;
	log_debug("librdkafka: %s: %s", facility, text);
}
