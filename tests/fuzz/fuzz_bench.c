/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved result of mbus bench. Properties: what is read, is written so that it reads
 * the same; whatever numbers it has, it can be shown, compared, merged and drawn.
 */
#include <stdlib.h>

#include "cli/bench_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool cond)
{
	if (!cond)
		abort();
}

static void
show(struct bench_result *r)
{
	struct bench_results one = { .v = r, .n = 1 };
	struct bench_result merged;
	struct buf out = BUF_INIT;
	struct error err;
	bool slower;

	print_head(&out, r);
	print_result(&out, r);
	print_clocks(&out, r);
	print_table(&out, r, 1);
	print_compare(&out, &one, "it", r, 1, 5, &slower);
	must(!slower);
	csv_results(&out, r, 1);
	hdr_result(&out, r);
	buf_clear(&out);
	svg_results(&out, r, 1);
	must(memmem(buf_data(&out), buf_len(&out), "</svg>", 6));
	for (size_t i = 0; i < buf_len(&out); i++)
		must((unsigned char)buf_data(&out)[i] >= 32 || buf_data(&out)[i] == '\n');
	if (results_merge(&one, &one, &merged, &err) == 0)
		result_release(&merged);
	buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bench_result r, again;
	struct buf text = BUF_INIT, twice = BUF_INIT;
	struct error err;
	bool is;

	if (json_read_result((const char *)data, size, &r, &is, &err) < 0 || !is)
		return 0;
	json_result(&text, &r);
	must(json_read_result(buf_data(&text), buf_len(&text), &again, &is, &err) == 0 && is);
	json_result(&twice, &again);
	must(bytes_eq(buf_bytes(&text), buf_bytes(&twice)));
	show(&r);
	result_release(&r);
	result_release(&again);
	buf_release(&text);
	buf_release(&twice);
	return 0;
}
