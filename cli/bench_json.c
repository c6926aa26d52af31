/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as lines of JSON, and back, by one table: a path, a type and a place each.
 */
#include "cli/bench_json.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/json.h"
#include "core/units.h"

#define AT(s, m, t) (t), offsetof(s, m), sizeof(((s *)0)->m)
#define R(path, m, t) { path, AT(struct bench_result, m, t) }

/* What stands in one object of the line stands together here. */
const struct json_field result_fields[] = {
	R("id", id, FIELD_TEXT), R("broker", broker, FIELD_TEXT),
	R("address", address, FIELD_TEXT), R("target", target, FIELD_UNSIGNED),
	R("role", role, FIELD_ROLE),
	R("topic", topic, FIELD_TEXT), R("pubs", pubs, FIELD_UNSIGNED),
	R("subs", subs, FIELD_UNSIGNED), R("queues", queues, FIELD_UNSIGNED),
	R("topics", topics, FIELD_UNSIGNED), R("size", size, FIELD_U64),
	R("headers", headers, FIELD_U64), R("rate", rate, FIELD_DOUBLE),
	R("inflight", inflight, FIELD_U64), R("qos", qos, FIELD_I64),
	R("ack", ack, FIELD_TEXT), R("wire", wire, FIELD_TEXT), R("tls", tls, FIELD_BOOL),
	R("warmup_events", warm_msgs, FIELD_U64), R("warmup_ns", warm_ns, FIELD_U64),
	R("ts", began_us, FIELD_TIME),
	R("machine.host", host, FIELD_TEXT), R("machine.kernel", kernel, FIELD_TEXT),
	R("machine.cpu", cpu, FIELD_TEXT), R("machine.cpus", cpus, FIELD_UNSIGNED),
	R("machine.mbus", version, FIELD_TEXT),
	R("error", text, FIELD_TEXT), R("kind", kind, FIELD_KIND), R("ran", ran, FIELD_BOOL),
	R("published.events", published, FIELD_U64),
	R("published.confirmed", confirmed, FIELD_U64),
	R("published.refused", refused, FIELD_U64),
	R("published.unknown", unknown, FIELD_U64),
	R("published.measured", pub_n, FIELD_U64), R("published.bytes", pub_bytes, FIELD_U64),
	R("published.ns", pub_ns, FIELD_U64), R("published.due", due, FIELD_U64),
	R("published.late", late, FIELD_U64), R("published.full_ns", full_ns, FIELD_U64),
	R("published.user_ns", pub_user_ns, FIELD_U64),
	R("published.system_ns", pub_sys_ns, FIELD_U64),
	R("published.busiest", pub_busiest, FIELD_U64),
	R("received.events", arrived, FIELD_U64), R("received.distinct", distinct, FIELD_U64),
	R("received.expected", expected, FIELD_U64), R("received.lost", lost, FIELD_U64),
	R("received.duplicated", duplicated, FIELD_U64),
	R("received.out_of_order", disordered, FIELD_U64),
	R("received.corrupted", corrupted, FIELD_U64), R("received.foreign", foreign, FIELD_U64),
	R("received.refused", refused_came, FIELD_U64),
	R("received.unknown", unknown_came, FIELD_U64), R("received.early", early, FIELD_U64),
	R("received.measured", sub_n, FIELD_U64), R("received.bytes", sub_bytes, FIELD_U64),
	R("received.ns", sub_ns, FIELD_U64), R("received.user_ns", sub_user_ns, FIELD_U64),
	R("received.system_ns", sub_sys_ns, FIELD_U64),
	R("received.busiest", sub_busiest, FIELD_U64),
	R("client.rss_kib", rss_kib, FIELD_U64),
	R("client.machine_busy", machine_busy, FIELD_UNSIGNED),
	R("client.limit", limit, FIELD_LIMIT),
#define LATENCY(name, m) \
	R("latency." name ".n", m.n, FIELD_U64), R("latency." name ".min", m.min, FIELD_U64), \
	R("latency." name ".p50", m.p50, FIELD_U64), \
	R("latency." name ".p90", m.p90, FIELD_U64), \
	R("latency." name ".p99", m.p99, FIELD_U64), \
	R("latency." name ".p99_9", m.p999, FIELD_U64), \
	R("latency." name ".max", m.max, FIELD_U64), \
	R("latency." name ".mean", m.mean, FIELD_DOUBLE), \
	R("latency." name ".stddev", m.stddev, FIELD_DOUBLE)
	LATENCY("call", call), LATENCY("ack", ack_time), LATENCY("end_to_end", e2e),
	{ NULL, FIELD_END, 0, 0 }
};

