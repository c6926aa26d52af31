/* SPDX-License-Identifier: Apache-2.0 */
/* Modules lie beside the binaries of this build; tests in a folder of their own. */
#ifndef MBUS_TESTS_UNIT_MODULES_H
#define MBUS_TESTS_UNIT_MODULES_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
find_modules(void)
{
	char path[4096], dir[4200];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

	path[n > 0 ? n : 0] = '\0';
	*strrchr(path, '/') = '\0';
	snprintf(dir, sizeof dir, "%s/../modules", path);
	setenv("MBUS_MODULES", dir, 1);
	signal(SIGPIPE, SIG_IGN);
}

#endif
