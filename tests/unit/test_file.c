/* SPDX-License-Identifier: Apache-2.0 */
/* The file registry: the text of a file, and its lookups and watches from within
 * each other's callbacks. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/registry/file_node.h"
#include "core/loop.h"
#include "tests/unit/test.h"

/* ---- the text ---- */

static struct file_node node;
static struct buf text;

static const char *
read_text(const char *s)
{
	buf_clear(&text);
	buf_add_str(&text, s);
	return file_node_read(&node, buf_data(&text), buf_len(&text));
}

static const struct keyval metadata[] = {
	{ BYTES("topic"), BYTES("a<b") }, { BYTES("broker"), BYTES("http") },
};
static const struct node http_node = { BYTES("t-1"), BYTES("127.0.0.1:8000"), metadata, 2 };
static const struct service http_service = {
	.name = BYTES("micro.http.broker"), .version = BYTES("q"), .nodes = &http_node, .nnodes = 1,
};
static const struct file_owner owner = { 7, 9, 5 };

TEST(the_text_is_go_micros_service_with_owner_and_ttl)
{
	struct buf out = BUF_INIT;

	check(file_node_write(&out, &http_service, &owner, 60000) == NULL);
	check_str(buf_cstr(&out), "{\"name\":\"micro.http.broker\",\"version\":\"q\","
		"\"metadata\":null,\"endpoints\":null,\"nodes\":[{\"metadata\":{\"broker\":\"http\","
		"\"topic\":\"a\\u003cb\"},\"id\":\"t-1\",\"address\":\"127.0.0.1:8000\"}],"
		"\"ttl_ms\":60000,\"pid\":7,\"pid_start\":9,\"pid_ns\":5}\n");
	check_str(read_text(buf_cstr(&out)), NULL);
	check_bytes(node.service.name, http_service.name);
	check_bytes(node.service.version, http_service.version);
	check_bytes(node.node.id, http_node.id);
	check_bytes(node.node.address, http_node.address);
	check_bytes(node_meta(&node.node, "topic"), BYTES("a<b"));
	check_bytes(node_meta(&node.node, "broker"), BYTES("http"));
	check_int(node.node.nmetadata, 2);
	check_int(node.ttl_ms, 60000);
	check_int(node.owner.pid, 7);
	check_int(node.owner.start, 9);
	check_int(node.owner.ns, 5);
	buf_release(&out);
	file_node_release(&node);
}

TEST(bytes_that_are_not_utf8_go_as_base64)
{
	const struct node n = { .id = BYTES("a\xff"), .address = BYTES("h:1") };
	const struct service s = { .name = BYTES("s\0t"), .nodes = &n, .nnodes = 1 };
	const struct keyval bad = { BYTES("k"), BYTES("\xff") };
	struct node with_bad = n;
	struct service refused = s;
	struct buf out = BUF_INIT;

	check(file_node_write(&out, &s, &owner, 1) == NULL);
	check(strstr(buf_cstr(&out), "\"id_b64\":\"Yf8=\"") != NULL);
	check_str(read_text(buf_cstr(&out)), NULL);
	check_bytes(node.node.id, n.id);
	check_bytes(node.service.name, s.name);
	check_bytes(node.service.version, BYTES(""));
	check_int(node.node.nmetadata, 0);
	with_bad.metadata = &bad;
	with_bad.nmetadata = 1;
	refused.nodes = &with_bad;
	check_str(file_node_write(&out, &refused, &owner, 1), "its metadata is not UTF-8");
	refused.nnodes = 0;
	check_str(file_node_write(&out, &refused, &owner, 1), "it has not one node");
	buf_release(&out);
	file_node_release(&node);
}

TEST(order_white_space_and_unknown_members_do_not_matter_the_last_of_a_key_counts)
{
	check_str(read_text(" {\"ttl_ms\" : 5, \"x\":[{\"y\":[]}], \"nodes\":[ {\"address\":\"h:1\", "
		"\"port\":3, \"id\":\"\\u00e9\\ud83d\\ude00\",\"metadata\":{\"a\":\"1\",\"b\":\"2\","
		"\"a\":\"3\"}} ],\"name\":\"x\",\"name\":\"s\"}\n "), NULL);
	check_bytes(node.service.name, BYTES("s"));
	check_bytes(node.node.id, BYTES("\xc3\xa9\xf0\x9f\x98\x80"));
	check_int(node.node.nmetadata, 2);
	check_bytes(node_meta(&node.node, "a"), BYTES("3"));
	check_int(node.owner.pid, 0);
	file_node_release(&node);
}