#define P(path, m) { path, AT(struct bench_part, m, FIELD_U64) }
const struct json_field part_fields[] = {
	P("events", taken), P("confirmed", confirmed), P("refused", refused),
	P("unknown", unknown), P("received", arrived), P("distinct", distinct),
	P("duplicated", duplicated), P("out_of_order", disordered), P("corrupted", corrupted),
	P("foreign", foreign), P("rss_kib", rss_kib), { NULL, FIELD_END, 0, 0 }
};

#define L(path, m) { path, AT(struct bench_listener, m, FIELD_U64) }
const struct json_field listener_fields[] = {
	L("expected", expected), L("distinct", distinct), L("lost", lost),
	L("duplicated", duplicated), L("refused", refused_came), L("unknown", unknown_came),
	{ NULL, FIELD_END, 0, 0 }
};

#define V(path, m) { path, AT(struct bench_interval, m, FIELD_U64) }
const struct json_field interval_fields[] = {
	V("at_ns", at_ns), V("ns", length_ns), V("published", published),
	V("received", received), V("in_flight", in_flight), V("n", n), V("p50", p50),
	V("p99", p99), V("p99_9", p999), V("max", max), { NULL, FIELD_END, 0, 0 }
};

#define C(path, m, t) { path, AT(struct bench_curve_point, m, t) }
const struct json_field curve_fields[] = {
	C("part", part, FIELD_DOUBLE), C("ns", ns, FIELD_U64), C("n", n, FIELD_U64),
	{ NULL, FIELD_END, 0, 0 }
};

#define A(name, list, n, type, fields) \
	{ name, offsetof(struct bench_result, list), offsetof(struct bench_result, n), \
		sizeof(struct type), fields }
const struct json_array result_arrays[] = {
	A("publishers", publishers, npublishers, bench_part, part_fields),
	A("subscribers", subscribers, nsubscribers, bench_part, part_fields),
	A("listeners", listeners, nlisteners, bench_listener, listener_fields),
	A("intervals", intervals, nintervals, bench_interval, interval_fields),
	A("curve", curve, ncurve, bench_curve_point, curve_fields),
	{ NULL, 0, 0, 0, NULL }
};

const char *const limit_names[] = { "none", "pacing", "publisher", "subscriber", "machine", NULL };

/* ---- writing ---- */

static void
add_double(struct buf *out, double v)
{
	char text[40];

	/* JSON knows no infinity; a locale is never set. */
	snprintf(text, sizeof text, "%.12g", v > -1e300 && v < 1e300 ? v : 0);
	buf_add_str(out, text);
}

static void
add_value(struct buf *out, const struct json_field *f, const void *base)
{
	const void *p = (const char *)base + f->offset;

	switch (f->type) {
	case FIELD_U64:
		buf_add_u64(out, *(const uint64_t *)p);
		break;
	case FIELD_UNSIGNED:
		buf_add_u64(out, *(const unsigned *)p);
		break;
	case FIELD_I64:
		buf_addf(out, "%lld", (long long)*(const int64_t *)p);
		break;
	case FIELD_DOUBLE:
		add_double(out, *(const double *)p);
		break;
	case FIELD_BOOL:
		buf_add_str(out, *(const bool *)p ? "true" : "false");
		break;
	case FIELD_TEXT:
		json_add_go_string(out, bytes_str(p));
		break;
	case FIELD_TIME:
		buf_add_ch(out, '"');
		units_add_time_us(out, *(const int64_t *)p);
		buf_add_ch(out, '"');
		break;
	case FIELD_ROLE:
		buf_addf(out, "\"%s\"", result_role(*(const int *)p));
		break;
	case FIELD_LIMIT:
		buf_addf(out, "\"%s\"", limit_names[*(const enum bench_limit *)p]);
		break;
	case FIELD_KIND:
		buf_addf(out, "%d", (int)*(const enum error_kind *)p);
		break;
	case FIELD_END:
		break;
	}
}

