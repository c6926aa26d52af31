/* SPDX-License-Identifier: Apache-2.0 */
/* Levenshtein's distance, a row at a time; two letters that are swapped are one edit. */
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
	unsigned before[NEAREST_MAX + 1] = { 0 }, above[NEAREST_MAX + 1] = { 0 }, row[NEAREST_MAX + 1];

	for (unsigned j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		memcpy(before, above, sizeof before);
		memcpy(above, row, sizeof above);
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = least(above[j] + 1, row[j - 1] + 1,
				above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], row[j], before[j - 2] + 1);
		}
	}
	return row[nb];
}
