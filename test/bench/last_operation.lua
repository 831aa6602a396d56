-- wrk: last_operation of instances that are there, one after the other.
-- Arguments: the Authorization header, a file with an instance id in each line.
local requests, n = {}, 0

function init(args)
   local headers = { ["Authorization"] = args[1], ["X-Broker-API-Version"] = "2.17" }
   for id in io.lines(args[2]) do
      local path = "/v2/service_instances/" .. id .. "/last_operation"
      requests[#requests + 1] = wrk.format("GET", path, headers)
   end
end

function request()
   n = n % #requests + 1
   return requests[n]
end

function done(summary)
   local e = summary.errors
   io.write(string.format("failed: %d\n", e.connect + e.read + e.write + e.status + e.timeout))
end
