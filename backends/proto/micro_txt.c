/* SPDX-License-Identifier: Apache-2.0 */
/* go-micro's TXT record: see micro_txt.h. */
#include <stdlib.h>
#include <zlib.h>

#include "backends/proto/dns.h"
#include "backends/proto/micro_txt.h"
#include "core/endpoints.h"
#include "core/text.h"

/* ---- writing ---- */

void
micro_txt_write(struct buf *out, struct bytes service, struct bytes version,
	const struct keyval *metadata, size_t nmetadata, struct bytes endpoints)
{
	struct buf json = BUF_INIT, zip = BUF_INIT, hex = BUF_INIT;
	uLongf len;

	buf_add_str(&json, "{\"Metadata\":");
	metadata_add_json(&json, metadata, nmetadata);
	buf_add_str(&json, ",\"Service\":");
	json_add_go_string(&json, service);
	buf_add_str(&json, ",\"Version\":");
	json_add_go_string(&json, version);
	buf_add_str(&json, ",\"Endpoints\":");
	buf_add_bytes(&json, endpoints.n ? endpoints : BYTES("null"));
	buf_add_ch(&json, '}');

	len = compressBound(buf_len(&json));
	/* Fails only without memory, or without the room that was just asked for. */
	if (compress((Bytef *)buf_room(&zip, len), &len, (const Bytef *)buf_data(&json),
		    buf_len(&json)) != Z_OK)
		abort();
	buf_added(&zip, len);
	hex_encode(buf_room(&hex, 2 * len), buf_data(&zip), len);
	buf_added(&hex, 2 * len);
	dns_add_strings(out, buf_bytes(&hex));
	buf_release(&json);
	buf_release(&zip);
	buf_release(&hex);
}

/* ---- reading ---- */

void
micro_txt_init(struct micro_txt *t)
{
	memset(t, 0, sizeof *t);
}

void
micro_txt_release(struct micro_txt *t)
{
	if (t->inflater) {
		inflateEnd(t->inflater);
		free(t->inflater);
	}
	free(t->scan);
	free(t->metadata);
	buf_release(&t->hex);
	buf_release(&t->json);
	buf_release(&t->strings);
	buf_release(&t->tidied);
	micro_txt_init(t);
}

/* zip to t->json, at most MICRO_TXT_JSON_MAX bytes of it. What follows the end
 * of the stream is ignored, as Go ignores it. */
static const char *
inflate_all(struct micro_txt *t, char *zip, size_t n)
{
	z_stream *z = t->inflater;
	int rc;

	if (!z) {
		z = xcalloc(1, sizeof *z);
		if (inflateInit(z) != Z_OK)
			abort();
		t->inflater = z;
	} else {
		inflateReset(z);
	}
	z->next_in = (Bytef *)zip;
	z->avail_in = (uInt)n;
	buf_clear(&t->json);
	do {
		size_t had = buf_len(&t->json), room = had ? had : 2048;

		if (had >= MICRO_TXT_JSON_MAX)
			return "TXT: inflates to more than 1 MiB";
		z->next_out = (Bytef *)buf_room(&t->json, room);
		z->avail_out = (uInt)room;
		rc = inflate(z, Z_NO_FLUSH);
		buf_added(&t->json, room - z->avail_out);
	} while (rc == Z_OK && (z->avail_out == 0 || z->avail_in));
	return rc == Z_STREAM_END ? NULL : "TXT: not a zlib stream";
}

static bool
key_is(struct bytes got, const char *want)
{
	return got.n == strlen(want) && strncasecmp(got.p, want, got.n) == 0;
}

/* The string just scanned. What had to be mended is moved to t->strings, which
 * has room for all of the document and so never moves. */
static struct bytes
take_string(struct micro_txt *t, struct buf *mended)
{
	struct bytes s = json_unescape(t->scan, mended);
	char *kept;

	if (!mended->data || s.p < mended->data || s.p >= mended->data + mended->cap)
		return s;
	kept = buf_room(&t->strings, s.n);
	buf_add(&t->strings, s.p, s.n);
	return bytes_of(kept, s.n);
}

/* A string value, or null: then the result is what was there before. */
static const char *
read_string(struct micro_txt *t, struct buf *mended, struct bytes *out)
{
	switch (json_next(t->scan)) {
	case JSON_STRING:
		*out = take_string(t, mended);
		return NULL;
	case JSON_NULL:
		return NULL;
	case JSON_ERROR:
		return "TXT: not JSON";
	default:
		return "TXT: not a string where one belongs";
	}
}

