/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a node in the file registry. Properties: what is read has a name, an
 * id and an address, and is inside its limits; each key of the metadata is there
 * once; written again it reads the same, and has the same file name.
 */
#include <stdint.h>
#include <stdlib.h>

#include "backends/registry/file_node.h"
#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool cond)
{
	if (!cond)
		abort();
}

static struct bytes
value_of(const struct file_node *n, struct bytes key)
{
	for (size_t i = 0; i < n->node.nmetadata; i++)
		if (bytes_eq(n->metadata[i].key, key))
			return n->metadata[i].value;
	abort();
}

static void
check_limits(const struct file_node *n)
{
	must(n->service.nnodes == 1 && n->service.nodes == &n->node);
	must(n->service.name.n && n->node.id.n && n->node.address.n && n->service.version.p);
	must(n->node.nmetadata <= FILE_NODE_METADATA_MAX);
	must(n->ttl_ms && n->ttl_ms <= UINT32_MAX && n->owner.pid <= INT32_MAX);
	for (size_t i = 0; i < n->node.nmetadata; i++) {
		must(utf8_valid(n->metadata[i].key.p, n->metadata[i].key.n));
		must(utf8_valid(n->metadata[i].value.p, n->metadata[i].value.n));
		for (size_t k = 0; k < i && i < 50; k++)
			must(!bytes_eq(n->metadata[k].key, n->metadata[i].key));
	}
}

static void
check_same(const struct file_node *a, const struct file_node *b)
{
	char name[2][FILE_NAME_LEN + 1];

	must(bytes_eq(a->service.name, b->service.name));
	must(bytes_eq(a->service.version, b->service.version));
	must(bytes_eq(a->node.id, b->node.id) && bytes_eq(a->node.address, b->node.address));
	must(a->ttl_ms == b->ttl_ms && a->owner.pid == b->owner.pid);
	must(a->owner.start == b->owner.start && a->owner.ns == b->owner.ns);
	must(a->node.nmetadata == b->node.nmetadata);
	for (size_t i = 0; i < a->node.nmetadata; i++)
		must(bytes_eq(a->metadata[i].value, value_of(b, a->metadata[i].key)));
	file_node_name(name[0], &a->service);
	file_node_name(name[1], &b->service);
	must(strcmp(name[0], name[1]) == 0 && file_node_is_name(name[0]));
	must(file_node_of_service(name[0], a->service.name));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct file_node n, again;
	struct buf out = BUF_INIT;
	char *text = malloc(size);	/* no byte behind it */

	memset(&n, 0, sizeof n);
	memset(&again, 0, sizeof again);
	memcpy(text, data, size);
	if (!file_node_read(&n, text, size)) {
		check_limits(&n);
		if (!file_node_write(&out, &n.service, &n.owner, (unsigned)n.ttl_ms)) {
			must(!file_node_read(&again, buf_data(&out), buf_len(&out)));
			check_same(&n, &again);
		} else {
			must(buf_len(&out) > FILE_NODE_MAX);
		}
	}
	file_node_release(&n);
	file_node_release(&again);
	buf_release(&out);
	free(text);
	return 0;
}
