/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters of a URL: mqtt://HOST/TOPIC?wire=raw&qos=1&version=5. Each is an option
 * that asks something of the broker, by its long name, or an -X option of that broker,
 * with or without its name in front. '%XX' stands for a byte in names and values.
 *
 * They come before profiles and the environment, and behind the command line. Of a URL
 * on the command line each acts or is refused, as an option there is; of one in the
 * environment or a profile, what does not apply is ignored. What runs a program, names a
 * password's file or has nothing to do with the broker is refused: URLs come from
 * elsewhere more often than options do.
 *
 * The query of a URL whose path is the backend's own (ws://) goes to the server as it is.
 */
#ifndef MBUS_CLI_URL_PARAMS_H
#define MBUS_CLI_URL_PARAMS_H

#include "cli/cli.h"

struct url_param {
	const char *name, *value;	/* decoded */
	const struct opt *opt;		/* NULL: an -X option, or not looked up yet */
};

struct url_params {
	struct url_param *v;
	size_t n;
	size_t first_x, nx;		/* which of xopts they are */
};

/* Takes the parameters off a list of addresses, of which out gets the rest. own: the
 * schemes, with blanks between, whose queries stay; may be NULL. Two values of one name
 * contradict each other. -1: err; what is in p is then to be released all the same. */
int url_params_take(struct bytes list, const char *own, struct url_params *p, struct buf *out,
	struct error *);
void url_params_release(struct url_params *);

/* After the command line and the config file: puts those of --url and --address, if they
 * have any, into args, whose first member is common_args. */
int url_params_apply(void *args, const struct opt_set *, const struct command *,
	struct error *);

/* The parameter that this row's value comes from; NULL: none. */
const struct url_param *url_params_find(const struct common_args *, const struct opt *);

#endif
