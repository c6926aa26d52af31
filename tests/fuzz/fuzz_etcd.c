/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of etcd's, whose values are anybody's. */
#include <stdlib.h>

#include "backends/registry/etcd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool cond)
{
	if (!cond)
		abort();
}

/* What can be written is read again as it was. */
static void
check(const struct service *s)
{
	struct micro_json again = { 0 };
	struct buf text = BUF_INIT;
	cJSON *doc;

	must(s->name.n && s->nnodes && s->nodes->id.n && s->nodes->address.n);
	if (micro_json_why_not(s))
		return;
	micro_json_write(&text, s);
	doc = cJSON_ParseWithLength(buf_data(&text), buf_len(&text));
	must(doc && !micro_json_read(&again, doc));
	must(bytes_eq(again.service.name, s->name) && bytes_eq(again.service.version, s->version));
	must(bytes_eq(again.nodes[0].id, s->nodes->id));
	must(bytes_eq(again.nodes[0].address, s->nodes->address));
	must(bytes_eq(again.service.endpoints, s->endpoints));
	must(again.nodes[0].nmetadata == s->nodes->nmetadata);
	micro_json_release(&again);
	cJSON_Delete(doc);
	buf_release(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cJSON *answer = cJSON_ParseWithLength((const char *)data, size), *doc;
	const cJSON *kvs = cJSON_GetObjectItemCaseSensitive(answer, "kvs");
	struct micro_json m = { 0 };

	for (const cJSON *v = cJSON_IsArray(kvs) ? kvs->child : NULL; v; v = v->next) {
		if (!etcd_read(&m, v, &doc))
			check(&m.service);
		cJSON_Delete(doc);
	}
	/* Through base64 it gets nowhere by itself. */
	if (answer && !micro_json_read(&m, answer))
		check(&m.service);
	micro_json_release(&m);
	cJSON_Delete(answer);
	return 0;
}
