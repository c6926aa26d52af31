/* SPDX-License-Identifier: Apache-2.0 */
/* How far apart two names are, for "did you mean". */
#ifndef MBUS_CORE_NEAREST_H
#define MBUS_CORE_NEAREST_H

/* The number of characters to add, drop or change to get from a to b, looking
 * at the first 31 of each. */
unsigned edit_distance(const char *a, const char *b);

#endif
