-- SPDX-License-Identifier: Apache-2.0
-- For wrk: POSTs the file named behind "--" and prints one line at the end:
-- requests/s, and how many went wrong in whatever way.

function init(args)
	local f = assert(io.open(args[1], "rb"))
	wrk.method = "POST"
	wrk.body = f:read("*a")
	wrk.headers["Content-Type"] = "application/json"
	f:close()
end

function done(summary)
	local e = summary.errors
	io.write(string.format("wrk: %.1f %d\n", summary.requests / summary.duration * 1e6,
		e.connect + e.read + e.write + e.status + e.timeout))
end
