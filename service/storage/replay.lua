#!lua
-- Admit samples, then keep the lowest keys: a bounded sample whose content does not depend on the
-- order of admission, on repeats, or on how the stream was cut.
--
-- KEYS  1 order, 2 samples, 3 windows
-- ARGV  1 most samples, 2 window, then per sample: key (16 hexadecimal digits), packed sample
-- Returns the number of samples kept.

for at = 3, #ARGV, 2 do
  if redis.call('ZADD', KEYS[1], 'NX', 0, ARGV[at]) == 1 then
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
    redis.call('ZADD', KEYS[3], ARGV[2], ARGV[at])
  end
end

local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if over > 0 then
  local popped = redis.call('ZPOPMAX', KEYS[1], over)
  for at = 1, #popped, 2 do
    redis.call('HDEL', KEYS[2], popped[at])
    redis.call('ZREM', KEYS[3], popped[at])
  end
end
return redis.call('ZCARD', KEYS[1])
