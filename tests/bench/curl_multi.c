/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl_multi URL BODYFILE N FLIGHT: the yardstick for several requests at a time:
 * a tight libcurl multi loop that keeps FLIGHT requests under way, each on a
 * connection of its own that is kept alive. Ends badly when any answer is not a
 * 200.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

static size_t
discard(char *p, size_t size, size_t n, void *arg)
{
	(void)p;
	(void)arg;
	return size * n;
}

/* Takes the answers that are there and sends the next requests on their handles.
 * Returns how many were answered, -1 if one badly. */
static long
take_answers(CURLM *m, long *left)
{
	long answered = 0, status;
	CURLMsg *msg;
	int queued;

	while ((msg = curl_multi_info_read(m, &queued))) {
		CURL *c = msg->easy_handle;
		CURLcode err = msg->data.result;

		if (msg->msg != CURLMSG_DONE)
			continue;
		status = 0;
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
		if (err || status != 200) {
			fprintf(stderr, "curl_multi: %s, status %ld\n", curl_easy_strerror(err), status);
			return -1;
		}
		answered++;
		curl_multi_remove_handle(m, c);
		if (*left > 0) {
			--*left;
			curl_multi_add_handle(m, c);
		}
	}
	return answered;
}

int
main(int argc, char **argv)
{
	static char body[1 << 20];
	struct curl_slist *headers = NULL;
	FILE *f = argc == 5 ? fopen(argv[2], "re") : NULL;
	size_t n = f ? fread(body, 1, sizeof body, f) : 0;
	long left, waiting, answered;
	int running;
	CURLM *m;

	if (n == 0) {
		fputs("usage: curl_multi URL BODYFILE N FLIGHT\n", stderr);
		return 2;
	}
	fclose(f);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	m = curl_multi_init();
	headers = curl_slist_append(headers, "Content-Type: application/json");
	waiting = left = atol(argv[3]);
	for (long i = atol(argv[4]); i > 0 && left > 0; i--, left--) {
		CURL *c = curl_easy_init();

		curl_easy_setopt(c, CURLOPT_URL, argv[1]);
		curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)n);
		curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, discard);
		curl_easy_setopt(c, CURLOPT_PROXY, "");
		curl_multi_add_handle(m, c);
	}
	while (waiting > 0) {
		if (curl_multi_perform(m, &running))
			return 1;
		answered = take_answers(m, &left);
		if (answered < 0)
			return 1;
		waiting -= answered;
		if (waiting > 0 && answered == 0)
			curl_multi_poll(m, NULL, 0, 1000, NULL);
	}
	return 0;
}