#define ONE "\"nodes\":[{\"id\":\"i\",\"address\":\"h:1\"}]"

TEST(what_is_no_node_is_refused_with_the_reason)
{
	static const struct { const char *text, *why; } bad[] = {
		{ "", "not JSON" },
		{ "{", "not JSON" },
		{ "[]", "not an object where one belongs" },
		{ "{}", "no node" },
		{ "{\"name\":\"s\",\"ttl_ms\":1," ONE "} x", "not JSON" },
		{ "{\"name\":\"s\",\"ttl_ms\":1,\"nodes\":[]}", "no node" },
		{ "{\"name\":\"s\",\"ttl_ms\":1,\"nodes\":null}", "nodes is no array" },
		{ "{\"name\":\"s\",\"ttl_ms\":1,\"nodes\":[{},{}]}", "more than one node" },
		{ "{\"name\":\"s\",\"ttl_ms\":1,\"nodes\":[1]}", "not an object where one belongs" },
		{ "{\"name\":\"s\",\"ttl_ms\":1,\"nodes\":[{\"id\":\"i\"}]}",
			"its name, id or address is empty" },
		{ "{\"ttl_ms\":1," ONE "}", "its name, id or address is empty" },
		{ "{\"name\":1,\"ttl_ms\":1," ONE "}", "not a string where one belongs" },
		{ "{\"name_b64\":\"?\",\"ttl_ms\":1," ONE "}", "not base64 where it belongs" },
		{ "{\"name\":\"s\"," ONE "}", "no ttl_ms" },
		{ "{\"name\":\"s\",\"ttl_ms\":\"1\"," ONE "}", "not a number where one belongs" },
		{ "{\"name\":\"s\",\"ttl_ms\":-1," ONE "}", "a number is out of range" },
		{ "{\"name\":\"s\",\"ttl_ms\":1e3," ONE "}", "a number is out of range" },
		{ "{\"name\":\"s\",\"ttl_ms\":4294967296," ONE "}", "a number is out of range" },
		{ "{\"name\":\"s\",\"pid\":2147483648," ONE "}", "a number is out of range" },
		{ "{\"name\":\"s\",\"pid_ns\":18446744073709551616," ONE "}",
			"a number is out of range" },
		{ "{\"name\":\"\xff\",\"ttl_ms\":1," ONE "}", "not UTF-8" },
		{ "{\"nodes\":[{\"metadata\":[]}]}", "metadata is no object" },
		{ "{\"nodes\":[{\"metadata\":{\"a\":null}}]}", "not a string where one belongs" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check_str(read_text(bad[i].text), bad[i].why);
	check_str(read_text("{\"name\":\"s\",\"ttl_ms\":4294967295,\"pid\":2147483647,"
		"\"pid_start\":18446744073709551615," ONE "}"), NULL);
	check(node.owner.start == UINT64_MAX);
	file_node_release(&node);
}

TEST(metadata_text_and_depth_are_bounded)
{
	buf_clear(&text);
	buf_add_str(&text, "{\"nodes\":[{\"metadata\":{");
	for (int i = 0; i <= FILE_NODE_METADATA_MAX; i++)
		buf_addf(&text, "%s\"%d\":\"\"", i ? "," : "", i % 10);
	check_str(file_node_read(&node, buf_data(&text), buf_len(&text)), "too much metadata");
	buf_clear(&text);
	memset(buf_room(&text, FILE_NODE_MAX + 1), ' ', FILE_NODE_MAX + 1);
	buf_added(&text, FILE_NODE_MAX + 1);
	check_str(file_node_read(&node, buf_data(&text), buf_len(&text)), "over 1 MiB");
	buf_clear(&text);
	buf_add_str(&text, "{\"x\":");
	memset(buf_room(&text, 100000), '[', 100000);
	buf_added(&text, 100000);
	check_str(file_node_read(&node, buf_data(&text), buf_len(&text)), "not JSON");
	file_node_release(&node);
	buf_release(&text);
}

TEST(names_of_files)
{
	char a[FILE_NAME_LEN + 1], b[FILE_NAME_LEN + 1];
	struct node n = http_node;
	struct service s = http_service;

	s.nodes = &n;
	file_node_name(a, &s);
	/* Another version of mbus has to find it. */
	check_str(a, "30e8b720298f68ff-bfc6bf3881848f7515c7e8c8f36fd23c.node");
	check(file_node_is_name(a));
	check(file_node_of_service(a, s.name));
	check(!file_node_of_service(a, BYTES("go.micro.http.broker")));
	s.version = BYTES("qt-");
	n.id = BYTES("1");
	file_node_name(b, &s);
	check(strcmp(a, b) != 0);
	check(memcmp(a, b, 16) == 0);
	for (const char *p = ".tmp-0123456789abcdef"; p; p = NULL)
		check(!file_node_is_name(p));
	a[3] = 'G';
	check(!file_node_is_name(a));
	check(!file_node_is_name("../../../../etc/passwd"));
}

TEST(what_cannot_be_written_is_said)
{
	static struct keyval many[FILE_NODE_METADATA_MAX + 1];
	static char big[FILE_NODE_MAX];
	struct node n = http_node, two[2];
	struct service s = http_service;
	struct buf out = BUF_INIT;

	s.nodes = &n;
	n.metadata = many;
	for (size_t i = 0; i <= FILE_NODE_METADATA_MAX; i++)
		many[i] = (struct keyval){ BYTES("k"), BYTES("v") };
	n.nmetadata = FILE_NODE_METADATA_MAX;
	check_str(file_node_write(&out, &s, &owner, 1), NULL);
	n.nmetadata++;
	check_str(file_node_write(&out, &s, &owner, 1),
		"it has more than 1024 entries of metadata");
	n.nmetadata = 1;
	many[0].key = BYTES("\xff");
	check_str(file_node_write(&out, &s, &owner, 1), "its metadata is not UTF-8");
	many[0] = (struct keyval){ BYTES("k"), BYTES("\xff") };
	check_str(file_node_write(&out, &s, &owner, 1), "its metadata is not UTF-8");
	memset(big, 'x', sizeof big);
	many[0].value = bytes_of(big, sizeof big);
	check_str(file_node_write(&out, &s, &owner, 1), "what there is to say about it is over 1 MiB");
	/* To the byte: what surrounds it is as long whatever is in it. */
	buf_clear(&out);
	many[0].value = BYTES("");
	check_str(file_node_write(&out, &s, &owner, 1), NULL);
	many[0].value = bytes_of(big, FILE_NODE_MAX - buf_len(&out));
	buf_clear(&out);
	check_str(file_node_write(&out, &s, &owner, 1), NULL);
	check_int(buf_len(&out), FILE_NODE_MAX);
	check_str(file_node_read(&node, buf_data(&out), buf_len(&out)), NULL);
	many[0].value.n++;
	buf_clear(&out);
	check(file_node_write(&out, &s, &owner, 1) != NULL);
	check_str(file_node_read(&node, buf_data(&out), buf_len(&out)), "over 1 MiB");
	n = http_node;
	n.id = BYTES("");
	check_str(file_node_write(&out, &s, &owner, 1), "its name, id or address is empty");
	two[0] = two[1] = http_node;
	s.nodes = two;
	s.nnodes = 2;
	check_str(file_node_write(&out, &s, &owner, 1), "it has not one node");
	buf_release(&out);
	file_node_release(&node);
}

/* ---- the registry ---- */

static char dir[64];
static struct loop *loop;
static struct registry *reg;
static struct lookup look_a, look_b;
static struct watch watch_a, watch_b;
static int found_a, found_b, done_a, done_b, changes;
static char story[400];

static bool
begin(void)
{
	struct registry_options opts = { .address = dir };
	struct error err;

	found_a = found_b = done_a = done_b = changes = 0;
	story[0] = '\0';
	strcpy(dir, "/tmp/mbus-test-XXXXXX");
	if (!mkdtemp(dir))
		return false;
	loop = loop_new(&err);
	reg = registry_new("file", loop, &opts, &err);
	return reg != NULL;
}

static int
files(void)
{
	DIR *d = opendir(dir);
	int n = 0;

	for (struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] != '.' || strncmp(e->d_name, ".tmp", 4) == 0;
	closedir(d);
	return n;
}

static void
end(void)
{
	registry_free(reg);
	loop_free(loop);
	check_int(files(), 0);
	check_int(rmdir(dir), 0);
}

static bool
found(struct lookup *l, const struct service *s)
{
	check(l == &look_a || done_a == 0 || done_b == 0);
	(l == &look_a ? &found_a : &found_b)[0]++;
	check(s->name.n > 0);
	return true;
}

static void
done(struct lookup *l, const struct error *err)
{
	check(err == NULL);
	(l == &look_a ? &done_a : &done_b)[0]++;
	if (l->arg)
		registry_cancel(reg, l == &look_a ? &look_b : &look_a);
	loop_stop(loop);
}

static void
set_lookups(void)
{
	look_a = (struct lookup){ .found = found, .done = done };
	look_b = (struct lookup){ .found = found, .done = done };
}

TEST(a_lookup_ends_in_the_next_turn_and_all_have_heard_all_by_then)
{
	struct error err;

	need(begin());
	set_lookups();
	check_int(registry_add(reg, &http_service, 60000, NULL, &err), 0);
	check_int(files(), 1);
	check_int(registry_get(reg, http_service.name, &look_a, &err), 0);
	check_int(registry_list(reg, &look_b, &err), 0);
	check_int(found_a + done_a + found_b + done_b, 0);
	/* Whoever is done first ends the other: yet both have found it. */
	look_a.arg = look_b.arg = &err;
	loop_run(loop);
	check_int(found_a, 1);
	check_int(found_b, 1);
	check_int(done_a + done_b, 1);
	check(!look_a.priv && !look_b.priv);
	registry_remove(reg, &http_service);
	check_int(files(), 0);
	end();
}

TEST(a_lookup_cancelled_or_under_way_at_the_end)
{
	struct error err;

	need(begin());
	set_lookups();
	check_int(registry_add(reg, &http_service, 60000, NULL, &err), 0);
	check_int(registry_get(reg, http_service.name, &look_a, &err), 0);
	registry_cancel(reg, &look_a);
	check_int(registry_get(reg, BYTES("other"), &look_b, &err), 0);
	loop_run(loop);
	check_int(done_a + found_a + found_b, 0);
	check_int(done_b, 1);
	check_int(registry_get(reg, BYTES("other"), &look_b, &err), 0);
	end();
	check_int(done_b, 1);
}

/* The directory, when it is asked for again, is the same or there is another. */
TEST(refreshing_touches_the_file_and_makes_it_anew_when_it_has_gone)
{
	struct timespec old[2] = { { 1000, 0 }, { 1000, 0 } };
	char path[200];
	struct stat st;
	struct error err;

	need(begin());
	check_int(registry_add(reg, &http_service, 60000, NULL, &err), 0);
	strcpy(path, dir);
	strcat(path, "/");
	file_node_name(path + strlen(path), &http_service);
	check_int(utimensat(AT_FDCWD, path, old, 0), 0);
	check_int(registry_add(reg, &http_service, 60000, NULL, &err), 0);
	check_int(stat(path, &st), 0);
	check(st.st_mtim.tv_sec > 1000);
	check_int(unlink(path), 0);
	check_int(registry_add(reg, &http_service, 60000, NULL, &err), 0);
	check_int(files(), 1);
	/* A file that somebody else put there is not ours to remove. */
	check_int(unlink(path), 0);
	check_int(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	registry_remove(reg, &http_service);
	check_int(files(), 1);
	check_int(unlink(path), 0);
	/* The whole directory. */
	check_int(registry_add(reg, &http_service, 60000, NULL, &err), 0);
	check_int(unlink(path), 0);
	check_int(rmdir(dir), 0);
	check_int(registry_add(reg, &http_service, 60000, NULL, &err), 0);
	check_int(files(), 1);
	end();
}

static struct service changed_service;
static struct node changed_node;

static void
changed(struct watch *w, enum registry_action action, const struct service *s)
{
	static const char letter[] = "cud";
	size_t n = strlen(story);
	struct error err;

	check_bytes(s->nodes->id, http_node.id);
	story[n] = letter[action];
	story[n + 1] = '\0';
	switch (++changes) {
	case 1:				/* another address */
		check_int(registry_add(reg, &changed_service, 60000, NULL, &err), 0);
		break;
	case 2:
		registry_remove(reg, &changed_service);
		break;
	default:			/* both end from within a callback */
		registry_unwatch(reg, &watch_a);
		registry_unwatch(reg, &watch_b);
		check_int(registry_watch(reg, &watch_b, &err), 0);
		loop_stop(loop);
	}
	check(w == &watch_a);
}

TEST(a_watch_tells_create_update_and_delete_and_ends_from_within)
{
	struct error err;

	need(begin());
	changed_node = http_node;
	changed_node.address = BYTES("127.0.0.1:9");
	changed_service = http_service;
	changed_service.nodes = &changed_node;
	watch_a = (struct watch){ .changed = changed };
	watch_b = (struct watch){ .name = BYTES("other"), .changed = changed };
	check_int(registry_watch(reg, &watch_a, &err), 0);
	check_int(registry_watch(reg, &watch_b, &err), 0);
	check_int(registry_add(reg, &http_service, 60000, NULL, &err), 0);
	loop_run(loop);
	check_str(story, "cud");
	check(!watch_a.added && watch_b.added);
	end();
	check(!watch_b.added);
}
