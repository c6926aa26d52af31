/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's properties, for -X list. It prints a table of them for its manual, and
 * has no other way to tell what they are for; that is read here, and what mbus sets
 * otherwise is said beside the default.
 */
#include "backends/kafka/kafka.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { INDENT = 6, WIDTH = 80 };

/* What is set by the library, and by mbus when the user says nothing. */
struct shown {
	rd_kafka_conf_t *none, *pub, *sub;
	rd_kafka_topic_conf_t *none_topic;
};

/* One cell of a line, without the blanks around it; at: behind its bar. */
static bool
cell(const char **at, struct bytes *to)
{
	const char *p = *at, *bar = strchr(p, '|');

	if (!bar)
		return false;
	*at = bar + 1;
	while (p < bar && *p == ' ')
		p++;
	while (bar > p && bar[-1] == ' ')
		bar--;
	*to = bytes_of(p, (size_t)(bar - p));
	return true;
}

/* Without the marks of its markup, in lines. */
static void
show_text(struct buf *out, const char *p)
{
	const char *end = strstr(p, "<br>");
	size_t column = 0;

	if (!end)
		end = p + strlen(p);
	while (p < end) {
		struct buf word = BUF_INIT;

		while (p < end && isspace((unsigned char)*p))
			p++;
		for (; p < end && !isspace((unsigned char)*p); p++)
			if (*p != '`' && *p != '*')
				buf_add_ch(&word, *p);
		if (!buf_len(&word)) {
			buf_release(&word);
			continue;
		}
		if (!column || column + 1 + buf_len(&word) > WIDTH) {
			buf_addf(out, "%s%*s", column ? "\n" : "", INDENT, "");
			column = INDENT;
		} else {
			buf_add_ch(out, ' ');
			column++;
		}
		column += buf_len(&word);
		buf_add_bytes(out, buf_bytes(&word));
		buf_release(&word);
	}
	if (column)
		buf_add_ch(out, '\n');
}

static bool
value_in(const rd_kafka_conf_t *conf, const char *name, char *to, size_t size)
{
	*to = 0;
	return conf && rd_kafka_conf_get(conf, name, to, &size) == RD_KAFKA_CONF_OK;
}

/* What mbus sets, where that is not the library's own; and whose property it is. */
static void
show_ours(struct buf *out, const struct shown *s, const char *name, char who)
{
	char none[300], pub[300], sub[300];
	size_t size = sizeof none;
	bool is_pub, is_sub;

	if (!value_in(s->none, name, none, sizeof none) &&
	    rd_kafka_topic_conf_get(s->none_topic, name, none, &size) != RD_KAFKA_CONF_OK)
		*none = 0;
	is_pub = who != 'C' && value_in(s->pub, name, pub, sizeof pub) && strcmp(none, pub);
	is_sub = who != 'P' && value_in(s->sub, name, sub, sizeof sub) && strcmp(none, sub);
	if (is_pub && is_sub && strcmp(pub, sub) == 0)
		buf_addf(out, "; mbus: %s", pub);
	else if (is_pub || is_sub)
		buf_addf(out, "; mbus%s%s%s%s%s", is_pub ? " pub: " : "", is_pub ? pub : "",
			is_pub && is_sub ? "," : "", is_sub ? " sub: " : "", is_sub ? sub : "");
	else if (who != '*')
		buf_add_str(out, who == 'P' ? "; pub" : "; sub");
}

static void
show_line(struct buf *out, const struct shown *s, const char *line)
{
	struct bytes name, who, range, value, rank;
	const char *at = line;
	char key[100];

	if (!cell(&at, &name) || !cell(&at, &who) || !cell(&at, &range) || !cell(&at, &value) ||
	    !cell(&at, &rank) || !name.n || name.n >= sizeof key || !who.n || !strchr("*CP", *who.p))
		return;
	memcpy(key, name.p, name.n);
	key[name.n] = 0;
	/* Code cannot be given; what mbus says itself is listed above, or refused. */
	if (strstr(at, "see dedicated API") || strstr(at, "No longer used") ||
	    kafka_conf_is_ours(key))
		return;
	if (!range.n)
		range = bytes_str("VALUE");
	buf_addf(out, "  %s=%.*s (", key, BYTES_FMT(range));
	if (value.n)
		buf_addf(out, "default %.*s", BYTES_FMT(value));
	else
		buf_add_str(out, "no default");
	show_ours(out, s, key, *who.p);
	buf_add_str(out, ")\n");
	show_text(out, at);
}

/* The library's own table, which is the caller's to free; NULL: there is none. */
static char *
table(void)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	rd_kafka_conf_properties_show(f);
	fclose(f);
	return text;
}

unsigned
kafka_conf_use(const char *name)
{
	char *text = table(), *line, *save = NULL;
	struct bytes key, who;
	unsigned use = 0;

	for (line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
		const char *at = line;

		if (cell(&at, &key) && cell(&at, &who) && who.n == 1 && bytes_eq(key, bytes_str(name)))
			use |= *who.p == 'P' ? BROKER_FOR_PUB : *who.p == 'C' ? BROKER_FOR_SUB :
				BROKER_FOR_PUB | BROKER_FOR_SUB | BROKER_FOR_TOPICS;
	}
	free(text);
	return use & BROKER_FOR_TOPICS ? 0 : use;
}

void
kafka_conf_list(struct buf *out)
{
	struct kafka_broker kb = { .servers = (char *)(uintptr_t)"HOST:PORT", .one_cpu = true,
		.b.opts = { .connect_timeout_ms = 5000, .timeout_ms = 30000 } };
	struct error err;
	struct shown s = { rd_kafka_conf_new(),
		kafka_conf_make(&kb, RD_KAFKA_PRODUCER, NULL, false, &err),
		kafka_conf_make(&kb, RD_KAFKA_CONSUMER, NULL, false, &err),
		rd_kafka_topic_conf_new() };
	char *text = table(), *line, *save = NULL;

	buf_addf(out, "\nproperties of librdkafka %s, which are options, too:\n",
		rd_kafka_version_str());
	for (line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save))
		show_line(out, &s, line);
	free(text);
	rd_kafka_conf_destroy(s.none);
	rd_kafka_topic_conf_destroy(s.none_topic);
	if (s.pub)
		rd_kafka_conf_destroy(s.pub);
	if (s.sub)
		rd_kafka_conf_destroy(s.sub);
}
