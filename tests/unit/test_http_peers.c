/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes that a publisher over http knows, and which of them are one: what liars
 * say, word by word (tests/bats/http_liars has them at work). */
#include "backends/http/peers.h"
#include "tests/unit/test.h"

#define UUID "11111111-2222-4333-8444-555555555555"
#define ID "t-" UUID

static bool
wanted(void *arg, struct bytes topic)
{
	(void)topic;
	return arg != NULL;
}

static struct peers
new_peers(bool hearsay)
{
	struct peers t = { .wanted = wanted };

	http_peers_init(&t, hearsay);
	return t;
}

/* What one node says; NULL: as most do. */
struct word {
	unsigned dialect;
	const char *id, *address, *topic, *version, *ports;
	bool secure;
};

static void
spell(const struct word *w, struct service *s, struct node *n, struct keyval meta[4])
{
	meta[0] = (struct keyval){ BYTES("broker"), BYTES("http") };
	meta[1] = (struct keyval){ BYTES("topic"), bytes_str(w->topic ? w->topic : "t") };
	meta[2] = (struct keyval){ BYTES("secure"), w->secure ? BYTES("true") : BYTES("false") };
	meta[3] = (struct keyval){ BYTES("mbus.ports"), bytes_str(w->ports) };
	*n = (struct node){ bytes_str(w->id ? w->id : ID), bytes_str(w->address), meta,
		w->ports ? 4 : 3 };
	*s = (struct service){ .name = BYTES("s"), .nodes = n, .nnodes = 1,
		.version = bytes_str(w->version ? w->version : "v") };
}

static void
hear(struct peers *t, struct word w)
{
	struct keyval meta[4];
	struct service s;
	struct node n;
	struct bytes topic;

	spell(&w, &s, &n, meta);
	need(http_peer_topic(&s, &n, &topic));
	http_peers_add(t, w.dialect, &s, &n, topic);
}

static bool
goodbye(struct peers *t, struct word w, unsigned doubt)
{
	struct keyval meta[4];
	struct service s;
	struct node n;

	spell(&w, &s, &n, meta);
	return http_peers_goodbye(t, w.dialect, &s, &n, doubt);
}

/* The ports of those that are sent to, the newest first: "1 2 3". */
static const char *
served(const struct peers *t)
{
	static char text[200];
	size_t n = 0;

	text[0] = '\0';
	for (const struct peer *p = t->first; p; p = p->next)
		if (http_peers_serves(t, p))
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%u%s", n ? " " : "",
				p->port, p->secure ? "s" : "");
	return text;
}

#define NEW(...) (struct word){ .dialect = DIALECT_NEW, __VA_ARGS__ }
#define OLD(...) (struct word){ .dialect = DIALECT_OLD, __VA_ARGS__ }

TEST(two_that_name_each_other_are_one)
{
	struct peers t = new_peers(true);

	hear(&t, OLD(.address = "127.0.0.1:2", .ports = "1,2"));
	check_str(served(&t), "2");
	hear(&t, NEW(.address = "127.0.0.1:1", .ports = "1,2"));
	check_str(served(&t), "1");
	check_int(http_peers_count(&t, BYTES("t")), 1);
	check_int(http_peers_count(&t, BYTES("u")), 0);
	/* The same again is no news. */
	t.changed = false;
	hear(&t, NEW(.address = "127.0.0.1:1", .ports = "1,2"));
	hear(&t, OLD(.address = "127.0.0.1:2", .ports = "1,2"));
	check(!t.changed);
	check_int(t.n, 2);
	/* With one goes the other. */
	http_peers_drop(&t, t.first);
	check_int(t.n, 0);
	check(!t.first);
	http_peers_release(&t);
}

