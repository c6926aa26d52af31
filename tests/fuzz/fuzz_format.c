/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Format strings, native and mosquitto's. Properties: a string is compiled or refused in
 * the words of one usage error, without reading behind it; what was compiled takes any
 * event; on a terminal, nothing of the event acts (the string's own bytes may, so the
 * events' bytes are looked for).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/format_program.h"
#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define must(cond) do { if (!(cond)) abort(); } while (0)

static void
run(const char *text, bool mosquitto, struct bytes data)
{
	struct formatter f = { .format = &format_string, .broker = "b" };
	struct event ev = event_none;
	struct header h[2] = { { BYTES("h"), data }, { data, { NULL, 0 } } };
	struct buf out = BUF_INIT;
	struct error err;

	f.program = format_compile("-f", text, mosquitto, false, &err);
	if (!f.program) {
		must(err.kind == ERR_USAGE && !strchr(err.text, '\n'));
		return;
	}
	ev.topic = data;
	ev.msg.body = data;
	ev.msg.key = BYTES("\033");
	ev.msg.headers = h;
	ev.msg.nheaders = 2;
	ev.time_us = INT64_C(1795245676323709);
	format_add(&f, &out, &ev, 1);
	ev.msg = (struct message){ 0 };
	ev.time_us = -1;
	format_add(&f, &out, &ev, UINT64_MAX);
	f.terminal = true;
	buf_clear(&out);
	ev.msg.body = BYTES("\033[2J");
	format_add(&f, &out, &ev, 1);
	must(!buf_len(&out) || !memmem(buf_data(&out), buf_len(&out), "\033[2J", 4) || strstr(text, "\033[2J") ||
		strchr(text, '\\') || strchr(text, '\033'));
	format_program_free(f.program);
	buf_release(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xmemdup0(data, size);
	size_t n = strlen(text);
	struct bytes rest = bytes_of(data + (n < size ? n + 1 : size), n < size ? size - n - 1 : 0);

	run(text, false, rest);
	run(text, true, rest);
	free(text);
	return 0;
}
