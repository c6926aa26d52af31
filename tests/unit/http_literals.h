/* SPDX-License-Identifier: Apache-2.0 */
/* A request and a reply as go-micro programs exchanged them, for the tests of both
 * halves of the HTTP codec. */
#ifndef MBUS_TESTS_UNIT_HTTP_LITERALS_H
#define MBUS_TESTS_UNIT_HTTP_LITERALS_H

#include "backends/proto/http.h"

#define DATE "Sat, 21 Nov 2026 10:38:57 GMT"
#define UUID "0eab78db-b2b6-4c93-b0cd-f4e5b25ffe0f"

#define V5_REQUEST \
	"POST /?id=go.micro.topic.foo-" UUID " HTTP/1.1\r\n" \
	"Host: 127.0.0.1:35755\r\n" \
	"User-Agent: Go-http-client/1.1\r\n" \
	"Content-Length: 86\r\n" \
	"Content-Type: application/json\r\n" \
	"Accept-Encoding: gzip\r\n" \
	"\r\n"
#define V5_REPLY "HTTP/1.1 200 OK\r\nDate: " DATE "\r\nContent-Length: 0\r\n\r\n"

#endif
