/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where to connect, as whom, and how: see connect.h. What comes first where several
 * say it: an option, then the URL, then the environment.
 */
#include "cli/connect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/heed.h"
#include "cli/prompt.h"
#include "core/address.h"
#include "core/secret.h"
#include "core/units.h"

enum { PASSWORD_MAX = 65535 };	/* what MQTT can carry */

/* ---- TLS ---- */

bool
connect_tls(const struct tls_options *t)
{
	return t->on || t->insecure || t->ca || t->cert || t->key || t->sni;
}

static int
check_tls(const struct tls_options *t, struct error *err)
{
	if (t->key && !t->cert)
		return error_set(err, ERR_USAGE, "--tls-key goes with --tls-cert");
	if (t->insecure && t->ca)
		return error_set(err, ERR_USAGE, "--tls-ca says whom to trust, --tls-insecure that "
			"anybody is trusted: one of them");
	if (t->sni && (!*t->sni || strlen(t->sni) > 253))
		return error_set(err, ERR_USAGE, "--tls-sni: a host's name or address");
	return 0;
}

/* ---- files with a secret ---- */

/* Up to and without the newline, a byte at a time: what is behind it is others'. */
static ssize_t
read_line(char *p, size_t size)
{
	size_t n = 0;
	ssize_t r = 1;

	prompt_begin("Password: ");
	while (n < size && r > 0) {
		r = read(STDIN_FILENO, p + n, 1);

		if (r < 0 && errno == EINTR)
			r = 1;
		else if (r > 0 && p[n++] == '\n')
			break;
	}
	prompt_end();
	return r < 0 ? -1 : (ssize_t)n;
}

static ssize_t
read_all(int fd, char *p, size_t size)
{
	size_t n = 0;

	while (n < size) {
		ssize_t r = read(fd, p + n, size - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		n += (size_t)r;
	}
	return (ssize_t)n;
}

static ssize_t
read_file(const char *what, const char *path, char *p, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), saved;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 044))
		log_warn("%s: others can read %s, too (chmod 600)", what, path);
	n = read_all(fd, p, size);
	saved = errno;
	close(fd);
	errno = saved;
	return n;
}

/* The last line end, of any system, is the editor's and no part of it. */
static size_t
chomp(const char *p, size_t n)
{
	if (n && p[n - 1] == '\n')
		n--;
	else
		return n;
	return n && p[n - 1] == '\r' ? n - 1 : n;
}

int
connect_secret(const char *what, const char *path, struct bytes *out, struct error *err)
{
	bool std = strcmp(path, "-") == 0;
	const char *name = std ? "stdin" : path;
	char text[PASSWORD_MAX + 3];	/* one more than fits, and a line's end */
	ssize_t got = std ? read_line(text, sizeof text) :
		read_file(what, path, text, sizeof text);
	size_t n = got > 0 ? chomp(text, (size_t)got) : 0;
	int r = 0;

	if (got < 0)
		r = error_sys(err, ERR_LOCAL_IO, "%s %s", what, name);
	else if (!n)
		r = error_set(err, ERR_USAGE, "%s %s: %s is empty", what, name,
			std ? "its first line" : "the file");
	else if (n > PASSWORD_MAX)
		r = error_set(err, ERR_USAGE, "%s %s: more than %d bytes", what, name,
			PASSWORD_MAX);
	else if (memchr(text, '\n', n))
		r = error_set(err, ERR_USAGE, "%s %s: more than one line", what, name);
	else
		*out = secret_keep(text, n);
	explicit_bzero(text, sizeof text);
	return r;
}

/* ---- URLs ---- */

/* Is the scheme of a URL a broker that has none, or one that mbus has not yet? */
static bool
scheme_is_name(struct bytes scheme, struct error *err)
{
	char *name = xmemdup0(scheme.p, scheme.n);
	bool is = broker_find(name, err) != NULL;

	if (is)
		error_set(err, ERR_NOTFOUND, "--url: %s has no server to name: its subscribers are "
			"found by the registry (-B %s)", name, name);
	else if (err->kind == ERR_NOTFOUND)
		error_prefix(err, "--url");
	free(name);
	return is || err->kind == ERR_NOTFOUND;
}

/* The broker of a scheme; says which there are when there is none. */
static const struct backend *
scheme_broker(struct bytes scheme, struct error *err)
{
	const struct backend *row = broker_of_scheme(scheme);
	struct buf known = BUF_INIT;

	if (row)
		return row;
	if (scheme_is_name(scheme, err))
		return NULL;
	for (row = broker_table; row->name; row++)
		if (row->schemes)
			buf_addf(&known, "%s%s", buf_len(&known) ? " " : "", row->schemes);
	error_set(err, ERR_USAGE, "--url: no broker has the scheme %.*s:// (there are: %s)",
		scheme.n > 40 ? 40 : (int)scheme.n, scheme.p, buf_cstr(&known));
	buf_release(&known);
	return NULL;
}

