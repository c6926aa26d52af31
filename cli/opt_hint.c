/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For people who come from kcat, mosquitto, nats, redis-cli or a typing error:
 * what they meant, in one line. An option they would read differently must be
 * refused with a word of help, never taken with another meaning.
 *
 * A hint never makes an option work. Rows for options that mbus gets later
 * simply stop being reached; they are to be removed then.
 */
#include "cli/opt.h"

#include <stdio.h>
#include <string.h>

#include "core/nearest.h"

enum when {
	UNKNOWN,	/* mbus has no such option here */
	BEHIND_ANY,	/* it takes no value, but a word that is no option follows */
	BEHIND_QOS,	/* likewise, and the word is 0, 1 or 2 */
	VALUE_OPTION	/* its value did not fit, and begins with '-' */
};

struct hint {
	enum when when;
	const char *names;		/* separated by blanks; one character: a letter */
	const char *commands;		/* where it holds; NULL: in every command */
	const char *text;
};

static const struct hint hints[] = {
	/* Options of mbus's with another meaning elsewhere. */
	{ BEHIND_ANY, "h", "pub sub registry",
		"is --help here and takes no host: write -b HOST:PORT" },
	{ BEHIND_ANY, "V", "pub sub registry",
		"is --version here and takes no value" },
	{ BEHIND_QOS, "q", NULL,
		"is --quiet here and takes no QoS, which is --qos N (for a topic of that name: -t)" },
	{ VALUE_OPTION, "-c", NULL,
		"is --count N here (mosquitto's -c, a kept session, is -X mqtt.session=TIME)" },
	{ VALUE_OPTION, "-C", "sub",
		"is --count N here (kcat's -C, consume, is what mbus sub does anyway)" },

	/* Where to connect. */
	{ UNKNOWN, "p port", NULL, "the port is part of the address, -b HOST:PORT (kcat's -p is "
		"--partition N)" },
	{ UNKNOWN, "host hostname server bootstrap-server bootstrap-servers brokers broker-list",
		NULL, "the address is -b HOST:PORT" },
	{ UNKNOWN, "uri", NULL, "that is --url SCHEME://USER@HOST/TOPIC" },
	{ UNKNOWN, "user", NULL, "that is --username USER" },
	{ UNKNOWN, "pw pass password", NULL, "everybody sees the command line: --password-file "
		"FILE, or MBUS_PASSWORD in the environment" },
	{ UNKNOWN, "capath", NULL, "the authorities are in a file: --tls-ca FILE" },
	{ UNKNOWN, "key", "sub registry", "the key of a certificate is --tls-key FILE" },
	{ UNKNOWN, "k keepalive", "sub", "mosquitto's is -X mqtt.keepalive=SECONDS" },
	{ UNKNOWN, "i id client-id", "pub sub", "mosquitto's is -X mqtt.client_id=ID" },
	{ UNKNOWN, "m message", "sub", "to publish, use mbus pub" },
	{ UNKNOWN, "s", "sub", "bodies are shown by --body, --raw or -f %s" },
	{ UNKNOWN, "n num", "sub", "the number of events is -c N" },
	{ UNKNOWN, "U", "sub", "a run ends its subscriptions by itself" },
	{ UNKNOWN, "a", "sub", "to acknowledge or not is --ack WHEN" },
	{ UNKNOWN, "y", "sub", "a group's name is -g NAME" },
	{ UNKNOWN, "from-beginning", "sub", "that is -o beginning" },
	{ UNKNOWN, "max-messages", "sub", "that is -c N" },
	{ UNKNOWN, "last", "sub", "the last N events are -o -N" },
	{ UNKNOWN, "retained-only", "sub", "what is there, and then the end, is -e; -W ends after a "
		"time" },
	{ UNKNOWN, "c count", "pub", "one event is published for each body; count them by head -n N" },
	{ UNKNOWN, "I k keepalive", NULL,
		"where a broker has that, it is one of its options: -X list shows them" },

	/* What kcat says by an option, mbus says by a command. */
	{ UNKNOWN, "P", "pub", "mbus pub is the producer already; mosquitto's -P, a password, is "
		"--password-file FILE or MBUS_PASSWORD" },
	{ UNKNOWN, "P", "sub", "kcat's -P is mbus pub; mosquitto's, a password, is --password-file "
		"FILE or MBUS_PASSWORD" },
	{ UNKNOWN, "producer", "pub", "mbus pub is the producer already" },
	{ UNKNOWN, "producer", "sub", "to publish, use mbus pub" },
	{ UNKNOWN, "C consumer", "pub", "to receive, use mbus sub" },
	{ UNKNOWN, "P C", "", "kcat's -P is mbus pub, its -C is mbus sub" },
	{ UNKNOWN, "L", NULL, "kcat's -L is mbus topics; mosquitto's is --url SCHEME://USER@HOST/TOPIC" },
	{ UNKNOWN, "d", NULL, "debug output is --debug, without a letter" },

	/* Input and output. */
	{ UNKNOWN, "output-format", "sub", "choose the output by -f FMT, -J, --body or --raw" },
	{ UNKNOWN, "F config", "pub registry topics", "the configuration file is --config" },
	{ UNKNOWN, "null-message", "pub", "an empty event is -n, a null one -Z" },
	{ UNKNOWN, "delimiter", NULL, "that is -D STR" },
	{ UNKNOWN, "K key-delim", "sub", "keys are written by -f %k and -J" },
	{ UNKNOWN, "T", "pub", "kcat's -T is --tee" },
	{ UNKNOWN, "T filter-out", "sub", "kcat's -T is --tee FILE, mosquitto's --exclude GLOB" },
	{ UNKNOWN, "file", "pub", "a body from a file is -f FILE" },
	{ UNKNOWN, "data payload", "pub", "the body is -m BODY" },
	{ UNKNOWN, "headers property", "pub", "a header is -H NAME:VALUE" },

	/* Of other tools that measure. */
	{ UNKNOWN, "c", "bench", "publishers are -x N, events -n N" },
	{ UNKNOWN, "P pipeline window", "bench", "events under way at once are --inflight N" },
	{ UNKNOWN, "msg-size message-size", "bench", "the size of a body is -s SIZE" },
	{ UNKNOWN, "consumers subscribers", "bench", "subscribers are -y N" },
	{ UNKNOWN, "producers publishers", "bench", "publishers are -x N" },

	/* How long, how much. */
	{ UNKNOWN, "w idle", "pub registry", "-W DUR bounds the time" },
	{ UNKNOWN, "E", "sub", "to end once subscribed: --check; at the end of what is there: -e" },
	{ UNKNOWN, "repeat-delay sleep delay", "pub", "the time between events is --interval DUR" },
	{ UNKNOWN, "r retain", "sub", "what the broker retains comes unless --no-retained" },
	{ UNKNOWN, "S A M Q", NULL, "this option of another tool has no counterpart" },
};

