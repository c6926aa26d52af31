/* SPDX-License-Identifier: Apache-2.0 */
/* The options of mbus pub: see pub_options.h. */
#include "cli/pub_options.h"

/* Indexed by enum publish_ack, as the choices of --ack are. */
const unsigned publish_ack_needs[] = {
	[PUBLISH_ACK_NONE] = BROKER_ACK_CHOICE, [PUBLISH_ACK_ALL] = BROKER_ACK_CHOICE
};

#define A struct pub_args

const struct opt pub_opts[] = {
	{ "topic", 't', OPT_STR(A, topic), .arg = "TOPIC", .flags = OPT_ONCE | OPT_EMPTY, .group = "What",
		.help = "publish to TOPIC; the first operand is then the body" },
	{ "message", 'm', OPT_STR(A, message), .arg = "BODY", .flags = OPT_ONCE | OPT_EMPTY,
		.help = "the body, as the second operand is" },
	{ "file", 'f', OPT_LIST(A, files), .arg = "FILE", .complete = "file",
		.help = "the contents of FILE are the body; may be repeated, one event each" },
	{ "stdin", 's', OPT_FLAG(A, all_stdin),
		.help = "all of stdin is the body; so is BODY -, and no body when stdin is no "
			"terminal" },
	{ "lines", 'l', OPT_FLAG(A, lines),
		.help = "each line of stdin (or of -f FILE) is an event, published when it comes" },
	{ "json", 'J', OPT_FLAG(A, json),
		.help = "each line is an event in JSON, as sub -J writes it; -t overrides its "
			"topic, -H its headers" },
	{ "header", 'H', OPT_LIST(A, headers), .arg = "N:V", .flags = OPT_EMPTY,
		.help = "add header N with value V (also N=V, and N alone with a null value)",
		.needs = BROKER_HEADER },
	{ "delim", 'D', OPT_STR(A, delim), .arg = "STR", .flags = OPT_ONCE | OPT_MORE,
		.help = "as -l, and STR and not a newline ends a line (\\n, \\t, \\0, \\xHH are "
			"read)" },
	{ "null-delim", '0', OPT_FLAG(A, nul), .help = "as -l, and a NUL ends a line",
		.flags = OPT_MORE },
	{ "key-delim", 'K', OPT_STR(A, key_delim), .arg = "STR", .flags = OPT_ONCE | OPT_MORE,
		.help = "as -l, and what is before STR in a line is the event's key",
		.needs = BROKER_KEY },
	{ "empty", 'n', OPT_FLAG(A, empty), .help = "the body is empty" },
	{ "null", 'Z', OPT_FLAG(A, null),
		.help = "the body is null, which is not empty; with -l, -m and others: where it "
			"is empty",
		.needs = BROKER_NULL_BODY, .flags = OPT_MORE },
	{ "key", 'k', OPT_STR(A, key), .arg = "KEY", .flags = OPT_ONCE | OPT_EMPTY,
		.help = "the event's key",
		.needs = BROKER_KEY },
	{ "content-type", 0, OPT_STR(A, content_type), .arg = "TYPE", .flags = OPT_ONCE | OPT_MORE,
		.help = "header Content-Type; a body that is JSON gets application/json without "
			"being told, unless TYPE is none",
		.needs = BROKER_HEADER | BROKER_PROPS, .idle = "none" },
	{ "omit", 0, OPT_MASK(A, omit), .arg = "FIELD,...", .choices = "key|null|repeat|binary|header",
		.help = "leave out of an event what the broker cannot carry (key, null, repeat, "
			"binary, header), instead of refusing the event",
		.flags = OPT_MORE },
	{ "keep-meta", 0, OPT_FLAG(A, keep_meta),
		.help = "with -J: publish with the partition, qos, retain, reply, ttl, "
			"content_type and correlation of a line's meta",
		.flags = OPT_MORE },
	{ "qos", 0, OPT_INT(A, qos), .arg = "0|1|2", .max = 2, .group = "As the broker has it",
		.help = "quality of service (mqtt: 1 when not told)",
		.needs = BROKER_QOS },
	{ "retain", 'r', OPT_FLAG(A, retain),
		.help = "the broker keeps the event for subscribers to come",
		.needs = BROKER_RETAIN },
	{ "partition", 0, OPT_INT(A, partition), .arg = "N", .max = INT32_MAX,
		.help = "publish to partition N",
		.needs = BROKER_PARTITION, .flags = OPT_MORE },
	{ "ttl", 0, OPT_DUR(A, ttl_ms), .arg = "DUR", .min = 1,
		.help = "the event is of no use after this time",
		.needs = BROKER_PROPS, .flags = OPT_MORE },
	{ "reply-to", 0, OPT_STR(A, reply_to), .arg = "TOPIC", .flags = OPT_ONCE | OPT_MORE,
		.help = "the topic that an answer is wanted on",
		.needs = BROKER_PROPS | BROKER_REPLY },
	{ "request", 0, OPT_FLAG(A, request),
		.help = "ask for a reply to each event, and print the replies",
		.needs = BROKER_PROPS | BROKER_REPLY | BROKER_HEADER },
	{ "replies", 0, OPT_NUM(A, replies), .arg = "N", .min = 1,
		.help = "with --request: N replies to each event, of as many subscribers",
		.flags = OPT_MORE },
	{ "compress", 'z', OPT_STR(A, compress), .arg = "CODEC", .flags = OPT_ONCE | OPT_MORE,
		.help = "compress events, as kafka can (none, gzip, snappy, lz4, zstd)",
		.needs = BROKER_COMPRESS },
	{ "create", 0, OPT_NUM(A, create), .arg = "N", .min = 1, .max = 100000,
		.help = "make a topic that is not there, with N partitions",
		.needs = BROKER_CREATE, .flags = OPT_MORE },
	{ "transaction", 0, OPT_FLAG(A, transaction),
		.help = "all events or none: they count when the last is confirmed, and none does "
			"when one is not, when a line is bad, when the run is interrupted",
		.needs = BROKER_TRANSACTION, .flags = OPT_MORE },
	{ "ack", 0, OPT_CHOICE(A, ack), .arg = "WHO", .choices = "broker|none|all",
		.def = "broker", .help = "an event is confirmed when the broker has it, when it "
			"was sent (none), when the broker's replicas have it (all)",
		.choice_needs = publish_ack_needs, .flags = OPT_MORE },
	{ "wait", 0, OPT_NUM(A, wait), .arg = "N", .max = 1000000, .group = "Delivery",
		.help = "wait for N subscribers of the topic first, up to -W (then status 124, "
			"and nothing is sent)",
		.needs = BROKER_AUDIENCE },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .def = "30s", .min = 1,
		.help = "time for each event to be confirmed, for --wait, and for the next reply" },
	{ "report", 0, OPT_STR(A, report), .arg = "FILE", .flags = OPT_ONCE | OPT_MORE, .complete = "file",
		.help = "write a line of JSON for each event that was not confirmed; pub -J "
			"reads them, to try the rest again (-: stdout)" },
	{ "report-fd", 0, OPT_FD(A, report_fd), .arg = "FD", .help = "the same to a descriptor",
		.flags = OPT_MORE },
	{ "report-all", 0, OPT_FLAG(A, report_all),
		.help = "with one of these: a line for each event", .flags = OPT_MORE },
	{ "tee", 0, OPT_FLAG(A, tee),
		.help = "print each event when it is confirmed: its body and a newline (or what -D "
			"says), with -J a line of JSON", .flags = OPT_MORE },
	{ "inflight", 0, OPT_NUM(A, inflight), .arg = "N", .min = 1,
		.max = 1000000, .help = "events under way at once (else what suits the broker)",
		.flags = OPT_MORE },
	{ "fail-fast", 0, OPT_FLAG(A, fail_fast),
		.help = "take no more events after the first that was not confirmed, or a line "
			"that is none", .flags = OPT_MORE },
	{ "count", 'c', OPT_NUM(A, count), .arg = "N", .min = 1, .group = "How often and when",
		.help = "publish N events, then end" },
	{ "repeat", 0, OPT_NUM(A, repeat), .arg = "N", .min = 1,
		.help = "publish each event N times", .flags = OPT_MORE },
	{ "loop", 0, OPT_FLAG(A, loop),
		.help = "begin again at the end of the input, for ever (or -c N)",
		.flags = OPT_MORE },
	{ "rate", 0, OPT_STR(A, rate), .arg = "N[/s|/m|/h]", .flags = OPT_ONCE,
		.help = "at most N events a second (a minute, an hour), evenly spaced" },
	{ "interval", 0, OPT_DUR(A, interval_ms), .arg = "DUR", .min = 1,
		.help = "one event each DUR", .flags = OPT_MORE },
	{ "pace", 0, OPT_STR(A, pace), .arg = "X", .flags = OPT_ONCE | OPT_MORE,
		.help = "with -J: as they were recorded, by their times, X times as fast" },
	{ "template", 0, OPT_FLAG(A, template),
		.help = "replace {n} {ts} {uuid} {rand:8} {env:NAME} in topic, key, header values "
			"and body; {{ is {", .flags = OPT_MORE },
	{ NULL }
};
