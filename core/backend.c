/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of brokers, registries and TLS (from backends.def and the Makefile's
 * word on what was built), and the loader of modules.
 *
 * A module is looked for beside the binary: modules/NAME.so in the build tree,
 * ../lib/mbus/NAME.so after `make install`, so neither needs a setting.
 * MBUS_MODULES names one more directory, to be looked at first; it is ignored
 * when the program runs with more rights than its user.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "config.h"
#include "core/log.h"
#include "core/nearest.h"
#include "core/tls.h"

/* Weak: NULL where the Makefile left that backend out of the binary. */
#define BROKER(n, schemes, summary, package) \
	extern const struct broker_ops n##_broker_ops __attribute__((weak));
#define DRIVER(n, schemes, summary, package) \
	extern const struct broker_ops n##_driver_ops __attribute__((weak));
#define REGISTRY(n, summary, package) \
	extern const struct registry_ops n##_registry_ops __attribute__((weak));
#define LAYER(n, summary, package) \
	extern const struct tls_ops n##_layer_ops __attribute__((weak));
#include "core/backends.def"
#undef BROKER
#undef DRIVER
#undef REGISTRY
#undef LAYER

#define BROKER(n, schemes, summary, package) { #n, schemes, summary, package, &n##_broker_ops },
#define DRIVER(n, schemes, summary, package)
#define REGISTRY(n, summary, package)
#define LAYER(n, summary, package)
const struct backend broker_table[] = {
#include "core/backends.def"
	{ NULL }
};
#undef BROKER
#define BROKER(n, schemes, summary, package)
#undef DRIVER
#define DRIVER(n, schemes, summary, package) { #n, schemes, summary, package, &n##_driver_ops },
const struct backend driver_table[] = {
#include "core/backends.def"
	{ NULL }
};
#undef DRIVER
#define DRIVER(n, schemes, summary, package)
#undef REGISTRY
#define REGISTRY(n, summary, package) { #n, NULL, summary, package, &n##_registry_ops },
const struct backend registry_table[] = {
#include "core/backends.def"
	{ NULL }
};
#undef REGISTRY
#define REGISTRY(n, summary, package)
#undef LAYER
#define LAYER(n, summary, package) { #n, NULL, summary, package, &n##_layer_ops },
const struct backend tls_table[] = {
#include "core/backends.def"
	{ NULL }
};

static const char *const built_modules[] = { BUILT_MODULES NULL };

enum backend_state
backend_state(const struct backend *row)
{
	if (row->ops)
		return BACKEND_BUILTIN;
	for (const char *const *m = built_modules; *m; m++)
		if (strcmp(*m, row->name) == 0)
			return BACKEND_MODULE;
	return BACKEND_NOT_BUILT;
}

/* ---- modules ---- */

/* By us as we are now: access() would ask for the real user, without capabilities. */
static bool
can_read(const char *path)
{
	return faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0;
}

/* This program's file. Without /proc it is what it was started as, which is a word of
 * whoever started it: nothing to go by for one with more rights than its user. */
static bool
own_path(char exe[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", exe, PATH_MAX - 1);
	const char *given = (const char *)getauxval(AT_EXECFN);

	if (n > 0) {
		exe[n] = '\0';
		return true;
	}
	return given && !getauxval(AT_SECURE) && realpath(given, exe);
}

/* Where the first NAME.so is that is there. false: none is. */
static bool
module_path(char *out, size_t size, const char *name)
{
	const char *dir = secure_getenv("MBUS_MODULES");
	char exe[PATH_MAX];

	if (dir && *dir) {
		snprintf(out, size, "%s/%s.so", dir, name);
		if (can_read(out))
			return true;
	}
	if (!own_path(exe))
		return false;
	*strrchr(exe, '/') = '\0';
	snprintf(out, size, "%s/modules/%s.so", exe, name);
	if (can_read(out))
		return true;
	snprintf(out, size, "%s/../lib/mbus/%s.so", exe, name);
	return can_read(out);
}

/* A module is asked for where its capabilities count and where it is used. */
static struct {
	const struct backend *row;
	const struct module *module;
} loaded[16];

static const struct module *
module_load(const struct backend *row, const char *what, struct error *err)
{
	const size_t max = sizeof loaded / sizeof *loaded;
	const struct module *m;
	size_t slot = 0;
	char path[PATH_MAX + 64];
	void *handle;

	while (slot < max && loaded[slot].row && loaded[slot].row != row)
		slot++;
	if (slot < max && loaded[slot].row)
		return loaded[slot].module;
	if (!module_path(path, sizeof path, row->name)) {
		error_set(err, ERR_NOTFOUND, own_path(path) ? "the %s %s is built, but its module "
			"%s.so is not beside the binary (make install, or MBUS_MODULES=DIR)" :
			"the %s %s is a module, %s.so, and without /proc it cannot be told where "
			"(MBUS_MODULES=DIR)", row->name, what, row->name);
		return NULL;
	}
	handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		if (row->package)
			error_set(err, ERR_NOTFOUND, "the %s %s needs the Debian package %s: %s",
				row->name, what, row->package, dlerror());
		else
			error_set(err, ERR_NOTFOUND, "the %s %s cannot be loaded: %s",
				row->name, what, dlerror());
		return NULL;
	}
	m = dlsym(handle, "mbus_module");
	if (!m || m->abi != MODULE_ABI || m->broker_size != sizeof(struct broker_ops)) {
		error_set(err, ERR_NOTFOUND, "the %s %s: %s is of another version of mbus",
			row->name, what, path);
		dlclose(handle);
		return NULL;
	}
	log_debug("%s %s: loaded %s", row->name, what, path);
	if (slot < max) {
		loaded[slot].row = row;
		loaded[slot].module = m;
	}
	return m;
}

