#!lua
-- Admit samples, then keep the lowest keys that fit: a bounded sample whose content does not depend
-- on the order of admission, on repeats, or on how the stream was cut. The rule is that of
-- models.continual.buffer, whose tests run over both.
--
-- KEYS  1 order, 2 samples, 3 windows, 4 bounds
-- ARGV  1 most samples, 2 most bytes (0: no bound), 3 window, then per sample: key (16 hexadecimal
--       digits), packed sample
-- Returns the number of samples kept.
--
-- Under bounds: `bytes` kept, the `largest` sample offered, the `bar`, which is the lowest key let
-- go of, and the `limits` that all of these hold for. Under others they are taken anew.

local most, most_bytes = tonumber(ARGV[1]), tonumber(ARGV[2])
local limits = ARGV[1] .. '/' .. ARGV[2]
local known = redis.call('HMGET', KEYS[4], 'bytes', 'largest', 'limits', 'bar')
local bytes, largest, bar = tonumber(known[1] or 0), tonumber(known[2] or 0), known[4]

local function drop(key)
  redis.call('ZREM', KEYS[1], key)
  redis.call('HDEL', KEYS[2], key)
  redis.call('ZREM', KEYS[3], key)
end

if known[3] ~= limits then
  bytes, largest, bar = 0, 0, false
  for _, key in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    local size = redis.call('HSTRLEN', KEYS[2], key)
    if most_bytes > 0 and size > most_bytes then
      drop(key)
    else
      bytes, largest = bytes + size, math.max(largest, size)
    end
  end
end

for at = 4, #ARGV, 2 do
  local key, size = ARGV[at], #ARGV[at + 1]
  if most_bytes == 0 or size <= most_bytes then
    largest = math.max(largest, size)
    if (not bar or key < bar) and redis.call('ZADD', KEYS[1], 'NX', 0, key) == 1 then
      redis.call('HSET', KEYS[2], key, ARGV[at + 1])
      redis.call('ZADD', KEYS[3], ARGV[3], key)
      bytes = bytes + size
    end
  end
end

local count = redis.call('ZCARD', KEYS[1])
while count > 0 do
  local key = redis.call('ZREVRANGE', KEYS[1], 0, 0)[1]
  local before = bytes - redis.call('HSTRLEN', KEYS[2], key)
  if count <= most and (most_bytes == 0 or before <= most_bytes - largest) then
    break
  end
  drop(key)
  bar, bytes, count = key, before, count - 1
end

redis.call('HSET', KEYS[4], 'bytes', bytes, 'largest', largest, 'limits', limits)
if bar then
  redis.call('HSET', KEYS[4], 'bar', bar)
else
  redis.call('HDEL', KEYS[4], 'bar')
end
return count
