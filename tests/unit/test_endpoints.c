/* SPDX-License-Identifier: Apache-2.0 */
#include "core/endpoints.h"
#include "tests/unit/test.h"

#include <stdlib.h>

static const char *
tidied(const char *text)
{
	static struct buf out;
	const char *why;

	buf_clear(&out);
	why = endpoints_tidy(&out, bytes_str(text));
	if (why)
		check_int(buf_len(&out), 0);
	return why ? why : buf_cstr(&out);
}

TEST(tidied_to_go_micros_shape)
{
	check_str(tidied("null"), "");
	check_str(tidied(" [ ] "), "");
	check_str(tidied("[{}]"), "[{}]");
	check_str(tidied("[{\"x\":[{}], \"name\" : \"a\\u0062\\\"\", \"request\":null}, {\"name\":null}]"),
		"[{\"name\":\"a\\u0062\\\"\",\"request\":null},{\"name\":\"\"}]");
	check_str(tidied("[{\"response\":{\"values\":[{\"name\":\"n\"},null], \"type\":\"T\"}}]"),
		"[{\"response\":{\"values\":[{\"name\":\"n\"},null],\"type\":\"T\"}}]");
	check_str(tidied("[{\"metadata\":{\"a\":\"b\",\"c\":null}}]"),
		"[{\"metadata\":{\"a\":\"b\",\"c\":\"\"}}]");
}

TEST(what_go_could_not_read)
{
	check_str(tidied(""), "not JSON");
	check_str(tidied("[{}"), "not JSON");
	check_str(tidied("[{}]]"), "not JSON");
	check_str(tidied("{}"), "no array");
	check_str(tidied("[[]]"), "not an object where one belongs");
	check_str(tidied("[{\"name\":1}]"), "not a string where one belongs");
	check_str(tidied("[{\"name\":\"a\",\"name\":\"b\"}]"), "a member is there twice");
	check_str(tidied("[{\"request\":[]}]"), "not an object where one belongs");
	check_str(tidied("[{\"request\":{\"values\":{}}}]"), "values is no array");
	check_str(tidied("[{\"metadata\":[]}]"), "metadata is no object");
	check_str(tidied("[{\"metadata\":{\"a\":1}}]"), "not a string where one belongs");
	check_str(tidied("[{\"name\":\"\xff\"}]"), "not UTF-8");
}

static const char *
nested(unsigned depth)
{
	struct buf text = BUF_INIT;
	const char *r;

	buf_add_str(&text, "[{\"request\":");
	for (unsigned i = 0; i < depth; i++)
		buf_add_str(&text, "{\"values\":[");
	for (unsigned i = 0; i < depth; i++)
		buf_add_str(&text, "]}");
	buf_add_str(&text, "}]");
	r = tidied(buf_cstr(&text));
	buf_release(&text);
	return r;
}

TEST(depth_is_bounded)
{
	check(*nested(ENDPOINTS_DEPTH_MAX) == '[');
	check_str(nested(ENDPOINTS_DEPTH_MAX + 1), "values in values in values, over 64 deep");
	check_str(nested(5000), "values in values in values, over 64 deep");
}

TEST(walked_and_shown)
{
	struct bytes all = BYTES("[{\"name\":\"A]}\\\"\",\"request\":{\"name\":\"Q\",\"type\":\"Q\","
		"\"values\":[{\"type\":\"int\",\"name\":\"n\"},{\"name\":\"l\"}]},\"metadata\":"
		"{\"k\\u0021\":\"v\",\"x\":\"\"}},{\"name\":\"B\",\"response\":{\"name\":\"R\"}}]"), one;
	struct buf out = BUF_INIT;
	size_t at = 0;

	check(endpoints_next(all, &at, &one));
	endpoints_add_text(&out, one, buf_add_bytes);
	check_str(buf_cstr(&out), "A]}\"(Q{n int, l})  k!=v x=");
	buf_clear(&out);
	check(endpoints_next(all, &at, &one));
	check_bytes(one, BYTES("{\"name\":\"B\",\"response\":{\"name\":\"R\"}}"));
	endpoints_add_text(&out, one, buf_add_bytes);
	check_str(buf_cstr(&out), "B() R");
	check(!endpoints_next(all, &at, &one));
	buf_release(&out);
}