/* Is it, by its scheme, another broker's address? */
static const struct backend *
other_broker(const struct common_args *c, struct bytes scheme)
{
	const struct backend *row = scheme.p ? broker_of_scheme(scheme) : NULL;

	return row && strcmp(row->name, c->broker) != 0 ? row : NULL;
}

static int
check_scheme(const struct common_args *c, struct bytes scheme, struct error *err)
{
	const struct backend *row = other_broker(c, scheme);

	if (!row)
		return 0;
	if (c->url)
		return error_set(err, ERR_USAGE, "--url: its addresses are those of two brokers, "
			"%s and %s", c->broker, row->name);
	return error_set(err, ERR_USAGE, "the address begins with %.*s://, which the %s broker "
		"has, but the broker is %s (-B %s, or --url for both)", BYTES_FMT(scheme),
		row->name, c->broker, row->name);
}

/* A part of a URL, which all URLs of a list have to agree on. %XX are decoded; a NUL
 * cannot be in what is a string later. */
static int
agree(const char *what, struct bytes text, const char **have, struct error *err)
{
	char *p = xmemdup0(text.p, text.n);
	size_t n = address_decode(p, text.n);
	int r = 0;

	p[n] = '\0';
	if (memchr(p, '\0', n))
		r = error_set(err, ERR_USAGE, "the URL's %s: a NUL in it", what);
	else if (*have && strcmp(*have, p) != 0)
		r = error_set(err, ERR_USAGE, "the URLs name two %ss; there can be one", what);
	if (r < 0 || *have)
		free(p);
	else
		*have = p;
	return r;
}

static int
take_password(struct common_args *c, struct bytes text, struct error *err)
{
	struct bytes pw = secret_keep(text.p, text.n);

	pw.n = address_decode((char *)pw.p, pw.n);
	((char *)pw.p)[pw.n] = '\0';
	if (c->url_password.p && !bytes_eq(c->url_password, pw))
		return error_set(err, ERR_USAGE, "the URLs have two passwords; there can be one");
	if (pw.n > PASSWORD_MAX)
		return error_set(err, ERR_USAGE, "the URL's password: more than %d bytes",
			PASSWORD_MAX);
	c->url_password = pw;
	return 0;
}

/* USER, USER:PASSWORD or :PASSWORD. */
static int
take_userinfo(struct common_args *c, struct bytes info, struct error *err)
{
	const char *colon = memchr(info.p, ':', info.n), *end = info.p + info.n;
	const char *stop = colon ? colon : end;

	if (stop > info.p &&
	    agree("user", bytes_of(info.p, (size_t)(stop - info.p)), &c->url_user, err) < 0)
		return -1;
	if (!colon || colon + 1 == end)
		return 0;
	return take_password(c, bytes_of(colon + 1, (size_t)(end - colon - 1)), err);
}

/* The path of a URL, where that is the broker's topic. *taken: it was. */
static int
take_path(struct common_args *c, const struct address *a, bool *taken, struct error *err)
{
	const struct broker_ops *ops = a->path.n ? broker_find(c->broker, err) : NULL;

	*taken = false;
	if (!a->path.n)
		return 0;
	if (!ops)
		return -1;
	if (!ops->url_path || strcmp(ops->url_path, "topic") != 0 ||
	    schemes_have(ops->path_schemes, a->scheme))
		return 0;
	*taken = true;
	return agree("topic", a->path, &c->topic, err);
}

/* Adds one address to out, without what is no part of it for a backend. */
static int
take_address(struct common_args *c, struct bytes one, struct buf *out, struct error *err)
{
	struct address a;
	bool topic;
	const char *p = one.p, *end = one.p + one.n;

	if (address_parse(one, &a, err) < 0 || check_scheme(c, a.scheme, err) < 0)
		return -1;
	if (a.userinfo.p) {
		if (take_userinfo(c, a.userinfo, err) < 0)
			return -1;
		buf_add(out, p, (size_t)(a.userinfo.p - p));
		p = a.userinfo.p + a.userinfo.n + 1;
	}
	if (take_path(c, &a, &topic, err) < 0)
		return -1;
	if (topic) {
		buf_add(out, p, (size_t)(a.path.p - 1 - p));
		p = a.path.p + a.path.n;
	}
	buf_add(out, p, (size_t)(end - p));
	return 0;
}

