/* SPDX-License-Identifier: Apache-2.0 */
/* What consul answers, with tags by anybody; and go-micro's JSON of a service. */
#include <stdlib.h>

#include "backends/registry/consul.h"
#include "backends/registry/micro_json.h"
#include "core/endpoints.h"
#include "core/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool cond)
{
	if (!cond)
		abort();
}

static unsigned nfound;

static void
check_service(const struct service *s)
{
	struct buf out = BUF_INIT;
	struct bytes one;
	size_t at = 0;

	must(s->name.n && s->nnodes);
	for (size_t n = 0; n < s->nnodes; n++) {
		const struct node *node = &s->nodes[n];

		must(node->id.n && node->address.n);
		for (size_t i = 0; i < node->nmetadata; i++) {
			buf_add_bytes(&out, node->metadata[i].key);
			buf_add_bytes(&out, node->metadata[i].value);
		}
	}
	buf_add_bytes(&out, s->version);
	while (s->endpoints.n && endpoints_next(s->endpoints, &at, &one))
		must(json_valid(one.p, one.n));
	buf_release(&out);
}

static void
found(void *arg, const struct service *s, const char *why)
{
	(void)arg;
	(void)why;
	check_service(s);
	nfound++;
}

/* What is written is read again. */
static void
check_tags(const struct service *s)
{
	struct consul_tags tags = { 0 };
	struct buf text = BUF_INIT;
	cJSON *doc;

	consul_tags_write(&text, s);
	doc = cJSON_ParseWithLength(buf_data(&text), buf_len(&text));
	must(doc);
	consul_tags_read(&tags, doc);
	must(bytes_eq(tags.version, s->version) && bytes_eq(tags.endpoints, s->endpoints));
	must(tags.nmetadata == s->nodes->nmetadata);
	cJSON_Delete(doc);
	consul_tags_release(&tags);
	buf_release(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cJSON *doc = cJSON_ParseWithLength((const char *)data, size);
	struct consul c = { .health = CONSUL_ANY };
	struct micro_json m = { 0 };

	if (doc) {
		consul_each(&c, BYTES("s"), doc, found, NULL);
		if (!micro_json_read(&m, doc)) {
			check_service(&m.service);
			if (!micro_json_why_not(&m.service))
				check_tags(&m.service);
		}
	}
	micro_json_release(&m);
	cJSON_Delete(doc);
	return 0;
}
