/* SPDX-License-Identifier: Apache-2.0 */
/* Levenshtein's distance, one row at a time. */
#include "core/nearest.h"

#include <string.h>

enum { NEAREST_MAX = 31 };

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

unsigned
edit_distance(const char *a, const char *b)
{
	size_t na = strnlen(a, NEAREST_MAX), nb = strnlen(b, NEAREST_MAX);
	unsigned row[NEAREST_MAX + 1];

	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned above = row[j];

			row[j] = least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[nb];
}