/* A list of addresses with URLs among them. */
static int
take_addresses(struct common_args *c, const char *text, struct error *err)
{
	struct bytes list = bytes_str(text), one;
	struct buf out = BUF_INIT;
	int r = 0;

	while (r == 0 && address_next(&list, &one)) {
		if (buf_len(&out))
			buf_add_ch(&out, ',');
		r = take_address(c, one, &out, err);
	}
	c->server = xmemdup0(buf_data(&out), buf_len(&out));
	buf_release(&out);
	return r;
}

static int
take_url(struct common_args *c, struct error *err)
{
	const char *colon = strstr(c->url, "://");
	const struct backend *row;

	/* The environment's broker and address are overruled, an option is not. */
	if (c->broker != c->env_broker)
		return error_set(err, ERR_USAGE, "--url says which broker, and so does -B: one of "
			"them");
	if (c->address != c->env_address)
		return error_set(err, ERR_USAGE, "--url says which address, and so does -b: one of "
			"them");
	if (!colon)
		return error_set(err, ERR_USAGE, "--url: write SCHEME://HOST");
	row = scheme_broker(bytes_of(c->url, (size_t)(colon - c->url)), err);
	if (!row)
		return -1;
	c->broker = row->name;
	return take_addresses(c, c->url, err);
}

/* ---- the whole ---- */

static int
read_reconnect(struct common_args *c, struct error *err)
{
	uint64_t n;

	if (!c->reconnect)
		return 0;
	if (strcmp(c->reconnect, "no") == 0)
		c->reconnect_n = 0;
	else if (strcmp(c->reconnect, "always") == 0)
		c->reconnect_n = -1;
	else if (units_count(c->reconnect, 1000000, &n))
		c->reconnect_n = (int)n;
	else
		return error_set(err, ERR_USAGE, "--reconnect: '%s' is neither a number of "
			"attempts up to 1000000 nor no or always", opt_shown(c->reconnect));
	return 0;
}

int
connect_check(struct common_args *c, struct error *err)
{
	if (c->username && !*c->username)
		return error_set(err, ERR_USAGE, "--username: it is empty");
	if (check_tls(&c->tls, err) < 0)
		return -1;
	/* Who says whom to trust or who we are means to be heard by nobody else. */
	c->tls.on = connect_tls(&c->tls);
	return read_reconnect(c, err);
}

/* The environment's address, where the command line has another broker. */
static bool
does_not_apply(const struct common_args *c)
{
	const char *colon = c->address ? strstr(c->address, "://") : NULL;

	return colon && c->address == c->env_address && c->broker != c->env_broker &&
		other_broker(c, bytes_of(c->address, (size_t)(colon - c->address)));
}

int
connect_urls(struct common_args *c, struct error *err)
{
	if (c->server)
		return 0;
	if (!c->url && strchr(c->broker, ':'))
		return error_set(err, ERR_USAGE, "-B: '%s' is no broker's name (a URL is --url)",
			opt_shown(c->broker));
	if (c->url)
		return take_url(c, err);
	if (does_not_apply(c))
		c->address = NULL;
	return c->address && strstr(c->address, "://") ? take_addresses(c, c->address, err) : 0;
}

void
connect_release(struct common_args *c)
{
	free((char *)c->server);
	free((char *)c->topic);
	free((char *)c->url_user);
	c->server = c->topic = c->url_user = NULL;
}

const char *
connect_given(const struct common_args *c)
{
	return c->url ? "--url" : c->reconnect ? "--reconnect" :
		heed_given(c, "wire") ? "--wire" : NULL;
}

/* Without a word of the user's about this run, what is in the environment is for
 * brokers that have passwords. */
static int
find_password(struct common_args *c, bool has_users, struct error *err)
{
	const char *text = secret_env("MBUS_PASSWORD"), *file = secret_env("MBUS_PASSWORD_FILE");

	if (c->password_file)
		return connect_secret("--password-file", c->password_file, &c->password, err);
	c->password = c->url_password;
	if (c->password.p || !has_users)
		return 0;
	text = text && *text ? text : NULL;
	file = file && *file ? file : NULL;
	if (text && file)
		return error_set(err, ERR_USAGE, "MBUS_PASSWORD and MBUS_PASSWORD_FILE are both "
			"set: one of them");
	if (file)
		return connect_secret("MBUS_PASSWORD_FILE", file, &c->password, err);
	c->password = bytes_str(text);
	return 0;
}

static bool
is_secret(const struct broker_option *options, const char *name)
{
	for (const struct broker_option *o = options; o && o->name; o++)
		if (o->secret && strcmp(o->name, name) == 0)
			return true;
	return false;
}

