#!lua
-- Append one packed entry and everything that must be true with it, or nothing at all.
-- (With the line above the server refuses the whole script when memory is full or it cannot
-- persist, before the first write.)
--
-- KEYS  1 log, 2 running total, 3 first-seen, then the user histories and the popularity buckets
-- ARGV  1 most entries, 2 format number, 3 payload, 4 events, 5 history size,
--       6 history life (ms), 7 popularity life (s after the hour of the bucket),
--       then per event: index of its history key, score, member, item, seen at (ms),
--       index of its popularity key or 0, weight, hour
-- Returns the id of the entry, or false when the log is full.

if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  return false
end

local total = redis.call('INCRBY', KEYS[2], ARGV[4])
local id = redis.call('XADD', KEYS[1], '*', 'v', ARGV[2], 'p', ARGV[3], 'n', ARGV[4], 't', total)

local size = tonumber(ARGV[5])
local touched = {}
for at = 8, #ARGV, 8 do
  local history = KEYS[tonumber(ARGV[at])]
  local score, member, item = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local new = redis.call('ZADD', history, 'NX', score, member) == 1
  if new then
    touched[history] = true
    local over = redis.call('ZCARD', history) - size
    if over > 0 then
      redis.call('ZREMRANGEBYRANK', history, 0, over - 1)
      new = redis.call('ZSCORE', history, member) ~= false
    end
    redis.call('ZADD', KEYS[3], 'NX', ARGV[at + 4], item)
  end
  local popularity = KEYS[tonumber(ARGV[at + 5])]
  if new and popularity then
    redis.call('ZINCRBY', popularity, ARGV[at + 6], item)
    redis.call('EXPIREAT', popularity, ARGV[at + 7] * 3600 + ARGV[7])
  end
end
for history in pairs(touched) do
  redis.call('PEXPIRE', history, ARGV[6])
end
return id
