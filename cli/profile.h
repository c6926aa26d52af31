/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of the config file, without any I/O and without knowing an option:
 *
 *	# a comment, also ;
 *	wire = raw			what stands before the first section is [default]
 *	[work]
 *	url = mqtts://me@broker.example
 *	header = " blanks at its ends are kept in quotes "
 *	mqtt.qos = 1			an option that -X has
 *
 * Blanks around names and values are no part of them. A '#' in a value is one: URLs
 * and formats have it.
 */
#ifndef MBUS_CLI_PROFILE_H
#define MBUS_CLI_PROFILE_H

#include "core/error.h"

struct profile_line {
	const char *section;		/* "default" before the first one */
	const char *name, *value;
	unsigned line;			/* of the file, from 1 */
};

struct profile {
	struct profile_line *v;		/* in the order of the file */
	size_t n;
	const char **sections;		/* each once, in their order; an empty one, too */
	size_t nsections;
};

/* text[n] is a NUL; the text is cut up, and the lines point into it. -1: err says, with
 * file and line in front, what is wrong; p is then to be released all the same. */
int profile_parse(char *text, size_t n, const char *file, struct profile *p, struct error *);
void profile_release(struct profile *);
bool profile_has(const struct profile *, const char *section);

#endif
