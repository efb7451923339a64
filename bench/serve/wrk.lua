-- Sends prepared requests, each connection the next one: the file that the first argument names holds each as its length, a line feed and its bytes.
-- The second argument, if any, is the mean pause in milliseconds of a connection before each request. The third is how long, in milliseconds, a connection that
-- was refused waits, as the clients of the vendor do; without it nothing of an answer is read but its status.
local requests, at, pause, backoff, refused = {}, 0, 0, 0, 0

function init(args)
   local f = assert(io.open(args[1], "rb"))
   while true do
      local n = f:read("*n")
      if not n then break end
      f:read(1)
      requests[#requests + 1] = f:read(n)
   end
   f:close()
   pause, backoff = tonumber(args[2] or 0), tonumber(args[3] or 0)
   if pause > 0 or backoff > 0 then
      delay = function()
         if refused > 0 then
            refused = refused - 1
            return backoff
         end
         if pause == 0 then return 0 end
         return math.floor(0.5 - pause * math.log(1 - math.random()))
      end
   end
   if backoff > 0 then
      response = function(status)
         if status ~= 200 then refused = refused + 1 end
      end
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format('\nresult {"micros": %d, "calls": %d, "statuses": %d, "broken": %d, "p50": %d, "p99": %d, "p999": %d}\n', summary.duration, summary.requests,
      e.status, e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
