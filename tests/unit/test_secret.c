/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords in texts, in argv and in environ; whether the process can be dumped. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/secret.h"
#include "tests/unit/test.h"

static const char *
masked(const char *text, bool to_blank)
{
	static char out[200];
	size_t n;

	snprintf(out, sizeof out, "%s", text);
	n = secret_mask(out, strlen(out), to_blank);
	out[n] = '\0';
	return out;
}

TEST(the_password_of_a_url_is_masked)
{
	static const char *const cases[][2] = {
		{ "redis://me:secret@host:1/0", "redis://me:xxxxx@host:1/0" },
		{ "redis://:secret@host", "redis://:xxxxx@host" },
		{ "-bredis://me:s@host", "-bredis://me:x@host" },
		{ "--url=a://b:seven77@c", "--url=a://b:xxxxx@c" },
		{ "a://b:secret1@c,d://e:secret2@f", "a://b:xxxxx@c,d://e:xxxxx@f" },
		/* Nothing to hide. */
		{ "a://b:@c", "a://b:@c" }, { "a://b@c", "a://b@c" }, { "a://b:1", "a://b:1" },
		{ "a:b@c", "a:b@c" }, { "://", "://" }, { "", "" }, { "a://", "a://" },
		/* No parser would take these, but they were meant. */
		{ "a://b:se/cr?et#1@c", "a://b:xxxxx@c" }, { "a://b:sec@ret@c", "a://b:xxxxx@c" },
		{ "://b:secret@c", "://b:xxxxx@c" }, { "a://b:sec ret@c", "a://b:xxxxx@c" },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check_str(masked(cases[i][0], false), cases[i][1]);
	/* In a sentence a URL ends somewhere. */
	check_str(masked("cannot reach a://h:1: ask x@y", true), "cannot reach a://h:1: ask x@y");
	check_str(masked("from a://b:secret@c to d://e:secret@f: no", true),
		"from a://b:xxxxx@c to d://e:xxxxx@f: no");
}

/* Every byte of the password is overwritten, also those behind the shorter text. */
TEST(nothing_is_left_behind_the_text)
{
	char text[] = "a://b:averylongsecretindeed@c";
	size_t n = secret_mask(text, sizeof text - 1, false);

	check_int(n, strlen("a://b:xxxxx@c"));
	for (size_t i = n; i < sizeof text - 1; i++)
		check_int(text[i], 0);
}

TEST(scrubbing)
{
	char word[] = "--url=null://me:secret@h", plain[] = "body";
	char password[] = "MBUS_PASSWORD=secret", url[] = "MICRO_BROKER_ADDRESS=a://b:secret@c/d";
	char other[] = "OTHER=a://b:mine@c";
	char *argv[] = { (char *)"mbus", word, plain, NULL };
	char *env[] = { password, url, other, NULL }, **was = environ;

	environ = env;
	secret_scrub(3, argv);
	check_int(prctl(PR_GET_DUMPABLE), 0);
	check_str(argv[1], "--url=null://me:secret@h");
	check(argv[1] != word && argv[2] == plain);
	check_str(word, "--url=null://me:xxxxx@h");
	check(!memmem(password, sizeof password, "secret", 6));
	check(!memmem(url, sizeof url, "secret", 6));
	check_str(secret_env("MBUS_PASSWORD"), "secret");
	check_str(secret_env("MICRO_BROKER_ADDRESS"), "a://b:secret@c/d");
	check(!getenv("MBUS_PASSWORD"));
	check_str(getenv("MICRO_BROKER_ADDRESS"), "a://b@c/d");
	check_str(secret_env("OTHER"), "a://b:mine@c");
	check(!secret_env("MBUS_NOTHING"));
	secret_wipe();
	check_int(prctl(PR_GET_DUMPABLE), 1);
	check(!secret_env("MBUS_PASSWORD"));
	secret_wipe();
	environ = was;
}

TEST(without_a_password_nothing_changes)
{
	char word[] = "a://b@c:1", variable[] = "MBUS_PASSWORD=";
	char *argv[] = { (char *)"mbus", word, NULL }, *env[] = { variable, NULL };
	char **was = environ;

	environ = env;
	secret_scrub(2, argv);
	check(argv[1] == word);
	check_str(word, "a://b@c:1");
	check_int(prctl(PR_GET_DUMPABLE), 1);
	check(!getenv("MBUS_PASSWORD"));
	environ = was;
}

TEST(what_is_kept_is_counted)
{
	struct bytes a = secret_keep("a\0b", 3), none = secret_keep(NULL, 0);

	check_bytes(a, BYTES("a\0b"));
	check_int(a.p[3], 0);
	check(none.p && none.n == 0);
	secret_wipe();
}