/* The part of "NAME.option" behind the dot; NULL: it is another's. */
static const char *
own_name(const char *owner, const char *name)
{
	size_t n = strlen(owner);

	return strncmp(name, owner, n) == 0 && name[n] == '.' ? name + n + 1 : NULL;
}

static bool
secret_option(const struct broker_ops *ops, const char *name)
{
	const char *own = own_name(ops->name, name);

	return is_secret(ops->options, own ? own : name);
}

static int
read_secret_xopt(struct broker_xopt *x, struct error *err)
{
	struct bytes value;
	char what[80];

	snprintf(what, sizeof what, "-X %.60s", x->name);
	if (x->value[0] != '@' || !x->value[1])
		return error_set(err, ERR_USAGE, "%s is a secret: write it into a file, and "
			"%s=@FILE", what, what);
	if (connect_secret(what, x->value + 1, &value, err) < 0)
		return -1;
	if (memchr(value.p, '\0', value.n))
		return error_set(err, ERR_USAGE, "%s: a NUL in its file", what);
	x->value = value.p;
	return 0;
}

int
connect_secrets(struct common_args *c, struct error *err)
{
	for (size_t i = 0; i < c->nxpairs; i++)
		if (secret_option(c->ops, c->xpairs[i].name) &&
		    read_secret_xopt(&c->xpairs[i], err) < 0)
			return -1;
	return find_password(c, c->ops->caps & BROKER_USER, err);
}

int
connect_registry_secrets(struct common_args *c, const struct registry_ops *ops, struct error *err)
{
	for (size_t i = 0; i < c->nxpairs; i++) {
		const char *own = own_name(ops->name, c->xpairs[i].name);

		if (own && is_secret(ops->options, own) &&
		    read_secret_xopt(&c->xpairs[i], err) < 0)
			return -1;
	}
	return 0;
}

/* What a registry has no use for, by its caps. */
static int
registry_heed(const struct common_args *c, const struct registry_ops *ops, struct error *err)
{
	const struct { const char *option; bool given; unsigned cap; const char *lacks; } rows[] = {
		{ "--username", c->username, REGISTRY_USER, "users and passwords" },
		{ "--password-file", c->password_file, REGISTRY_USER, "users and passwords" },
		{ "--connect-timeout", heed_given(c, "connect-timeout"), REGISTRY_SERVER, "server" },
	};

	if (connect_tls(&c->tls) && !(ops->caps & REGISTRY_TLS))
		return error_set(err, ERR_NOTFOUND, "the %.60s registry has no TLS", ops->name);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].given && !(ops->caps & rows[i].cap))
			return error_set(err, ERR_NOTFOUND, "%s: the %s registry has no %s",
				rows[i].option, ops->name, rows[i].lacks);
	return 0;
}

int
connect_registry(struct common_args *c, const struct registry_ops *ops,
	struct registry_options *opts, struct error *err)
{
	if (registry_heed(c, ops, err) < 0 || connect_registry_secrets(c, ops, err) < 0 ||
	    find_password(c, ops->caps & REGISTRY_USER, err) < 0)
		return -1;
	opts->tls = connect_tls(&c->tls) ? &c->tls : NULL;
	opts->username = c->username;
	opts->password = c->password;
	return 0;
}

/* MBUS_WIRE is for the brokers that have that form, in the direction of the command. */
static enum wire
find_wire(const struct common_args *c)
{
	unsigned use = c->command ? c->command->broker_use : 0;
	unsigned raw = BROKER_RAW | BROKER_HEEDLESS |
		(!use || (use & BROKER_FOR_PUB) ? 0 : BROKER_SHOWS_RAW);

	if (c->ops->bare && c->wire == WIRE_MICRO)
		return WIRE_AUTO;
	return c->wire == WIRE_RAW && !heed_given(c, "wire") && !(c->ops->caps & raw) ?
		WIRE_AUTO : (enum wire)c->wire;
}

int
connect_options(const struct common_args *c, struct broker_options *opts, struct error *err)
{
	if (c->reconnect && c->reconnect_n && !(c->ops->caps & BROKER_RECONNECT))
		return error_set(err, ERR_NOTFOUND, "the %s broker has no connection that could be "
			"made again (--reconnect)", c->ops->name);
	opts->address = c->server ? c->server : c->address;
	opts->tls = connect_tls(&c->tls) ? &c->tls : NULL;
	opts->connect_timeout_ms = c->connect_timeout_ms > UINT32_MAX ? UINT32_MAX :
		(unsigned)c->connect_timeout_ms;
	opts->username = c->username ? c->username : c->url_user;
	opts->password = c->password;
	opts->wire = find_wire(c);
	opts->reconnect_given = c->reconnect;
	if (c->reconnect)
		opts->reconnect = c->reconnect_n;
	return 0;
}
