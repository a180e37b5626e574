#!lua
-- Keep answers that were given, count them, and let go of what is too many or too old. An answer
-- that is known by its name is known: sent again, a batch changes nothing.
--
-- KEYS  1 answers, 2 order, 3 marks, 4 versions, 5 total, then the versions' counts
-- ARGV  1 most answers, 2 the time before which none is kept (ms), 3 plan (msgpack), two lists:
--         answers   name, given at (ms), packed, key index of its version's counts, {field, number}…
--         versions  number, key index of its counts, items that it could recommend

local SLICE = 1000  -- what is unpacked lies on Lua's stack, which is small
local plan = cmsgpack.unpack(ARGV[3])
local counts = {[5] = {}}

local function count(key, field, number)
  counts[key] = counts[key] or {}
  counts[key][field] = (counts[key][field] or 0) + number
end

local latest = {}
for _, answer in ipairs(plan[1]) do
  local name, at, packed, key = answer[1], answer[2], answer[3], answer[4]
  latest[key] = math.max(latest[key] or 0, at)
  if redis.call('HSETNX', KEYS[1], name, packed) == 1 then
    redis.call('ZADD', KEYS[2], at, name)
    for _, pair in ipairs(answer[5]) do
      count(key, pair[1], pair[2])
      count(5, pair[1], pair[2])
    end
  end
end

for key, fields in pairs(counts) do
  for field, number in pairs(fields) do
    redis.call('HINCRBYFLOAT', KEYS[key], field, string.format('%.17g', number))
  end
end
for _, version in ipairs(plan[2]) do
  redis.call('HSET', KEYS[version[2]], 'known', version[3])
  redis.call('ZADD', KEYS[4], 'GT', latest[version[2]], version[1])
end

local function drop(names)
  redis.call('ZREM', KEYS[2], unpack(names))
  redis.call('HDEL', KEYS[1], unpack(names))
  redis.call('HDEL', KEYS[3], unpack(names))
end

while true do
  local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[1])
  if over <= 0 then break end
  drop(redis.call('ZRANGE', KEYS[2], 0, math.min(over, SLICE) - 1))
end
while true do
  local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[2], 'LIMIT', 0, SLICE)
  if #old == 0 then break end
  drop(old)
end
