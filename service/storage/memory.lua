#!lua
-- One step of the fast memory: rows, the ids of new items, how far it has come, lessons, and word of
-- what has changed; all of it, or nothing when another has written since, or has become the keeper.
-- (With the line above the server refuses the whole script when memory is full or it cannot
-- persist, before the first write.)
--
-- KEYS  1 state, 2 rows of items, 3 rows of sessions, 4 ids, 5 changes, 6 lessons
-- ARGV  1 epoch, 2 number of the last commit, 3 rows that 4 must have, 4 changes kept,
--       5 fields of the state, 6 ids, 7 rows of items, 8 rows of sessions, 9 lessons: how many of
--       each follow; 10 lessons kept, −1: those there are go, for the memory begins anew;
--       fields (name, value), ids, rows (number, bytes), lessons (name, bytes), and the change's
--       number and bytes, or none
-- Returns 1; 0 when it is not the keeper's turn.

local state = redis.call('HMGET', KEYS[1], 'epoch', 'commit')
if state[1] ~= ARGV[1] or (state[2] or '0') ~= ARGV[2] then
  return 0
end
if redis.call('LLEN', KEYS[4]) ~= tonumber(ARGV[3]) then
  return 0
end

local SLICE = 1000  -- what is unpacked lies on Lua's stack, which is small
local at = 11

local function write(command, key, count)
  local stop = at + count
  while at < stop do
    local last = math.min(at + SLICE, stop) - 1
    redis.call(command, key, unpack(ARGV, at, last))
    at = last + 1
  end
end

write('HSET', KEYS[1], 2 * ARGV[5])
write('RPUSH', KEYS[4], tonumber(ARGV[6]))
write('HSET', KEYS[2], 2 * ARGV[7])
write('HSET', KEYS[3], 2 * ARGV[8])
if ARGV[10] == '-1' then
  redis.call('UNLINK', KEYS[6])
end
for _ = 1, tonumber(ARGV[9]) do
  redis.call('XADD', KEYS[6], 'MAXLEN', ARGV[10], ARGV[at], 'l', ARGV[at + 1])
  at = at + 2
end
if at <= #ARGV then
  redis.call('XADD', KEYS[5], 'MAXLEN', ARGV[4], ARGV[at] .. '-0', 'c', ARGV[at + 1])
end
return 1
