/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoints of a service, as go-micro describes them to its registries: a JSON
 * array of
 *
 *	{"name":"Greeter.Hello","request":VALUE,"response":VALUE,"metadata":{"k":"v"}}
 *
 * where VALUE is {"name":"Request","type":"Request","values":[VALUE, ...]}, and each of
 * them may be null. They are kept as that text, tidied: what came is checked, so that
 * every go-micro program can read it again, and white space and unknown members are
 * left out. No I/O.
 */
#ifndef MBUS_CORE_ENDPOINTS_H
#define MBUS_CORE_ENDPOINTS_H

#include "core/buf.h"

enum {
	ENDPOINTS_DEPTH_MAX = 64,	/* of values in values */
	ENDPOINTS_SIZE_MAX = 1 << 20	/* bytes */
};

/* Appends the tidied array. An empty one and null append nothing. NULL, or why it is
 * none, with what was appended taken back: a literal. */
const char *endpoints_tidy(struct buf *, struct bytes text);
/* The same for one endpoint without the array. */
const char *endpoints_tidy_one(struct buf *, struct bytes text);
/* Walks over what is tidied, from *at = 0: the next endpoint's object. */
bool endpoints_next(struct bytes tidied, size_t *at, struct bytes *one);
/* Appends a tidied endpoint as people read it: "Greeter.Hello(Request{name string})
 * Response{msg string}  k=v". Strings are decoded, and show() adds them. */
void endpoints_add_text(struct buf *, struct bytes one, void (*show)(struct buf *, struct bytes));

#endif
