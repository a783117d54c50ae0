-- What wrk sends, and what it reports. Everything is decided when the script is loaded: a `request` function costs
-- wrk a call of Lua for each request, so there is one only where requests differ.

local body = tonumber(os.getenv("BENCH_BODY_BYTES") or "0")
if body > 0 then
  wrk.method = "POST"
  wrk.body = string.rep("gatehouse", math.ceil(body / 9)):sub(1, body)
end

-- Requests for /r/0/small, /r/1/small ..., spread over all routes, formatted beforehand.
local routes = tonumber(os.getenv("BENCH_ROUTES") or "0")
if routes > 0 then
  local requests, count, at = {}, math.min(routes, 1000), 0
  function init()
    for i = 1, count do
      requests[i] = wrk.format("GET", "/r/" .. (i * 7919) % routes .. "/small")
    end
  end
  function request()
    at = at % count + 1
    return requests[at]
  end
end

-- One line of JSON after the run.
function done(summary, latency)
  io.write(string.format(
    '\nREPORT {"requests":%d,"microseconds":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"p50":%d,"p90":%d,"p99":%d,"p999":%d,"max":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    summary.errors.connect, summary.errors.read, summary.errors.write, summary.errors.status, summary.errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency:percentile(99.9), latency.max
  ))
end
