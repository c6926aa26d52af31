/* SPDX-License-Identifier: Apache-2.0 */
/* core/link with TLS: when it is spoken, and whose certificate is taken. One is made
 * for right.example, by openssl(1), and says for itself that it is good. */
#include "tests/unit/link_pair.h"
#include "tests/unit/modules.h"

static char cert[64], key[64];

static void
remove_files(void)
{
	unlink(cert);
	unlink(key);
}

static bool
make_certificate(void)
{
	char command[512];

	if (*cert)
		return true;
	find_modules();
	snprintf(cert, sizeof cert, "/tmp/mbus-link-%d.crt", (int)getpid());
	snprintf(key, sizeof key, "/tmp/mbus-link-%d.key", (int)getpid());
	atexit(remove_files);
	snprintf(command, sizeof command, "openssl req -x509 -newkey ec -nodes -days 2"
		" -pkeyopt ec_paramgen_curve:P-256 -subj /CN=right.example"
		" -addext subjectAltName=DNS:right.example,DNS:localhost"
		" -keyout %s -out %s 2> /dev/null", key, cert);
	return system(command) == 0;
}

/* A link to a server that has the certificate. */
static bool
toy_over_tls(struct toy *t, const char *listen, const char *address,
	const struct tls_options *client)
{
	struct tls_options server = { .on = true };
	static char whole[300];
	struct error err;

	if (!make_certificate())
		return false;
	server.cert = cert;
	server.key = key;
	toy_init(t);
	t->server.tls = tls_server(&server, NULL, &err);
	if (!t->server.tls || !server_open(&t->server, t->loop, listen))
		return false;
	t->broker.tls = client;
	t->broker.reconnect = -1;
	t->broker.connect_timeout_ms = 10000;
	snprintf(whole, sizeof whole, "%s%s", address, *listen == '/' ? "" :
		strrchr(t->server.address, ':'));
	if (!toy_start(t, whole))
		return false;
	toy_run(t, 1, 10000);
	return true;
}

static void
tls_close(struct toy *t)
{
	struct tls *tls = t->server.tls;

	toy_close(t);
	tls_free(tls);
}

static void
is_ready(const char *listen, const char *address, const struct tls_options *client)
{
	struct toy t;

	need(toy_over_tls(&t, listen, address, client));
	check_int(t.client.ready, 1);
	if (!t.client.ready)
		printf("# %s\n", t.client.error.text);
	tls_close(&t);
}

static void
is_not_accepted(const char *address, const struct tls_options *client, const char *why)
{
	struct toy t;

	need(toy_over_tls(&t, "127.0.0.1:0", address, client));
	check_int(t.client.opened, 0);
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.error.kind, ERR_AUTH);
	check(strstr(t.client.error.text, strrchr(t.server.address, ':')));
	check(strstr(t.client.error.text, why) && !strchr(t.client.error.text, '\n'));
	if (!strstr(t.client.error.text, why))
		printf("# %s\n", t.client.error.text);
	run_for(t.loop, 300);		/* trying again would not mend it */
	check_int(t.server.accepted, 1);
	tls_close(&t);
}

TEST(verified)
{
	struct tls_options ca = { .on = true }, named = { .on = true, .sni = "right.example" };
	struct tls_options by_scheme = { .on = false };
	char path[64];

	need(make_certificate());
	ca.ca = named.ca = by_scheme.ca = cert;
	is_ready("127.0.0.1:0", "localhost", &ca);
	is_ready("127.0.0.1:0", "127.0.0.1", &named);
	is_ready("127.0.0.1:0", "toy://127.0.0.1", &named);
	is_ready("127.0.0.1:0", "toys://localhost", &by_scheme);
	snprintf(path, sizeof path, "/tmp/mbus-link-tls-%d.sock", (int)getpid());
	is_ready(path, path, &named);
	is_ready(path, path, &ca);	/* a Unix socket is localhost */
}

TEST(not_accepted)
{
	struct tls_options ca = { .on = true }, foreign = { .on = true };
	struct tls_options named = { .on = true, .sni = "wrong.example" };

	need(make_certificate());
	ca.ca = named.ca = cert;
	is_not_accepted("127.0.0.1", &ca, "127.0.0.1");
	is_not_accepted("localhost", &named, "wrong.example");
	is_not_accepted("localhost", &foreign, "signed by itself");
	is_not_accepted("toys://localhost", NULL, "signed by itself");
}

TEST(without_verification)
{
	struct tls_options insecure = { .on = true, .insecure = true };

	is_ready("127.0.0.1:0", "127.0.0.1", &insecure);
}

/* A server that is changed meanwhile ends the run. */
TEST(another_certificate_later)
{
	static const char *const hosts[] = { "localhost", NULL };
	struct tls_options ca = { .on = true }, server = { .on = true };
	struct error err;
	struct tls *other;
	struct toy t;

	need(make_certificate());
	ca.ca = cert;
	need(toy_over_tls(&t, "127.0.0.1:0", "localhost", &ca));
	check_int(t.client.ready, 1);
	other = tls_server(&server, hosts, &err);
	need(other);
	server_cut(&t.server);
	tls_free(t.server.tls);
	t.server.tls = other;
	toy_run(&t, 2, 3000);
	check_int(t.client.ready, 1);
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.error.kind, ERR_AUTH);
	tls_close(&t);
}

TEST(server_without_tls)
{
	struct tls_options ca = { .on = true, .insecure = true };
	struct toy t;

	find_modules();
	toy_init(&t);
	t.broker.tls = &ca;
	t.broker.connect_timeout_ms = 300;
	t.server.silent = true;
	need(server_open(&t.server, t.loop, "127.0.0.1:0"));
	need(toy_start(&t, t.server.address));
	toy_run(&t, 1, 2000);
	check_int(t.client.lost_for_good, 1);
	check_int(t.client.error.kind, ERR_CONNECT);
	check(strstr(t.client.error.text, "no answer to the TLS handshake within 300 ms"));
	toy_close(&t);
}

/* Files are read when the link is made. */
TEST(no_such_file)
{
	struct tls_options ca = { .on = true, .ca = "/nonexistent/ca.pem" };
	struct error err;
	struct toy t;

	find_modules();
	toy_init(&t);
	t.broker.tls = &ca;
	check(!link_new(t.loop, &t.opts, &client_ops, NULL, &err));
	check_int(err.kind, ERR_LOCAL_IO);
	check(strstr(err.text, "/nonexistent/ca.pem"));
	toy_close(&t);
}
