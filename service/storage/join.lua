#!lua
-- Count what a stretch of the log says of answers, and move the position over it, in one step: a
-- stretch is counted by whoever comes first, and by nobody else.
--
-- KEYS  1 position, 2 answers, 3 marks, then the total and the versions' counts
-- ARGV  1 where the stretch begins, as the position must say ('' for none), 2 where it ends,
--       3 plan (msgpack), two lists:
--         marks   an answer's name, what has been heard of its items
--         counts  key index, {field, number}…; a version that has no counts any more gets none
-- Returns 1, or 0 when the position is another.

if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
local plan = cmsgpack.unpack(ARGV[3])
for _, one in ipairs(plan[1]) do
  if redis.call('HEXISTS', KEYS[2], one[1]) == 1 then
    redis.call('HSET', KEYS[3], one[1], one[2])
  end
end
for _, one in ipairs(plan[2]) do
  if one[1] == 4 or redis.call('EXISTS', KEYS[one[1]]) == 1 then
    for _, pair in ipairs(one[2]) do
      redis.call('HINCRBYFLOAT', KEYS[one[1]], pair[1], string.format('%.17g', pair[2]))
    end
  end
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