static const char *
read_metadata(struct micro_txt *t, struct buf *mended)
{
	enum json_token tok = json_next(t->scan);
	const char *why;

	if (tok == JSON_NULL)
		return NULL;
	if (tok != JSON_OBJECT)
		return "TXT: Metadata is no object";
	while ((tok = json_next(t->scan)) == JSON_KEY) {
		struct keyval *kv;

		if (t->nmetadata == MICRO_TXT_METADATA_MAX)
			return "TXT: too much metadata";
		if (t->nmetadata == t->cap) {
			t->cap = t->cap ? 2 * t->cap : 8;
			t->metadata = xrealloc(t->metadata, t->cap * sizeof *t->metadata);
		}
		kv = &t->metadata[t->nmetadata];
		kv->key = take_string(t, mended);
		kv->value = BYTES("");
		why = read_string(t, mended, &kv->value);
		if (why)
			return why;
		t->nmetadata++;
	}
	return tok == JSON_OBJECT_END ? NULL : "TXT: not JSON";
}

/* Those that go-micro could not read are none; the node is one all the same. */
static const char *
read_endpoints(struct micro_txt *t)
{
	enum json_token tok = json_next(t->scan);
	const char *from = t->scan->p - 1;

	if (!json_skip(t->scan, tok))
		return "TXT: not JSON";
	buf_clear(&t->tidied);
	if (tok == JSON_ARRAY &&
	    !endpoints_tidy(&t->tidied, bytes_of(from, (size_t)(t->scan->p - from))) &&
	    buf_len(&t->tidied))
		t->endpoints = buf_bytes(&t->tidied);
	return NULL;
}

static const char *
read_object(struct micro_txt *t, struct buf *mended)
{
	enum json_token tok = json_next(t->scan);
	const char *why;

	if (tok != JSON_OBJECT)
		return "TXT: no JSON object";
	while ((tok = json_next(t->scan)) == JSON_KEY) {
		struct bytes key = take_string(t, mended);

		if (key_is(key, "Service"))
			why = read_string(t, mended, &t->service);
		else if (key_is(key, "Version"))
			why = read_string(t, mended, &t->version);
		else if (key_is(key, "Metadata"))
			why = read_metadata(t, mended);
		else if (key_is(key, "Endpoints"))
			why = read_endpoints(t);
		else
			why = json_skip(t->scan, json_next(t->scan)) ? NULL : "TXT: not JSON";
		if (why)
			return why;
	}
	return tok == JSON_OBJECT_END && json_next(t->scan) == JSON_END ? NULL : "TXT: not JSON";
}

/* Sorted, and of each key the last value only. qsort() is not stable, so equal
 * keys are told apart by where their text is: later is later. */
static int
by_key_and_place(const void *a, const void *b)
{
	const struct keyval *x = a, *y = b;
	int c = bytes_cmp(x->key, y->key);

	return c ? c : (x->key.p > y->key.p) - (x->key.p < y->key.p);
}

static void
sort_metadata(struct micro_txt *t)
{
	size_t n = 0;

	if (t->nmetadata == 0)
		return;
	qsort(t->metadata, t->nmetadata, sizeof *t->metadata, by_key_and_place);
	for (size_t i = 0; i < t->nmetadata; i++) {
		if (n && bytes_eq(t->metadata[n - 1].key, t->metadata[i].key))
			n--;
		t->metadata[n++] = t->metadata[i];
	}
	t->nmetadata = n;
}

const char *
micro_txt_read(struct micro_txt *t, struct bytes data)
{
	struct buf mended = BUF_INIT;
	const char *why;
	size_t n;

	t->service = t->version = BYTES("");
	t->endpoints = (struct bytes){ NULL, 0 };
	t->nmetadata = 0;
	buf_clear(&t->hex);
	if (!dns_read_txt(data, &t->hex))
		return "TXT: cut short";
	n = buf_len(&t->hex);
	if (n == 0 || n % 2 || !hex_decode(buf_data(&t->hex), buf_data(&t->hex), n))
		return "TXT: not hex";
	why = inflate_all(t, buf_data(&t->hex), n / 2);
	if (why)
		return why;
	if (!t->scan)
		t->scan = xmalloc(sizeof *t->scan);
	buf_clear(&t->strings);
	buf_room(&t->strings, 3 * buf_len(&t->json) + 1);
	json_scan_init(t->scan, buf_data(&t->json), buf_len(&t->json));
	why = read_object(t, &mended);
	buf_release(&mended);
	if (why)
		return why;
	sort_metadata(t);
	return NULL;
}
