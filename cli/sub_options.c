/* SPDX-License-Identifier: Apache-2.0 */
/* The options of mbus sub: see sub_options.h. */
#include "cli/sub_options.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/pattern.h"

/* Said before anything is connected to; the broker makes its own of it. */
static int
check_regex(const char *text, struct error *err)
{
	regex_t regex;

	if (pattern_compile(&regex, bytes_str(text), err) < 0) {
		error_prefix(err, "--regex: '%s'", opt_shown(text));
		return -1;
	}
	regfree(&regex);
	return 0;
}

int
sub_options_topics(struct sub_args *a, int noperands, char **operands, struct error *err)
{
	size_t n = a->topics.n, more = noperands > 0 ? (size_t)noperands : 1;

	if (noperands || (!n && a->common.topic)) {
		a->topics.v = xrealloc(a->topics.v, (n + more) * sizeof *a->topics.v);
		if (!noperands)
			a->topics.v[n++] = a->common.topic;
		for (int i = 0; i < noperands; i++)
			a->topics.v[n++] = operands[i];
		a->topics.n = n;
	}
	if (!n)
		return error_set(err, ERR_USAGE, "which topic?");
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(a->topics.v[i], a->topics.v[j]) == 0)
				return error_set(err, ERR_USAGE, "topic %s is given twice",
					opt_shown(a->topics.v[i]));
	for (size_t i = 0; i < n && a->regex; i++)
		if (check_regex(a->topics.v[i], err) < 0)
			return -1;
	if (a->ready_fd == STDOUT_FILENO)
		return error_set(err, ERR_USAGE, "--ready-fd: 1 is stdout, where the events go "
			"(2 is stderr; 3>FILE opens another)");
	if (a->ready_fd > STDERR_FILENO)
		fcntl(a->ready_fd, F_SETFD, FD_CLOEXEC);
	return 0;
}

/* Indexed by enum subscribe_ack, as the choices of --ack are. */
const unsigned subscribe_ack_needs[] = {
	[SUBSCRIBE_ACK_AFTER_WRITE] = BROKER_ACK, [SUBSCRIBE_ACK_NONE] = BROKER_ACK_CHOICE
};

#define A struct sub_args

