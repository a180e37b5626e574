#!lua
-- Append one packed entry and everything that must be true with it, or nothing at all.
-- (With the line above the server refuses the whole script when memory is full or it cannot
-- persist, before the first write.)
--
-- KEYS  1 log, 2 running total, 3 first-seen, 4 last-seen, then the user histories and the
--       popularity buckets; the last of an import's is the record of its file
-- ARGV  1 most entries, 2 format number, 3 payload, 4 events, 5 history size, 6 history life (ms),
--       7 most items in first-seen and last-seen, 8 plan (msgpack), two lists:
--         users    key index, then by event: scores, members, items, seen at (ms), weights and
--                  key indices of the popularity buckets
--         buckets  key index, when it is dropped (s)
--       of an import alone: 9 line up to which the file is in the log, 10 the same with this
--       batch, 11 life of the record (ms)
-- Returns the id of the entry, false when the log is full, or 0 when the file is not in the log up
-- to the line that was said.

if ARGV[9] and (redis.call('HGET', KEYS[#KEYS], 'line') or '0') ~= ARGV[9] then
  return 0
end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then
  return false
end

local total = redis.call('INCRBY', KEYS[2], ARGV[4])
local id = redis.call('XADD', KEYS[1], '*', 'v', ARGV[2], 'p', ARGV[3], 'n', ARGV[4], 't', total)

if ARGV[9] then
  redis.call('HSET', KEYS[#KEYS], 'line', ARGV[10])
  redis.call('HINCRBY', KEYS[#KEYS], 'events', ARGV[4])
  redis.call('PEXPIRE', KEYS[#KEYS], ARGV[11])
end

local SLICE = 1000  -- what is unpacked lies on Lua's stack, which is small

local function scores_of(key, members)
  local scores = {}
  for from = 1, #members, SLICE do
    local to = math.min(from + SLICE - 1, #members)
    for at, score in ipairs(redis.call('ZMSCORE', key, unpack(members, from, to))) do
      scores[from + at - 1] = score
    end
  end
  return scores
end

local function add(key, option, pairs_of_scores)
  for from = 1, #pairs_of_scores, SLICE do
    local to = math.min(from + SLICE - 1, #pairs_of_scores)
    redis.call('ZADD', key, option, unpack(pairs_of_scores, from, to))
  end
end

local plan = cmsgpack.unpack(ARGV[8])
local size, seen, counts = tonumber(ARGV[5]), {}, {}

for _, user in ipairs(plan[1]) do
  local history, scores, members, items = KEYS[user[1]], user[2], user[3], user[4]
  local seen_at, weights, buckets = user[5], user[6], user[7]

  -- what is not in the history yet, each once
  local known, met, new, additions = scores_of(history, members), {}, {}, {}
  for at, member in ipairs(members) do
    if not known[at] and not met[member] then
      met[member] = true
      new[#new + 1] = at
      additions[#additions + 1] = scores[at]
      additions[#additions + 1] = member
      seen[#seen + 1] = seen_at[at]
      seen[#seen + 1] = items[at]
    end
  end

  if #new > 0 then
    add(history, 'NX', additions)
    redis.call('PEXPIRE', history, ARGV[6])
    local over = redis.call('ZCARD', history) - size
    if over > 0 then
      redis.call('ZREMRANGEBYRANK', history, 0, over - 1)
    end
    for _, at in ipairs(new) do  -- also what the history has no room for: it happened
      if weights[at] > 0 then
        local count = counts[buckets[at]] or {}
        counts[buckets[at]] = count
        count[items[at]] = (count[items[at]] or 0) + weights[at]
      end
    end
  end
end

redis.call('COPY', KEYS[3], KEYS[4])  -- where an older freshet has kept first-seen alone
add(KEYS[3], 'LT', seen)  -- what comes late may have been the first
add(KEYS[4], 'GT', seen)

-- who was named longest ago is forgotten; where the bound was lowered, a few more with each request
local over = math.min(redis.call('ZCARD', KEYS[4]) - tonumber(ARGV[7]), #seen + SLICE)
for from = 0, over - 1, SLICE do
  local oldest = redis.call('ZRANGE', KEYS[4], 0, math.min(over - from, SLICE) - 1)
  redis.call('ZREM', KEYS[3], unpack(oldest))
  redis.call('ZREM', KEYS[4], unpack(oldest))
end

for _, bucket in ipairs(plan[2]) do
  local count, items, sums = counts[bucket[1]], {}, {}
  if count then
    for item in pairs(count) do
      items[#items + 1] = item
    end
    local before = scores_of(KEYS[bucket[1]], items)
    for at, item in ipairs(items) do
      sums[#sums + 1] = (tonumber(before[at] or 0)) + count[item]
      sums[#sums + 1] = item
    end
    add(KEYS[bucket[1]], 'CH', sums)
    redis.call('EXPIREAT', KEYS[bucket[1]], bucket[2])
  end
end
return id