/* Each differs from the pair above in one thing. */
TEST(what_is_not_the_same_is_two)
{
	static const struct word halves[] = {
		{ DIALECT_OLD, .address = "127.0.0.1:2" },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "1,3" },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "3,2" },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "2,1" },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "1,2," },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "1 2" },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "1,65538" },
		{ DIALECT_OLD, .address = "127.0.0.2:2", .ports = "1,2" },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "1,2", .secure = true },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "1,2", .topic = "u" },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "1,2", .version = "q" },
		{ DIALECT_OLD, .address = "127.0.0.1:2", .ports = "1,2", .id = "x-" UUID },
		{ DIALECT_NEW, .address = "127.0.0.1:2", .ports = "1,2" },
	};

	for (size_t i = 0; i < sizeof halves / sizeof *halves; i++) {
		struct peers t = new_peers(i % 2);

		hear(&t, NEW(.address = "127.0.0.1:1", .ports = "1,2"));
		hear(&t, halves[i]);
		/* In a registry with one truth the same id has one node. */
		if (halves[i].dialect == DIALECT_OLD || t.hearsay) {
			check_int(t.n, 2);
			check_str(served(&t), halves[i].secure ? "2s 1" : "2 1");
			http_peers_drop(&t, t.first);
			check_str(served(&t), "1");
		}
		http_peers_release(&t);
	}
}

TEST(a_word_against_another_unmakes_the_pair)
{
	for (int half = 0; half < 2; half++) {
		struct peers t = new_peers(true);

		hear(&t, NEW(.address = "127.0.0.1:1", .ports = "1,2"));
		hear(&t, OLD(.address = "127.0.0.1:2", .ports = "1,2"));
		t.changed = false;
		if (half)
			hear(&t, OLD(.address = "127.0.0.1:2", .ports = "9,2"));
		else
			hear(&t, NEW(.address = "127.0.0.1:1"));
		check(t.changed);
		check_str(served(&t), "2 1");
		/* And said rightly again, it is not made. */
		hear(&t, NEW(.address = "127.0.0.1:1", .ports = "1,2"));
		hear(&t, OLD(.address = "127.0.0.1:2", .ports = "1,2"));
		check_str(served(&t), "2 1");
		check_int(http_peers_count(&t, BYTES("t")), 1);
		http_peers_release(&t);
	}
}

TEST(who_speaks_for_the_victim_does_not_become_its_half)
{
	struct peers t = new_peers(true);

	hear(&t, OLD(.address = "127.0.0.1:2"));
	hear(&t, NEW(.address = "127.0.0.1:9", .ports = "9,2"));
	hear(&t, OLD(.address = "127.0.0.1:2", .ports = "9,2"));
	check_str(served(&t), "9 2");
	http_peers_release(&t);
}

TEST(hearsay_takes_no_nodes_place_and_one_truth_does)
{
	struct peers t = new_peers(true);

	hear(&t, NEW(.address = "127.0.0.1:1"));
	hear(&t, NEW(.address = "127.0.0.1:9"));
	hear(&t, NEW(.address = "127.0.0.1:1", .topic = "u"));
	hear(&t, NEW(.address = "127.0.0.1:1", .secure = true));
	hear(&t, NEW(.address = "127.0.0.1:1", .version = "q"));
	check_int(t.n, 5);
	check_int(http_peers_count(&t, BYTES("t")), 2);	/* the two versions */
	check_int(http_peers_count(&t, BYTES("u")), 1);
	http_peers_release(&t);

	t = new_peers(false);
	hear(&t, NEW(.address = "127.0.0.1:1"));
	hear(&t, NEW(.address = "127.0.0.1:9"));
	check_str(served(&t), "9");
	hear(&t, NEW(.address = "127.0.0.1:9", .secure = true));
	check_str(served(&t), "9s");
	hear(&t, NEW(.address = "127.0.0.1:9", .topic = "u"));
	check_int(http_peers_count(&t, BYTES("t")), 0);
	check_int(t.n, 1);
	http_peers_release(&t);
}

static const char *
rivals(const struct peers *t, const struct peer *p)
{
	static struct error err;

	error_set(&err, ERR_CONNECT, "x");
	http_peers_add_rivals(t, p, &err);
	return err.text;
}

