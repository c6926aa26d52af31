/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tags of a service in consul, in which go-micro keeps what consul has no place for:
 * "t-" and an object with one entry of metadata, "e-" and an endpoint, "v-" and the
 * version, each of them zlib in hex. Before: the same text behind "t=", "e=", "v=".
 */
#include <stdlib.h>
#include <zlib.h>

#include "backends/registry/consul.h"
#include "core/endpoints.h"
#include "core/json.h"
#include "core/text.h"

enum { TAGS_MAX = 8192, TAGS_SIZE_MAX = 8 << 20 };	/* of one service */

/* ---- writing ---- */

/* Go's compressor ends with an empty stored block, which has the bit of the last one. Of
 * short texts zlib makes the same bytes, if it is made to end so. */
static void
deflate_as_go(struct buf *out, struct bytes text)
{
	uLong check = adler32(1, (const Bytef *)text.p, (uInt)text.n);
	size_t begin = buf_len(out), room = compressBound(text.n) + 64;
	z_stream z = { .next_in = (Bytef *)text.p, .avail_in = (uInt)text.n };
	unsigned pending;
	int bits = 0;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	z.next_out = (Bytef *)buf_room(out, room);
	z.avail_out = (uInt)room;
	deflate(&z, Z_BLOCK);
	deflatePending(&z, &pending, &bits);
	buf_added(out, room - z.avail_out);
	room = z.avail_out;
	deflate(&z, Z_SYNC_FLUSH);
	*buf_room(out, 0) |= (char)(1 << bits);
	buf_added(out, room - z.avail_out);
	deflateEnd(&z);
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_ch(out, (char)(check >> shift & 255));
	if (buf_len(out) == begin)
		abort();
}

static void
add_tag(struct buf *out, char kind, struct bytes text, unsigned *n)
{
	struct buf zip = BUF_INIT;
	size_t len;

	deflate_as_go(&zip, text);
	len = buf_len(&zip);
	buf_addf(out, "%s\"%c-", (*n)++ ? "," : "", kind);
	hex_encode(buf_room(out, 2 * len), buf_data(&zip), len);
	buf_added(out, 2 * len);
	buf_add_ch(out, '"');
	buf_release(&zip);
}

void
consul_tags_write(struct buf *out, const struct service *s)
{
	const struct node *node = s->nodes;
	struct buf text = BUF_INIT;
	struct bytes one;
	unsigned n = 0;
	size_t at = 0;

	buf_add_ch(out, '[');
	for (size_t i = 0; i < node->nmetadata; i++) {
		buf_clear(&text);
		metadata_add_json(&text, &node->metadata[i], 1);
		add_tag(out, 't', buf_bytes(&text), &n);
	}
	while (s->endpoints.n && endpoints_next(s->endpoints, &at, &one))
		add_tag(out, 'e', one, &n);
	add_tag(out, 'v', s->version, &n);
	buf_add_ch(out, ']');
	buf_release(&text);
}

/* ---- reading ---- */

/* The text of a tag, appended to out. false: it is none. */
static bool
inflate_tag(struct buf *out, struct bytes hex)
{
	size_t begin = buf_len(out), n = hex.n / 2;
	z_stream z = { 0 };
	char *zip;
	int rc;

	if (!n || hex.n % 2)
		return false;
	zip = xmalloc(n);
	if (!hex_decode(zip, hex.p, hex.n) || inflateInit(&z) != Z_OK) {
		free(zip);
		return false;
	}
	z.next_in = (Bytef *)zip;
	z.avail_in = (uInt)n;
	do {
		size_t room = 1024;

		z.next_out = (Bytef *)buf_room(out, room);
		z.avail_out = (uInt)room;
		rc = inflate(&z, Z_NO_FLUSH);
		buf_added(out, room - z.avail_out);
	} while (rc == Z_OK && z.avail_out == 0 && buf_len(out) - begin <= CONSUL_TAG_MAX);
	inflateEnd(&z);
	free(zip);
	if (rc == Z_STREAM_END && buf_len(out) - begin <= CONSUL_TAG_MAX)
		return true;
	buf_truncate(out, begin);
	return false;
}

