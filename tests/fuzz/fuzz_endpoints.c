/* SPDX-License-Identifier: Apache-2.0 */
/* What is tidied is JSON, stays as it is when tidied again, and can be walked and shown. */
#include <stdlib.h>

#include "core/endpoints.h"
#include "core/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool cond)
{
	if (!cond)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf first = BUF_INIT, second = BUF_INIT, shown = BUF_INIT;
	char *text = malloc(size);	/* no byte behind it */
	struct bytes one;
	size_t at = 0, n = 0;

	memcpy(text, data, size);
	if (!endpoints_tidy(&first, bytes_of(text, size)) && buf_len(&first)) {
		must(json_valid(buf_data(&first), buf_len(&first)));
		must(!endpoints_tidy(&second, buf_bytes(&first)));
		must(bytes_eq(buf_bytes(&first), buf_bytes(&second)));
		while (endpoints_next(buf_bytes(&first), &at, &one)) {
			must(json_valid(one.p, one.n));
			endpoints_add_text(&shown, one, buf_add_bytes);
			n++;
		}
		must(n > 0 && at + 1 == buf_len(&first));
	}
	buf_release(&first);
	buf_release(&second);
	buf_release(&shown);
	free(text);
	return 0;
}
