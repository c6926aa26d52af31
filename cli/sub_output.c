/* SPDX-License-Identifier: Apache-2.0 */
/* Which of sub's outputs is wanted: see sub_output.h. */
#include "cli/sub_output.h"

#include <stdlib.h>

#include "cli/delim.h"
#include "cli/format_program.h"

static int
choose_end(const struct sub_output *o, struct formatter *f, struct error *err)
{
	if ((o->delim != NULL) + o->nul + o->no_newline > 1)
		return error_set(err, ERR_USAGE, "only one of -D, -0, -N");
	if ((o->delim || o->nul || o->no_newline) && f->format == &format_text)
		return error_set(err, ERR_USAGE, "-D, -0 and -N go with -J, -f, -F, --body, --raw, "
			"--hex or --line");
	/* The delimiter is the user's alone, so that it can be freed. */
	if (o->delim)
		return delim_parse("-D", o->delim, &f->end, err);
	if (o->nul)
		f->end = bytes_of("", 1);
	else if (o->no_newline)
		f->end = BYTES("");
	else if (o->mosquitto)
		f->end = BYTES("\n");
	return 0;
}

int
sub_output_choose(const struct sub_output *o, struct formatter *f, struct error *err)
{
	bool string = o->format || o->mosquitto;

	if (o->json + o->body + o->raw + o->hex + o->line + (o->format != NULL) +
	    (o->mosquitto != NULL) > 1)
		return error_set(err, ERR_USAGE,
			"only one of -J, -f, -F, --body, --raw, --hex, --line");
	f->format = o->json ? &format_json : o->body ? &format_body : o->raw ? &format_raw :
		o->hex ? &format_hex : o->line ? &format_line : string ? &format_string :
		&format_text;
	if (o->body_json && !o->json)
		return error_set(err, ERR_USAGE, "--body-json goes with -J (in a format it is %%J)");
	if (o->pretty && f->format != &format_json && f->format != &format_text)
		return error_set(err, ERR_USAGE, "--pretty goes with -J or the default output");
	if (o->local_time && f->format != &format_text && !string)
		return error_set(err, ERR_USAGE, "--local-time goes with the default output, -f or "
			"-F%s", o->json ? " (-J has UTC, for programs)" : "");
	f->max_body = o->max_body;
	f->body_json = o->body_json;
	f->pretty = o->pretty;
	f->stamp.local = o->local_time;
	if (string) {
		f->program = format_compile(o->format ? "-f" : "-F",
			o->format ? o->format : o->mosquitto, o->mosquitto != NULL, o->local_time, err);
		if (!f->program)
			return -1;
	}
	return choose_end(o, f, err);
}

bool
sub_output_is_chosen(const struct sub_output *o)
{
	return o->json || o->body || o->raw || o->hex || o->line || o->format || o->mosquitto ||
		o->pretty || o->local_time;
}

bool
sub_output_wants_headers(const struct formatter *f)
{
	return f->format == &format_json || f->format == &format_text ||
		(f->program && f->program->headers);
}

void
sub_output_release(struct formatter *f)
{
	format_program_free(f->program);
	buf_release(&f->line);
}
