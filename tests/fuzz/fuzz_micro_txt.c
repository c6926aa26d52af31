/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TXT record. The input is taken twice: as the record's data, and (most
 * mutations break a zlib stream) as the JSON inside one. Properties: what is read
 * is inside its limits, sorted, each key once; written again it reads the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include "backends/proto/dns.h"
#include "backends/proto/micro_txt.h"
#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool cond)
{
	if (!cond)
		abort();
}

static void
check(struct micro_txt *t, struct bytes data)
{
	struct buf again = BUF_INIT;
	struct micro_txt u;

	if (micro_txt_read(t, data))
		return;
	must(t->nmetadata <= MICRO_TXT_METADATA_MAX);
	must(utf8_valid(t->service.p, t->service.n) && utf8_valid(t->version.p, t->version.n));
	for (size_t i = 0; i < t->nmetadata; i++) {
		must(utf8_valid(t->metadata[i].key.p, t->metadata[i].key.n));
		must(utf8_valid(t->metadata[i].value.p, t->metadata[i].value.n));
		must(i == 0 || bytes_cmp(t->metadata[i - 1].key, t->metadata[i].key) < 0);
	}
	micro_txt_init(&u);
	micro_txt_write(&again, t->service, t->version, t->metadata, t->nmetadata, t->endpoints);
	must(!micro_txt_read(&u, buf_bytes(&again)));
	must(bytes_eq(t->service, u.service) && bytes_eq(t->version, u.version));
	must(t->nmetadata == u.nmetadata && bytes_eq(t->endpoints, u.endpoints));
	for (size_t i = 0; i < t->nmetadata; i++)
		must(bytes_eq(t->metadata[i].key, u.metadata[i].key) &&
			bytes_eq(t->metadata[i].value, u.metadata[i].value));
	micro_txt_release(&u);
	buf_release(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf strings = BUF_INIT, hex = BUF_INIT;
	uLongf n = compressBound(size);
	struct micro_txt t;
	char *zip = malloc(n), *p = malloc(size);

	memcpy(p, data, size);
	micro_txt_init(&t);
	check(&t, bytes_of(p, size));
	must(compress2((Bytef *)zip, &n, data, size, 1) == Z_OK);
	hex_encode(buf_room(&hex, 2 * n), zip, n);
	buf_added(&hex, 2 * n);
	dns_add_strings(&strings, buf_bytes(&hex));
	check(&t, buf_bytes(&strings));
	micro_txt_release(&t);
	buf_release(&strings);
	buf_release(&hex);
	free(zip);
	free(p);
	return 0;
}
