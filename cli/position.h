/* SPDX-License-Identifier: Apache-2.0 */
/* Places in what a broker keeps, as `sub -o` has them. */
#ifndef MBUS_CLI_POSITION_H
#define MBUS_CLI_POSITION_H

#include "core/broker.h"

/* One value of -o into from or, "e@T", until: beginning, end, stored, N, -N, s@T,
 * e@T, or an id of the broker's own, which begins with a digit. T: milliseconds since
 * 1970, or RFC 3339. Each may be set once. -1: err (ERR_USAGE) says why. text is
 * borrowed. */
int position_parse(const char *text, struct position *from, struct position *until,
	struct error *err);

#endif
