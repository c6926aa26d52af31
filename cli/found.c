/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes a registry has told of: see found.h. */
#include <stdlib.h>

#include "cli/found.h"
#include "core/endpoints.h"
#include "core/json.h"
#include "core/text.h"

/* ---- keeping ---- */

static struct bytes
keep(char **to, struct bytes s)
{
	struct bytes kept = bytes_of(*to, s.n);

	if (s.n)
		memcpy(*to, s.p, s.n);
	*to += s.n;
	return kept;
}

struct found *
found_new(const struct service *s, const struct node *node)
{
	size_t n = node ? node->nmetadata : 0, size = s->name.n + s->version.n + s->endpoints.n;
	struct keyval *kv;
	struct found *f;
	char *to;

	if (node)
		size += node->id.n + node->address.n;
	for (size_t i = 0; i < n; i++)
		size += node->metadata[i].key.n + node->metadata[i].value.n;
	f = xcalloc(1, sizeof *f + n * sizeof *kv + size);
	kv = (struct keyval *)(f + 1);
	to = (char *)(kv + n);
	f->name = keep(&to, s->name);
	f->version = keep(&to, s->version);
	f->endpoints = keep(&to, s->endpoints);
	if (!node)
		return f;
	f->node.id = keep(&to, node->id);
	f->node.address = keep(&to, node->address);
	f->node.metadata = kv;
	f->node.nmetadata = n;
	for (size_t i = 0; i < n; i++) {
		kv[i].key = keep(&to, node->metadata[i].key);
		kv[i].value = keep(&to, node->metadata[i].value);
	}
	return f;
}

int
found_cmp(const void *a, const void *b)
{
	const struct found *x = *(struct found *const *)a, *y = *(struct found *const *)b;
	int c = bytes_cmp(x->name, y->name);

	if (!c)
		c = bytes_cmp(x->version, y->version);
	if (!c)
		c = bytes_cmp(x->node.id, y->node.id);
	if (!c)
		c = bytes_cmp(x->node.address, y->node.address);
	return c;
}

/* ---- text ---- */

static void
add_shown(struct buf *out, struct bytes s)
{
	for (size_t i = 0; i < s.n;) {
		unsigned len = utf8_seq(s.p + i, s.n - i);
		uint32_t c = len ? utf8_decode(s.p + i, len) : 0;

		if (c >= 0x20 && (c < 0x7f || c > 0x9f)) {
			buf_add(out, s.p + i, len);
			i += len;
		} else {
			buf_addf(out, "\\x%02x", (unsigned char)s.p[i++]);
		}
	}
}

void
found_add_name(struct buf *out, const struct found *f)
{
	add_shown(out, f->name);
	buf_add_ch(out, '\n');
}

void
found_add_text(struct buf *out, const char *action, const struct found *f, bool metadata)
{
	if (action)
		buf_addf(out, "%s  ", action);
	add_shown(out, f->name);
	buf_add_str(out, "  ");
	add_shown(out, f->version.n ? f->version : BYTES("-"));
	buf_add_str(out, "  ");
	add_shown(out, f->node.id);
	buf_add_str(out, "  ");
	add_shown(out, f->node.address);
	for (size_t i = 0; metadata && i < f->node.nmetadata; i++) {
		buf_add_str(out, i ? " " : "  ");
		add_shown(out, f->node.metadata[i].key);
		buf_add_ch(out, '=');
		add_shown(out, f->node.metadata[i].value);
	}
	buf_add_ch(out, '\n');
}

/* Those of the first node that tells them: they are the version's. */
static struct bytes
endpoints_of(struct found *const *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (f[i]->endpoints.n)
			return f[i]->endpoints;
	return (struct bytes){ NULL, 0 };
}

void
found_add_endpoints(struct buf *out, struct found *const *f, size_t n)
{
	struct bytes all = endpoints_of(f, n), one;
	size_t at = 0;

	while (all.n && endpoints_next(all, &at, &one)) {
		buf_add_str(out, "  ");
		endpoints_add_text(out, one, add_shown);
		buf_add_ch(out, '\n');
	}
}

void
found_add_address(struct buf *out, const struct found *f)
{
	add_shown(out, f->node.address);
	buf_add_ch(out, '\n');
}

void
found_add_version(struct buf *out, struct found *const *f, size_t n)
{
	const char *what = registry_explain(f[0]->name);

	add_shown(out, f[0]->name);
	buf_add_str(out, "  ");
	add_shown(out, f[0]->version.n ? f[0]->version : BYTES("-"));
	buf_addf(out, "  %zu node%s  ", n, n == 1 ? "" : "s");
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_ch(out, ' ');
		add_shown(out, f[i]->node.address);
	}
	if (what)
		buf_addf(out, "  (%s)", what);
	buf_add_ch(out, '\n');
}

/* ---- JSON ---- */

/* "name":"..."; "name_b64":"..." where it is not UTF-8, as in our events. */
static void
add_member(struct buf *out, const char *name, struct bytes value)
{
	if (utf8_valid(value.p, value.n)) {
		buf_addf(out, "\"%s\":", name);
		json_add_string(out, value);
	} else {
		buf_addf(out, "\"%s_b64\":\"", name);
		buf_add_base64(out, value.p, value.n);
		buf_add_ch(out, '"');
	}
}

/* Registries that keep metadata as JSON have no other than UTF-8 in it. */
static void
add_string(struct buf *out, struct bytes value)
{
	if (utf8_valid(value.p, value.n))
		json_add_string(out, value);
	else
		json_add_go_string(out, value);
}

static void
add_node_json(struct buf *out, const struct node *n)
{
	buf_add_ch(out, '{');
	add_member(out, "id", n->id);
	buf_add_ch(out, ',');
	add_member(out, "address", n->address);
	buf_add_str(out, ",\"metadata\":{");
	for (size_t i = 0; i < n->nmetadata; i++) {
		if (i)
			buf_add_ch(out, ',');
		add_string(out, n->metadata[i].key);
		buf_add_ch(out, ':');
		add_string(out, n->metadata[i].value);
	}
	buf_add_str(out, "}}");
}

void
found_add_json(struct buf *out, const char *action, struct found *const *f, size_t n)
{
	struct bytes endpoints = endpoints_of(f, n);

	buf_addf(out, "{\"v\":1,\"type\":\"service\",\"action\":\"%s\",", action);
	add_member(out, "name", f[0]->name);
	buf_add_ch(out, ',');
	add_member(out, "version", f[0]->version);
	buf_add_str(out, ",\"nodes\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_ch(out, ',');
		add_node_json(out, &f[i]->node);
	}
	buf_add_ch(out, ']');
	if (endpoints.n) {
		buf_add_str(out, ",\"endpoints\":");
		buf_add_bytes(out, endpoints);
	}
	buf_add_str(out, "}\n");
}

void
found_add_name_json(struct buf *out, const struct found *f)
{
	buf_add_str(out, "{\"v\":1,\"type\":\"service\",\"action\":\"found\",");
	add_member(out, "name", f->name);
	buf_add_str(out, "}\n");
}
