/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a node's file: see file_node.h. */
#include "backends/registry/file_node.h"

#include <stdlib.h>

#include "core/endpoints.h"
#include "core/text.h"

static const char suffix[] = ".node";

/* ---- names ---- */

/* FNV-1a; good enough to spread names: what a file says is compared in full. */
static uint64_t
hash(uint64_t h, struct bytes s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3;
	/* The length, so that "a" and "bc" are not "ab" and "c". */
	for (size_t n = s.n, i = 0; i < 4; i++, n >>= 8)
		h = (h ^ (n & 0xff)) * 0x100000001b3;
	return h ^ h >> 32;
}

static char *
add_hex(char *out, uint64_t v)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*out++ = "0123456789abcdef"[v >> shift & 15];
	return out;
}

static uint64_t
service_hash(struct bytes name)
{
	return hash(0xcbf29ce484222325, name);
}

void
file_node_name(char out[FILE_NAME_LEN + 1], const struct service *s)
{
	static const uint64_t begin[] = { 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f };

	out = add_hex(out, service_hash(s->name));
	*out++ = '-';
	for (int i = 0; i < 2; i++)
		out = add_hex(out, hash(hash(hash(begin[i], s->name), s->version), s->nodes->id));
	memcpy(out, suffix, sizeof suffix);
}

bool
file_node_is_name(const char *name)
{
	static const char hex[] = "0123456789abcdef";

	return strlen(name) == FILE_NAME_LEN && strspn(name, hex) == 16 && name[16] == '-' &&
		strspn(name + 17, hex) == 32 && strcmp(name + 49, suffix) == 0;
}

bool
file_node_of_service(const char *name, struct bytes service)
{
	char want[16];

	add_hex(want, service_hash(service));
	return memcmp(name, want, sizeof want) == 0;
}

/* ---- writing ---- */

static void
add_member(struct buf *out, const char *name, struct bytes value)
{
	if (utf8_valid(value.p, value.n)) {
		buf_addf(out, "\"%s\":", name);
		json_add_go_string(out, value);
	} else {
		buf_addf(out, "\"%s_b64\":\"", name);
		buf_add_base64(out, value.p, value.n);
		buf_add_ch(out, '"');
	}
}

static const char *
why_not(const struct service *s)
{
	const struct node *n = s->nodes;

	if (s->nnodes != 1)
		return "it has not one node";
	if (!s->name.n || !n->id.n || !n->address.n)
		return "its name, id or address is empty";
	if (n->nmetadata > FILE_NODE_METADATA_MAX)
		return "it has more than 1024 entries of metadata";
	for (size_t i = 0; i < n->nmetadata; i++)
		if (!utf8_valid(n->metadata[i].key.p, n->metadata[i].key.n) ||
		    !utf8_valid(n->metadata[i].value.p, n->metadata[i].value.n))
			return "its metadata is not UTF-8";
	return NULL;
}

const char *
file_node_write(struct buf *out, const struct service *s, const struct file_owner *owner,
	unsigned ttl_ms)
{
	const char *why = why_not(s);

	if (why)
		return why;
	buf_add_ch(out, '{');
	add_member(out, "name", s->name);
	buf_add_ch(out, ',');
	add_member(out, "version", s->version.p ? s->version : BYTES(""));
	buf_add_str(out, ",\"metadata\":null,\"endpoints\":");
	buf_add_bytes(out, s->endpoints.n ? s->endpoints : BYTES("null"));
	buf_add_str(out, ",\"nodes\":[{\"metadata\":");
	metadata_add_json(out, s->nodes->metadata, s->nodes->nmetadata);
	buf_add_ch(out, ',');
	add_member(out, "id", s->nodes->id);
	buf_add_ch(out, ',');
	add_member(out, "address", s->nodes->address);
	buf_addf(out, "}],\"ttl_ms\":%u,\"pid\":%llu,\"pid_start\":%llu,\"pid_ns\":%llu}\n", ttl_ms,
		(unsigned long long)owner->pid, (unsigned long long)owner->start,
		(unsigned long long)owner->ns);
	return buf_len(out) > FILE_NODE_MAX ? "what there is to say about it is over 1 MiB" : NULL;
}

/* ---- reading ---- */

void
file_node_release(struct file_node *n)
{
	free(n->metadata);
	buf_release(&n->tidied);
	memset(n, 0, sizeof *n);
}

/* "id", resp. "id_b64" */
static bool
key_is(struct bytes key, const char *want, bool *b64)
{
	size_t n = strlen(want);

	if (key.n < n || memcmp(key.p, want, n) != 0)
		return false;
	*b64 = key.n == n + 4 && memcmp(key.p + n, "_b64", 4) == 0;
	return key.n == n || *b64;
}

static const char *
read_text(struct file_node *n, bool b64, struct bytes *out)
{
	enum json_token t = json_next(&n->scan);
	char *p;

	if (t != JSON_STRING)
		return t == JSON_ERROR ? "not JSON" : "not a string where one belongs";
	*out = json_unescape(&n->scan, NULL);
	p = (char *)out->p;
	if (b64 && !base64_decode(p, &out->n, p, out->n))
		return "not base64 where it belongs";
	return NULL;
}

static const char *
read_number(struct file_node *n, uint64_t max, uint64_t *out)
{
	enum json_token t = json_next(&n->scan);
	uint64_t v = 0;

	if (t != JSON_NUMBER)
		return t == JSON_ERROR ? "not JSON" : "not a number where one belongs";
	for (size_t i = 0; i < n->scan.text.n; i++) {
		unsigned digit = (unsigned)n->scan.text.p[i] - '0';

		if (digit > 9 || v > (max - digit) / 10)
			return "a number is out of range";
		v = v * 10 + digit;
	}
	*out = v;
	return NULL;
}

