-- The policy chain of the bench, in Lua: key-auth, a fixed-window limit per consumer and UTC minute,
-- request and response header edits, with the headers and answers that Kong's plugins give.
-- Locals over globals, one table lookup for the key, one incr for the counter: what a careful author writes.

local ngx = ngx
local req = ngx.req
local floor = math.floor
local counters = ngx.shared.counters

local LIMIT = 1000000000
local CONSUMERS = {
  ["bench-key-1"] = {
    id = "7c3f2f4e-6a0b-4a2b-9f57-0d8f6b1a2c01",
    username = "bench-consumer",
    credential = "7c3f2f4e-6a0b-4a2b-9f57-0d8f6b1a2c02",
  },
}

local policy = {}

local function refuse(status, message)
  ngx.status = status
  ngx.header["Content-Type"] = "application/json; charset=utf-8"
  ngx.print('{"message":"' .. message .. '"}')
  return ngx.exit(status)
end

function policy.access()
  local key = ngx.var.http_apikey or ngx.var.arg_apikey
  if not key then
    ngx.header["WWW-Authenticate"] = "Key"
    return refuse(401, "No API key found in request")
  end
  local consumer = CONSUMERS[key]
  if not consumer then
    ngx.header["WWW-Authenticate"] = "Key"
    return refuse(401, "Unauthorized")
  end
  req.set_header("X-Consumer-ID", consumer.id)
  req.set_header("X-Consumer-Username", consumer.username)
  req.set_header("X-Credential-Identifier", consumer.credential)

  local now = ngx.time()
  local window = floor(now / 60)
  local reset = 60 - now % 60
  local used, err = counters:incr(consumer.id .. ":" .. window, 1, 0, reset + 60)
  if not used then
    ngx.log(ngx.ERR, "rate limit counter: ", err)
    return refuse(500, "An unexpected error occurred")
  end
  local remaining = LIMIT - used
  local ctx = ngx.ctx
  ctx.remaining = remaining < 0 and 0 or remaining
  ctx.reset = reset
  if remaining < 0 then
    ngx.header["Retry-After"] = reset
    return refuse(429, "API rate limit exceeded")
  end

  req.clear_header("X-Bench-Secret")
  req.set_header("X-Bench-Added", "yes")
end

function policy.header_filter()
  local ctx = ngx.ctx
  local header = ngx.header
  local remaining = ctx.remaining
  if remaining then
    header["RateLimit-Limit"] = LIMIT
    header["RateLimit-Remaining"] = remaining
    header["RateLimit-Reset"] = ctx.reset
    header["X-RateLimit-Limit-Minute"] = LIMIT
    header["X-RateLimit-Remaining-Minute"] = remaining
  end
  header["X-Bench-Internal"] = nil
  header["X-Bench-Response"] = "yes"
end

return policy