/* A module brings brokers, registries or TLS; the row's table says which of
 * them is wanted. */
static const void *
module_ops(const struct module *m, const struct backend *table, const char *name)
{
	if (table == broker_table) {
		for (const struct broker_ops *const *o = m->brokers; o && *o; o++)
			if (strcmp((*o)->name, name) == 0)
				return *o;
	} else if (table == driver_table) {
		return m->brokers ? m->brokers[0] : NULL;
	} else if (table == tls_table) {
		return m->tls;
	} else {
		for (const struct registry_ops *const *o = m->registries; o && *o; o++)
			if (strcmp((*o)->name, name) == 0)
				return *o;
	}
	return NULL;
}

/* ---- finding ---- */

bool
schemes_have(const char *schemes, struct bytes scheme)
{
	for (const char *s = schemes; s && *s;) {
		size_t n = strcspn(s, " ");

		if (n == scheme.n && strncasecmp(s, scheme.p, n) == 0)
			return true;
		s += n + (s[n] == ' ');
	}
	return false;
}

bool
backend_has_scheme(const struct backend *row, struct bytes scheme)
{
	return schemes_have(row->schemes, scheme);
}

const struct backend *
broker_of_scheme(struct bytes scheme)
{
	for (const struct backend *row = broker_table; row->name; row++)
		if (backend_has_scheme(row, scheme))
			return row;
	return NULL;
}

/* What go-micro's users may well ask for, and this version does not have. */
static const char *const others[] = {
	"activemq", "consul", "etcd", "eureka", "file", "gocloud", "googlepubsub", "gossip",
	"grpc", "kestrel", "kubernetes", "memory", "nacos", "nats", "nsq",
	"proxy", "rabbitmq", "segmentio", "service", "snssqs", "sqs", "stan", "stomp",
	"zookeeper", NULL
};

static void
unknown_name(const struct backend *table, const char *what, const char *name, struct error *err)
{
	const char *near = NULL;
	unsigned best = 3;

	for (const char *const *o = others; *o; o++)
		if (strcmp(*o, name) == 0) {
			error_set(err, ERR_NOTFOUND, "this version of mbus has no %s %s (mbus --list "
				"shows what it has)", name, what);
			return;
		}
	for (const struct backend *row = table; row->name; row++) {
		unsigned d = edit_distance(name, row->name);

		if (d < best) {
			best = d;
			near = row->name;
		}
	}
	if (near)
		error_set(err, ERR_USAGE, "no such %s: %s (did you mean %s? mbus --list shows all)",
			what, name, near);
	else
		error_set(err, ERR_USAGE, "no such %s: %s (mbus --list shows all)", what, name);
}

const void *
backend_find(const struct backend *table, const char *what, const char *name,
	struct error *err)
{
	const struct backend *row = table;
	const struct module *m;
	const void *ops;

	while (row->name && strcmp(row->name, name) != 0)
		row++;
	if (!row->name) {
		unknown_name(table, what, name, err);
		return NULL;
	}
	switch (backend_state(row)) {
	case BACKEND_BUILTIN:
		return row->ops;
	case BACKEND_NOT_BUILT:
		error_set(err, ERR_NOTFOUND, "the %s %s is known, but was left out of this build "
			"(make MODULES=\"... %s\")", name, what, name);
		return NULL;
	case BACKEND_MODULE:
		break;
	}
	m = module_load(row, what, err);
	if (!m)
		return NULL;
	ops = module_ops(m, table, name);
	if (!ops)
		error_set(err, ERR_NOTFOUND, "the %s %s is not in its module", name, what);
	return ops;
}

const struct broker_ops *
broker_find(const char *name, struct error *err)
{
	return backend_find(broker_table, "broker", name, err);
}

const struct registry_ops *
registry_find(const char *name, struct error *err)
{
	return backend_find(registry_table, "registry", name, err);
}
