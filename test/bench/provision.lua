-- wrk: a synchronous provision of a new instance each time.
-- Arguments: a word that no other run uses, the body, the Authorization header.
local run, body, headers, n = "", "", {}, 0

function init(args)
   run, body = args[1], args[2]
   headers["Authorization"] = args[3]
   headers["X-Broker-API-Version"] = "2.17"
   headers["Content-Type"] = "application/json"
end

function request()
   n = n + 1
   -- the same length as a UUID, and in no order
   local id = string.format("%08x-%s-%06d", (n * 2654435761) % 4294967296, run, n)
   return wrk.format("PUT", "/v2/service_instances/" .. id, headers, body)
end

function done(summary)
   local e = summary.errors
   io.write(string.format("failed: %d\n", e.connect + e.read + e.write + e.status + e.timeout))
end