/* Is the word one of a blank-separated list? '_' counts as '-'. */
static bool
in_list(const char *list, const char *word, size_t len)
{
	for (const char *p = list;; p++) {
		size_t n = strcspn(p, " "), i = 0;

		if (n == len) {
			while (i < n && p[i] == (word[i] == '_' && n > 1 ? '-' : word[i]))
				i++;
			if (i == n)
				return true;
		}
		p += n;
		if (!*p)
			return false;
	}
}

static const char *
find(const struct opt_set *set, enum when when, const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
		const struct hint *h = &hints[i];

		if (h->when == when && in_list(h->names, name, len) &&
		    (!h->commands || in_list(h->commands, set->command, strlen(set->command))))
			return h->text;
	}
	return NULL;
}

const char *
opt_hint(const struct opt_set *set, const char *name, size_t len)
{
	return find(set, UNKNOWN, name, len);
}

static bool
is_qos(const char *s)
{
	return s[0] >= '0' && s[0] <= '2' && !s[1];
}

const char *
opt_hint_next(const struct opt_set *set, char letter, const char *next, bool attached)
{
	const char *hint;

	if (!next || (!attached && next[0] == '-'))
		return NULL;
	hint = find(set, BEHIND_ANY, &letter, 1);
	if (!hint && is_qos(next))
		hint = find(set, BEHIND_QOS, &letter, 1);
	return hint;
}

const char *
opt_hint_value(const struct opt_set *set, const char *shown, const char *value)
{
	return value && value[0] == '-' ? find(set, VALUE_OPTION, shown, strlen(shown)) : NULL;
}

/* ---- typing errors ---- */

struct nearest {
	const char *name;		/* what was typed */
	size_t len;
	unsigned best;
	struct bytes is;
};

static void
consider(struct nearest *n, const char *name, size_t len)
{
	char word[40];
	unsigned d;

	if (len < 2 || len >= sizeof word)
		return;
	memcpy(word, name, len);
	word[len] = '\0';
	/* An abbreviation is no typing error, but as good as found. */
	d = len > n->len && n->len >= 3 && strncmp(word, n->name, n->len) == 0 ? 1 :
		edit_distance(n->name, word);
	if (d < n->best) {
		n->best = d;
		n->is = bytes_of(name, len);
	}
}

static void
consider_rows(struct nearest *n, const struct opt *rows)
{
	for (const struct opt *o = rows; o && o->name; o++) {
		if (o->flags & OPT_HIDDEN)
			continue;
		consider(n, o->name, strlen(o->name));
		for (const char *p = o->aliases; p && *p;) {
			size_t len = strcspn(p, " ");

			consider(n, p, len);
			p += len + (p[len] == ' ');
		}
	}
}

bool
opt_nearest(const struct opt_set *set, const char *name, size_t len, char *out, size_t size)
{
	char typed[40];
	struct nearest n = { typed, len, len < 6 ? 2 : 3, { NULL, 0 } };

	if (len == 1) {
		/* -j for -J: only the case is wrong. */
		char other = (char)(*name ^ 0x20);
		bool letter = (other >= 'a' && other <= 'z') || (other >= 'A' && other <= 'Z');

		if (!letter || !opt_find_letter(set, other))
			return false;
		snprintf(out, size, "-%c", other);
		return true;
	}
	if (len >= sizeof typed)
		return false;
	for (size_t i = 0; i < len; i++)
		typed[i] = name[i] == '_' ? '-' : name[i];
	typed[len] = '\0';
	consider_rows(&n, set->own);
	consider_rows(&n, set->common);
	if (n.is.p)
		snprintf(out, size, "--%.*s", BYTES_FMT(n.is));
	return n.is.p != NULL;
}