/* The entry of that key; of a repeated one the last value counts, as in Go. */
static struct keyval *
metadata_slot(struct file_node *n, struct bytes key)
{
	size_t i = 0;

	while (i < n->node.nmetadata && !bytes_eq(n->metadata[i].key, key))
		i++;
	if (i == n->cap) {
		n->cap = n->cap ? 2 * n->cap : 8;
		n->metadata = xrealloc(n->metadata, n->cap * sizeof *n->metadata);
	}
	if (i == n->node.nmetadata)
		n->node.nmetadata++;
	n->metadata[i].key = key;
	return &n->metadata[i];
}

static const char *
read_metadata(struct file_node *n)
{
	enum json_token t = json_next(&n->scan);
	unsigned seen = 0;

	n->node.nmetadata = 0;
	if (t == JSON_NULL)
		return NULL;
	if (t != JSON_OBJECT)
		return t == JSON_ERROR ? "not JSON" : "metadata is no object";
	while ((t = json_next(&n->scan)) == JSON_KEY) {
		struct keyval *kv;
		const char *why;

		/* Repeats count, too: each is looked for among all. */
		if (seen++ == FILE_NODE_METADATA_MAX)
			return "too much metadata";
		kv = metadata_slot(n, json_unescape(&n->scan, NULL));
		why = read_text(n, false, &kv->value);
		if (why)
			return why;
	}
	return t == JSON_OBJECT_END ? NULL : "not JSON";
}

static const char *
skip(struct file_node *n)
{
	return json_skip(&n->scan, json_next(&n->scan)) ? NULL : "not JSON";
}

static const char *
read_node_member(struct file_node *n, struct bytes key)
{
	bool b64;

	if (key_is(key, "id", &b64))
		return read_text(n, b64, &n->node.id);
	if (key_is(key, "address", &b64))
		return read_text(n, b64, &n->node.address);
	return key_is(key, "metadata", &b64) && !b64 ? read_metadata(n) : skip(n);
}

/* The members of an object whose first token is t. */
static const char *
read_object(struct file_node *n, enum json_token t,
	const char *(*member)(struct file_node *, struct bytes key))
{
	const char *why;

	if (t != JSON_OBJECT)
		return t == JSON_ERROR ? "not JSON" : "not an object where one belongs";
	while ((t = json_next(&n->scan)) == JSON_KEY) {
		why = member(n, json_unescape(&n->scan, NULL));
		if (why)
			return why;
	}
	return t == JSON_OBJECT_END ? NULL : "not JSON";
}

static const char *
read_nodes(struct file_node *n)
{
	enum json_token t = json_next(&n->scan);
	const char *why;

	n->service.nnodes = 0;
	memset(&n->node, 0, sizeof n->node);
	if (t != JSON_ARRAY)
		return t == JSON_ERROR ? "not JSON" : "nodes is no array";
	while ((t = json_next(&n->scan)) != JSON_ARRAY_END) {
		if (n->service.nnodes++)
			return "more than one node";
		why = read_object(n, t, read_node_member);
		if (why)
			return why;
	}
	return NULL;
}

/* Those that go-micro could not read are none. */
static const char *
read_endpoints(struct file_node *n)
{
	enum json_token t = json_next(&n->scan);
	const char *from = n->scan.p - 1;

	if (!json_skip(&n->scan, t))
		return "not JSON";
	buf_clear(&n->tidied);
	n->service.endpoints = (struct bytes){ NULL, 0 };
	if (t == JSON_ARRAY &&
	    !endpoints_tidy(&n->tidied, bytes_of(from, (size_t)(n->scan.p - from))) &&
	    buf_len(&n->tidied))
		n->service.endpoints = buf_bytes(&n->tidied);
	return NULL;
}

static const char *
read_member(struct file_node *n, struct bytes key)
{
	bool b64;

	if (key_is(key, "name", &b64))
		return read_text(n, b64, &n->service.name);
	if (key_is(key, "version", &b64))
		return read_text(n, b64, &n->service.version);
	if (bytes_eq(key, BYTES("nodes")))
		return read_nodes(n);
	if (bytes_eq(key, BYTES("endpoints")))
		return read_endpoints(n);
	if (bytes_eq(key, BYTES("ttl_ms")))
		return read_number(n, UINT32_MAX, &n->ttl_ms);
	if (bytes_eq(key, BYTES("pid")))
		return read_number(n, INT32_MAX, &n->owner.pid);
	if (bytes_eq(key, BYTES("pid_start")))
		return read_number(n, UINT64_MAX, &n->owner.start);
	if (bytes_eq(key, BYTES("pid_ns")))
		return read_number(n, UINT64_MAX, &n->owner.ns);
	return skip(n);
}

const char *
file_node_read(struct file_node *n, char *text, size_t size)
{
	const char *why;

	n->service = (struct service){ .version = BYTES(""), .nodes = &n->node };
	memset(&n->node, 0, sizeof n->node);
	memset(&n->owner, 0, sizeof n->owner);
	n->ttl_ms = 0;
	if (size > FILE_NODE_MAX)
		return "over 1 MiB";
	if (!utf8_valid(text, size))
		return "not UTF-8";
	json_scan_init(&n->scan, text, size);
	n->scan.quiet = true;
	why = read_object(n, json_next(&n->scan), read_member);
	if (why)
		return why;
	if (json_next(&n->scan) != JSON_END)
		return "not JSON";
	if (n->service.nnodes != 1)
		return "no node";
	if (!n->service.name.n || !n->node.id.n || !n->node.address.n)
		return "its name, id or address is empty";
	if (!n->ttl_ms)
		return "no ttl_ms";
	n->node.metadata = n->metadata;
	return NULL;
}