const struct opt sub_opts[] = {
	{ "topic", 't', OPT_LIST(A, topics), .arg = "TOPIC", .flags = OPT_EMPTY, .group = "What",
		.complete = "topic", .help = "subscribe to TOPIC, as the operands do; may be repeated" },
	{ "group", 'g', OPT_STR(A, group), .arg = "NAME", .aliases = "G queue",
		.help = "share the events with the other members of group NAME (go-micro's "
			"queue): each event goes to one of them",
		.needs = BROKER_GROUP },
	{ "offset", 'o', OPT_LIST(A, offsets), .arg = "POS",
		.help = "begin at beginning, end, stored (where the group stopped), N, -N (the "
			"last N), s@T or an id; e@T: end at T (milliseconds, RFC 3339, -1h: an hour "
			"ago)",
		.needs = BROKER_OFFSET },
	{ "partition", 0, OPT_INT(A, partition), .arg = "N", .max = INT32_MAX,
		.help = "partition N of the topic only", .needs = BROKER_PARTITION,
		.flags = OPT_MORE },
	{ "qos", 0, OPT_INT(A, qos), .arg = "0|1|2", .max = 2,
		.help = "the highest quality of service to deliver with",
		.needs = BROKER_QOS, .flags = OPT_MORE },
	{ "no-retained", 'R', OPT_FLAG(A, no_retained),
		.help = "not the events that the broker has kept, new ones only",
		.needs = BROKER_RETAIN, .flags = OPT_MORE },
	{ "ack", 0, OPT_CHOICE(A, ack), .arg = "WHEN", .choices = "auto|after-write|none",
		.def = "auto", .help = "acknowledge an event when it is written (auto: where the "
			"broker can be told), or not",
		.choice_needs = subscribe_ack_needs, .flags = OPT_MORE },
	{ "exclude", 0, OPT_LIST(A, filter.exclude), .arg = "GLOB", .group = "Which events",
		.help = "not those whose topic matches GLOB (*, ?, [...]); may be repeated",
		.flags = OPT_MORE },
	{ "regex", 0, OPT_FLAG(A, regex),
		.help = "each TOPIC is an extended regular expression: of the topics that there "
			"are, and that come, those that it is in", .needs = BROKER_REGEX,
		.flags = OPT_MORE },
	{ "where", 0, OPT_STR(A, filter.where), .arg = "EXPR",
		.help = "only those that EXPR is true of: 'header.type == \"new\" && json /id > 7'" },
	{ "skip", 0, OPT_NUM(A, filter.skip), .arg = "N", .help = "not the first N of these",
		.flags = OPT_MORE },
	{ "sample", 0, OPT_STR(A, filter.sample), .arg = "PERCENT",
		.help = "of these, so many in a hundred, by chance", .flags = OPT_MORE },
	{ "expect", 0, OPT_STR(A, filter.expect), .arg = "EXPR",
		.help = "status 1 if EXPR is not true of an event that is printed",
		.flags = OPT_MORE },
	{ "count", 'c', OPT_NUM(A, count), .arg = "N", .aliases = "C", .min = 1,
		.group = "When to end",
		.help = "after N events" },
	{ "timeout", 'W', OPT_DUR(A, timeout_ms), .arg = "DUR", .min = 1,
		.help = "after this time, whatever has come: status 124 if no event or fewer "
			"than -c asked for were printed" },
	{ "end", 'e', OPT_FLAG(A, end),
		.help = "when all has come that was there at the beginning",
		.needs = BROKER_END },
	{ "idle", 'w', OPT_DUR(A, idle_ms), .arg = "DUR", .min = 1,
		.max = UINT64_C(1000) * 86400 * 365,
		.help = "when nothing has come for this time" },
	{ "check", 0, OPT_FLAG(A, check), .help = "when every subscription is live",
		.flags = OPT_MORE },
	{ "json", 'J', OPT_FLAG(A, output.json), .group = "Output (one of)",
		.help = "one line of JSON an event, which pub -J reads" },
	{ "format", 'f', OPT_STR(A, output.format), .arg = "FMT",
		.help = "as FMT says: %t topic, %s body, %k key, %h headers, %T time ... (man 7 "
			"mbus-format)" },
	{ "mosquitto-format", 'F', OPT_STR(A, output.mosquitto), .arg = "FMT",
		.help = "the same with mosquitto_sub's letters (%p is the body), and a newline",
		.flags = OPT_MORE },
	{ "line", 0, OPT_FLAG(A, output.line),
		.help = "topic, key and body between tabs, one line an event whatever is in it" },
	{ "body", 0, OPT_FLAG(A, output.body), .help = "the body and a newline" },
	{ "raw", 0, OPT_FLAG(A, output.raw), .help = "the bytes of the body, and nothing else" },
	{ "hex", 0, OPT_FLAG(A, output.hex), .help = "the body in hex digits and a newline",
		.flags = OPT_MORE },
	{ "body-json", 0, OPT_FLAG(A, output.body_json), .group = "Details of the output",
		.help = "with -J: a body that is JSON stands as JSON, not as a string",
		.flags = OPT_MORE },
	{ "pretty", 0, OPT_FLAG(A, output.pretty),
		.help = "indent JSON: the lines of -J, bodies in the default output",
		.flags = OPT_MORE },
	{ "local-time", 0, OPT_FLAG(A, output.local_time),
		.help = "times of the local time zone, with -f and in the default output",
		.flags = OPT_MORE },
	{ "delim", 'D', OPT_STR(A, output.delim), .arg = "STR",
		.help = "STR and not a newline behind each event (\\n, \\t, \\0, \\xHH are "
			"read); behind those of --raw and -f, too", .flags = OPT_MORE },
	{ "null-delim", '0', OPT_FLAG(A, output.nul), .help = "the same with a NUL",
		.flags = OPT_MORE },
	{ "no-newline", 'N', OPT_FLAG(A, output.no_newline), .help = "nothing behind each event",
		.flags = OPT_MORE },
	{ "max-body", 0, OPT_SIZE(A, output.max_body), .arg = "SIZE", .def = "4096",
		.flags = OPT_ALL | OPT_MORE,
		.help = "show so much of a body in the default output; all shows all" },
	{ "exec", 'x', OPT_STR(A, exec.command), .arg = "CMD", .group = "A command for each event",
		.help = "run CMD by /bin/sh with the body on its stdin, the event as JSON on "
			"descriptor 3, MBUS_TOPIC, MBUS_HEADER_<NAME> ...: status 0 acknowledges" },
	{ "jobs", 'j', OPT_NUM(A, exec.jobs), .arg = "N", .min = 1, .max = 1000,
		.help = "up to N at a time; events of one key stay in order (1)",
		.flags = OPT_MORE },
	{ "retry", 0, OPT_NUM(A, exec.retries), .arg = "N", .max = 1000000,
		.help = "run a command that fails up to N times more, after a growing pause",
		.flags = OPT_MORE },
	{ "exec-timeout", 0, OPT_DUR(A, exec.timeout_ms), .arg = "DUR", .min = 1,
		.help = "end a command that takes longer: it has failed",
		.flags = OPT_MORE },
	{ "on-fail", 0, OPT_STR(A, exec.on_fail), .arg = "TOPIC",
		.help = "publish an event whose command has failed to TOPIC, then acknowledge it "
			"(else it is given back, and the status is 1)",
		.flags = OPT_MORE },
	{ "reply", 0, OPT_FLAG(A, exec.reply),
		.help = "publish what the command prints to the event's reply topic",
		.flags = OPT_MORE },
	{ "save", 0, OPT_STR(A, save), .arg = "DIR", .complete = "file",
		.help = "keep each event in DIR: NNNNNN.body, and NNNNNN.json for pub -J",
		.flags = OPT_MORE },
	{ "tee", 0, OPT_STR(A, tee), .arg = "FILE", .complete = "file",
		.help = "write what is printed to FILE, too", .flags = OPT_MORE },
	{ "stats", 0, OPT_DUR(A, stats_ms), .arg = "DUR", .min = 100,
		.help = "every DUR, a table of topics on stderr: events, rate, size, last seen; "
			"events are printed only if an output is chosen",
		.flags = OPT_MORE },
	{ "ready", 0, OPT_STR(A, ready), .arg = "CMD", .group = "Being live",
		.help = "run CMD by /bin/sh once every subscription is live",
		.flags = OPT_MORE },
	{ "ready-fd", 0, OPT_FD(A, ready_fd), .arg = "FD",
		.help = "write the line \"ready\" to this descriptor then, and close it",
		.flags = OPT_MORE },
	{ NULL }
};