/* The offsets become pointers when all text is there. */
static struct bytes
at_offset(size_t offset, size_t n)
{
	return bytes_of((const char *)(uintptr_t)offset, n);
}

static struct bytes
resolved(const struct buf *text, struct bytes s)
{
	return bytes_of(buf_data(text) + (uintptr_t)s.p, s.n);
}

static void
add_text(struct consul_tags *t, const char *s, struct bytes *out)
{
	size_t n = strlen(s);

	*out = at_offset(buf_len(&t->text), n);
	buf_add(&t->text, s, n);
}

static void
read_metadata(struct consul_tags *t, struct bytes text)
{
	cJSON *doc = cJSON_ParseWithLength(text.p, text.n);

	for (const cJSON *v = cJSON_IsObject(doc) ? doc->child : NULL; v; v = v->next) {
		if (!cJSON_IsString(v) || !v->string || t->nmetadata == TAGS_MAX)
			continue;
		if (t->nmetadata == t->cap) {
			t->cap = t->cap ? 2 * t->cap : 8;
			t->metadata = xrealloc(t->metadata, t->cap * sizeof *t->metadata);
		}
		add_text(t, v->string, &t->metadata[t->nmetadata].key);
		add_text(t, v->valuestring, &t->metadata[t->nmetadata].value);
		t->nmetadata++;
	}
	cJSON_Delete(doc);
}

static void
read_tag(struct consul_tags *t, struct bytes tag)
{
	struct buf plain = BUF_INIT;
	struct bytes text = bytes_of(tag.p + 2, tag.n - 2);
	size_t had = buf_len(&t->tidied);

	if (tag.p[1] == '-') {
		if (!inflate_tag(&plain, text)) {
			buf_release(&plain);
			return;
		}
		text = buf_bytes(&plain);
	}
	if (*tag.p == 't') {
		read_metadata(t, text);
	} else if (*tag.p == 'v' && !t->version.n && utf8_valid(text.p, text.n)) {
		t->version = at_offset(buf_len(&t->text), text.n);
		buf_add_bytes(&t->text, text);
	} else if (*tag.p == 'e') {
		buf_add_ch(&t->tidied, had ? ',' : '[');
		if (endpoints_tidy_one(&t->tidied, text))
			buf_truncate(&t->tidied, had);
	}
	buf_release(&plain);
}

static int
by_key(const void *a, const void *b)
{
	const struct keyval *x = a, *y = b;

	return bytes_cmp(x->key, y->key);
}

void
consul_tags_read(struct consul_tags *t, const cJSON *array)
{
	unsigned n = 0;

	t->version = t->endpoints = at_offset(0, 0);
	t->nmetadata = 0;
	buf_clear(&t->text);
	buf_clear(&t->tidied);
	for (const cJSON *v = cJSON_IsArray(array) ? array->child : NULL; v; v = v->next) {
		struct bytes tag = cJSON_IsString(v) ? bytes_str(v->valuestring) : BYTES("");

		if (tag.n < 2 || !memchr("tev", *tag.p, 3) || !memchr("-=", tag.p[1], 2) ||
		    n++ >= TAGS_MAX || buf_len(&t->text) + buf_len(&t->tidied) > TAGS_SIZE_MAX)
			continue;
		read_tag(t, tag);
	}
	buf_room(&t->text, 1);
	t->version = resolved(&t->text, t->version);
	for (size_t i = 0; i < t->nmetadata; i++) {
		t->metadata[i].key = resolved(&t->text, t->metadata[i].key);
		t->metadata[i].value = resolved(&t->text, t->metadata[i].value);
	}
	if (t->nmetadata)
		qsort(t->metadata, t->nmetadata, sizeof *t->metadata, by_key);
	t->endpoints = (struct bytes){ NULL, 0 };
	if (buf_len(&t->tidied)) {
		buf_add_ch(&t->tidied, ']');
		t->endpoints = buf_bytes(&t->tidied);
	}
}

void
consul_tags_release(struct consul_tags *t)
{
	free(t->metadata);
	buf_release(&t->text);
	buf_release(&t->tidied);
	memset(t, 0, sizeof *t);
}
