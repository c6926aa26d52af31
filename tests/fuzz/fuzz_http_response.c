/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Response heads: the same properties as for requests (see http.h here), and a
 * status in range. The input also goes into our own error reply as its detail,
 * which must come out as one well-framed response.
 */
#include "tests/fuzz/http.h"

static void
check_reply(const uint8_t *data, size_t n)
{
	static const unsigned status[] = { 404, 405, 500 };
	char date[30];
	struct buf out = BUF_INIT;
	struct http_head h;
	const char *error;
	int64_t seconds = 0;

	memcpy(&seconds, data, n < 8 ? n : 8);
	http_date(date, seconds);
	must(strlen(date) == 29);
	http_add_error(&out, status[n % 3], bytes_of(data, n), date, n & 1);
	must(http_response_parse(&h, buf_data(&out), buf_len(&out), &error) == HTTP_OK);
	must(h.status == status[n % 3] && h.has_length && h.keep_alive == !(n & 1));
	must(h.size + h.content_length == buf_len(&out));
	buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	struct http_head h;

	if (check_head(http_response_parse, &h, p, n)) {
		must_lie_in(h.reason, p, h.size);
		must_lie_in(h.content_type, p, h.size);
		must(h.status >= 100 && h.status <= 599);
		must(!(h.chunked && h.has_length));
		must(memcmp(p + h.size - 4, "\r\n\r\n", 4) == 0);
	}
	check_reply(data, n);
	return 0;
}
