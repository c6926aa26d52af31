/* SPDX-License-Identifier: Apache-2.0 */
/* pub --template: what is replaced, what stays, and that nothing is read past an end. */
#include <stdlib.h>

#include "cli/pub_template.h"
#include "tests/unit/test.h"

/* Exactly n bytes with nothing behind them, for the sanitizers. */
static char *
exact(const char *p, size_t n)
{
	char *copy = xmalloc(n ? n : 1);

	if (n)
		memcpy(copy, p, n);
	return copy;
}

static void
becomes(struct bytes in, struct bytes want, unsigned env)
{
	struct pub_template t = { .env = env };
	char *copy = exact(in.p, in.n);
	struct publication p = { .topic = BYTES("t"), .msg = { .body = bytes_of(copy, in.n) } };

	pub_template_apply(&t, &p, 7);
	check_bytes(p.msg.body, want);
	check_bytes(p.topic, BYTES("t"));
	check(!p.msg.key.p);
	pub_template_release(&t);
	free(copy);
}

TEST(what_is_replaced_and_what_stays)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "", "" }, { "{n}", "7" }, { "a{n}b{n}", "a7b7" }, { "{{n}", "{n}" }, { "{{{n}}", "{7}" },
		{ "{", "{" }, { "{{", "{" }, { "{n", "{n" }, { "{}", "{}" }, { "{N}", "{N}" }, { "{n }", "{n }" },
		{ "{n:}", "{n:}" }, { "{ts:1}", "{ts:1}" }, { "{uuid:}", "{uuid:}" }, { "{rand}", "{rand}" },
		{ "{rand:}", "{rand:}" }, { "{rand:0}", "{rand:0}" }, { "{rand:65}", "{rand:65}" },
		{ "{rand:-1}", "{rand:-1}" }, { "{rand:001}", "{rand:001}" }, { "{env:}", "{env:}" },
		{ "{\"a\":{n},\"b\":{}}", "{\"a\":7,\"b\":{}}" }, { "{nn}{n}", "{nn}7" }, { "{x{n}", "{x7" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		becomes(bytes_str(cases[i].in), bytes_str(cases[i].want), TEMPLATE_ENV_BODY);
	becomes(BYTES("\0{n}\xff"), BYTES("\0" "7\xff"), 0);
}

TEST(the_environment_only_where_it_may)
{
	setenv("PUB_TEMPLATE", "x{n}", 1);
	unsetenv("PUB_TEMPLATE_NOT");
	becomes(BYTES("{env:PUB_TEMPLATE}"), BYTES("x{n}"), TEMPLATE_ENV_BODY);
	becomes(BYTES("{env:PUB_TEMPLATE}"), BYTES("{env:PUB_TEMPLATE}"), TEMPLATE_ENV_TOPIC);
	becomes(BYTES("{env:PUB_TEMPLATE_NOT}"), BYTES("{env:PUB_TEMPLATE_NOT}"), TEMPLATE_ENV_BODY);
	becomes(BYTES("{env:PUB\0TEMPLATE}"), BYTES("{env:PUB\0TEMPLATE}"), TEMPLATE_ENV_BODY);
}

TEST(every_field_again_and_again)
{
	struct header h[] = { { BYTES("{n}"), BYTES("{n}") }, { BYTES("b"), { NULL, 0 } } };
	struct pub_template t = { 0 };

	for (uint64_t n = 1; n < 100; n++) {
		struct publication p = { .topic = BYTES("t{n}"), .msg = { .key = BYTES("k{n}"), .headers = h,
			.nheaders = 2, .body = BYTES("{n} {uuid} {rand:64} {ts}") } };
		char want[8];

		pub_template_apply(&t, &p, n);
		snprintf(want, sizeof want, "%u", (unsigned)n);
		check_bytes(p.msg.headers[0].name, BYTES("{n}"));
		check_bytes(p.msg.headers[0].value, bytes_str(want));
		check(!p.msg.headers[1].value.p);
		check_int(p.topic.n, 1 + strlen(want));
		check_int(p.msg.key.n, 1 + strlen(want));
		check_int(p.msg.body.n, strlen(want) + 1 + 36 + 1 + 64 + 1 + 27);
		check(p.msg.body.p[strlen(want) + 15] == '4');
	}
	pub_template_release(&t);
}
