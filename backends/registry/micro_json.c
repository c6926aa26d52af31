/* SPDX-License-Identifier: Apache-2.0 */
/* go-micro's JSON of a service: see micro_json.h. */
#include "backends/registry/micro_json.h"

#include <stdlib.h>

#include "core/endpoints.h"
#include "core/json.h"
#include "core/text.h"

/* ---- reading ---- */

struct bytes
micro_json_text(const cJSON *object, const char *member)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(object, member);

	return cJSON_IsString(v) ? bytes_str(v->valuestring) : BYTES("");
}

static int
by_key(const void *a, const void *b)
{
	const struct keyval *x = a, *y = b;

	return bytes_cmp(x->key, y->key);
}

struct keyval *
micro_json_metadata(const cJSON *object, size_t *n)
{
	struct keyval *kv = NULL;
	size_t cap = 0;

	*n = 0;
	if (!cJSON_IsObject(object))
		return NULL;
	for (const cJSON *v = object->child; v && *n < MICRO_JSON_METADATA_MAX; v = v->next) {
		if (!cJSON_IsString(v) || !v->string)
			continue;
		if (*n == cap) {
			cap = cap ? 2 * cap : 8;
			kv = xrealloc(kv, cap * sizeof *kv);
		}
		kv[(*n)++] = (struct keyval){ bytes_str(v->string), bytes_str(v->valuestring) };
	}
	if (kv)
		qsort(kv, *n, sizeof *kv, by_key);
	return kv;
}

void
micro_json_endpoints(struct buf *out, const cJSON *array)
{
	char *text = cJSON_IsArray(array) && array->child ? cJSON_PrintUnformatted(array) : NULL;

	if (text)
		endpoints_tidy(out, bytes_str(text));
	cJSON_free(text);
}

static void
clear_nodes(struct micro_json *m)
{
	for (size_t i = 0; i < m->service.nnodes; i++)
		free(m->metadata[i]);
	m->service.nnodes = 0;
}

static void
add_node(struct micro_json *m, const cJSON *v)
{
	struct node n = { .id = micro_json_text(v, "id"), .address = micro_json_text(v, "address") };
	size_t i = m->service.nnodes;

	if (!n.id.n || !n.address.n)
		return;
	if (i == m->cap) {
		m->cap = m->cap ? 2 * m->cap : 4;
		m->nodes = xrealloc(m->nodes, m->cap * sizeof *m->nodes);
		m->metadata = xrealloc(m->metadata, m->cap * sizeof *m->metadata);
	}
	n.metadata = m->metadata[i] = micro_json_metadata(
		cJSON_GetObjectItemCaseSensitive(v, "metadata"), &n.nmetadata);
	m->nodes[i] = n;
	m->service.nnodes++;
}

const char *
micro_json_read(struct micro_json *m, const cJSON *doc)
{
	const cJSON *nodes = cJSON_GetObjectItemCaseSensitive(doc, "nodes");

	clear_nodes(m);
	m->service = (struct service){ .name = micro_json_text(doc, "name"),
		.version = micro_json_text(doc, "version") };
	if (!m->service.name.n)
		return "no service's JSON";
	if (cJSON_IsArray(nodes))
		for (const cJSON *v = nodes->child; v; v = v->next)
			add_node(m, v);
	if (!m->service.nnodes)
		return "a service without a node";
	buf_clear(&m->endpoints);
	micro_json_endpoints(&m->endpoints, cJSON_GetObjectItemCaseSensitive(doc, "endpoints"));
	if (buf_len(&m->endpoints))
		m->service.endpoints = buf_bytes(&m->endpoints);
	m->service.nodes = m->nodes;
	return NULL;
}

void
micro_json_release(struct micro_json *m)
{
	clear_nodes(m);
	free(m->nodes);
	free(m->metadata);
	buf_release(&m->endpoints);
	memset(m, 0, sizeof *m);
}

/* ---- writing ---- */

const char *
micro_json_why_not(const struct service *s)
{
	const struct node *n = s->nodes;
	const struct bytes texts[] = { s->name, s->version, n->id, n->address };

	if (!s->name.n || !n->id.n || !n->address.n)
		return "its name, id or address is empty";
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (!utf8_valid(texts[i].p, texts[i].n) || memchr(texts[i].p, '\0', texts[i].n))
			return "its name, version, id or address is not UTF-8";
	if (n->nmetadata > MICRO_JSON_METADATA_MAX)
		return "it has more than 4096 entries of metadata";
	for (size_t i = 0; i < n->nmetadata; i++)
		if (!utf8_valid(n->metadata[i].key.p, n->metadata[i].key.n) ||
		    !utf8_valid(n->metadata[i].value.p, n->metadata[i].value.n))
			return "its metadata is not UTF-8";
	return NULL;
}

void
micro_json_write(struct buf *out, const struct service *s)
{
	const struct node *n = s->nodes;

	buf_add_str(out, "{\"name\":");
	json_add_go_string(out, s->name);
	buf_add_str(out, ",\"version\":");
	json_add_go_string(out, s->version);
	buf_add_str(out, ",\"metadata\":null,\"endpoints\":");
	buf_add_bytes(out, s->endpoints.n ? s->endpoints : BYTES("null"));
	buf_add_str(out, ",\"nodes\":[{\"id\":");
	json_add_go_string(out, n->id);
	buf_add_str(out, ",\"address\":");
	json_add_go_string(out, n->address);
	buf_add_str(out, ",\"metadata\":");
	metadata_add_json(out, n->metadata, n->nmetadata);
	buf_add_str(out, "}]}");
}