/* The part of a path up to its last '.'. */
static size_t
parent_of(const char *path)
{
	const char *dot = path ? strrchr(path, '.') : NULL;

	return dot ? (size_t)(dot - path) : 0;
}

/* From the object of one path to that of another: closes and opens what is not shared. */
static void
move_to(struct buf *out, const char *from, const char *to, bool *first)
{
	size_t n = parent_of(from), m = parent_of(to), same = 0, i = 0;

	while (i < n && i < m && from[i] == to[i])
		i++;
	if ((i == n || from[i] == '.') && (i == m || to[i] == '.'))
		same = i;
	else
		while (i-- > 0 && !same)
			same = from[i] == '.' ? i : 0;
	for (i = same; i < n; i++)
		if (i == same || from[i] == '.')
			buf_add_ch(out, '}');
	if (same < n)
		*first = false;
	for (i = same + (same && same < m); i < m;) {
		size_t len = 0;

		while (i + len < m && to[i + len] != '.')
			len++;
		buf_addf(out, "%s\"%.*s\":{", *first ? "" : ",", (int)len, to + i);
		*first = true;
		i += len + 1;
	}
}

static void
add_fields(struct buf *out, const struct json_field *f, const void *base, bool first)
{
	const char *at = "";

	for (; f->path; f++) {
		move_to(out, at, f->path, &first);
		at = f->path;
		buf_addf(out, "%s\"%s\":", first ? "" : ",",
			at + parent_of(at) + (parent_of(at) > 0));
		add_value(out, f, base);
		first = false;
	}
	move_to(out, at, "", &first);
}

void
json_interval(struct buf *out, const struct bench_result *r, const struct bench_interval *v)
{
	buf_add_str(out, "{\"v\":1,\"type\":\"bench.interval\",\"id\":");
	json_add_go_string(out, bytes_str(r->id));
	buf_add_str(out, ",\"broker\":");
	json_add_go_string(out, bytes_str(r->broker));
	add_fields(out, interval_fields, v, false);
	buf_add_str(out, "}\n");
}

void
json_result(struct buf *out, const struct bench_result *r)
{
	buf_add_str(out, "{\"v\":1,\"type\":\"bench.result\"");
	add_fields(out, result_fields, r, false);
	/* For who reads it by eye or by jq; what is read back is the rest. */
	buf_add_str(out, ",\"figures\":{\"publish_rate\":");
	add_double(out, result_pub_rate(r));
	buf_add_str(out, ",\"receive_rate\":");
	add_double(out, result_sub_rate(r));
	buf_add_str(out, ",\"publish_cpu_ns\":");
	add_double(out, result_pub_cpu(r));
	buf_add_str(out, ",\"receive_cpu_ns\":");
	add_double(out, result_sub_cpu(r));
	buf_addf(out, ",\"kept_percent\":%.3f,\"status\":%d}", result_kept(r),
		error_exit_status(r->kind));
	for (const struct json_array *a = result_arrays; a->name; a++) {
		const char *list = *(char *const *)((const char *)r + a->list);
		size_t n = *(const size_t *)((const char *)r + a->n);

		buf_addf(out, ",\"%s\":[", a->name);
		for (size_t i = 0; i < n; i++) {
			buf_add_str(out, i ? ",{" : "{");
			add_fields(out, a->fields, list + i * a->size, true);
			buf_add_ch(out, '}');
		}
		buf_add_ch(out, ']');
	}
	buf_add_str(out, "}\n");
}