TEST(rivals_are_named)
{
	struct peers t = new_peers(true);
	struct error full;

	hear(&t, NEW(.address = "127.0.0.1:1", .ports = "1,2"));
	hear(&t, OLD(.address = "127.0.0.1:2", .ports = "1,2"));
	check_str(rivals(&t, t.first), "x");
	check_str(rivals(&t, t.first->next), "x");
	hear(&t, NEW(.address = "127.0.0.1:9", .id = "x-" UUID));
	check_str(rivals(&t, t.first),
		"x (that subscriber is also said to be at 127.0.0.1:1: all have to answer)");
	check_str(rivals(&t, t.first->next->next),
		"x (that subscriber is also said to be at 127.0.0.1:9: all have to answer)");
	for (char *a = (char[]){ "127.0.0.1:3" }; a[10] < '8'; a[10]++)
		hear(&t, NEW(.address = a));
	check(strstr(rivals(&t, t.first), ", ...: all have to answer)") != NULL);
	/* Another's uuid, topic or group is nobody's rival. */
	hear(&t, NEW(.address = "127.0.0.1:8", .id = "t-" UUID "0"));
	check_str(rivals(&t, t.first), "x");
	/* No room is no harm. */
	memset(full.text, 'y', sizeof full.text);
	full.text[sizeof full.text - 1] = '\0';
	http_peers_add_rivals(&t, t.first->next, &full);
	check_int(strlen(full.text), sizeof full.text - 1);
	http_peers_release(&t);
}

TEST(a_goodbye_of_hearsay_waits_for_a_lookup)
{
	struct word one = NEW(.address = "127.0.0.1:1"), two = NEW(.address = "127.0.0.1:2");
	struct peers t = new_peers(true);

	hear(&t, one);
	hear(&t, two);
	check(!goodbye(&t, NEW(.address = "127.0.0.1:3"), 5));
	check(!goodbye(&t, OLD(.address = "127.0.0.1:1"), 5));
	check(!goodbye(&t, NEW(.address = "127.0.0.1:1", .version = "q"), 5));
	check(!goodbye(&t, NEW(.address = "127.0.0.1:1", .topic = "u"), 5));
	t.changed = false;
	check(goodbye(&t, one, 5));
	check(t.changed);
	check_int(t.n, 2);
	/* A lookup that began before says nothing of it. */
	check(http_peers_looked_up(&t, 4));
	check_int(t.n, 2);
	/* Heard of again, it stays. */
	t.changed = false;
	hear(&t, one);
	check(t.changed);
	check(!http_peers_looked_up(&t, 5));
	check_int(t.n, 2);
	check(goodbye(&t, one, 6));
	check(!http_peers_looked_up(&t, 6));
	check_str(served(&t), "2");
	/* Without a version: all of that id and address. */
	hear(&t, one);
	hear(&t, NEW(.address = "127.0.0.1:1", .version = "q"));
	check(goodbye(&t, NEW(.address = "127.0.0.1:1", .version = ""), 7));
	http_peers_looked_up(&t, 8);
	check_str(served(&t), "2");
	/* Where nobody can lie they go at once. */
	check(!goodbye(&t, two, 0));
	check_int(t.n, 0);
	check_int(t.bytes, 0);
	http_peers_release(&t);
}

TEST(what_is_no_node_of_ours)
{
	struct keyval meta[4];
	struct word w = NEW(.address = "127.0.0.1:1");
	struct service s;
	struct node n;
	struct bytes topic;

	spell(&w, &s, &n, meta);
	check(http_peer_topic(&s, &n, &topic));
	meta[0].value = BYTES("nats");
	check(!http_peer_topic(&s, &n, &topic));
	spell(&w, &s, &n, meta);
	meta[1].value = BYTES("");
	check(!http_peer_topic(&s, &n, &topic));
	spell(&w, &s, &n, meta);
	n.id.n = 0;
	check(!http_peer_topic(&s, &n, &topic));
	spell(&w, &s, &n, meta);
	n.address = BYTES("127.0.0.1:1\0");
	check(!http_peer_topic(&s, &n, &topic));
	spell(&w, &s, &n, meta);
	s.version = BYTES("v\0");
	check(!http_peer_topic(&s, &n, &topic));
}

TEST(ten_thousand_are_kept_and_the_wanted_make_room)
{
	struct peers t = new_peers(true);
	char address[32];

	t.said_full = true;		/* and is not said here */
	for (int i = 0; i < 10001; i++) {
		snprintf(address, sizeof address, "10.0.%d.%d:80", i / 256, i % 256);
		hear(&t, NEW(.address = address));
	}
	check_int(t.n, 10000);
	t.arg = &t;			/* all are wanted: there is no room to be had */
	hear(&t, NEW(.address = "127.0.0.1:1"));
	check_int(t.n, 10000);
	check(t.crowded);
	t.crowded = false;
	t.wanted = NULL;
	http_peers_release(&t);
}
