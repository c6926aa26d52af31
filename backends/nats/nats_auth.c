/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who we are, where that is no user and password: a seed, which signs what the server
 * made up for this connection, with or without a token (JWT) that says whose it is. What
 * is secret is kept from when the files are read to the end, and shown by nobody.
 */
#include "backends/nats/nats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/secret.h"
#include "core/tls.h"

enum { FILE_MAX = 64 * 1024 };

/* Of a file that only we should read. */
static int
read_file(const char *what, const char *path, struct buf *to, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0)
		return error_sys(err, ERR_LOCAL_IO, "%s %s", what, path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 044))
		log_warn("%s: others can read %s, too (chmod 600)", what, path);
	buf_room(to, FILE_MAX + 1);
	while (buf_len(to) <= FILE_MAX && (n = read(fd, buf_room(to, 0), FILE_MAX + 1 - buf_len(to))) > 0)
		buf_added(to, (size_t)n);
	if (n < 0)
		error_sys(err, ERR_LOCAL_IO, "%s %s", what, path);
	close(fd);
	if (n >= 0 && buf_len(to) > FILE_MAX)
		return error_set(err, ERR_USAGE, "%s %s: too large to be that", what, path);
	return n < 0 ? -1 : 0;
}

static int
read_seed(struct nats_broker *nb, const char *what, const char *path, struct bytes text, struct error *err)
{
	const char *why = nats_seed_read(text, nb->seed);

	if (why)
		return error_set(err, ERR_USAGE, "%s %s: %s", what, path, why);
	nb->has_seed = true;
	return 0;
}

static int
read_creds(struct nats_broker *nb, const char *what, const char *path, struct error *err)
{
	struct buf file = BUF_INIT;
	struct bytes jwt, seed;
	int r = read_file(what, path, &file, err);

	if (r == 0 && !nats_creds_split(buf_bytes(&file), &jwt, &seed))
		r = error_set(err, ERR_USAGE, "%s %s: it has no NATS USER JWT and USER NKEY SEED", what, path);
	if (r == 0 && (r = read_seed(nb, what, path, seed, err)) == 0)
		nb->jwt = secret_keep(jwt.p, jwt.n);
	if (file.data)
		explicit_bzero(file.data, file.cap);
	buf_release(&file);
	return r;
}

int
nats_auth_open(struct nats_broker *nb, struct error *err)
{
	const struct broker_options *o = &nb->b.opts;
	bool other = o->username || o->password.p || nb->nkey;
	const char *env = other || nb->creds ? NULL : getenv("NATS_CREDS");
	struct buf file = BUF_INIT;
	int r;

	if ((nb->creds || nb->nkey) && (o->username || o->password.p))
		return error_set(err, ERR_USAGE, "-X nats.%s goes without a user and a password",
			nb->creds ? "creds" : "nkey");
	if (nb->creds && nb->nkey)
		return error_set(err, ERR_USAGE, "-X nats.creds has a seed of its own: without -X nats.nkey");
	if (nb->creds)
		return read_creds(nb, "-X nats.creds", nb->creds, err);
	if (env && *env)
		return read_creds(nb, "NATS_CREDS", env, err);
	if (!nb->nkey)
		return 0;
	r = read_file("-X nats.nkey", nb->nkey, &file, err);
	if (r == 0)
		r = read_seed(nb, "-X nats.nkey", nb->nkey, buf_bytes(&file), err);
	if (file.data)
		explicit_bzero(file.data, file.cap);
	buf_release(&file);
	return r;
}

int
nats_auth_sign(struct nats_broker *nb, struct bytes nonce, struct nats_connect *c, struct buf *to,
	struct error *err)
{
	unsigned char public[NATS_KEY], signature[NATS_SIGNATURE];

	if (!nb->has_seed)
		return 0;
	if (!nonce.n)
		return error_set(err, ERR_AUTH, "%s: the server wants no key (-X nats.creds, nats.nkey)",
			link_name(nb->p.link));
	if (tls_sign(nb->seed, nonce, public, signature, err) < 0)
		return -1;
	buf_clear(to);
	nats_add_base64url(to, signature, sizeof signature);
	c->sig = buf_bytes(to);
	c->jwt = nb->jwt;
	if (!nb->jwt.n) {
		nats_public_text(public, nb->public);
		c->nkey = bytes_str(nb->public);
	}
	return 0;
}

void
nats_auth_release(struct nats_broker *nb)
{
	explicit_bzero(nb->seed, sizeof nb->seed);
}
